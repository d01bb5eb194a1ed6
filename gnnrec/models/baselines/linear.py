"""A linear model from what is known of a user to the items it will choose."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from gnnrec.graph.matrices import FEATURES, EdgeWeights, Matrix, Normalise, UserFeatures, as_scores, histories
from gnnrec.models.ridge import RidgeMap, as_matrix
from gnnrec.models.selection import Fold, best_value
from gnnrec.options.search_space import Choice, Log, SearchSpace
from gnnrec.runtime import seeds
from gnnrec.views import TestSet, TrainingData, UserBatch

REGULARIZATIONS = (0.3, 1.0, 3.0, 10.0, 30.0)
"""What is tried where the regularization is to be chosen."""
WITHOUT_CHOICE = 10.0
"""Regularization that was to be chosen, where there was nobody to choose it on."""


class AttributeLinear:
    """Ridge regression from attribute values, and friends where asked for, to every item at once.

    The intercept is popularity, so a user without any value gets an order close to it. With `svd_rank`, the targets are
    the users' places among the leading singular vectors of the interactions, and items follow from these.

    Source: Sedhain, Menon, Sanner, Xie, Braziunas, Low-Rank Linear Cold-Start Recommendation from Social Data,
        AAAI 2017, equation 4 (with `rank`; without it, plain ridge regression); with `svd_rank`, Gantner, Drumond,
        Freudenthaler, Rendle, Schmidt-Thieme, Learning Attribute-to-Feature Mappings for Cold-Start Recommendations,
        ICDM 2010, section IV-B, with singular vectors in the place of learned factors. Differs by an intercept that is
        not regularised, and by row normalisation.
    Shapes: users B, attribute values (and friends) A -> scores [B, I].

    Args:
        regularization: weight of the squared coefficients; above 0. `choose` picks it on the validation users, and
            takes 10 where there are none.
        svd_rank: singular vectors of the balanced interactions (see `gnnrec.nn.init.decompose`) to regress on, at
            least 1; None regresses on the items themselves.
        rank: use only the leading singular directions of the features, at least 1; None for all of them.
        attributes: names of the relations to use; None for all.
        friends: also a feature for each training user, 1 where the user has an edge to them.
        edge_weights: what an attribute edge counts: 1, log(1 + its weight), or its weight.
        idf: a value counts by the logarithm of its rarity.
        normalise: what a user's features are divided by: nothing, their sum, or their Euclidean length.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {
        "regularization": Log(0.1, 1000),
        "rank": Choice((None, 50, 200)),
        **FEATURES,
    }

    def __init__(
        self,
        *,
        regularization: float | Literal["choose"] = 10.0,
        svd_rank: int | None = None,
        rank: int | None = None,
        attributes: list[str] | None = None,
        friends: bool = False,
        edge_weights: EdgeWeights = "ignore",
        idf: bool = False,
        normalise: Normalise = "none",
    ) -> None:
        if regularization != "choose" and not regularization > 0:
            raise ValueError(f"regularization must be above 0, got {regularization}")
        if rank is not None and rank < 1:
            raise ValueError(f"rank must be at least 1, or none for all; got {rank}")
        if svd_rank is not None and svd_rank < 1:
            raise ValueError(f"svd_rank must be at least 1, or none for the items themselves; got {svd_rank}")
        self.regularization = regularization
        self.chooses_on_validation = regularization == "choose"
        self.svd_rank = svd_rank
        self.rank = rank
        self.attributes = attributes
        self.friends = friends
        self.edge_weights: EdgeWeights = edge_weights
        self.idf = idf
        self.normalise: Normalise = normalise
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Solves. The seed starts the randomised decompositions that `rank` and `svd_rank` ask for."""
        if validation is not None and self.regularization == "choose":
            fitted = self.fit_folds([Fold(train, validation, validation)], seed)[0]
            self.__dict__.update({k: v for k, v in vars(fitted).items() if k.startswith("_")})
            return
        self._features = UserFeatures(
            train,
            attributes=self.attributes,
            friends=self.friends,
            edge_weights=self.edge_weights,
            idf=self.idf,
            normalise=self.normalise,
        )
        known = self._features(train.users)
        self._directions = None
        if self.rank is not None and self.rank < min(known.shape):
            from sklearn.utils.extmath import randomized_svd

            _, _, directions = randomized_svd(known, self.rank, random_state=seeds.integer(seed, "svd") % 2**32)
            self._directions = directions.T  # [A, rank]
        regularization = WITHOUT_CHOICE if self.regularization == "choose" else self.regularization
        self._items: np.ndarray | None = None
        targets: Matrix | np.ndarray = histories(train.users, train.num_items)
        if self.svd_rank is not None:
            from gnnrec.nn.init import decompose

            svd = decompose(train, self.svd_rank, seed)
            targets, self._items = svd.user, svd.item * svd.by_item[:, None]  # [U, R], [I, R]
        self._map = RidgeMap(self._reduced(known), targets, regularization)

    def fit_folds(self, folds: Sequence[Fold], seed: int) -> "list[Any]":
        """One model for each fold; a regularization that is to be chosen is the best one on all held-out users."""

        def fit(regularization: float, fold: Fold) -> AttributeLinear:
            model = AttributeLinear(**{**self._options, "regularization": regularization})
            model.fit(fold.train, None, seed)
            return model

        if self.regularization != "choose":
            return [fit(self.regularization, fold) for fold in folds]
        best, models = best_value(REGULARIZATIONS, fit, folds, lambda fold: fold.test, seed)
        self.best_params = {"regularization": best}
        return models

    @property
    def _options(self) -> dict[str, Any]:
        names = ("svd_rank", "rank", "attributes", "friends", "edge_weights", "idf", "normalise")
        return {name: getattr(self, name) for name in names}

    def _reduced(self, features: Matrix) -> Matrix:
        return features if self._directions is None else as_matrix(features @ self._directions)

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, the expected interaction: mostly in [0, 1], but nothing keeps it there."""
        expected = self._map(self._reduced(self._features(users)))
        return as_scores(expected if self._items is None else expected @ self._items.T)
