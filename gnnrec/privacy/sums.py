"""Sums of clipped contributions of whole users, with Gaussian noise."""

import secrets
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import sparse

from gnnrec.graph.matrices import Matrix
from gnnrec.runtime import seeds

NoiseSource: TypeAlias = Literal["seed", "system"]
"""Where random numbers come from: the run's seed, so that the run can be repeated bit for bit, or the operating system,
so that nobody can draw the noise again. The guarantee holds against those who do not know the seed."""


def generator(source: NoiseSource, seed: int, stage: str) -> np.random.Generator:
    """Random numbers of one stage; the noise of two stages is independent.

    Args:
        source: see `NoiseSource`.
        seed: of the run.
        stage: its name.
    """
    if source == "seed":
        return seeds.numpy_generator(seed, stage)
    return np.random.default_rng(secrets.randbits(256))


def clip_rows(rows: Matrix, bound: float) -> Matrix:
    """Scales each row down to a Euclidean norm of at most `bound`; shorter ones stay.

    Args:
        rows: [U, N] float64, one row for each user; entries that stand there twice are added first.
        bound: above 0.

    Returns:
        [U, N] float64. A row depends on the same user's row alone.

    Example:
        >>> clip_rows(sparse.csr_array(np.array([[3.0, 4.0], [0.0, 0.5]])), 1.0).toarray()
        array([[0.6, 0.8],
               [0. , 0.5]])
    """
    rows = sparse.csr_array(rows)
    rows.sum_duplicates()
    norm = np.sqrt(np.asarray((rows * rows).sum(axis=1)))
    return sparse.csr_array(rows.multiply(np.minimum(1, bound / np.maximum(norm, 1e-300))[:, None]))


def noisy_products(left: Matrix, right: Matrix, noise_multiplier: float, random: np.random.Generator) -> Any:
    """The sum over users of the outer product of two rows of each, with Gaussian noise in every entry.

    Sensitivity. Both rows are clipped to a Euclidean norm of 1 here, each from its user's own values alone. The
    Frobenius norm of an outer product is the product of the norms of its factors, so it is at most 1. With a user more
    or less, the sum changes by that user's outer product and by nothing else, so the l2 sensitivity is at most 1, and
    the release is a Gaussian mechanism with this noise multiplier. Nothing else depends on the users: the shape comes
    from `N` and `M`, which are to be public.

    Source: Dwork, Talwar, Thakurta, Zhang, "Analyze Gauss", STOC 2014, Algorithm 1; Wang, "Revisiting differentially
        private linear regression", UAI 2018 (AdaSSP), for cross moments as sufficient statistics. Differs: one matrix
        of cross moments that is not symmetric, with independent noise in each entry.

    Args:
        left: [U, N] float64, a row for each user.
        right: [U, M] float64.
        noise_multiplier: standard deviation of the noise; 0 for none.
        random: draws the noise.

    Returns:
        [N, M] float64.
    """
    total = np.asarray((clip_rows(left, 1.0).T @ clip_rows(right, 1.0)).todense(), dtype=np.float64)
    return total + noise_multiplier * random.standard_normal(total.shape)
