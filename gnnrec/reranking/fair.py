"""FA*IR: enough protected items among the first places of every list, as a fair draw would have them."""

from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, field_validator
from scipy.stats import binom
from torch import Tensor

from gnnrec.reranking.kind import Reranking
from gnnrec.reranking.pool import Items, Pool


class Fair(Reranking):
    """Enough protected items at every length of the list: FA*IR (Zehlike et al., CIKM 2017)."""

    method: Literal["fair"] = "fair"
    """FA*IR."""
    protected: Literal["long_tail"] | dict[str, Any] = "long_tail"
    """Which items are protected: those outside the most chosen ones that hold 80 % of the interactions, or the items
    with a value of an attribute, for example `{genre: Documentary}`."""

    @field_validator("protected")
    @classmethod
    def _some(cls, protected: Any) -> Any:
        if protected == {}:
            raise ValueError("name at least one value of an attribute, for example {genre: Documentary}, or long_tail")
        return protected

    significance: float = Field(0.1, gt=0, lt=1)
    """Share of fair draws that would fail the test at some place; the smaller, the less is asked for."""

    def order(self, pool: Pool, items: Items, strength: float) -> Tensor:
        """See `Reranking.order`; the strength is p, the least share of protected items of a fair draw.

        At each place the best item follows, unless as many places would then hold fewer protected items than a fair
        draw has in all but `significance` of cases; then it is the best protected one. Where a pool has none left, the
        best item follows.

        Source: Zehlike, Bonchi, Castillo, Hajian, Megahed, Baeza-Yates, "FA*IR: A Fair Top-k Ranking Algorithm", CIKM
            2017, algorithms 1 and 2. Differs: the corrected significance is found on the exact probability of failing
            at any place; all users of a batch at once.
        """
        assert items.protected is not None
        listed, places = pool.listed, min(self.places, pool.item.shape[1])
        least = least_protected(min(strength, 0.99), self.significance, places)
        protected = items.protected[pool.item.clamp(min=0)] & listed  # [B, P]
        row, order = torch.arange(len(listed)), torch.arange(listed.shape[1], 0, -1)
        shown, gone = torch.zeros(len(listed), dtype=torch.int64), torch.zeros_like(listed)
        chosen = torch.zeros(len(listed), places, dtype=torch.int64)
        for step in range(places):
            open_ = protected & ~gone
            bound = (shown < least[step]) & open_.any(1)
            allowed = torch.where(bound[:, None], open_, ~gone)
            best = (allowed * order).argmax(1)
            chosen[:, step], gone[row, best] = best, True
            shown += protected[row, best]
        return chosen


def least_protected(share: float, significance: float, places: int) -> list[int]:
    """Least number of protected items among the first 1, 2, ... places.

    Args:
        share: p, of protected items in a fair draw.
        significance: share of fair draws that fail at some place.
        places: K.

    Example:
        >>> least_protected(0.5, 0.1, 1)
        [0]
    """
    low, high = 0.0, significance
    for _ in range(40):  # the corrected significance: the largest at which fair draws fail seldom enough
        middle = (low + high) / 2
        if failing(_table(share, middle, places), share) > significance:
            high = middle
        else:
            low = middle
    return list(_table(share, low, places))


@cache
def _table(share: float, significance: float, places: int) -> tuple[int, ...]:
    quantile = np.asarray(binom.ppf(significance, np.arange(1, places + 1), share))
    return tuple(quantile.clip(min=0).astype(int).tolist())  # scipy has -1 as the quantile of 0


def failing(least: tuple[int, ...], share: float) -> float:
    """Probability that a draw, each place protected with a chance of `share`, has too few at some length.

    Args:
        least: least number among the first 1, 2, ... places.
        share: p.

    Example:
        >>> failing((0, 1), 0.5)  # neither of two
        0.25
    """
    chance = np.ones(1)  # of each number of protected items so far, of the draws that have not failed
    for number in least:
        chance = np.append(chance * (1 - share), 0) + np.append(0, chance * share)
        chance[:number] = 0
    return float(1 - chance.sum())
