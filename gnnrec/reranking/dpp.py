"""Determinantal point process: the list whose items together are good and span a large volume."""

from typing import Literal

import torch
from torch import Tensor

from gnnrec.reranking.kind import ByVectors
from gnnrec.reranking.pool import Items, Pool, next_best

LARGEST = 0.99
"""Strength that stronger ones are treated as: at 1, relevance would not count at all."""
LEAST = 1e-6
"""What is left of an item's volume when items before it span it whole."""


class DPP(ByVectors):
    """Items that span a large volume: greedy MAP of a determinantal point process (Chen, Zhang, Zhou, NeurIPS 2018)."""

    method: Literal["dpp"] = "dpp"
    """A determinantal point process."""

    def order(self, pool: Pool, items: Items, strength: float) -> Tensor:
        """See `Reranking.order`; the strength is the weight of the volume, 1 less it that of the relevance.

        Each next item has the largest gain of (1 - s) * sum of relevances + s / 2 * log det of the cosines among the
        chosen, which is the log-determinant of the kernel of equation 10 with its theta = 1 - s, halved.

        Source: Chen, Zhang, Zhou, "Fast Greedy MAP Inference for Determinantal Point Process to Improve Recommendation
            Diversity", NeurIPS 2018, algorithm 1 and equation 12. Differs: all users of a batch at once.
        """
        strength = min(strength, LARGEST)
        alike, listed = items.cosines(pool.item).double(), pool.listed
        size, places = listed.shape[1], min(self.places, listed.shape[1])
        row = torch.arange(len(listed))
        volume = torch.ones_like(pool.relevance, dtype=torch.float64)  # d_i squared
        known = alike.diagonal(dim1=1, dim2=2) > 0
        chosen = torch.zeros(len(listed), places, dtype=torch.int64)
        factor = torch.zeros(len(listed), places, size, dtype=torch.float64)  # rows of the Cholesky factor
        gone = torch.zeros_like(listed)
        for step in range(places):
            gain = (1 - strength) * pool.relevance + strength / 2 * volume.clamp(min=LEAST).log()
            best = next_best(gain, listed, gone)
            chosen[:, step], gone[row, best] = best, True
            before = factor[:, :step]
            product = (before * before[row, :, best][:, :, None]).sum(1)  # [B, P]
            added = (alike[row, best] - product) / volume[row, best].clamp(min=LEAST).sqrt()[:, None]
            factor[:, step] = added.masked_fill(~known | ~known[row, best][:, None], 0)
            volume = volume - factor[:, step] ** 2
        return chosen
