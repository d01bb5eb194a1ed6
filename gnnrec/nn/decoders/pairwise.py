"""Pair-wise scores of the items that a user's local subgraph reaches, and an inner product for the rest."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gnnrec.graph.paths import PLACES, Reached
from gnnrec.nn.decoders.linear import Linear

SPEED = 10.0
"""Weights of paths move so many times as fast as others: they are few, and each is on every path of its kind."""


class PairWise(nn.Module):
    """The query of `Linear`, and how often paths of each kind reach an item from the user, with learned weights.

    score(u, j) = bias_j + query . x_j + sum over c of w_c(k) log(1 + r_c(u, j) / s_c)
                  + v(k) log(1 + sum over m of a_m(k) r_m(u, j) / U),

    where r_p is the number of training users on the paths of kind p from u to j, divided by j's share of all
    interactions, U the number of training users, and k that of the user's items so far. Conditions c that hold at once
    (an attribute, the place) multiply: naive Bayes, smoothed by s_c users at popularity. Of the items m that came
    before, and of friends, one is the reason: a mixture, as a Markov chain smoothed by popularity is. w, s, v and a are
    learned.

    Source: the fusion of pair-wise and two-tower scores of Yuan et al., "ContextGNN: Beyond Two-Tower Recommendation
        Systems", ICLR 2025, after You, Gomes-Selman, Ying, Leskovec, "Identity-aware Graph Neural Networks", AAAI
        2021. Differs: counts along paths with a weight for each kind, where these have a graph network over the
        local subgraph; in training, the counts of other folds of users.
    Shapes: [B, D] users, [B, L, D] items, [B, L + 1] places -> [B, L + 1, D], the query alone.

    Args:
        channels: D.
        last: items that places are told apart of, and that paths start from.
        memory: items that the query reads, at most `last`.
        folds: parts of the training users, each of which is trained with the counts of the others.

    Raises:
        ValueError: `memory` is less than 1, or `folds` less than 2.
    """

    reads_history = True
    scores_pairs = True

    def __init__(self, channels: int, last: int, *, memory: int = 10, folds: int = 5) -> None:
        super().__init__()
        if folds < 2:
            raise ValueError(f"folds must be at least 2, got {folds}")
        self.inner = Linear(channels, last, memory=memory)
        self.folds = folds

    def forward(self, user: Tensor, items: Tensor, place: Tensor) -> Tensor:
        """[B, L + 1, D], the query after each number of items."""
        query: Tensor = self.inner(user, items, place)
        return query

    def take_paths(self, mixed: Sequence[bool], users: int) -> None:
        """Makes the weights.

        Args:
            mixed: of each path, whether it is one of several reasons; else it is a condition.
            users: U.
        """
        self.mixed = tuple(mixed)
        start = torch.tensor([2.0 if one else 0.1 for one in mixed])  # of a, its logarithm
        self.weight = nn.Parameter(start.repeat(len(PLACES), 1) / SPEED)
        self.log_smoothing = nn.Parameter(torch.full((len(mixed),), 2.0 / SPEED))
        self.whole = nn.Parameter(torch.full((len(PLACES),), 1.0 / SPEED))
        self.register_buffer("users", torch.tensor(float(users)))

    users: Tensor

    def add_pairs(self, score: Tensor, reached: Sequence[Reached], place: Tensor) -> Tensor:
        """Adds what the paths give, in place.

        Args:
            score: [P, I].
            reached: of each path.
            place: [P] int64, the number of items so far, on the CPU.

        Returns:
            [P, I], the same tensor.
        """
        bucket = (torch.bucketize(place, torch.tensor(PLACES), right=True) - 1).to(score.device)
        weight = SPEED * self.weight[bucket]  # [P, paths]
        ratio = torch.zeros_like(score)
        for path, one in enumerate(reached):
            value = one.value.to(score.device)
            if self.mixed[path]:
                _add(ratio, weight[:, path].exp() / self.users, one, value)
            else:
                smoothing = torch.exp(SPEED * self.log_smoothing[path])
                _add(score, weight[:, path], one, torch.log1p(value / smoothing))
        return score.addcmul_(SPEED * self.whole[bucket][:, None], torch.log1p(ratio))


def _add(into: Tensor, weight: Tensor, reached: Reached, value: Tensor) -> None:
    """Adds [P] weights times [R] values, in place."""
    row, item = reached.row.to(into.device), reached.item.to(into.device)
    if reached.start is None:
        into.view(-1).index_add_(0, row * into.shape[1] + item, weight[row] * value)
    else:
        start = reached.start.to(into.device)
        table = value.new_zeros(int(start.max()) + 1, into.shape[1]).index_put((row, item), value)
        into.addcmul_(weight[:, None], table[start])
