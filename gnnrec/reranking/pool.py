"""What a re-ranking is given: each user's best candidates in order, and what is known of items."""

from dataclasses import dataclass

import torch
from scipy.sparse import csr_array
from torch import Tensor

CELLS = 1 << 24
"""Numbers that the vectors of pools hold at once."""


@dataclass(frozen=True)
class Pool:
    """The best candidates of B users, best first.

    Attributes:
        item: [B, P] int64; -1 at a place that stayed empty.
        relevance: [B, P] float32, the scores stretched to between 0 and 1 within each user's pool; 0 where all of them
            are equal, and at an empty place.
        user: [B] int64, index of each user; -1 for one who is not in the data.
        taste: [B, A] float64 shares of the attribute values that a user is expected to choose; a row of 0 where they
            are not known; None where they are not asked for.
    """

    item: Tensor
    relevance: Tensor
    user: Tensor
    taste: csr_array | None = None

    @property
    def listed(self) -> Tensor:
        """[B, P] bool, the places that hold an item."""
        return self.item >= 0


@dataclass(frozen=True)
class Items:
    """What is known of the items when a list is put into another order.

    Attributes:
        values: [I, A] float64, the shares of each item's attribute values; a row adds up to 1, or to 0.
        vectors: [I, D] float32 of unit length, or 0; None where `values` say which items are alike.
        popularity: [I] float32, how many training users chose each item.
        protected: [I] bool, the items that are to be shown often enough.
    """

    values: csr_array
    popularity: Tensor
    vectors: Tensor | None = None
    protected: Tensor | None = None

    def cosines(self, item: Tensor) -> Tensor:
        """[B, P, P] float32, how alike the items of each pool are; 0 for an empty place, and where nothing is known.

        Args:
            item: [B, P] int64, -1 at an empty place.
        """
        width = self.values.shape[1] if self.vectors is None else self.vectors.shape[1]
        some = max(1, CELLS // max(1, item.shape[1] * max(width, item.shape[1])))
        parts = [cosines(self._of(part)) for part in item.split(some)]
        return torch.cat(parts) if parts else torch.zeros(0, item.shape[1], item.shape[1])

    def _of(self, item: Tensor) -> Tensor:
        """[B, P, D] float32, the vectors of some pools."""
        rows = item.clamp(min=0).flatten()
        if self.vectors is not None:
            found = self.vectors[rows]
        else:
            found = torch.from_numpy(self.values[rows.numpy()].toarray()).float()
        return found.view(*item.shape, -1) * (item >= 0)[..., None]


def cosines(vectors: Tensor) -> Tensor:
    """[B, P, P], the cosines between the vectors of each pool ([B, P, D]); 0 with a vector of 0."""
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    return unit @ unit.transpose(1, 2)


def stretched(score: Tensor, listed: Tensor) -> Tensor:
    """[B, P], the scores between 0 and 1 within each row; 0 where all are equal, and where nothing is listed.

    Args:
        score: [B, P] float32.
        listed: [B, P] bool.

    Example:
        >>> stretched(torch.tensor([[5.0, 2.0, 1.0, 9.0]]), torch.tensor([[True, True, True, False]]))
        tensor([[1.0000, 0.2500, 0.0000, 0.0000]])
    """
    if score.shape[1] == 0:
        return score
    high = score.masked_fill(~listed, -torch.inf).amax(1, keepdim=True)
    low = score.masked_fill(~listed, torch.inf).amin(1, keepdim=True)
    spread = high - low
    inside = torch.where((spread > 0) & listed, (score - low) / spread.clamp(min=torch.finfo(score.dtype).tiny), 0)
    return inside.clamp(0, 1)


def next_best(gain: Tensor, listed: Tensor, gone: Tensor) -> Tensor:
    """[B] int64, the place of each row with the largest gain, of equal ones the first.

    Args:
        gain: [B, P] finite.
        listed: [B, P] bool, the places that hold an item; others come last.
        gone: [B, P] bool, the places that were chosen already; not all of them.
    """
    empty = gain.masked_fill(~listed, -torch.finfo(gain.dtype).max)
    return empty.masked_fill(gone, -torch.inf).argmax(1)


def by_gain(gain: Tensor, places: int) -> Tensor:
    """[B, K] int64, the places with the largest gains, of equal ones the first; K is the smaller of `places` and P."""
    return gain.argsort(dim=1, descending=True, stable=True)[:, :places]
