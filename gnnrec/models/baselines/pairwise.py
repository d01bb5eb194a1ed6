"""What is known of a user times what is known of an item: for newcomers and new items at once."""

from typing import Any, ClassVar

import numpy as np
from scipy import linalg, sparse
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.graph.matrices import EdgeWeights, Matrix, Normalise, UserFeatures, as_scores, histories, item_features
from gnnrec.options.search_space import Choice, Log, SearchSpace
from gnnrec.views import TestSet, TrainingData, UserBatch

LARGEST = 8_000
"""Attribute values of users, and attribute values and features of items: a dense matrix of each is taken apart."""


class PairwisePreferenceRegression:
    """A bilinear regression: the score of an item with features x for a user with attribute values z is z W x.

    W minimises the sum over training users and pairs of items (i, j) of training of
    ((y_ui - y_uj) - (z_u W x_i - z_u W x_j))^2, plus regularization times the sum of the squares of W, where y_ui is 1
    for a chosen item, else 0, and z ends in a constant. Neither user nor item needs an interaction.

    Source: Park and Chu, Pairwise Preference Regression for Cold-start Recommendation, RecSys 2009, equations 4 and 6.
        Differs: all items of training are compared, not the rated ones alone, so that each user's weight is the same;
        and the system is solved by the eigenvectors of both sides, not as one of all products.
    Shapes: users B with A attribute values, items I with F features -> scores [B, I].

    Args:
        regularization: weight of the squared coefficients, relative to the number of items; above 0.
        edge_weights: what an attribute edge counts: 1, log(1 + its weight), or its weight.
        normalise: what a user's attribute values are divided by: nothing, their sum, or their Euclidean length.
        idf: an item's attribute value counts by the logarithm of its rarity.
        item_normalise: what an item's attribute values are divided by.
        feature_weight: what each feature of an item (words, a picture) counts against attribute values of length 1;
            above 0.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {
        "regularization": Log(1e-2, 1e4),
        "normalise": Choice(("none", "sum", "length")),
        "idf": Choice((False, True)),
        "item_normalise": Choice(("none", "sum", "length")),
        "feature_weight": Log(0.1, 10),
    }

    def __init__(
        self,
        *,
        regularization: float = 10.0,
        edge_weights: EdgeWeights = "ignore",
        normalise: Normalise = "none",
        idf: bool = False,
        item_normalise: Normalise = "none",
        feature_weight: float = 1.0,
    ) -> None:
        for name, value in (("regularization", regularization), ("feature_weight", feature_weight)):
            if not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        self.regularization = regularization
        self.edge_weights: EdgeWeights = edge_weights
        self.normalise: Normalise = normalise
        self.idf = idf
        self.item_normalise: Normalise = item_normalise
        self.feature_weight = feature_weight
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Solves; nothing is chosen and nothing is drawn.

        Raises:
            ConfigError: the items have neither attributes nor features, or there are too many values.
        """
        self._features = UserFeatures(train, edge_weights=self.edge_weights, normalise=self.normalise)
        items = item_features(train, idf=self.idf, normalise=self.item_normalise, feature_weight=self.feature_weight)
        for what, width in (("items", items.shape[1]), ("users", self._features.width)):
            if width > LARGEST:
                raise ConfigError(f"{what} have {width:,} attribute values and features, at most {LARGEST:,} are taken")
        if not items.shape[1]:
            raise ConfigError(
                "the items have neither attributes nor features, by which the model scores; name some, or take another"
            )
        users = _with_constant(self._features(train.users))  # [U, A + 1]
        own = train.candidates.numpy()
        described = items.toarray()
        described -= described[own].mean(axis=0) if own.any() else 0
        wanted = users.T @ (histories(train.users, train.num_items) @ described)  # [A + 1, F], Z'YX with X centred
        of_users, left = linalg.eigh((users.T @ users).toarray())
        of_items, right = linalg.eigh(described[own].T @ described[own])
        curvature = np.outer(of_users, of_items).clip(min=0)
        solved = left @ ((left.T @ wanted @ right) / (curvature + self.regularization * max(own.sum(), 1))) @ right.T
        self._items = described @ solved.T  # [I, A + 1], W x

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32; nothing of a user counts but its attribute values."""
        return as_scores(_with_constant(self._features(users)) @ self._items.T)


def _with_constant(features: Matrix) -> Matrix:
    return sparse.csr_array(sparse.hstack([features, sparse.csr_array(np.ones((features.shape[0], 1)))]))
