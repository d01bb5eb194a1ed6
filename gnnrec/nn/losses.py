"""Losses: pure functions of scores."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def link_bce(positive: Tensor, negative: Tensor) -> Tensor:
    """Binary cross-entropy of true edges against drawn ones, both sides weighing the same.

    Args:
        positive: [B] scores of true edges (log-odds).
        negative: [B, K] scores of drawn edges.

    Returns:
        A scalar.

    Example:
        >>> link_bce(torch.tensor([0.0]), torch.tensor([[0.0, 0.0]]))
        tensor(1.3863)
    """
    return functional.softplus(-positive).mean() + functional.softplus(negative).mean()


def bpr(positive: Tensor, negative: Tensor) -> Tensor:
    """Bayesian personalised ranking: each true item should score above each drawn one.

    Source: Rendle et al., "BPR", UAI 2009, BPR-Opt without the regulariser; K draws per positive instead of one.

    Args:
        positive: [B] scores of true items.
        negative: [B, K] scores of drawn items.

    Returns:
        A scalar.

    Example:
        >>> bpr(torch.tensor([1.0]), torch.tensor([[1.0]]))
        tensor(0.6931)
    """
    return functional.softplus(negative - positive[:, None]).mean()


def softmax(score: Tensor, row: Tensor, item: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of each user's relevant items against all items; every relevant item weighs the same.

    Weighing users the same instead makes an item of a user with few items count more. But a list of K items gains as
    much from one hit as from another as long as the user has K relevant items to find, and popularity counts so too:
    on held-out users of MovieLens-100K (660 users in 7 cuts, exploratory runs) NDCG@10 was .425 with equal items, .410
    with equal users, .411 by popularity.

    Source: the multinomial likelihood of Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW
        2018, eq. 2.

    Args:
        score: [B, I] scores; -inf for an item that cannot be chosen.
        row: [P] int64, row of each relevant pair.
        item: [P] int64, item of each relevant pair.
        weight: [P] at least 0, what each pair counts; None where all count the same.

    Returns:
        A scalar: the mean over the pairs, 0 where there is none.

    Example:
        >>> softmax(torch.zeros(1, 4), torch.tensor([0, 0]), torch.tensor([1, 2]))
        tensor(1.3863)
    """
    # log p = score - logsumexp, picked before the subtraction: no second [B, I] tensor
    log_probability = score[row, item] - score.logsumexp(dim=1)[row]
    if weight is not None:
        return -(weight * log_probability).sum() / weight.sum().clamp(min=1e-30)
    return -log_probability.sum() / max(len(row), 1)


def sampled_softmax(
    positive: Tensor, negative: Tensor, log_chance: Tensor, log_chance_negative: Tensor, row: Tensor | None = None
) -> Tensor:
    """Cross-entropy of a true item against drawn ones, corrected for how often each item is drawn.

    Source: Bengio, Senecal, "Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic Language
        Model", IEEE TNN 2008; the correction subtracts log q from each score.

    Args:
        positive: [P] scores of true items.
        negative: [B, K] scores of drawn items.
        log_chance: [P] log of the chance that the true item is drawn.
        log_chance_negative: [B, K] (or [K]) log of the chance that each drawn item is drawn.
        row: [P] int64, the row of drawn items that each true item stands against; left out, its own: B is P then.

    Returns:
        A scalar.

    Example:
        >>> sampled_softmax(torch.zeros(1), torch.zeros(1, 3), torch.zeros(1), torch.zeros(3))
        tensor(1.3863)
    """
    true = positive - log_chance
    drawn = (negative - log_chance_negative).logsumexp(dim=1)  # before rows are repeated: [B], and no [P, K]
    return (torch.logaddexp(true, drawn if row is None else drawn[row]) - true).mean()


def in_parts(
    loss: Callable[[Tensor, Tensor, Tensor], Tensor], rows: Tensor, items: Tensor, others: Sequence[Tensor], size: int
) -> Tensor:
    """A loss that is a sum over rows, a few at a time: each part's gradients are taken before the next is computed.

    So no more than a part's scores of all items are held, and those stay in the processor's caches. Gradients are what
    one pass would give, but for the order of their sums.

    Args:
        loss: of the positions of a part ([P'] int64, on the CPU), its rows ([P', D]) and the items, a scalar.
        rows: [P, D], P at least 1.
        items: [I, D].
        others: what else the loss depends on and has gradients.
        size: most rows of a part.

    Returns:
        A scalar.
    """
    total: Tensor = _InParts.apply(loss, size, rows, items, *others)  # type: ignore[no-untyped-call]
    return total


class _InParts(torch.autograd.Function):
    """The sum; its gradients are there once it is."""

    @staticmethod
    def forward(
        ctx: Any, loss: Callable[..., Tensor], size: int, rows: Tensor, items: Tensor, *others: Tensor
    ) -> Tensor:
        total, of_rows = rows.new_zeros(()), torch.zeros_like(rows)
        sums: list[Tensor | None] = [None] * (1 + len(others))
        for part in torch.arange(len(rows)).split(size):
            at = slice(int(part[0]), int(part[-1]) + 1)
            own, shared = (one.detach().requires_grad_() for one in (rows[at], items))
            with torch.enable_grad():
                value = loss(part, own, shared)
            first, *rest = torch.autograd.grad(value, (own, shared, *others), allow_unused=True)
            total += value.detach()
            of_rows[at] = first
            for place, grad in enumerate(rest):
                known = sums[place]
                sums[place] = grad if known is None else known + grad
        ctx.grads = (of_rows, *sums)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, *(None if grad is None else outer[0] * grad for grad in ctx.grads))
