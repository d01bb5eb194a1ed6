"""ALS: matrix factorization for implicit feedback by alternating least squares."""

from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from gnnrec.graph.matrices import EdgeWeights, Normalise, UserFeatures, as_csr_matrix, as_scores, histories
from gnnrec.models.baselines.factorization.cold import OF_MAP, Cold, ColdVectors
from gnnrec.models.implicit_models import (
    check_above_0,
    check_at_least_1,
    fit_library,
    library_model,
)
from gnnrec.options.search_space import Integer, Log, SearchSpace
from gnnrec.views import TestSet, TrainingData, UserBatch


class ALS:
    """Matrix factorization for implicit feedback by alternating least squares.

    A user with known items, in training or not, gets the vector that the last step of the fit would give it (fold-in);
    a user without any gets one by the cold policy. One or two items may carry less than the attributes: with
    `cold_weight`, a user of n known items gets n / (n + cold_weight) of the one and the rest of the other vector.
    Events of other kinds have the confidence alpha times their weight; one with a weight below 0 is confidence that the
    user would not choose the item.

    Source: Hu, Koren, Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008, equation 4; cold
        policy `attribute_map` after Gantner, Drumond, Freudenthaler, Rendle, Schmidt-Thieme, Learning
        Attribute-to-Feature Mappings for Cold-Start Recommendations, ICDM 2010, section III-D. Differs: the mapping
        is a ridge regression to the vectors (least squares, not the ranking loss), with an intercept.
    Shapes: users B, factors D -> vectors [B, D] -> scores [B, I].

    Args:
        cold: what stands in for the vector of a user without items.
        cold_weight: known items that this vector counts as beside the fold-in, if there is one; at least 0. With 0 the
            attributes are forgotten at the first item.
        factors: D, at least 1.
        regularization: weight of the squared vectors; at least 0.
        alpha: confidence of an interaction, against 1 for everything else; above 0.
        iterations: alternations; at least 1.
        map_regularization: weight of the squared coefficients of `attribute_map`; above 0.
        friends: `attribute_map` also has a feature for each training user, 1 where the user has an edge to them.
        edge_weights: for `attribute_map`, what an attribute edge counts: 1, log(1 + its weight), or its weight.
        idf: for `attribute_map`, a value counts by the logarithm of its rarity.
        normalise: for `attribute_map`, what a user's features are divided by: nothing, their sum, or their length.
        events: kinds of events beside the predicted one that count, each with its weight; None for all.

    Raises:
        ValueError: an option is out of its range.
    """

    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {
        "factors": Integer(8, 128, log=True),
        "regularization": Log(1e-3, 100),
        "alpha": Log(0.5, 50),
        **OF_MAP,
    }

    def __init__(
        self,
        *,
        cold: Cold = "mean",
        cold_weight: float = 1.0,
        factors: int = 64,
        regularization: float = 0.01,
        alpha: float = 10.0,
        iterations: int = 15,
        map_regularization: float = 10.0,
        friends: bool = False,
        edge_weights: EdgeWeights = "ignore",
        idf: bool = False,
        normalise: Normalise = "none",
        events: tuple[str, ...] | None = None,
    ) -> None:
        check_at_least_1(factors=factors, iterations=iterations)
        check_above_0(alpha=alpha, map_regularization=map_regularization)
        for name, number in (("regularization", regularization), ("cold_weight", cold_weight)):
            if not number >= 0:
                raise ValueError(f"{name} must be at least 0, got {number}")
        self.supports_cold_users = cold != "none"
        self.cold = cold
        self.cold_weight = cold_weight
        self.factors = factors
        self.regularization = regularization
        self.alpha = alpha
        self.iterations = iterations
        self.map_regularization = map_regularization
        self.friends = friends
        self.edge_weights: EdgeWeights = edge_weights
        self.idf = idf
        self.normalise: Normalise = normalise
        self.events = events
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Factorizes, starting from vectors drawn from the seed; nothing is chosen.

        Raises:
            ConfigError: the library implicit is not installed.
        """
        train = train.with_events(self.events)
        model = fit_library("als", "AlternatingLeastSquares", self._library_options, train, seed)
        self._item_vectors = model.item_factors  # [I, D]
        features = UserFeatures(
            train, friends=self.friends, edge_weights=self.edge_weights, idf=self.idf, normalise=self.normalise
        )
        self._cold_vectors = ColdVectors(self.cold, train, model.user_factors, features, self.map_regularization)

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, about 1 for an item that the user would choose; all 0 where there is no vector."""
        vectors = self._cold_vectors(users)  # [B, D]
        known = as_csr_matrix(histories(users.with_events(self.events), len(self._item_vectors), events=True))
        row = np.flatnonzero(np.diff(known.indptr))
        if len(row):
            beside = 0.0 if self.cold == "none" else self.cold_weight
            share = 1 / (1 + beside / np.diff(known.indptr)[row, None])
            vectors[row] = share * self._fold_in(known[row]) + (1 - share) * vectors[row]
        return as_scores(vectors @ self._item_vectors.T)

    @property
    def _library_options(self) -> dict[str, Any]:
        return {
            "factors": self.factors,
            "regularization": self.regularization,
            "alpha": self.alpha,
            "iterations": self.iterations,
        }

    def _fold_in(self, known: Any) -> np.ndarray:
        """[B, D], the vectors that the last step of the fit gives to histories ([B, I], each with an item)."""
        model = library_model("als", "AlternatingLeastSquares", self._library_options)
        model.item_factors = self._item_vectors
        return np.asarray(model.recalculate_user(np.arange(known.shape[0]), known))
