"""EASE: a linear model from items to items, in closed form."""

from typing import Any, ClassVar

import numpy as np
from scipy.linalg import lapack
from torch import Tensor

from gnnrec.graph.matrices import Matrix, as_scores, histories
from gnnrec.options.search_space import Choice, Log, SearchSpace
from gnnrec.views import TestSet, TrainingData, UserBatch


def item_weights(history: Matrix, regularization: float, dropout: float = 0.0) -> np.ndarray:
    """The item-to-item weights B, with a zero diagonal, that minimise |X - X B|^2 + regularization * |B|^2.

    With P = (X'X + regularization I)^-1, B is -P divided by its diagonal, column by column. With a dropout p, entries
    of X are hidden at random on the right side of X B, which adds p / (1 - p) times the diagonal of X'X to itself.

    Source: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, equation 8; with dropout, Steck,
        "Autoencoders that don't overfit towards the Identity", NeurIPS 2020 (EDLAE).

    Args:
        history: X, a sparse [U, I] array, which training user chose which item.
        regularization: weight of the squared entries, above 0.
        dropout: chance of each entry to be hidden, below 1.

    Returns:
        [I, I] float32.
    """
    gram = np.asfortranarray((history.T @ history).toarray())
    gram[np.diag_indices_from(gram)] += regularization + dropout / (1 - dropout) * gram.diagonal()
    factor, failed = lapack.dpotrf(gram, overwrite_a=True)
    assert failed == 0, "a positive definite matrix has a Cholesky factor"
    inverse, failed = lapack.dpotri(factor, overwrite_c=True)  # the upper triangle
    assert failed == 0
    diagonal = inverse.diagonal().astype(np.float32)
    upper = np.triu(inverse, 1).astype(np.float32)
    weight: np.ndarray = upper + upper.T
    weight /= -diagonal
    return weight


class EASE:
    """The item-to-item weights B, with a zero diagonal, that minimise |X - X B|^2 + regularization * |B|^2.

    X holds the histories of the training users; see `item_weights`. A user's scores are the sum of the rows of its
    known items.

    Source: Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019, equation 8; with dropout, see
        `item_weights`. Differs: only the most popular items have weights, so that the dense system is bounded.
    Shapes: users B, items I, of which M have weights -> scores [B, I].

    Args:
        regularization: weight of the squared entries of B; above 0.
        dropout: chance of each known item to be hidden, at least 0 and below 1 (EDLAE). Where only the first few of a
            user's many items are known, a high one fits what is asked.
        max_items: M, how many of the most popular items have weights, at least 1; 8,000 take about 1 GB and a minute
            on one core, and time grows with the third power. The others score 0, as if no known item spoke for or
            against them.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = False
    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {
        "regularization": Log(10, 10_000),
        "dropout": Choice((0.0, 0.5, 0.8, 0.9, 0.95, 0.98)),
    }

    def __init__(self, *, regularization: float = 200.0, dropout: float = 0.0, max_items: int = 8000) -> None:
        if not regularization > 0:
            raise ValueError(f"regularization must be above 0, got {regularization}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {dropout}")
        if max_items < 1:
            raise ValueError(f"max_items must be at least 1, got {max_items}")
        self.regularization = regularization
        self.dropout = dropout
        self.max_items = max_items
        self.chosen: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Solves; nothing is chosen and nothing is drawn."""
        most_popular = np.argsort(-train.popularity.numpy(), kind="stable")
        self._items = np.sort(most_popular[: self.max_items])  # [M]
        history = histories(train.users, train.num_items)[:, self._items]
        self._weight = item_weights(history, self.regularization, self.dropout)  # [M, M]
        self._num_items = train.num_items

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, about 1 for an item that the user would choose; all 0 where no item is known."""
        scores = np.zeros((len(users), self._num_items), dtype=np.float32)
        scores[:, self._items] = histories(users, self._num_items)[:, self._items].astype(np.float32) @ self._weight
        return as_scores(scores)
