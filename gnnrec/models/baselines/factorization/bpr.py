"""BPR: matrix factorization by Bayesian personalised ranking."""

from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from gnnrec.graph.matrices import EdgeWeights, Normalise, UserFeatures, as_scores, histories, training_rows
from gnnrec.models.baselines.factorization.cold import OF_MAP, Cold, ColdVectors
from gnnrec.models.baselines.factorization.fold_in import NEGATIVES, BPRFoldIn
from gnnrec.models.implicit_models import check_above_0, check_at_least_1, fit_library
from gnnrec.options.search_space import Choice, Integer, Log, SearchSpace, conditional
from gnnrec.runtime import seeds
from gnnrec.views import TestSet, TrainingData, UserBatch


class BPR:
    """Matrix factorization fitted by Bayesian personalised ranking, with a bias per item.

    A training user has its own vector. Every other user has that of the cold policy; where items are known of it, it
    moves on from there (where the policy is none, from the mean vector) by a few of the steps that the fit would take,
    with the items' vectors held fixed. As many as the fit takes would be too many: on MovieLens-100K, with ten items
    known, a hundred passes give validation users NDCG@10 .38, ten .46 (exploratory runs), and the own vectors of users
    who were there in training, which took them all, are as bad.

    Source: Rendle, Freudenthaler, Gantner, Schmidt-Thieme, BPR: Bayesian Personalized Ranking from Implicit Feedback,
        UAI 2009, figure 4; cold policy `attribute_map` after Gantner, Drumond, Freudenthaler, Rendle, Schmidt-Thieme,
        Learning Attribute-to-Feature Mappings for Cold-Start Recommendations, ICDM 2010, section III-D. Differs: the
        library draws negatives in proportion to popularity, not evenly, so that its scores tend to the logarithm of
        p(i | u) / p(i); `popularity` times log p(i) is added to them. The mapping is a ridge regression to the vectors
        (least squares, not the ranking loss), with an intercept.
    Shapes: users B, factors D -> vectors [B, D + 1], the last entry for the bias -> scores [B, I].

    Args:
        cold: what stands in for the vector of a user who is not in training.
        factors: D, at least 1.
        learning_rate: step size; above 0.
        regularization: weight of the squared vectors; at least 0.
        iterations: passes over the interactions; at least 1.
        popularity: what the logarithm of an item's share in the interactions is multiplied by before it is added to the
            scores; at least 0. 0 leaves the library's scores as they are, 1 puts back all that its sampling takes out.
        fold_in_passes: passes over the known items of a user who is not in training; at least 1.
        map_regularization: weight of the squared coefficients of `attribute_map`; above 0.
        friends: `attribute_map` also has a feature for each training user, 1 where the user has an edge to them.
        edge_weights: for `attribute_map`, what an attribute edge counts: 1, log(1 + its weight), or its weight.
        idf: for `attribute_map`, a value counts by the logarithm of its rarity.
        normalise: for `attribute_map`, what a user's features are divided by: nothing, their sum, or their length.

    Raises:
        ValueError: an option is out of its range.
    """

    predicts_ratings = False
    log_scores = True
    search_space: ClassVar[SearchSpace] = {
        "factors": Integer(8, 128, log=True),
        "learning_rate": Log(0.01, 0.3),
        "regularization": Log(1e-4, 0.1),
        "iterations": Integer(50, 400, log=True),
        "popularity": Choice((0.0, 0.25, 0.5, 1.0)),
        **conditional({"fold_in_passes": Integer(1, 100, log=True)}, {"cold": "none"}),
        **OF_MAP,
    }

    def __init__(
        self,
        *,
        cold: Cold = "mean",
        factors: int = 64,
        learning_rate: float = 0.05,
        regularization: float = 0.01,
        iterations: int = 100,
        popularity: float = 0.0,
        fold_in_passes: int = 10,
        map_regularization: float = 10.0,
        friends: bool = False,
        edge_weights: EdgeWeights = "ignore",
        idf: bool = False,
        normalise: Normalise = "none",
    ) -> None:
        check_at_least_1(factors=factors, iterations=iterations, fold_in_passes=fold_in_passes)
        check_above_0(learning_rate=learning_rate, map_regularization=map_regularization)
        for name, number in (("regularization", regularization), ("popularity", popularity)):
            if not number >= 0:
                raise ValueError(f"{name} must be at least 0, got {number}")
        self.supports_cold_users = cold != "none"
        self.cold = cold
        self.factors = factors
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.iterations = iterations
        self.popularity = popularity
        self.fold_in_passes = fold_in_passes
        self.map_regularization = map_regularization
        self.friends = friends
        self.edge_weights: EdgeWeights = edge_weights
        self.idf = idf
        self.normalise: Normalise = normalise
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Factorizes, drawing vectors and negatives from the seed; nothing is chosen.

        Raises:
            ConfigError: the library implicit is not installed.
        """
        options = {
            "factors": self.factors,
            "learning_rate": self.learning_rate,
            "regularization": self.regularization,
            "iterations": self.iterations,
        }
        self._train = train
        count = train.popularity.numpy().astype(np.float64)
        # Half an interaction for an item that nobody chose, which is no candidate, but must have a finite score.
        self._log_share = np.log(np.maximum(count, 0.5) / count.sum())
        model = fit_library("bpr", "BayesianPersonalizedRanking", options, train, seed)
        drawn = np.random.default_rng(seeds.integer(seed, "bpr fold-in")).choice(train.users.items.node, NEGATIVES)
        self._user_vectors, self._item_vectors = model.user_factors, model.item_factors
        self._fold_in = BPRFoldIn(
            self._item_vectors, drawn, self.learning_rate, self.regularization, self.fold_in_passes
        )
        features = UserFeatures(
            train, friends=self.friends, edge_weights=self.edge_weights, idf=self.idf, normalise=self.normalise
        )
        self._cold_vectors = ColdVectors(self.cold, train, self._user_vectors, features, self.map_regularization)

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, of which only the order means something; the part of popularity where there is no vector."""
        vectors = self._cold_vectors(users)  # [B, D + 1]
        row = training_rows(users, self._train)
        row[row >= 0] = np.where(self._cold_vectors.learned[row[row >= 0]], row[row >= 0], -1)
        vectors[row >= 0] = self._user_vectors[row[row >= 0]]
        known = histories(users, len(self._item_vectors))
        new = np.flatnonzero((row < 0) & (np.diff(known.indptr) > 0))
        if len(new):
            if self.cold == "none":
                vectors[new] = self._cold_vectors.mean
            vectors[new] = self._fold_in(vectors[new], known[new])
        return as_scores(vectors @ self._item_vectors.T + self.popularity * self._log_share)
