"""Item kNN: items that were chosen by the same users as the user's known items."""

from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from torch import Tensor

from gnnrec.graph.matrices import Matrix, as_scores, histories
from gnnrec.options.search_space import Choice, SearchSpace
from gnnrec.views import TestSet, TrainingData, UserBatch

BLOCK = 512
"""Items whose similarities to all others are dense at once."""


class ItemKNN:
    """The sum of an item's similarities to the user's known items.

    The similarity of two items is n(i, j) / (sqrt(n(i) n(j)) + shrinkage), where n(i, j) counts the training users who
    chose both; without shrinkage, it is the cosine of their columns. An item is not its own neighbour. Where there are
    other kinds of events, the column of a known item has them too, with their weights, and so has the user's row: who
    disliked an item is the less like those who chose it.

    Source: Deshpande, Karypis, Item-Based Top-N Recommendation Algorithms, ACM TOIS 22 (2004), section 4.1, with the
        cosine of section 4.1.1. Differs: rows are not normalised, and `shrinkage` damps items that few users chose.
    Shapes: users B, items I -> scores [B, I].

    Args:
        neighbours: of each known item, how many of the most similar items count, at least 1; None for all. Items as
            similar as the last of them count as well, so that the order of the items does not matter.
        shrinkage: users without either item that are added to the denominator; at least 0.
        events: kinds of events beside the predicted one that count, each with its weight; None for all.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = False
    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {
        "neighbours": Choice((None, 20, 50, 100, 200, 500)),
        "shrinkage": Choice((0.0, 1.0, 3.0, 10.0, 30.0, 100.0)),
    }

    def __init__(
        self, *, neighbours: int | None = None, shrinkage: float = 0.0, events: tuple[str, ...] | None = None
    ) -> None:
        if neighbours is not None and neighbours < 1:
            raise ValueError(f"neighbours must be at least 1, or none for all; got {neighbours}")
        if not shrinkage >= 0:
            raise ValueError(f"shrinkage must be at least 0, got {shrinkage}")
        self.neighbours = neighbours
        self.shrinkage = shrinkage
        self.events = events
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Counts, a block of items at a time; nothing is chosen and nothing is drawn."""
        chosen = histories(train.users, train.num_items)
        history = histories(train.with_events(self.events).users, train.num_items, events=True)
        by_item = sparse.csr_array(history.T)
        length = np.sqrt(train.popularity.numpy().astype(np.float64))
        known = np.sqrt((history * history).sum(axis=0))  # the same where there is one kind of event
        blocks = []
        for start in range(0, train.num_items, BLOCK):
            together = (by_item[start : start + BLOCK] @ chosen).tocoo()  # [b, I]
            row, column = together.coords
            other = row + start != column
            row, column, count = row[other], column[other], together.data[other]
            similarity = count / (known[row + start] * length[column] + self.shrinkage)
            block = sparse.csr_array((similarity.astype(np.float32), (row, column)), shape=together.shape)
            blocks.append(block if self.neighbours is None else _nearest(block, self.neighbours))
        self._similarity = sparse.csr_array(sparse.vstack(blocks))
        self._num_items = train.num_items

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, at least 0 without negative events; all 0 for a user of whom no item is known."""
        history = histories(users.with_events(self.events), self._num_items, events=True)
        return as_scores((history @ self._similarity).toarray())


def _nearest(similarity: Matrix, neighbours: int) -> Matrix:
    """Keeps the largest entries of each row, and those that equal the last of them."""
    dense = similarity.toarray()
    if neighbours < dense.shape[1]:
        last = np.partition(dense, -neighbours, axis=1)[:, -neighbours]
        dense[dense < last[:, None]] = 0
    return sparse.csr_array(dense)
