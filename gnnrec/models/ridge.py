"""Ridge regression in closed form, for sparse features and many sparse targets."""

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import LinearOperator, cg

from gnnrec.errors import ConfigError
from gnnrec.graph.matrices import Matrix

LARGEST_SYSTEM = 8_000
"""Rows of the largest system that is solved densely: 0.5 GB, and about ten seconds on one core."""
MOST_TARGETS = 512
"""Targets that a larger system is solved for, one after the other, by conjugate gradients."""


class RidgeMap:
    """The linear map W, with an intercept, that minimises |Y - X W|^2 + regularization * |W|^2.

    Neither W ([A, T]) nor anything else of the size of the targets is ever made dense: a prediction is
    x (X'X + regularization I)^-1 times the sparse X'Y, or, where there are fewer rows than features,
    x X' (XX' + regularization I)^-1 times the sparse Y. Both are the same map. X and Y are centred without being
    made dense, so the intercept is not regularised. (scikit-learn's Ridge wants Y dense.)

    Where rows and features are both too many for a dense system, W itself is found by conjugate gradients, as long as
    there are few targets, such as the entries of a vector.

    Source: Hoerl and Kennard, Ridge regression, Technometrics 12 (1970), equation 2.1.
    Shapes: features [N, A], targets [N, T] -> features [B, A] -> predictions [B, T].

    Args:
        features: [N, A].
        targets: [N, T], sparse or dense.
        regularization: above 0.

    Raises:
        ConfigError: both N and A are too large for a dense solve, and T for conjugate gradients.
    """

    def __init__(self, features: Matrix, targets: "Matrix | np.ndarray", regularization: float) -> None:
        num_rows, num_features = features.shape
        size = min(num_rows, num_features)
        self._mean = np.asarray(features.mean(axis=0)).ravel()  # [A]
        self._target_mean = np.asarray(targets.mean(axis=0)).ravel()  # [T]
        self._coefficients: np.ndarray | None = None
        if size > LARGEST_SYSTEM and targets.shape[1] <= MOST_TARGETS:
            self._coefficients = self._by_conjugate_gradients(features, targets, regularization)
            return
        if size > LARGEST_SYSTEM:
            raise ConfigError(
                f"ridge regression of {num_rows} users on {num_features} attribute values needs a system of {size} "
                f"equations, at most {LARGEST_SYSTEM} are solved; use fewer attributes, or a rank where there is one"
            )
        self._primal = num_features <= num_rows
        self._features = features
        if self._primal:
            gram = (features.T @ features).toarray() - num_rows * np.outer(self._mean, self._mean)
            self._right = features.T @ targets  # [A, T]
        else:
            along_mean = features @ self._mean  # [N]
            gram = (features @ features.T).toarray() - along_mean[:, None] - along_mean + self._mean @ self._mean
            self._right = targets  # [N, T]
        gram[np.diag_indices(size)] += regularization
        self._factor = linalg.cho_factor(gram, overwrite_a=True) if size else None

    def _by_conjugate_gradients(
        self, features: Matrix, targets: "Matrix | np.ndarray", regularization: float
    ) -> np.ndarray:
        """[A, T], the map W."""
        num_rows, num_features = features.shape

        def gram(vector: np.ndarray) -> np.ndarray:
            centred = features @ vector - self._mean @ vector
            return np.asarray(features.T @ centred + regularization * vector)  # what is centred sums to zero

        system = LinearOperator((num_features, num_features), matvec=gram, dtype=np.float64)
        right = features.T @ targets
        right = (right.toarray() if sparse.issparse(right) else right) - num_rows * np.outer(
            self._mean, self._target_mean
        )
        solved = [cg(system, column, rtol=1e-8, maxiter=10 * num_rows) for column in right.T]
        assert not any(failed for _, failed in solved), "a positive definite system converges"
        return np.stack([column for column, _ in solved], axis=1)

    def __call__(self, features: Matrix) -> np.ndarray:
        """[B, T] float64 predictions."""
        if self._coefficients is not None:
            return np.asarray(features @ self._coefficients + self._target_mean - self._mean @ self._coefficients)
        if self._factor is None:
            return np.repeat(self._target_mean[None], features.shape[0], axis=0)
        if self._primal:
            centred = features.toarray() - self._mean  # [B, A]
        else:
            centred = (
                (features @ self._features.T).toarray()
                - (features @ self._mean)[:, None]
                - self._features @ self._mean
                + self._mean @ self._mean
            )  # [B, N]
        solved = linalg.cho_solve(self._factor, centred.T).T
        # What centring the targets takes away, without making them dense.
        total = self._features.shape[0] * (solved @ self._mean) if self._primal else solved.sum(axis=1)
        return np.asarray(solved @ self._right + np.outer(1 - total, self._target_mean))


def as_matrix(dense: np.ndarray) -> Matrix:
    """A dense matrix in the form that RidgeMap takes."""
    return sparse.csr_array(dense)
