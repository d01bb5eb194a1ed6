"""Paired differences between two models on the same users: bootstrap intervals, p-values, effect sizes, Holm."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """How much better one model does than another on the same users.

    Attributes:
        mean: difference of the metric, averaged over runs.
        low: lower end of the 95 % interval.
        high: upper end of the 95 % interval.
        p_value: two-sided; probability of a difference at least this large if there were none.
        effect_size: mean of the users' differences over their standard deviation (Cohen's d of paired values); None
            where it has none, because every user differs alike.
        users: distinct users.
    """

    mean: float
    low: float
    high: float
    p_value: float
    effect_size: float | None
    users: int


def paired_bootstrap(
    first: Floats, second: Floats, weight: Floats, *, root: bool = False, resamples: int = 10_000, seed: int = 0
) -> Difference:
    """Difference of two models, first minus second, with what chance in the choice of users alone would make of it.

    A run's metric is sum / weight over its users, and the difference is averaged over runs (seeds or folds). Users are
    drawn with replacement, each together with all of its runs: with folds, which share no user, runs are independent
    blocks; with several seeds on the same test users, one user counts once, however often it was measured.

    Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, sections 13.3 (percentile interval) and 16.4
    (test by shifting the differences to zero). Ours draws users once for all runs, as said above; p is never 0.

    Args:
        first: [U, R] sum of the first model's values of each user in each run: the metric itself with weight 1, or for
            rmse and mae the sum of errors with the number of ratings as weight.
        second: [U, R] the same of the second model.
        weight: [U, R] at least 0; 0 where the user is not in the run.
        root: take the root of each run's mean (rmse).
        resamples: draws of the bootstrap.
        seed: of the draws.

    Returns:
        Mean, 95 % interval, two-sided p-value and effect size.

    Raises:
        ValueError: the shapes differ, or a run has no user.

    Example:
        >>> half = paired_bootstrap(np.array([[0.6], [0.7]]), np.array([[0.1], [0.2]]), np.ones((2, 1)))
        >>> round(half.mean, 6), round(half.low, 6), round(half.high, 6)
        (0.5, 0.5, 0.5)
    """
    if not first.shape == second.shape == weight.shape:
        raise ValueError(f"first {first.shape}, second {second.shape} and weight {weight.shape} must have one shape")
    if not (weight.sum(0) > 0).all():
        raise ValueError("a run has no user")
    users = len(weight)
    random = np.random.default_rng(seed)
    block = max(1, 4_000_000 // users)  # resamples at once: 32 MB of counts
    drawn = np.concatenate(
        [
            _difference(_counts(random, min(block, resamples - start), users), first, second, weight, root)
            for start in range(0, resamples, block)
        ]
    )
    drawn = drawn[np.isfinite(drawn)]  # a draw may miss all users of a small run
    mean = float(_difference(np.ones((1, users)), first, second, weight, root)[0])
    low, high = np.quantile(drawn, [0.025, 0.975])
    # The slack keeps rounding from deciding whether a draw is as far away as the mean itself.
    beyond = np.abs(drawn - mean) >= abs(mean) * (1 - 1e-9) - 1e-15
    return Difference(
        mean=mean,
        low=float(low),
        high=float(high),
        p_value=float((1 + beyond.sum()) / (1 + len(drawn))),
        effect_size=_effect_size((first - second).sum(1) / weight.sum(1)),
        users=users,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for how many there are, so that the chance of any false finding stays below the level.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979.

    Args:
        p_values: of all comparisons that are read together.

    Returns:
        The corrected p-values in the same order, at most 1: the smallest times n, the next times n - 1 ..., none
        smaller than the one before it.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1)
    return [float(p) for p in corrected]


def _counts(random: np.random.Generator, resamples: int, users: int) -> Floats:
    """[resamples, U] how often each user is drawn."""
    drawn = random.integers(users, size=(resamples, users)) + users * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * users).reshape(resamples, users).astype(np.float64)


def _difference(counts: Floats, first: Floats, second: Floats, weight: Floats, root: bool) -> Floats:
    """[resamples] the difference, averaged over runs; not finite where a run has no user in the draw."""
    with np.errstate(invalid="ignore", divide="ignore"):
        total = counts @ weight  # [resamples, R]
        a, b = counts @ first / total, counts @ second / total
    difference: Floats = ((a**0.5 - b**0.5) if root else (a - b)).mean(1)
    return difference


def _effect_size(difference: Floats) -> float | None:
    spread = difference.std(ddof=1) if len(difference) > 1 else 0.0
    if spread <= 1e-12 * np.abs(difference).max():
        return 0.0 if not difference.any() else None
    return float(difference.mean() / spread)
