"""Popularity: the same order of items for everybody."""

from typing import Any

from torch import Tensor

from gnnrec.views import TestSet, TrainingData, UserBatch


class Popularity:
    """Scores each item by the number of training users who chose it.

    Source: no paper; the least that a model has to beat.
    Shapes: users B -> scores [B, I], all rows alike.
    """

    supports_cold_users = True
    predicts_ratings = False

    def __init__(self) -> None:
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Takes the counts of the training users; nothing is chosen and nothing is drawn."""
        self._popularity = train.popularity

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, the counts."""
        return self._popularity.repeat(len(users), 1)
