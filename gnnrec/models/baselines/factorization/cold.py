"""The vector of a user that was not factorized."""

from typing import Literal

import numpy as np

from gnnrec.graph.matrices import FEATURES, UserFeatures
from gnnrec.models.ridge import RidgeMap
from gnnrec.options.search_space import Log, SearchSpace, conditional
from gnnrec.views import TrainingData, UserBatch

Cold = Literal["none", "mean", "attribute_map"]
"""The vector of a user without one of its own: none, so that unseen users cannot be scored; the mean of the training
users' vectors; or a ridge regression from attribute values to vectors."""
OF_MAP: SearchSpace = conditional({"map_regularization": Log(0.1, 300), **FEATURES}, {"cold": "attribute_map"})
"""What a search may try of the options of `attribute_map`."""


class ColdVectors:
    """The vectors of users who have none of their own.

    Attributes:
        learned: [U] bool, the training users whose vector was fitted to data: those with any interaction.
        mean: [D] float32, the mean of their vectors.
    """

    def __init__(
        self, cold: Cold, train: TrainingData, vectors: np.ndarray, features: UserFeatures, regularization: float
    ) -> None:
        self.learned = np.bincount(train.users.items.row.numpy(), minlength=train.num_users) > 0
        self.mean = vectors[self.learned].mean(axis=0)
        self._cold = np.zeros_like(self.mean) if cold == "none" else self.mean
        self._features = features
        self._map = None
        if cold == "attribute_map":
            row = np.flatnonzero(self.learned)
            self._map = RidgeMap(features(train.users)[row], vectors[row].astype(np.float64), regularization)

    def __call__(self, users: UserBatch) -> np.ndarray:
        """[B, D] float64, one vector per user, whether or not it has one of its own."""
        if self._map is None:
            return np.repeat(self._cold[None].astype(np.float64), len(users), axis=0)
        return self._map(self._features(users))
