"""What a user chose, through the attributes of items, to items that nobody has chosen yet."""

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from scipy import linalg, sparse
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.graph.matrices import Matrix, Normalise, as_scores, histories, item_features
from gnnrec.models.selection import Fold, best_value
from gnnrec.options.search_space import Choice, Log, SearchSpace
from gnnrec.views import TestSet, TrainingData, UserBatch

REGULARIZATIONS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""What is tried where the regularization is to be chosen."""
DENSE = 0.1
"""Share of entries above which a matrix is multiplied as a dense one."""
WITHOUT_CHOICE = 10.0
"""Regularization that was to be chosen, where there was nobody to choose it on."""
ITEM_FEATURES: SearchSpace = {
    "idf": Choice((False, True)),
    "normalise": Choice(("none", "sum", "length")),
    "feature_weight": Log(0.1, 10),
}
"""Search space of the options that models pass on to `item_features`."""


class ContentRidge:
    """Ridge regression from attributes and features of items to each user's choices among the items of training.

    w_u and b_u minimise the sum over items i of training of (y_ui - b - x_i . w)^2, plus regularization times w . w.
    The score of any item j, held out or not, is x_j . w_u, a user's taste in attributes. It needs nothing of a user but
    its choices.

    Source: Hoerl and Kennard, Ridge regression, Technometrics 12 (1970), equation 2.1, for each user, with the items'
        attributes as features. Differs: the score leaves the intercept out, which is the same for all items of a user.
    Shapes: users B, items I, attribute values A -> scores [B, I].

    Args:
        regularization: weight of the squared coefficients; above 0. `choose` picks it on the validation users, and
            takes 10 where there are none.
        use: names of attributes and features; None for all.
        idf: a value counts by the logarithm of its rarity.
        normalise: what an item's attribute values are divided by: nothing, their number, or its square root.
        feature_weight: what each feature (words, a picture) counts against attribute values of length 1; above 0.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = False
    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {"regularization": Log(0.1, 10_000), **ITEM_FEATURES}

    def __init__(
        self,
        *,
        regularization: float | Literal["choose"] = 10.0,
        use: tuple[str, ...] | None = None,
        idf: bool = False,
        normalise: Normalise = "none",
        feature_weight: float = 1.0,
    ) -> None:
        if not feature_weight > 0:
            raise ValueError(f"feature_weight must be above 0, got {feature_weight}")
        if regularization != "choose" and not regularization > 0:
            raise ValueError(f"regularization must be above 0, got {regularization}")
        self.regularization = regularization
        self.chooses_on_validation = regularization == "choose"
        self.use = use
        self.idf = idf
        self.normalise: Normalise = normalise
        self.feature_weight = feature_weight
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Solves; nothing is drawn.

        Raises:
            ConfigError: the items have no attributes.
        """
        if validation is not None and self.regularization == "choose":
            fitted = self.fit_folds([Fold(train, validation, validation)], seed)[0]
            self.__dict__.update({k: v for k, v in vars(fitted).items() if k.startswith("_")})
            return
        features = item_features(
            train, use=self.use, idf=self.idf, normalise=self.normalise, feature_weight=self.feature_weight
        )
        _refuse_none(features)
        chosen = features[train.candidates.numpy().nonzero()[0]]
        regularization = WITHOUT_CHOICE if self.regularization == "choose" else self.regularization
        self._mean = np.asarray(chosen.mean(axis=0)).ravel()  # [A]
        own = _fast(chosen)
        square = _dense(own.T @ own)
        gram = square - chosen.shape[0] * np.outer(self._mean, self._mean)
        factor = linalg.cho_factor(gram + regularization * np.eye(len(gram)))
        self._features = _fast(features)
        self._solved = linalg.cho_solve(factor, features.toarray().T).T  # [I, A], x_j (X'X + r)^-1 with X centred

    def fit_folds(self, folds: Sequence[Fold], seed: int) -> "list[Any]":
        """One model for each fold; a regularization that is to be chosen is the best one on all held-out users."""

        def fit(regularization: float, fold: Fold) -> ContentRidge:
            model = copy.copy(self)
            model.regularization = regularization
            model.fit(fold.train, None, seed)
            return model

        if self.regularization != "choose":
            return [fit(self.regularization, fold) for fold in folds]
        best, models = best_value(REGULARIZATIONS, fit, folds, lambda fold: fold.test, seed)
        self.best_params = {"regularization": best}
        return models

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32; all 0 for a user of whom no item is known."""
        history = histories(users, self._features.shape[0])
        taste = _dense(history @ self._features) - np.outer(history.sum(axis=1), self._mean)  # [B, A], y_u X
        return as_scores(taste @ self._solved.T)


class ContentKNN:
    """The mean similarity of an item's attributes and features to those of the items that a user chose.

    Source: Pazzani, Billsus, Content-Based Recommendation Systems, The Adaptive Web (2007), section 10.3.2: the cosine
        of a user profile and an item, where the profile is the mean of the vectors of the chosen items.
    Shapes: users B, items I -> scores [B, I].

    Args:
        use: names of attributes and features; None for all.
        idf: a value counts by the logarithm of its rarity.
        feature_weight: what each feature (words, a picture) counts against attribute values of length 1; above 0.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = False
    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {"idf": Choice((False, True)), "feature_weight": Log(0.1, 10)}

    def __init__(self, *, use: tuple[str, ...] | None = None, idf: bool = True, feature_weight: float = 1.0) -> None:
        if not feature_weight > 0:
            raise ValueError(f"feature_weight must be above 0, got {feature_weight}")
        self.use = use
        self.idf = idf
        self.feature_weight = feature_weight
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Keeps the items' vectors; nothing is chosen and nothing is drawn.

        Raises:
            ConfigError: the items have no attributes.
        """
        features = item_features(
            train, use=self.use, idf=self.idf, normalise="length", feature_weight=self.feature_weight
        )
        _refuse_none(features)
        length = np.sqrt((features * features).sum(axis=1))
        self._features = _fast(sparse.csr_array(features.multiply(1 / np.where(length > 0, length, 1)[:, None])))

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, from 0 to 1; all 0 for a user of whom no item is known."""
        history = histories(users, self._features.shape[0])
        count = np.maximum(np.asarray(history.sum(axis=1)).ravel(), 1)
        return as_scores(_dense(history @ self._features @ self._features.T) / count[:, None])


def _fast(features: Matrix) -> Any:
    """The same numbers, dense where most are not 0: products are faster then."""
    return features.toarray() if features.nnz > DENSE * features.shape[0] * features.shape[1] else features


def _dense(product: Any) -> np.ndarray:
    found: np.ndarray = product if isinstance(product, np.ndarray) else product.toarray()
    return found


def _refuse_none(features: Matrix) -> None:
    if features.shape[1] == 0:
        raise ConfigError(
            "the items have neither attributes nor features, by which the model scores; name some, or take another"
        )
