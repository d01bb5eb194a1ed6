"""Pair-wise scores of the items that a user's local subgraph reaches, and an inner product for the rest."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gnnrec.graph.paths import PLACES, Reached
from gnnrec.nn.decoders.linear import Linear


class PairWise(nn.Module):
    """The query of `Linear`, and for each kind of path that reaches an item a learned share of what it says.

    score(u, j) = bias_j + query . x_j + sum over paths p of w_p(k) log(1 + n_p(u, j) / (s_p share_j)), where n_p counts
    the training users on the paths from u to j, share_j is the item's share of all interactions, k the number of the
    user's items so far, and w and s are learned. With one path, a weight of 1 and a fixed s this is the logarithm of
    the chance that counting gives, smoothed by s users at popularity: `MarkovChain` for the path `next`.

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

    def take_paths(self, paths: int) -> None:
        """Makes the weights of so many paths."""
        self.weight = nn.Parameter(torch.full((len(PLACES), paths), 0.1))
        self.log_smoothing = nn.Parameter(torch.full((paths,), 2.0))

    def add_pairs(self, score: Tensor, reached: Sequence[Reached], place: Tensor) -> Tensor:
        """Adds what the paths give, in place.

        Args:
            score: [P, I].
            reached: of each path.
            place: [P] int64, the number of items so far, on the CPU.

        Returns:
            [P, I], the same tensor.
        """
        device, size = score.device, score.shape[1]
        bucket = (torch.bucketize(place, torch.tensor(PLACES), right=True) - 1).to(device)
        flat, added = [], []
        for path, one in enumerate(reached):
            row, item, weight = one.row.to(device), one.item.to(device), self.weight[bucket, path]  # [P]
            value = torch.log1p(one.value.to(device) * torch.exp(-self.log_smoothing[path]))
            if one.start is None:
                flat.append(row * size + item)
                added.append(weight[row] * value)
            else:
                start = one.start.to(device)
                table = value.new_zeros(int(start.max()) + 1, size).index_put((row, item), value)
                score.addcmul_(weight[:, None], table[start])
        if flat:
            score.view(-1).index_add_(0, torch.cat(flat), torch.cat(added))
        return score
