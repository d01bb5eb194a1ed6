"""Ratings predicted by means or biases."""

from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from gnnrec.graph.matrices import UserFeatures, as_scores
from gnnrec.models.rating_effects import (
    expected_item_bias,
    fit_biases,
    item_values,
    known_user_bias,
    ratings_of,
    shrunk_mean,
)
from gnnrec.models.rating_points import fit_point
from gnnrec.models.ridge import RidgeMap
from gnnrec.options.search_space import Log, SearchSpace
from gnnrec.training.rating import Predict
from gnnrec.views import TestSet, TrainingData, UserBatch


class GlobalMean:
    """The mean of all training values, for every user and every item.

    Source: no paper.
    Shapes: users B -> values [B, I], all alike.
    """

    supports_cold_users = True
    predicts_ratings = True

    def __init__(self) -> None:
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Averages; nothing is chosen and nothing is drawn.

        Raises:
            ConfigError: the interactions have no values.
        """
        self._mean = float(ratings_of(train).value.mean())
        self._num_items = train.num_items

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, on the scale of the values."""
        return as_scores(np.full((len(users), self._num_items), self._mean))


class ItemMean:
    """The mean value of each item, shrunk to the mean of all interactions.

    mean + (sum over the item's interactions of (value - mean)) / (interactions + shrinkage).

    Source: no paper; the item bias of Biases, alone.
    Shapes: users B -> values [B, I], all rows alike.

    Args:
        shrinkage: interactions at the overall mean that are added to each item; at least 0.
        predict: which point of a rating's distribution, see `gnnrec.models.rating_points.Point`.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = True
    search_space: ClassVar[SearchSpace] = {"shrinkage": Log(0.1, 100)}

    def __init__(self, *, shrinkage: float = 2.0, predict: Predict = "mean") -> None:
        if not shrinkage >= 0:
            raise ValueError(f"shrinkage must be at least 0, got {shrinkage}")
        self.shrinkage = shrinkage
        self.predict = predict
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Averages; nothing is chosen, and nothing is drawn but the folds of a median.

        Raises:
            ConfigError: the interactions have no values, or too many different ones for a median.
        """
        self._point = fit_point(self.predict, self._fit, self._means, train, seed)

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, on the scale of the values."""
        return as_scores(self._point.read(self._means(users)))

    def _fit(self, train: TrainingData) -> None:
        ratings = ratings_of(train)
        mean = ratings.value.mean()
        self._item_value = mean + shrunk_mean(ratings.item, ratings.value - mean, train.num_items, self.shrinkage)

    def _means(self, users: UserBatch) -> np.ndarray:
        return np.repeat(self._item_value[None], len(users), axis=0)


class Biases:
    """The overall mean, plus a bias of the item, plus a bias of the user.

    Both are fitted together, by least squares with a penalty on the squared biases. Predicted, a user's bias is the
    mean of value - overall mean - item's bias over its known items, shrunk to what is expected of a user of whom no
    item is known: 0, the mean of the training users' biases, or a ridge regression from attribute values to them.
    Predictions are clipped to the range of the training values.

    Source: Koren, Factor in the Neighbors, TKDD 4 (2010), section 2.1, the least squares problem, whose penalty here
        is not multiplied by the number of interactions. Differs also by what an unseen user's bias is.
    Shapes: users B -> values [B, I].

    Args:
        item_shrinkage: interactions without bias that are added to each item; at least 0.
        user_shrinkage: interactions with the expected bias that are added to each user; at least 0.
        cold: what is expected of a user of whom no item is known.
        regularization: weight of the squared coefficients of `attributes`; above 0.
        informed: item biases are shrunk to what the item's popularity and attributes lead to expect instead of to 0,
            and who rates an item is taken into account (see `item_values`).
        rater_shrinkage: for `informed`, ratings by the mean user that are added to each item; at least 0.
        predict: which point of a rating's distribution, see `gnnrec.models.rating_points.Point`.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = True
    search_space: ClassVar[SearchSpace] = {
        "item_shrinkage": Log(0.1, 100),
        "user_shrinkage": Log(0.1, 100),
        "regularization": Log(1, 1000, when={"cold": "attributes"}),
        "rater_shrinkage": Log(3, 300, when={"informed": True}),
    }

    def __init__(
        self,
        *,
        item_shrinkage: float = 2.0,
        user_shrinkage: float = 3.0,
        cold: Literal["zero", "mean", "attributes"] = "mean",
        regularization: float = 100.0,
        informed: bool = False,
        rater_shrinkage: float = 20.0,
        predict: Predict = "mean",
    ) -> None:
        for name, shrinkage in (
            ("item_shrinkage", item_shrinkage),
            ("user_shrinkage", user_shrinkage),
            ("rater_shrinkage", rater_shrinkage),
        ):
            if not shrinkage >= 0:
                raise ValueError(f"{name} must be at least 0, got {shrinkage}")
        if not regularization > 0:
            raise ValueError(f"regularization must be above 0, got {regularization}")
        self.item_shrinkage = item_shrinkage
        self.user_shrinkage = user_shrinkage
        self.cold = cold
        self.regularization = regularization
        self.informed = informed
        self.rater_shrinkage = rater_shrinkage
        self.predict = predict
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Solves for the biases and for the effects of attribute values; nothing is chosen.

        Nothing is drawn but the folds of a median.

        Raises:
            ConfigError: the interactions have no values, or too many different ones for a median.
        """
        self._point = fit_point(self.predict, self._fit, self._means, train, seed)

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, within the range of the training values."""
        return as_scores(self._point.read(self._means(self._point.known(users))))

    def _fit(self, train: TrainingData) -> None:
        ratings = ratings_of(train)
        self._range = ratings.range
        biases = fit_biases(ratings, self.user_shrinkage, self.item_shrinkage)
        self._item_value = biases.mean + biases.item  # [I]
        if self.informed:
            expected = expected_item_bias(train, ratings, biases)
            biases = fit_biases(ratings, self.user_shrinkage, self.item_shrinkage, expected)
            self._item_value = item_values(ratings, biases, self.rater_shrinkage) - biases.mean_user
        self._features = UserFeatures(train)
        self._expected: RidgeMap | float = 0.0
        if self.cold == "mean":
            self._expected = biases.mean_user
        elif self.cold == "attributes":
            features = self._features(train.users)[np.flatnonzero(biases.known)]
            self._expected = RidgeMap(features, biases.user[biases.known][:, None], self.regularization)

    def _means(self, users: UserBatch) -> np.ndarray:
        if isinstance(self._expected, RidgeMap):
            expected = self._expected(self._features(users))[:, 0]
        else:
            expected = np.full(len(users), self._expected)
        bias = known_user_bias(users.items, self._item_value, expected, self.user_shrinkage)
        return np.asarray((self._item_value + bias[:, None]).clip(*self._range))
