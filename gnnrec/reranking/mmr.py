"""Maximal marginal relevance: each next item of a list is good, and unlike those before it."""

from typing import Literal

import torch
from torch import Tensor

from gnnrec.reranking.kind import ByVectors
from gnnrec.reranking.pool import Items, Pool, next_best


def mmr(relevance: Tensor, listed: Tensor, alike: Tensor, diversity: float, number: int) -> Tensor:
    """Chooses items one by one: (1 - d) times the relevance, less d times the largest cosine with an item before.

    Source: Carbonell, Goldstein, "The Use of MMR, Diversity-Based Reranking", SIGIR 1998, equation 1. Differs: scores
        of the candidates are stretched to between 0 and 1 first, so that d means the same for all models.

    Args:
        relevance: [B, P] float32 of the candidates, between 0 and 1, best first.
        listed: [B, P] bool, the places that hold a candidate.
        alike: [B, P, P] float32, cosines between the candidates.
        diversity: d, from 0, which changes nothing, to 1.
        number: K.

    Returns:
        [B, K'] int64, places of the chosen candidates, empty ones last; K' is the smaller of K and P.

    Example:
        >>> twins = torch.tensor([[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
        >>> mmr(torch.tensor([[1.0, 0.9, 0.0]]), torch.ones(1, 3, dtype=torch.bool), twins, 0.5, 2)
        tensor([[0, 2]])
    """
    row, number = torch.arange(len(relevance)), min(number, relevance.shape[1])
    nearest, gone = torch.zeros_like(relevance), torch.zeros_like(listed)
    chosen = torch.zeros(len(relevance), number, dtype=torch.int64)
    for step in range(number):
        best = next_best((1 - diversity) * relevance - diversity * nearest, listed, gone)
        chosen[:, step], gone[row, best] = best, True
        nearest = torch.maximum(nearest, alike[row, best]) if step else alike[row, best]
    return chosen


class MMR(ByVectors):
    """Items unlike those before them: maximal marginal relevance (Carbonell, Goldstein, SIGIR 1998)."""

    method: Literal["mmr"] = "mmr"
    """Maximal marginal relevance."""

    def order(self, pool: Pool, items: Items, strength: float) -> Tensor:
        """See `Reranking.order`; the strength is the weight of the largest cosine with an item before."""
        return mmr(pool.relevance, pool.listed, items.cosines(pool.item), strength, self.places)
