"""Items that came after training: scored as the items that they share attributes with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from gnnrec.serving.vocabulary import Vocabulary, places
from gnnrec.splits.bins import bin_number
from gnnrec.views import ITEM, EdgeType

NEIGHBOURS = 20
"""Items of training whose scores a new item has the mean of."""


@dataclass(frozen=True)
class NewItem:
    """An item that training did not have, or a title for one that it had.

    Attributes:
        id: as text.
        title: empty for none.
        attributes: name of a relation from items, or of the type that it leads to -> a value, or a list of values.
    """

    id: str
    title: str = ""
    attributes: Mapping[str, Any] | None = None


class ItemAttributes:
    """The attributes of the items of training, and vectors of them.

    A vector has a column for each value of each attribute, log(I / items with it) where the item has it, and length 1.

    Args:
        vocabulary: of the model.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._start: dict[EdgeType, int] = {}
        columns, rows, size = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
        for edge_type, (item, value) in ((t, edge.numpy()) for t, edge in vocabulary.of_items.items()):
            self._start[edge_type] = size
            rows.append(item)
            columns.append(value + size)
            size += len(vocabulary.ids[edge_type[2]])
        row, column = np.concatenate(rows), np.concatenate(columns)
        has = sp.csr_matrix((np.ones(len(row)), (row, column)), shape=(vocabulary.num_items, size))
        has.data[:] = 1  # an edge that is there twice counts once
        with np.errstate(divide="ignore"):
            rarity = np.log(vocabulary.num_items / np.maximum(np.asarray(has.sum(0)).ravel(), 1))
        self._rarity = np.maximum(rarity, 1e-9)
        self.vectors = _unit(has @ sp.diags(self._rarity))

    @property
    def names(self) -> list[str]:
        """The names of the relations."""
        return [name for _, name, _ in self._start]

    def columns(self, name: str, value: Any) -> tuple[list[int], str]:
        """The columns of a value, one for each relation of the name; and what is wrong where there are none."""
        found = []
        known = [t for t in self._start if name in (t[1], t[2])]
        if not known:
            return [], f"unknown attribute {name!r} of items is ignored; known: {', '.join(self.names)}"
        for edge_type in known:
            node = self._node(edge_type, str(value).strip())
            if node >= 0:
                found.append(self._start[edge_type] + node)
        return found, "" if found else f"{name}: {value!r} is a value that training has not seen and is ignored"

    def _node(self, edge_type: EdgeType, text: str) -> int:
        bounds = self._vocabulary.item_bounds.get(edge_type[1])
        if bounds is not None:
            try:
                return int(bin_number(np.array([float(text)]), bounds)[0])
            except ValueError:
                pass
        return int(places(self._vocabulary.texts[edge_type[2]], np.array([text], dtype=object))[0])

    def vector(self, attributes: Mapping[str, Any]) -> tuple[Any, list[str]]:
        """[1, V] sparse vector of an item with these attributes, and warnings."""
        columns: list[int] = []
        warnings = []
        for name, given in attributes.items():
            for value in given if isinstance(given, list) else [given]:
                if value is not None:
                    found, wrong = self.columns(name, value)
                    columns += found
                    warnings += [wrong] if wrong else []
        columns = sorted(set(columns))
        row = sp.csr_matrix(
            (self._rarity[columns], ([0] * len(columns), columns)), shape=(1, len(self._rarity)), dtype=float
        )
        return _unit(row), warnings


class NewItems:
    """New items beside those of training.

    Args:
        vocabulary: of the model.
        attributes: of its items.
        given: the items; those that training had are left out.

    Attributes:
        ids: of the N new items.
        titles: of them.
        weights: [N, I] sparse CSR float32, rows that add up to 1: shares of the items of training in the score of a new
            one; an empty row for an item that shares no attribute with any.
        vectors: [N, V] sparse, of their attributes.
        warnings: of each.
    """

    def __init__(self, vocabulary: Vocabulary, attributes: ItemAttributes, given: Sequence[NewItem]) -> None:
        text = np.array([one.id for one in given], dtype=object)
        fresh = [
            one for one, place in zip(given, places(vocabulary.texts[ITEM], text).tolist(), strict=True) if place < 0
        ]
        self.ids = [one.id for one in fresh]
        self.titles = [one.title for one in fresh]
        found = [attributes.vector(one.attributes or {}) for one in fresh]
        self.warnings = [warnings for _, warnings in found]
        width = attributes.vectors.shape[1]
        self.vectors = sp.vstack([vector for vector, _ in found]).tocsr() if found else sp.csr_matrix((0, width))
        self.weights = _nearest(self.vectors, attributes.vectors, vocabulary.candidates.numpy())

    def __len__(self) -> int:
        return len(self.ids)

    def score(self, score: Tensor) -> Tensor:
        """[B, N] float32 from the [B, I] scores of the items of training; -inf for items that share nothing."""
        found = torch.from_numpy(np.ascontiguousarray((self.weights @ score.numpy().T).T.astype(np.float32)))
        return found.masked_fill(torch.from_numpy(np.diff(self.weights.indptr) == 0), -torch.inf)


def _nearest(new: Any, known: Any, candidates: np.ndarray) -> Any:
    """[N, I] weights of the most similar candidates of each new item."""
    rows, columns, values = [], [], []
    alike = (new @ known.T).tocsr()
    for number in range(alike.shape[0]):  # new items are few, and each has few neighbours
        column, value = (part[alike.indptr[number] : alike.indptr[number + 1]] for part in (alike.indices, alike.data))
        fits = candidates[column] & (value > 0)
        column, value = column[fits], value[fits]
        chosen = np.lexsort((column, -value))[:NEIGHBOURS]
        rows.append(np.full(len(chosen), number))
        columns.append(column[chosen])
        values.append(value[chosen] / value[chosen].sum())
    nothing = np.empty(0, np.int64)
    place = (np.concatenate([nothing, *rows]), np.concatenate([nothing, *columns]))
    return sp.csr_matrix((np.concatenate([np.empty(0), *values]), place), shape=alike.shape, dtype=np.float32)


def _unit(rows: Any) -> Any:
    """The rows at length 1; an empty one stays."""
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(1)).ravel())
    return (sp.diags(1 / np.where(length > 0, length, 1)) @ rows).tocsr()
