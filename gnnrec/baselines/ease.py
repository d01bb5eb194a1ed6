"""EASE: a linear model from items to items, in closed form."""

from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from gnnrec.item_regression import item_weights
from gnnrec.known import HeldOut, Training, Users
from gnnrec.matrices import as_scores, histories
from gnnrec.search_space import Log, SearchSpace


class EASE:
    """The item-to-item weights B, with a zero diagonal, that minimise |X - X B|^2 + regularization * |B|^2.

    X holds the histories of the training users; see `item_weights`. A user's scores are the sum of the rows of its
    known items.

    Source: Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019, equation 8. Differs: only the most
        popular items have weights, so that the dense system is bounded.
    Shapes: users B, items I, of which M have weights -> scores [B, I].

    Args:
        regularization: weight of the squared entries of B; above 0.
        max_items: M, how many of the most popular items have weights, at least 1; 8,000 take about 1 GB and a minute
            on one core, and time grows with the third power. The others score 0, as if no known item spoke for or
            against them.

    Raises:
        ValueError: an option is out of its range.
    """

    scores_unseen_users = False
    predicts_values = False
    search_space: ClassVar[SearchSpace] = {"regularization": Log(10, 10_000)}

    def __init__(self, *, regularization: float = 200.0, max_items: int = 8000) -> None:
        if not regularization > 0:
            raise ValueError(f"regularization must be above 0, got {regularization}")
        if max_items < 1:
            raise ValueError(f"max_items must be at least 1, got {max_items}")
        self.regularization = regularization
        self.max_items = max_items
        self.chosen: dict[str, Any] = {}

    def fit(self, train: Training, validation: HeldOut | None, seed: int) -> None:
        """Solves; nothing is chosen and nothing is drawn."""
        most_popular = np.argsort(-train.popularity.numpy(), kind="stable")
        self._items = np.sort(most_popular[: self.max_items])  # [M]
        history = histories(train.users, train.num_items)[:, self._items]
        self._weight = item_weights(history, self.regularization)  # [M, M]
        self._num_items = train.num_items

    def score(self, users: Users) -> Tensor:
        """[B, I] float32, about 1 for an item that the user would choose; all 0 where no item is known."""
        scores = np.zeros((len(users), self._num_items), dtype=np.float32)
        scores[:, self._items] = histories(users, self._num_items)[:, self._items].astype(np.float32) @ self._weight
        return as_scores(scores)
