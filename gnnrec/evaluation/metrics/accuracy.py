"""Metrics of which items of a ranked list are relevant; their registration.

A place that stays empty, because fewer than K items were left to rank, is no hit.
"""

import torch
from torch import Tensor

from gnnrec.evaluation.metrics.metric import Metric

HITS = ("hits", "num_relevant")


def ndcg(hits: Tensor, num_relevant: Tensor) -> Tensor:
    """Normalised discounted cumulative gain: a hit at rank r counts 1 / log2(r + 1), over the best list possible.

    Args:
        hits: [B, K] bool, whether the item at each place of the list is relevant.
        num_relevant: [B] int64, relevant items of each user, at least 1.

    Returns:
        [B] float32 in [0, 1]. The best list has min(num_relevant, K) hits, so every user can reach 1.

    Raises:
        ValueError: a user has no relevant item (leave such users out, and count them).

    Example:
        >>> ndcg(torch.tensor([[True, False], [False, True]]), torch.tensor([1, 1]))
        tensor([1.0000, 0.6309])
    """
    places = hits.shape[1]
    discount = 1 / torch.arange(2, places + 2, dtype=torch.float32).log2()
    ideal = discount.cumsum(0)[_positive(num_relevant).clamp(max=places) - 1]
    return (hits * discount).sum(1) / ideal


def recall(hits: Tensor, num_relevant: Tensor) -> Tensor:
    """Share of a user's relevant items that are in the list.

    Args:
        hits: [B, K] bool, whether the item at each place of the list is relevant.
        num_relevant: [B] int64, relevant items of each user, at least 1.

    Returns:
        [B] float32 in [0, 1]. The denominator is num_relevant, not min(num_relevant, K), so a user with more than K
        relevant items cannot reach 1.

    Raises:
        ValueError: a user has no relevant item (leave such users out, and count them).

    Example:
        >>> recall(torch.tensor([[True, False]]), torch.tensor([4]))
        tensor([0.2500])
    """
    return hits.sum(1) / _positive(num_relevant)


def precision(hits: Tensor, num_relevant: Tensor) -> Tensor:
    """Share of the list's places that hold a relevant item.

    Args:
        hits: [B, K] bool, whether the item at each place of the list is relevant.
        num_relevant: [B] int64, relevant items of each user, at least 1.

    Returns:
        [B] float32 in [0, 1]. The denominator is K also where the user has fewer relevant items.

    Raises:
        ValueError: a user has no relevant item (leave such users out, and count them).

    Example:
        >>> precision(torch.tensor([[True, False, False, False]]), torch.tensor([1]))
        tensor([0.2500])
    """
    _positive(num_relevant)
    return hits.float().mean(1)


def average_precision(hits: Tensor, num_relevant: Tensor) -> Tensor:
    """Precision at the rank of each hit, added up; its mean over users is called `map`.

    Args:
        hits: [B, K] bool, whether the item at each place of the list is relevant.
        num_relevant: [B] int64, relevant items of each user, at least 1.

    Returns:
        [B] float32 in [0, 1]. The denominator is min(num_relevant, K), so every user can reach 1 (others divide by
        num_relevant or by the number of hits).

    Raises:
        ValueError: a user has no relevant item (leave such users out, and count them).

    Example:
        >>> average_precision(torch.tensor([[True, False, True]]), torch.tensor([2]))  # (1/1 + 2/3) / 2
        tensor([0.8333])
    """
    places = hits.shape[1]
    at_rank = hits.cumsum(1) / torch.arange(1, places + 1)
    return (at_rank * hits).sum(1) / _positive(num_relevant).clamp(max=places)


def hit(hits: Tensor, num_relevant: Tensor) -> Tensor:
    """Whether the list holds any relevant item.

    Args:
        hits: [B, K] bool, whether the item at each place of the list is relevant.
        num_relevant: [B] int64, relevant items of each user, at least 1.

    Returns:
        [B] float32, 0 or 1.

    Raises:
        ValueError: a user has no relevant item (leave such users out, and count them).

    Example:
        >>> hit(torch.tensor([[True, True], [False, False]]), torch.tensor([3, 1]))
        tensor([1., 0.])
    """
    _positive(num_relevant)
    return hits.any(1).float()


def reciprocal_rank(first_rank: Tensor) -> Tensor:
    """One over the rank of the first relevant item in the whole ranking; its mean over users is called `mrr`.

    Args:
        first_rank: [B] int64, rank of the best placed relevant item, from 1; no cut-off.

    Returns:
        [B] float32 in (0, 1].

    Example:
        >>> reciprocal_rank(torch.tensor([1, 4]))
        tensor([1.0000, 0.2500])
    """
    return 1 / first_rank


def _positive(num_relevant: Tensor) -> Tensor:
    if (num_relevant < 1).any():
        raise ValueError(f"{int((num_relevant < 1).sum())} users have no relevant item; leave them out, and count them")
    return num_relevant


METRICS = (
    Metric(name="ndcg", needs=HITS, function=ndcg, higher_is_better=True, bounds=(0, 1)),
    Metric(name="recall", needs=HITS, function=recall, higher_is_better=True, bounds=(0, 1)),
    Metric(name="precision", needs=HITS, function=precision, higher_is_better=True, bounds=(0, 1)),
    Metric(name="map", needs=HITS, function=average_precision, higher_is_better=True, bounds=(0, 1)),
    Metric(name="hit", needs=HITS, function=hit, higher_is_better=True, bounds=(0, 1)),
    Metric(
        name="mrr",
        needs=("first_rank",),
        function=reciprocal_rank,
        higher_is_better=True,
        takes_length=False,
        bounds=(0, 1),
    ),
)
