"""A baseline outside the package: items are where the users are who chose them."""

from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from gnnrec.graph.matrices import UserFeatures, as_scores, histories
from gnnrec.options.search_space import Log, SearchSpace
from gnnrec.views import TestSet, TrainingData, UserBatch


class AttributeCentroid:
    """Scores an item by how often its users have the attribute values of the user who is asked about.

    score(u, i) = sum over u's values a of n(i, a) / (n(i) + shrinkage), where n(i, a) of the n(i) training users who
    chose i have value a. A user without values gets nothing but equal scores.

    Source: an example; Rocchio's centroids with a shrunk mean.
    Shapes: users B, attribute values A -> scores [B, I].

    Args:
        shrinkage: users without any value that are added to each item; above 0.

    Raises:
        ValueError: `shrinkage` is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {"shrinkage": Log(1, 100)}

    def __init__(self, *, shrinkage: float = 10.0) -> None:
        if not shrinkage > 0:
            raise ValueError(f"shrinkage must be above 0, got {shrinkage}")
        self.shrinkage = shrinkage
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Counts; nothing is chosen and nothing is drawn."""
        self._features = UserFeatures(train)
        chosen = histories(train.users, train.num_items)  # [U, I]
        together = (self._features(train.users).T @ chosen).toarray()  # [A, I]
        self._centroids = together / (np.asarray(chosen.sum(0)).ravel() + self.shrinkage)

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, sums of shares."""
        return as_scores(self._features(users) @ self._centroids)
