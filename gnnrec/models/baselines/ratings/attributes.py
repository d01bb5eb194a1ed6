"""Ratings predicted from attribute values."""

from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.graph.matrices import Matrix, UserFeatures, as_scores, training_rows
from gnnrec.models.rating_effects import fit_biases, item_features, known_user_bias, ratings_of, value_effects
from gnnrec.models.rating_points import fit_point
from gnnrec.options.search_space import Log, SearchSpace, Uniform
from gnnrec.training.rating import Predict
from gnnrec.views import TestSet, TrainingData, UserBatch

_BIASES: SearchSpace = {"item_shrinkage": Log(0.1, 100), "user_shrinkage": Log(0.1, 100)}


class _OnBiases:
    """Overall mean, item's bias and user's bias: what the models of this module add to.

    An unseen user's bias is the mean of the training users'; where some ratings are known, it is shrunk to that.
    """

    def __init__(self, train: TrainingData, item_shrinkage: float, user_shrinkage: float) -> None:
        ratings = ratings_of(train)
        biases = fit_biases(ratings, user_shrinkage, item_shrinkage)
        self.ratings = ratings
        self.residual = biases.residual(ratings)  # [E]
        self._item_value = biases.mean + biases.item
        self._expected = biases.mean_user
        self._user_shrinkage = user_shrinkage

    def plus(self, users: UserBatch, effect: np.ndarray) -> np.ndarray:
        """[B, I] float64, biases and the effect ([B, I]) together, within the range of the training values."""
        expected = np.full(len(users), self._expected)
        bias = known_user_bias(users.items, self._item_value, expected, self._user_shrinkage)
        return np.asarray((self._item_value + bias[:, None] + effect).clip(*self.ratings.range))


class SegmentItemMean:
    """The mean rating of an item among the users who share an attribute value, shrunk to its mean among all.

    mean + item's bias + user's bias + strength * sum over the user's values of the mean residual that users with the
    value gave to the item, `shrinkage` residuals of 0 added to each. With a large `user_shrinkage`, the user biases
    vanish and the sum is over item means.

    Source: no paper; what SegmentPopularity is to popularity, on the biases of Koren, Factor in the Neighbors, TKDD 4
        (2010), section 2.1.
    Shapes: users B, attribute values A -> values [B, I].

    Args:
        shrinkage: ratings without effect that are added to each pair of value and item; above 0.
        strength: what the sum is multiplied by; 0 leaves the biases.
        item_shrinkage: ratings without bias that are added to each item; at least 0.
        user_shrinkage: ratings with the mean user's bias that are added to each user; at least 0.
        attributes: names of the relations to use; None for all.
        predict: which point of a rating's distribution, see `gnnrec.models.rating_points.Point`.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = True
    search_space: ClassVar[SearchSpace] = {"shrinkage": Log(10, 1000), "strength": Uniform(0.1, 1.5), **_BIASES}

    def __init__(
        self,
        *,
        shrinkage: float = 100.0,
        strength: float = 1.0,
        item_shrinkage: float = 5.0,
        user_shrinkage: float = 3.0,
        attributes: list[str] | None = None,
        predict: Predict = "mean",
    ) -> None:
        _check(above_0={"shrinkage": shrinkage}, strength=strength, item_shrinkage=item_shrinkage)
        _check(user_shrinkage=user_shrinkage)
        self.shrinkage = shrinkage
        self.strength = strength
        self.item_shrinkage = item_shrinkage
        self.user_shrinkage = user_shrinkage
        self.attributes = attributes
        self.predict = predict
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Averages; nothing is chosen, and nothing is drawn but the folds of a median.

        Raises:
            ConfigError: the interactions have no values, or too many different ones for a median; or an attribute does
                not exist.
        """
        self._point = fit_point(self.predict, self._fit, self._means, train, seed)

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, within the range of the training values."""
        return as_scores(self._point.read(self._means(self._point.known(users))))

    def _fit(self, train: TrainingData) -> None:
        self._base = _OnBiases(train, self.item_shrinkage, self.user_shrinkage)
        self._features = UserFeatures(train, attributes=self.attributes, described=False)
        known = self._features(train.users)
        self._effects = value_effects(known, self._base.ratings, self._base.residual, self.shrinkage)  # [A, I]

    def _means(self, users: UserBatch) -> np.ndarray:
        return self._base.plus(users, self.strength * (self._features(users) @ self._effects).toarray())


class AttributeKNNRatings:
    """The mean residual that the users alike in attributes gave to an item, on top of the biases.

    mean + item's bias + user's bias + sum of similarity ** power * residual / (sum of similarity ** power + shrinkage),
    over the training users who rated the item. The similarity is the cosine of the users' rows of attribute values. A
    training user is not its own neighbour.

    Source: Herlocker, Konstan, Borchers, Riedl, An Algorithmic Framework for Performing Collaborative Filtering, SIGIR
        1999, equation 1, with attribute values in the place of histories. Differs: residuals of the biases instead of
        deviations from the user's mean, and a shrinkage.
    Shapes: users B, training users U -> similarities [B, U] -> values [B, I].

    Args:
        power: exponent of the similarity; above 0. The higher, the more the nearest count.
        shrinkage: residuals of 0 at similarity 1 that are added; above 0.
        idf: a value counts by the logarithm of its rarity.
        item_shrinkage: ratings without bias that are added to each item; at least 0.
        user_shrinkage: ratings with the mean user's bias that are added to each user; at least 0.
        predict: which point of a rating's distribution, see `gnnrec.models.rating_points.Point`.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    keeps_interactions = True
    predicts_ratings = True
    search_space: ClassVar[SearchSpace] = {"power": Uniform(1, 8), "shrinkage": Log(1, 300), **_BIASES}

    def __init__(
        self,
        *,
        power: float = 2.0,
        shrinkage: float = 30.0,
        idf: bool = False,
        item_shrinkage: float = 5.0,
        user_shrinkage: float = 3.0,
        predict: Predict = "mean",
    ) -> None:
        _check(above_0={"power": power, "shrinkage": shrinkage})
        _check(item_shrinkage=item_shrinkage, user_shrinkage=user_shrinkage)
        self.power = power
        self.shrinkage = shrinkage
        self.idf = idf
        self.item_shrinkage = item_shrinkage
        self.user_shrinkage = user_shrinkage
        self.predict = predict
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Keeps residuals and attribute values of the training users; nothing is chosen.

        Nothing is drawn but the folds of a median.

        Raises:
            ConfigError: the interactions have no values, or too many different ones for a median.
        """
        self._point = fit_point(self.predict, self._fit, self._means, train, seed)

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, within the range of the training values."""
        return as_scores(self._point.read(self._means(self._point.known(users))))

    def _fit(self, train: TrainingData) -> None:
        self._train = train
        self._base = _OnBiases(train, self.item_shrinkage, self.user_shrinkage)
        self._features = UserFeatures(train, idf=self.idf, normalise="length")
        self._known = self._features(train.users)  # [U, A]
        self._residual = self._base.ratings.matrix(self._base.residual)  # [U, I]
        self._rated = self._base.ratings.matrix(np.ones(len(self._base.residual)))

    def _means(self, users: UserBatch) -> np.ndarray:
        similarity = (self._features(users) @ self._known.T).toarray() ** self.power  # [B, U]
        own = training_rows(users, self._train)
        similarity[np.flatnonzero(own >= 0), own[own >= 0]] = 0
        effect = (similarity @ self._residual) / (similarity @ self._rated + self.shrinkage)
        return self._base.plus(users, effect)


class BilinearRatings:
    """Ridge regression on every pair of a user's and an item's attribute value, on top of the biases.

    Source: Chu, Park, Personalized Recommendation on Dynamic Content Using Predictive Bilinear Models, WWW 2009,
        section 3. Differs: fitted to the residuals of the biases, by conjugate gradients, without features of the item
        alone.
    Shapes: users B, values of users A and of items G -> coefficients [A, G] -> values [B, I].

    Args:
        regularization: weight of the squared coefficients; above 0.
        item_shrinkage: ratings without bias that are added to each item; at least 0.
        user_shrinkage: ratings with the mean user's bias that are added to each user; at least 0.
        predict: which point of a rating's distribution, see `gnnrec.models.rating_points.Point`.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = True
    search_space: ClassVar[SearchSpace] = {"regularization": Log(10, 10_000), **_BIASES}

    def __init__(
        self,
        *,
        regularization: float = 1000.0,
        item_shrinkage: float = 5.0,
        user_shrinkage: float = 3.0,
        predict: Predict = "mean",
    ) -> None:
        _check(above_0={"regularization": regularization})
        _check(item_shrinkage=item_shrinkage, user_shrinkage=user_shrinkage)
        self.regularization = regularization
        self.item_shrinkage = item_shrinkage
        self.user_shrinkage = user_shrinkage
        self.predict = predict
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Solves; nothing is chosen, and nothing is drawn but the folds of a median.

        Raises:
            ConfigError: the interactions have no values, or too many different ones for a median; or the items have no
                attributes.
        """
        self._point = fit_point(self.predict, self._fit, self._means, train, seed)

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, within the range of the training values."""
        return as_scores(self._point.read(self._means(self._point.known(users))))

    def _fit(self, train: TrainingData) -> None:
        item = item_features(train)
        if item.nnz == 0:
            raise ConfigError("model: BilinearRatings needs attributes of items; choose SegmentItemMean for this data")
        self._base = _OnBiases(train, self.item_shrinkage, self.user_shrinkage)
        self._features = UserFeatures(train)
        known = self._features(train.users)
        self._mean = np.asarray(known.mean(axis=0)).ravel()
        coefficients = self._solve(known, item)  # [A, G]
        self._effects = coefficients @ item.T  # [A, I]

    def _solve(self, user: Matrix, item: Matrix) -> np.ndarray:
        """[A, G], the normal equations by conjugate gradients; the pairs' products are never made."""
        ratings, shape = self._base.ratings, (user.shape[1], item.shape[1])
        of_user, of_item = user[ratings.user], item[ratings.item]  # [E, A] and [E, G]

        def adjoint(per_rating: np.ndarray) -> np.ndarray:
            weighted = sparse.diags_array(per_rating) @ of_item  # [E, G]
            product: np.ndarray = (of_user.T @ weighted).toarray() - np.outer(self._mean, weighted.sum(axis=0))
            return product.ravel()

        def normal(flat: np.ndarray) -> np.ndarray:
            of_each = user @ flat.reshape(shape) - self._mean @ flat.reshape(shape)  # [U, G]
            per_rating = np.asarray(of_item.multiply(of_each[ratings.user]).sum(axis=1)).ravel()
            return adjoint(per_rating) + self.regularization * flat

        size = shape[0] * shape[1]
        operator = sparse.linalg.LinearOperator((size, size), matvec=normal, dtype=np.float64)
        solution, _ = sparse.linalg.cg(operator, adjoint(self._base.residual), rtol=1e-6, maxiter=200)
        return np.asarray(solution.reshape(shape))

    def _means(self, users: UserBatch) -> np.ndarray:
        return self._base.plus(users, self._features(users) @ self._effects - self._mean @ self._effects)


def _check(above_0: dict[str, float] | None = None, **at_least_0: float) -> None:
    for name, value in (above_0 or {}).items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")
    for name, value in at_least_0.items():
        if not value >= 0:
            raise ValueError(f"{name} must be at least 0, got {value}")
