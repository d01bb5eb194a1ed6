"""Paired differences between two models on the same users: bootstrap intervals, p-values, effect sizes, Holm."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """How much better one model does than another on the same users.

    Attributes:
        mean: difference of the metric, averaged over runs.
        low: lower end of the 95 % interval.
        high: upper end of the 95 % interval.
        p_value: two-sided; probability of a difference at least this large if there were none.
        effect_size: mean of the users' differences over their standard deviation (Cohen's d_z, that of paired values);
            None where it has none, because every user differs alike.
        effect_low: lower end of its 95 % interval.
        effect_high: upper end of its 95 % interval.
        users: distinct users.
    """

    mean: float
    low: float
    high: float
    p_value: float
    effect_size: float | None
    effect_low: float | None
    effect_high: float | None
    users: int


def paired_bootstrap(
    first: Floats, second: Floats, weight: Floats, *, root: bool = False, resamples: int = 10_000, seed: int = 0
) -> Difference:
    """Difference of two models, first minus second, with what chance in the choice of users alone would make of it.

    A run's metric is sum / weight over its users, and the difference is averaged over runs (seeds or folds). Runs that
    share users are one block. Users are drawn with replacement within their block, each together with all of its runs:
    with folds, which share no user, each fold keeps its size; with several seeds on the same test users, one user
    counts once, however often it was measured.

    Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, sections 13.3 (percentile interval) and 16.4
    (test by shifting the differences to zero). Ours draws users within blocks, as said above; p is never 0.

    Args:
        first: [U, R] sum of the first model's values of each user in each run: the metric itself with weight 1, or for
            rmse and mae the sum of errors with the number of ratings as weight.
        second: [U, R] the same of the second model.
        weight: [U, R] at least 0; 0 where the user is not in the run.
        root: take the root of each run's mean (rmse).
        resamples: draws of the bootstrap.
        seed: of the draws.

    Returns:
        Mean and effect size with 95 % intervals, and a two-sided p-value.

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
    there = weight.sum(1) > 0
    first, second, weight = first[there], second[there], weight[there]
    per_user = (first - second).sum(1) / weight.sum(1)  # [U]
    drawn, effects = [], []
    for counts in _draws(_blocks(weight), resamples, seed):
        drawn.append(_difference(counts, first, second, weight, root))
        effects.append(_effect_size(counts, per_user))
    difference, effect = np.concatenate(drawn), np.concatenate(effects)
    difference = difference[np.isfinite(difference)]  # a draw may miss all users of a small run
    once = np.ones((1, len(weight)))
    mean, effect_size = float(_difference(once, first, second, weight, root)[0]), float(_effect_size(once, per_user)[0])
    low, high = np.quantile(difference, [0.025, 0.975])
    effect_low, effect_high = np.quantile(effect, [0.025, 0.975], method="nearest")  # some may be infinite
    # The slack keeps rounding from deciding whether a draw is as far away as the mean itself.
    beyond = np.abs(difference - mean) >= abs(mean) * (1 - 1e-9) - 1e-15
    return Difference(
        mean=mean,
        low=float(low),
        high=float(high),
        p_value=float((1 + beyond.sum()) / (1 + len(difference))),
        effect_size=_finite(effect_size),
        effect_low=_finite(effect_low),
        effect_high=_finite(effect_high),
        users=len(weight),
    )


def gap_between_groups(groups: Sequence[Floats], resamples: int = 10_000, seed: int = 0) -> tuple[float, float, float]:
    """How far the groups with the best and the worst mean lie apart, and a 95 % interval of it.

    Users are drawn with replacement within their group. The largest difference of several noisy means is above 0 also
    where all groups are served alike, and the more so the more groups there are and the smaller they are: the interval
    is of the gap as it was measured, and its distance to 0 proves nothing.

    Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3, the percentile interval.

    Args:
        groups: the values of each group's users, [U'] each, at least one user in each.
        resamples: draws of the bootstrap.
        seed: of the draws.

    Returns:
        The gap, and the ends of its 95 % interval.

    Example:
        >>> gap_between_groups([np.array([0.5, 0.5]), np.array([0.25])])
        (0.25, 0.25, 0.25)
    """
    random = np.random.default_rng(seed)
    means = np.empty((len(groups), resamples))
    for place, values in enumerate(groups):
        for start in range(0, resamples, size := max(1, 4_000_000 // len(values))):
            drawn = random.integers(len(values), size=(min(size, resamples - start), len(values)))
            means[place, start : start + size] = values[drawn].mean(1)
    gaps = means.max(0) - means.min(0)
    own = [float(values.mean()) for values in groups]
    low, high = np.quantile(gaps, [0.025, 0.975])
    return max(own) - min(own), float(low), float(high)


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


def _blocks(weight: Floats) -> list[NDArray[np.int64]]:
    """The users of each block: of runs that are linked by users whom they share."""
    seen = csr_array((weight > 0).astype(np.int64))  # [U, R]
    number, block_of_run = connected_components(seen.T @ seen, directed=False)
    block_of_user = block_of_run[(weight > 0).argmax(1)]
    return [np.flatnonzero(block_of_user == block) for block in range(number)]


def _draws(blocks: list[NDArray[np.int64]], resamples: int, seed: int) -> Iterator[Floats]:
    """[D, U] how often each user is drawn, for some of the resamples at a time: 32 MB of counts."""
    for counts in _counted(tuple(block.tobytes() for block in blocks), resamples, seed):
        yield counts.astype(np.float64)


@functools.lru_cache(maxsize=2)
def _counted(blocks: tuple[bytes, ...], resamples: int, seed: int) -> tuple[NDArray[np.uint16], ...]:
    """The draws, kept for the next pair of models on the same users: drawing takes most of the time."""
    users_of = [np.frombuffer(block, dtype=np.int64) for block in blocks]
    random = np.random.default_rng(seed)
    users = sum(len(block) for block in users_of)
    size = max(1, 4_000_000 // users)
    kept = []
    for start in range(0, resamples, size):
        number = min(size, resamples - start)
        counts = np.empty((number, users), dtype=np.uint16)
        for block in users_of:
            drawn = random.integers(len(block), size=(number, len(block))) + len(block) * np.arange(number)[:, None]
            counts[:, block] = np.bincount(drawn.ravel(), minlength=number * len(block)).reshape(number, -1)
        kept.append(counts)
    return tuple(kept)


def _difference(counts: Floats, first: Floats, second: Floats, weight: Floats, root: bool) -> Floats:
    """[D] the difference, averaged over runs; not finite where a run has no user in the draw."""
    with np.errstate(invalid="ignore", divide="ignore"):
        total = counts @ weight  # [D, R]
        a, b = counts @ first / total, counts @ second / total
    difference: Floats = ((a**0.5 - b**0.5) if root else (a - b)).mean(1)
    return difference


def _effect_size(counts: Floats, per_user: Floats) -> Floats:
    """[D] mean over standard deviation of the drawn users' differences; infinite where these are alike and not 0."""
    users = len(per_user)
    centre = per_user.mean()
    mean = counts @ (per_user - centre) / users  # around the centre, so that squares do not cancel
    variance = counts @ (per_user - centre) ** 2 / users - mean**2
    spread = np.sqrt(variance.clip(min=0) * users / max(users - 1, 1))
    spread[spread <= 1e-9 * np.abs(per_user).max()] = 0
    mean += centre
    with np.errstate(invalid="ignore", divide="ignore"):
        effect: Floats = np.where((mean == 0) & (spread == 0), 0.0, mean / spread)
    return effect


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
