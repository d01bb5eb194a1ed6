"""IRSpack: matrix factorization whose vectors have prior means, linear maps from attributes."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import linalg, sparse
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from gnnrec.errors import ConfigError, TrainingError
from gnnrec.graph.matrices import (
    FEATURES,
    EdgeWeights,
    Matrix,
    Normalise,
    UserFeatures,
    as_csr_matrix,
    as_scores,
    histories,
    item_features,
)
from gnnrec.models.implicit_models import check_above_0, check_at_least_1
from gnnrec.models.ridge import LARGEST_SYSTEM
from gnnrec.options.search_space import Integer, Log, SearchSpace
from gnnrec.runtime import seeds
from gnnrec.views import ITEM, USER, Edges, EdgeType, TestSet, TrainingData, UserBatch, reverse

CG_STEPS = 3
"""Steps of conjugate gradients for each vector and iteration: the library's default."""


class IRSpack:
    """Implicit ALS in which a user's vector has a prior mean, a linear map from the user's attributes.

    The map is learned together with the vectors, so an unseen user is served by the model itself: its vector is the
    exact minimum of the loss with the items and the map held fixed, given its known items, if any, and its attributes.
    A user of whom nothing is known has the constant feature alone, whose vector is close to the mean.

    With u users' and v items' vectors, f and g their features, A and B the maps, n the number of interactions, the fit
    minimises the sum over interactions of (1 - u . v)^2, plus alpha times the sum over all pairs of (u . v)^2, plus
    `sum_u r_u |u - A f|^2 + sum_v r_v |v - B g|^2`, plus the squared entries of A and B times their weights; where
    r_u = regularization * (alpha * number of items + n_u), and r_v alike. Without `item_features`, B is 0.

    Source: Rendle, Krichene, Zhang, Koren, Revisiting the Performance of iALS on Item Recommendation Benchmarks,
        RecSys 2022, arXiv 2110.14037 (loss, and regularization by frequency with exponent 1); prior means by the
        library irspack 0.5.2. Differs from the library: a constant feature, since its maps have no intercept; where
        there are fewer users than features, features are first turned into coordinates in the span of the users'
        rows, which gives the same map; an unseen user's equations are solved by Cholesky, not by a few steps of
        conjugate gradients.
    Shapes: users B, factors D -> vectors [B, D] -> scores [B, I].

    Args:
        factors: D, at least 1.
        alpha: weight of every pair of user and item, against 1 for an interaction; above 0. (The `alpha` of ALS is the
            weight of an interaction.)
        regularization: weight of the squared distance of a vector from its prior mean; above 0. A user without
            interactions has the weight regularization * alpha * number of items, so a good value is smaller where
            there are more items.
        feature_regularization: weight of the squared entries of the users' map; above 0.
        iterations: alternations; at least 1.
        item_features: items have prior means, too, from their attributes.
        item_feature_regularization: weight of the squared entries of the items' map; above 0.
        friends: also a feature for each training user, 1 where the user has an edge to them.
        edge_weights: what an attribute edge counts: 1, log(1 + its weight), or its weight.
        idf: a value counts by the logarithm of its rarity.
        normalise: what a user's or an item's features are divided by: nothing, their sum, or their Euclidean length.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {
        "factors": Integer(16, 512, log=True),
        "alpha": Log(3e-3, 3),
        "regularization": Log(1e-3, 0.3),
        "feature_regularization": Log(0.1, 300),
        "item_feature_regularization": Log(0.03, 300, when={"item_features": True}),
        **FEATURES,
    }

    def __init__(
        self,
        *,
        factors: int = 64,
        alpha: float = 0.2,
        regularization: float = 0.01,
        feature_regularization: float = 10.0,
        iterations: int = 16,
        item_features: bool = False,
        item_feature_regularization: float = 10.0,
        friends: bool = False,
        edge_weights: EdgeWeights = "log",
        idf: bool = True,
        normalise: Normalise = "length",
    ) -> None:
        check_at_least_1(factors=factors, iterations=iterations)
        check_above_0(
            alpha=alpha,
            regularization=regularization,
            feature_regularization=feature_regularization,
            item_feature_regularization=item_feature_regularization,
        )
        self.factors = factors
        self.alpha = alpha
        self.regularization = regularization
        self.feature_regularization = feature_regularization
        self.iterations = iterations
        self.item_features = item_features
        self.item_feature_regularization = item_feature_regularization
        self.friends = friends
        self.edge_weights: EdgeWeights = edge_weights
        self.idf = idf
        self.normalise: Normalise = normalise
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Factorizes on one thread, starting from vectors drawn from the seed; nothing is chosen.

        Raises:
            ConfigError: the library irspack is not installed, there are too many users and features, or
                `item_features` is asked for where items have none.
            TrainingError: the vectors are not finite.
        """
        self._features = self._features_of(train, self.friends)
        known = _with_constant(self._features(train.users))  # [U, A + 1]
        users, back = _coordinates(known, "users")
        of_items = None
        if self.item_features:
            items = _items_as_users(train)
            described = self._features_of(items, False)(items.users)
            if train.features:
                described = sparse.csr_array(
                    sparse.hstack([described, item_features(train, use=[one.name for one in train.features])])
                )
            of_items, _ = _coordinates(_with_constant(described), "items")
        interactions = as_csr_matrix(histories(train.users, train.num_items))
        trainer = self._trainer("CG", interactions, users, of_items, seeds.integer(seed, "irspack") % 2**31)
        for iteration in range(1, self.iterations + 1):
            try:
                trainer.run_epoch()
            except RuntimeError as error:  # the map's system has no Cholesky factor
                raise TrainingError(
                    f"IRSpack: {error} (iteration {iteration}); raise its feature_regularization"
                ) from error
        core = trainer.core_trainer
        self._item_vectors = np.array(core.item)  # [I, D]
        weight = np.array(core.user_feature_weight)  # [R, D], of the coordinates
        self._feature_weight = weight if back is None else np.asarray(known.T @ (back @ weight), np.float32)  # [A+1, D]
        if not (np.isfinite(self._item_vectors).all() and np.isfinite(self._feature_weight).all()):
            raise TrainingError("IRSpack: vectors are not finite; raise its regularization")

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, about 1 for an item that the user would choose."""
        features = as_csr_matrix(_with_constant(self._features(users)))  # [B, A + 1]
        known = as_csr_matrix(histories(users, len(self._item_vectors)))
        trainer = self._trainer("CHOLESKY", known[:0], features[:0], None, 0)
        trainer.core_trainer.item = self._item_vectors
        trainer.core_trainer.user_feature_weight = self._feature_weight
        try:
            vectors = trainer.transform_user(known, features)  # [B, D]
        except RuntimeError as error:  # a user's system has no Cholesky factor
            raise TrainingError(f"IRSpack: {error}; raise its regularization") from error
        return as_scores(vectors @ self._item_vectors.T)

    def _features_of(self, train: TrainingData, friends: bool) -> UserFeatures:
        return UserFeatures(
            train, friends=friends, edge_weights=self.edge_weights, idf=self.idf, normalise=self.normalise
        )

    def _trainer(self, solver: str, interactions: Any, users: Any, items: Any, seed: int) -> Any:
        """The library's trainer; its recommender is the same with progress bars.

        Raises:
            ConfigError: the library is not installed.
        """
        try:
            from irspack.recommenders.ials import IALSTrainer, str_to_loss_type, str_to_solver_type
        except ImportError as error:
            raise ConfigError(f"IRSpack needs the library irspack: pip install 'gnnrec[mf]' ({error})") from error

        return IALSTrainer(
            interactions,
            n_components=self.factors,
            alpha0=self.alpha,
            reg=self.regularization,
            nu=1.0,
            init_std=0.1,
            solver_type=str_to_solver_type(solver),
            max_cg_steps=CG_STEPS,
            ialspp_subspace_dimension=64,
            loss_type=str_to_loss_type("IALSPP"),
            random_seed=seed,
            n_threads=1,
            prediction_time_max_cg_steps=CG_STEPS,
            prediction_time_ialspp_iteration=1,
            user_features=users,
            item_features=items,
            lambda_user_feature=self.feature_regularization,
            lambda_item_feature=self.item_feature_regularization,
        )


def _with_constant(features: Matrix) -> Matrix:
    """[B, A + 1], a last column of 1: the library's maps have no intercept."""
    return sparse.csr_array(sparse.hstack([features, sparse.csr_array(np.ones((features.shape[0], 1)))]))


def _coordinates(features: Matrix, what: str) -> tuple[Any, np.ndarray | None]:
    """The features ([N, A]), or as many coordinates as there are rows where these are fewer.

    The library solves a dense system of A equations in each iteration. A ridge regression's coefficients lie in the
    span of the rows, so coordinates in an orthonormal basis of it give the same map, with the same penalty.

    Returns:
        [N, R] float32, and a matrix [N, R] whose product with the coordinates' coefficients, multiplied by the
        transposed features, gives the features' coefficients; None where the features are as they were.
    """
    num_rows, num_features = features.shape
    if min(num_rows, num_features) > LARGEST_SYSTEM:
        raise ConfigError(
            f"IRSpack: the map from {num_features} features of {num_rows} {what} needs a system of "
            f"{min(num_rows, num_features)} equations, at most {LARGEST_SYSTEM} are solved; use fewer attributes"
        )
    if num_features <= num_rows:
        return as_csr_matrix(features), None
    with threadpool_limits(1, "blas"):  # with several threads the axes differ in their last bits
        square, axes = linalg.eigh((features @ features.T).toarray())
    kept = square > square[-1] * num_rows * np.finfo(np.float64).eps
    length = np.sqrt(square[kept])
    return (axes[:, kept] * length).astype(np.float32), axes[:, kept] / length


def _items_as_users(train: TrainingData) -> TrainingData:
    """Items in the place of users, so that `UserFeatures` lays out their attributes.

    Raises:
        ConfigError: items have no attributes.
    """
    relations: dict[EdgeType, Edges] = {}
    for relation in train.relations:
        source, target = relation.edge_index
        if relation.source == ITEM:
            relations[USER, relation.name, relation.target] = Edges(source, target, relation.weight)
        elif relation.target == ITEM:
            _, name, node_type = reverse(relation.type)
            relations[USER, name, node_type] = Edges(target, source, relation.weight)
    if not relations and not train.features:
        raise ConfigError("IRSpack: item_features: the items have no attributes here; set it to false")
    none = torch.empty(0, dtype=torch.int64)
    return replace(train, users=UserBatch(torch.arange(train.num_items), Edges(none, none), relations))
