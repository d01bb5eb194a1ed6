"""LightFM: a user is the sum of the vectors of its attribute values, fitted by a ranking loss."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from scipy import sparse
from torch import Tensor

from gnnrec.errors import ConfigError, TrainingError
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
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
    training_rows,
)
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.options.search_space import Choice, Integer, Log, SearchSpace
from gnnrec.runtime import seeds
from gnnrec.views import TestSet, TrainingData, UserBatch


@dataclass(frozen=True)
class _State:
    """What scoring needs, copied, because further epochs change the library's arrays in place."""

    feature_vectors: np.ndarray  # [A (+ U), D]
    item_vectors: np.ndarray  # [I, D]
    item_biases: np.ndarray  # [I]


class LightFM:
    """A factorization of the interactions in which users are sums of the vectors of their attribute values.

    The number of epochs is chosen by NDCG@10 of the validation users.

    Source: Kula, Metadata Embeddings for User and Item Cold-start Recommendations, CBRecSys 2015, equation 1; library
        lightfm-next. Differs: unless `item_attributes` is set, items have a vector each and no attributes; the users'
        bias, which does not change any order, is left out of the scores.
    Shapes: users B, attribute values A -> vectors [B, D] -> scores [B, I].

    Args:
        loss: `warp`, `bpr` or `logistic`, as in the library.
        factors: D, at least 1.
        learning_rate: step size of Adagrad; above 0.
        regularization: weight of the squared vectors; at least 0.
        epochs: passes over the interactions, at least 1; with validation users the most that are tried.
        patience: epochs without a better validation value after which the search ends; at least 1.
        identity: also a vector of its own for each training user. An unseen user has none.
        friends: also a feature for each training user, 1 where the user has an edge to them.
        item_attributes: an item is the sum of a vector of its own and those of its attribute values and features; one
            without interactions has none of its own.
        edge_weights: what an attribute edge counts: 1, log(1 + its weight), or its weight.
        idf: a value counts by the logarithm of its rarity.
        normalise: what a user's features are divided by: nothing, their sum, or their Euclidean length.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    log_scores = True
    chooses_on_validation = True
    search_space: ClassVar[SearchSpace] = {
        "loss": Choice(("warp", "bpr")),
        "factors": Integer(8, 128, log=True),
        "learning_rate": Log(0.005, 0.2),
        "regularization": Choice((0.0, 1e-6, 1e-5, 1e-4)),
        **FEATURES,
    }

    def __init__(
        self,
        *,
        loss: Literal["warp", "bpr", "logistic"] = "warp",
        factors: int = 64,
        learning_rate: float = 0.05,
        regularization: float = 0.0,
        epochs: int = 30,
        patience: int = 5,
        identity: bool = False,
        friends: bool = False,
        item_attributes: bool = False,
        edge_weights: EdgeWeights = "ignore",
        idf: bool = False,
        normalise: Normalise = "sum",
    ) -> None:
        for name, count in (("factors", factors), ("epochs", epochs), ("patience", patience)):
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        if not learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {learning_rate}")
        if not regularization >= 0:
            raise ValueError(f"regularization must be at least 0, got {regularization}")
        self.loss = loss
        self.factors = factors
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.epochs = epochs
        self.patience = patience
        self.identity = identity
        self.friends = friends
        self.item_attributes = item_attributes
        self.edge_weights: EdgeWeights = edge_weights
        self.idf = idf
        self.normalise: Normalise = normalise
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Runs `epochs` epochs on one thread, or, with validation users, chooses how many and keeps the best.

        Raises:
            ConfigError: the library lightfm-next is not installed.
            TrainingError: the vectors are not finite.
        """
        try:
            import lightfm
        except ImportError as error:
            raise ConfigError(f"LightFM needs lightfm-next: pip install 'gnnrec[mf]' ({error})") from error

        self._train = train
        self._attributes = UserFeatures(
            train,
            friends=self.friends,
            edge_weights=self.edge_weights,
            idf=self.idf,
            normalise=self.normalise,
        )
        model = lightfm.LightFM(
            no_components=self.factors,
            loss=self.loss,
            learning_rate=self.learning_rate,
            item_alpha=self.regularization,
            user_alpha=self.regularization,
            random_state=np.random.RandomState(seeds.integer(seed, "lightfm") % 2**32),
        )
        interactions = as_csr_matrix(histories(train.users, train.num_items)).tocoo()
        features = as_csr_matrix(self._features(train.users))
        of_items = _item_matrix(train) if self.item_attributes else None
        if validation is not None and not len(HeldOutNDCG(validation, validation.candidates(train), seed).prepared[0]):
            validation = None  # nobody to choose on: none of them has chosen an item that is ranked
        self.best_params = {}
        best, best_epoch = -1.0, 0
        ndcg = EvaluateConfig(metrics=["ndcg"], at=[10])
        for epoch in range(1, self.epochs + 1):
            try:
                model.fit_partial(interactions, user_features=features, item_features=of_items, epochs=1, num_threads=1)
            except ValueError as error:
                raise TrainingError(f"LightFM: {error} (epoch {epoch}; learning_rate {self.learning_rate})") from error
            items, biases = model.item_embeddings.copy(), model.item_biases.copy()
            if of_items is not None:
                items, biases = of_items @ items, of_items @ biases
            self._state = _State(model.user_embeddings.copy(), items, biases)
            if validation is None:
                continue
            value = evaluate(self, validation, validation.candidates(train), ndcg, seed).metrics["ndcg@10"] or 0.0
            if value > best:
                best, best_epoch, best_state = value, epoch, self._state
            elif epoch - best_epoch >= self.patience:
                break
        if validation is not None:
            self._state = best_state
            self.best_params = {"epochs": best_epoch}

    def _features(self, users: UserBatch) -> Matrix:
        """[B, A], or [B, A + U] where each training user has a vector of its own."""
        attributes = self._attributes(users)
        if not self.identity:
            return attributes
        row = training_rows(users, self._train)
        known = np.flatnonzero(row >= 0)
        shape = (len(users), self._train.num_users)
        own = sparse.csr_array((np.ones(len(known)), (known, row[known])), shape=shape)
        return sparse.csr_array(sparse.hstack([attributes, own]))

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, of which only the order means something."""
        vectors = self._features(users) @ self._state.feature_vectors  # [B, D]
        return as_scores(vectors @ self._state.item_vectors.T + self._state.item_biases)


def _item_matrix(train: TrainingData) -> Any:
    """[I, I + A], a 1 for an item's own vector, where it has interactions, then its attributes and features."""
    own = sparse.diags_array((train.popularity.numpy() > 0).astype(np.float64))
    return as_csr_matrix(sparse.csr_array(sparse.hstack([own, item_features(train, normalise="sum")])))
