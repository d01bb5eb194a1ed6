"""What matrix factorizations share: the library implicit, and the vector of a user it has never seen."""

from typing import Any, Literal

import numpy as np

from gnnrec.errors import ConfigError, TrainingError
from gnnrec.graph.matrices import FEATURES, UserFeatures, as_csr_matrix, histories
from gnnrec.models.ridge import RidgeMap
from gnnrec.options.search_space import Log, SearchSpace, conditional
from gnnrec.runtime import seeds
from gnnrec.views import TrainingData, UserBatch

Cold = Literal["none", "mean", "attribute_map"]
"""The vector of a user without one of its own: none, so that unseen users cannot be scored; the mean of the training
users' vectors; or a ridge regression from attribute values to vectors."""
OF_MAP: SearchSpace = conditional({"map_regularization": Log(0.1, 300), **FEATURES}, {"cold": "attribute_map"})
"""What a search may try of the options of `attribute_map`."""


class ColdVectors:
    """The vectors of users who have none of their own.

    Attributes:
        learned: [U] bool, the training users whose vector was fitted to data: those with any interaction.
        mean: [D] float32, the mean of their vectors.
    """

    def __init__(
        self, cold: Cold, train: TrainingData, vectors: np.ndarray, features: UserFeatures, regularization: float
    ) -> None:
        self.learned = np.bincount(train.users.items.row.numpy(), minlength=train.num_users) > 0
        self.mean = vectors[self.learned].mean(axis=0)
        self._cold = np.zeros_like(self.mean) if cold == "none" else self.mean
        self._features = features
        self._map = None
        if cold == "attribute_map":
            row = np.flatnonzero(self.learned)
            self._map = RidgeMap(features(train.users)[row], vectors[row].astype(np.float64), regularization)

    def __call__(self, users: UserBatch) -> np.ndarray:
        """[B, D] float64, one vector per user, whether or not it has one of its own."""
        if self._map is None:
            return np.repeat(self._cold[None].astype(np.float64), len(users), axis=0)
        return self._map(self._features(users))


def library_model(module: Literal["als", "bpr"], name: str, options: dict[str, Any], **further: Any) -> Any:
    """A model of implicit that computes with one thread: with several, two runs of BPR differ.

    Raises:
        ConfigError: the library is not installed.
    """
    try:
        import implicit.cpu.als
        import implicit.cpu.bpr
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError(f"{name} needs the library implicit: pip install 'gnnrec[mf]' ({error})") from error

    # implicit asks for a BLAS of one thread, being several times slower otherwise, and warns where there is another.
    with threadpool_limits(1, "blas"):
        return getattr(getattr(implicit.cpu, module), name)(**options, num_threads=1, **further)


def fit_library(
    module: Literal["als", "bpr"], name: str, options: dict[str, Any], train: TrainingData, seed: int
) -> Any:
    """A fitted model of implicit.

    Raises:
        ConfigError: the library is not installed.
        TrainingError: the vectors are not finite.
    """
    model = library_model(module, name, options, random_state=seeds.integer(seed, f"implicit {module}") % 2**32)
    from implicit.recommender_base import ModelFitError
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        try:
            model.fit(as_csr_matrix(histories(train.users, train.num_items)), show_progress=False)
        except ModelFitError as error:
            raise TrainingError(f"{name} with {options}: {error}; raise its regularization") from error
    return model


def check_at_least_1(**options: int) -> None:
    """Raises ValueError, naming the option that is out of range."""
    for name, value in options.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def check_above_0(**options: float) -> None:
    """Raises ValueError, naming the option that is out of range."""
    for name, value in options.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")
