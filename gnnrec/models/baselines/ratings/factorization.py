"""Ratings predicted by biased matrix factorization."""

from typing import Any, ClassVar, Literal

import numpy as np
from scipy import sparse
from torch import Tensor

from gnnrec.graph.matrices import Matrix, UserFeatures, as_scores
from gnnrec.models.rating_effects import fit_biases, known_user_bias, ratings_of
from gnnrec.models.rating_points import fit_point
from gnnrec.models.ridge import RidgeMap
from gnnrec.options.search_space import Integer, Log, SearchSpace
from gnnrec.runtime import seeds
from gnnrec.training.rating import Predict
from gnnrec.views import TestSet, TrainingData, UserBatch


class BiasedMF:
    """Biases, and an inner product of a user's and an item's vector fitted to what they leave.

    A user with known ratings, in training or not, gets the vector that a step of the fit gives it (fold-in);
    a user without any gets one by the cold policy, and the mean user's bias.

    Source: Koren, Bell, Volinsky, Matrix Factorization Techniques for Recommender Systems, IEEE Computer 42 (2009),
        equation 5, by alternating least squares; cold policy `attribute_map` after Gantner, Drumond, Freudenthaler,
        Rendle, Schmidt-Thieme, Learning Attribute-to-Feature Mappings for Cold-Start Recommendations, ICDM 2010,
        section III-D. Differs: the biases are fitted first, and the mapping is a ridge regression to the vectors, with
        an intercept.
    Shapes: users B, factors D -> vectors [B, D] -> values [B, I].

    Args:
        cold: what stands in for the vector of a user without ratings: the mean of the training users' vectors, or a
            ridge regression from attribute values to vectors.
        factors: D, at least 1.
        regularization: weight of the squared vectors; above 0.
        iterations: alternations; at least 1.
        map_regularization: weight of the squared coefficients of `attribute_map`; above 0.
        item_shrinkage: ratings without bias that are added to each item; at least 0.
        user_shrinkage: ratings with the mean user's bias that are added to each user; at least 0.
        predict: which point of a rating's distribution, see `gnnrec.models.rating_points.Point`.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = True
    search_space: ClassVar[SearchSpace] = {
        "factors": Integer(2, 32, log=True),
        "regularization": Log(1, 100),
        "item_shrinkage": Log(0.1, 100),
        "user_shrinkage": Log(0.1, 100),
        "map_regularization": Log(1, 1000, when={"cold": "attribute_map"}),
    }

    def __init__(
        self,
        *,
        cold: Literal["mean", "attribute_map"] = "mean",
        factors: int = 8,
        regularization: float = 10.0,
        iterations: int = 10,
        map_regularization: float = 10.0,
        item_shrinkage: float = 5.0,
        user_shrinkage: float = 3.0,
        predict: Predict = "mean",
    ) -> None:
        for name, number in (("factors", factors), ("iterations", iterations)):
            if number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        for name, weight in (("regularization", regularization), ("map_regularization", map_regularization)):
            if not weight > 0:
                raise ValueError(f"{name} must be above 0, got {weight}")
        for name, shrinkage in (("item_shrinkage", item_shrinkage), ("user_shrinkage", user_shrinkage)):
            if not shrinkage >= 0:
                raise ValueError(f"{name} must be at least 0, got {shrinkage}")
        self.cold = cold
        self.factors = factors
        self.regularization = regularization
        self.iterations = iterations
        self.map_regularization = map_regularization
        self.item_shrinkage = item_shrinkage
        self.user_shrinkage = user_shrinkage
        self.predict = predict
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Factorizes, starting from item vectors drawn from the seed; nothing is chosen.

        Raises:
            ConfigError: the interactions have no values, or too many different ones for a median.
        """
        self._point = fit_point(self.predict, lambda part: self._fit(part, seed), self._means, train, seed)

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, within the range of the training values."""
        return as_scores(self._point.read(self._means(self._point.known(users))))

    def _fit(self, train: TrainingData, seed: int) -> None:
        ratings = ratings_of(train)
        biases = fit_biases(ratings, self.user_shrinkage, self.item_shrinkage)
        self._range = ratings.range
        self._item_value = biases.mean + biases.item
        self._expected = biases.mean_user
        residual, rated = ratings.matrix(biases.residual(ratings)), ratings.matrix(np.ones(len(ratings.value)))
        by_item, raters = residual.T.tocsr(), rated.T.tocsr()
        random = seeds.numpy_generator(seed, "biased mf")
        self._items = 0.1 * random.standard_normal((train.num_items, self.factors))
        for _ in range(self.iterations):
            users = self._solved(residual, rated, self._items)
            self._items = self._solved(by_item, raters, users)
        users = self._solved(residual, rated, self._items)[biases.known]
        self._features = UserFeatures(train)
        self._map: RidgeMap | None = None
        self._mean = users.mean(axis=0)
        if self.cold == "attribute_map":
            features = self._features(train.users)[np.flatnonzero(biases.known)]
            self._map = RidgeMap(features, users, self.map_regularization)

    def _solved(self, residual: Matrix, rated: Matrix, others: np.ndarray) -> np.ndarray:
        """[N, D], for each row the ridge regression of its residuals on the vectors ([M, D]) of what it rated."""
        size = others.shape[1]
        products = (others[:, :, None] * others[:, None, :]).reshape(len(others), -1)
        gram = (rated @ products).reshape(-1, size, size) + self.regularization * np.eye(size)
        return np.asarray(np.linalg.solve(gram, (residual @ others)[:, :, None])[:, :, 0])

    def _means(self, users: UserBatch) -> np.ndarray:
        expected = np.full(len(users), self._expected)
        bias = known_user_bias(users.items, self._item_value, expected, self.user_shrinkage)
        if self._map is None:
            vectors = np.repeat(self._mean[None], len(users), axis=0)
        else:
            vectors = self._map(self._features(users))
        if users.items.weight is not None and len(users.items):
            vectors = self._folded_in(users, bias, vectors)
        return np.asarray((self._item_value + bias[:, None] + vectors @ self._items.T).clip(*self._range))

    def _folded_in(self, users: UserBatch, bias: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """[B, D], the vectors with those of users with known ratings replaced."""
        items = users.items
        assert items.weight is not None
        row, node = items.row.numpy(), items.node.numpy()
        left = items.weight.numpy() - self._item_value[node] - bias[row]
        shape = (len(users), len(self._items))
        residual, rated = (sparse.csr_array((entry, (row, node)), shape=shape) for entry in (left, np.ones(len(row))))
        known = np.bincount(row, minlength=len(users)) > 0
        return np.where(known[:, None], self._solved(residual, rated, self._items), vectors)
