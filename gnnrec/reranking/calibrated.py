"""Calibration: the attribute values of a list are in the proportions in which the user is expected to choose them."""

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from gnnrec.reranking.kind import Reranking
from gnnrec.reranking.pool import CELLS, Items, Pool, next_best

SMOOTHING = 0.01
"""Share of the user's distribution that is mixed into the list's, so that the divergence is finite."""


class Calibrated(Reranking):
    """Attribute values in the user's own proportions: calibrated recommendations (Steck, RecSys 2018)."""

    method: Literal["calibrated"] = "calibrated"
    """Calibration to what the user is expected to choose."""

    uses_values: ClassVar[bool] = True
    uses_taste: ClassVar[bool] = True

    def order(self, pool: Pool, items: Items, strength: float) -> Tensor:
        """See `Reranking.order`; the strength is the weight of the divergence, 1 less it that of the relevance.

        Each next item has the largest (1 - s) * sum of relevances - s * KL(p || q) of the list with it, where p are the
        values that the user is expected to choose and q those of the list. A user whose p is not known keeps the order.

        Source: Steck, "Calibrated Recommendations", RecSys 2018, equations 4 to 6 and the greedy algorithm of section
            4. Differs: relevance is the score stretched to between 0 and 1; p is what the model expects where its
            scores are logarithms of probabilities, so that a user without a history has one.
        """
        assert pool.taste is not None
        size = pool.item.shape[1]
        some = max(1, CELLS // (size * items.values.shape[1]))
        parts = [self._some(pool, items, strength, part.numpy()) for part in torch.arange(len(pool.item)).split(some)]
        return torch.cat(parts)

    def _some(self, pool: Pool, items: Items, strength: float, users: np.ndarray) -> Tensor:
        """The order of some users, whose values are dense: only those that some of them wants are told apart."""
        assert pool.taste is not None
        taste, item, relevance = pool.taste[users], pool.item[users], pool.relevance[users]
        used = np.asarray(taste.sum(0)).ravel() > 0
        wanted = torch.from_numpy(taste.toarray()[:, used]).float()[:, None]  # [B, 1, A]
        rows, listed = items.values[item.clamp(min=0).flatten().numpy()], item >= 0
        values = (
            torch.from_numpy(rows.toarray()[:, used]).float().view(*item.shape, -1) * listed[..., None]
        )  # [B, P, A]
        described = torch.from_numpy(np.asarray(rows.sum(1)).ravel()).float().view(item.shape) * listed  # [B, P]
        row, places = torch.arange(len(item)), min(self.places, item.shape[1])
        total, number = torch.zeros_like(wanted), torch.zeros(len(item), 1)
        gone = torch.zeros_like(listed)
        chosen = torch.zeros(len(item), places, dtype=torch.int64)
        for step in range(places):
            share = (total + values) / (number + described).clamp(min=0.5)[..., None]  # [B, P, A]
            smooth = (1 - SMOOTHING) * share + SMOOTHING * wanted
            divergence = torch.where(wanted > 0, wanted * (wanted / smooth.clamp(min=1e-12)).log(), 0).sum(2)
            best = next_best((1 - strength) * relevance - strength * divergence, listed, gone)
            chosen[:, step], gone[row, best] = best, True
            total = total + values[row, best][:, None]
            number = number + described[row, best][:, None]
        chosen[wanted.sum((1, 2)) == 0] = torch.arange(places)
        return chosen
