"""The best items by inner product: exact in blocks of items, or by an index where there are very many items."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnnrec.errors import ConfigError

BLOCK = 65_536
"""Items whose scores are held at once."""


def top(score: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The best items of each row; of items with the same score, those that stand first.

    Args:
        score: [B, I] float32; -inf for an item that is in no list.
        number: K.

    Returns:
        [B, K'] scores and [B, K'] int64 items, best first; K' is the smaller of K and I.

    Example:
        >>> top(torch.tensor([[1.0, 3.0, 1.0, 1.0]]), 3)
        (tensor([[3., 1., 1.]]), tensor([[1, 0, 2]]))
    """
    number = min(number, score.shape[1])
    if number == 0:
        return score[:, :0], torch.empty(len(score), 0, dtype=torch.int64)
    best, item = score.topk(min(number + 1, score.shape[1]), dim=1)
    tied = (best[:, number - 1 : number] == best[:, number:]).any(1)  # which of the equal ones topk took is no rule
    best, item = best[:, :number], item[:, :number]
    if tied.any():
        some, last = score[tied], best[tied, -1:]
        above, equal = some > last, some == last
        chosen = above | (equal & (equal.cumsum(1) <= number - above.sum(1, keepdim=True)))
        item[tied] = chosen.nonzero()[:, 1].reshape(-1, number)
    item = item.sort(dim=1).values
    best, order = score.gather(1, item).sort(dim=1, descending=True, stable=True)
    return best, item.gather(1, order)


def exact(user: Tensor, item: Tensor, number: int, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """The items with the largest inner products, found among all; no [B, I] matrix is made.

    Args:
        user: [B, D] float32.
        item: [I, D] float32; a bias is one more column, and a 1 in each user's vector.
        number: K.
        block: items that are scored at once; changes the memory held, never the result but for the order of ties.

    Returns:
        [B, K'] scores and [B, K'] int64 items, best first; K' is the smaller of K and I.

    Example:
        >>> exact(torch.tensor([[1.0]]), torch.tensor([[3.0], [5.0], [4.0]]), 2, block=2)
        (tensor([[5., 4.]]), tensor([[1, 2]]))
    """
    score, best = user.new_empty(len(user), 0), torch.empty(len(user), 0, dtype=torch.int64)
    for first, part in _blocks(item, block):
        found = (user @ part.t()).topk(min(number, len(part)), dim=1)
        score = torch.cat([score, found.values], dim=1)
        best = torch.cat([best, found.indices + first], dim=1)
        score, place = score.topk(min(number, score.shape[1]), dim=1)
        best = best.gather(1, place)
    return score, best


def _blocks(item: Tensor, block: int) -> Iterator[tuple[int, Tensor]]:
    return ((first, item[first : first + block]) for first in range(0, len(item), block))


class Index:
    """Items cut into cells by k-means; of a user's nearest cells alone, the items are scored.

    Source: Jegou, Douze, Schmid, "Product Quantization for Nearest Neighbor Search", IEEE TPAMI 2011, section IV, the
        inverted file without the quantisation: `IndexIVFFlat` of faiss, whose scores are exact.
    Shapes: items [I, D]; users [B, D] -> [B, K].

    Args:
        item: [I, D] float32.
        cells: number of cells; None for about the square root of I, times two.
        probes: cells that are looked at for each user; more of them find more of the true best and take longer.

    Raises:
        ConfigError: faiss is not installed.
    """

    def __init__(self, item: Tensor, cells: int | None = None, probes: int = 32) -> None:
        try:
            import faiss
        except ModuleNotFoundError:
            raise ConfigError("the index of a large catalogue needs faiss: pip install 'gnnrec[faiss]'") from None
        self._item = item
        cells = max(1, min(len(item) // 39, 2 * int(len(item) ** 0.5))) if cells is None else cells
        width = item.shape[1]
        self._index: Any = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, cells, faiss.METRIC_INNER_PRODUCT)
        vectors = np.ascontiguousarray(item.numpy(), dtype=np.float32)
        self._index.train(vectors)
        self._index.add(vectors)
        self._index.nprobe = min(probes, cells)

    def __call__(self, user: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """[B, K] scores and int64 items, best first; -inf and -1 where the cells held fewer than K items."""
        score, item = self._index.search(np.ascontiguousarray(user.numpy(), dtype=np.float32), number)
        best = torch.from_numpy(item)
        return torch.from_numpy(score).masked_fill(best < 0, -torch.inf), best

    def recall(self, user: Tensor, number: int) -> float:
        """Share of the true best items of some users ([B, D]) that the index finds."""
        _, true = exact(user, self._item, number)
        _, found = self(user, number)
        return float((true[:, :, None] == found[:, None, :]).any(2).float().mean())
