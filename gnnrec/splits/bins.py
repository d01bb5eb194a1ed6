"""Bins and knots of a numeric attribute: where they are, fitted on training users, and a name for each."""

import itertools

import numpy as np


def bin_number(number: np.ndarray, bounds: tuple[float, ...]) -> np.ndarray:
    """[E] int64 bin of each number; a number equal to a bound is in the bin above it. `len(bounds) + 1` bins.

    Example:
        >>> bin_number(np.array([17.0, 18.0, 99.0]), (18.0, 25.0))
        array([0, 1, 2])
    """
    return np.searchsorted(np.asarray(bounds), number, side="right").astype(np.int64)


def fit_bounds(number: np.ndarray, bins: int) -> tuple[float, ...]:
    """Inner bounds of `bins` quantile bins; fewer where values repeat.

    Example:
        >>> fit_bounds(np.array([1.0, 2.0, 3.0, 4.0]), 2)
        (2.5,)
    """
    if len(number) == 0:
        return ()
    inner = np.quantile(number, np.linspace(0, 1, bins + 1)[1:-1])
    return tuple(float(bound) for bound in np.unique(inner) if bound > number.min())


def bin_labels(bounds: tuple[float, ...]) -> list[str]:
    """A name for each bin.

    Example:
        >>> bin_labels((18.0, 25.0))
        ['below 18', '18 to 25', '25 and above']
    """
    if not bounds:
        return ["any"]
    short = [f"{bound:g}" for bound in bounds]
    names = short if len(set(short)) == len(bounds) else [repr(float(bound)) for bound in bounds]
    middle = [f"{low} to {high}" for low, high in itertools.pairwise(names)]
    return [f"below {names[0]}", *middle, f"{names[-1]} and above"]


def fit_knots(number: np.ndarray, inner: int) -> tuple[float, ...]:
    """Ascending knots: `inner` quantiles, and one at either end that leaves out a hundredth; fewer where values repeat.

    Example:
        >>> fit_knots(np.arange(101.0), 1)
        (1.0, 50.0, 99.0)
    """
    if len(number) == 0:
        return ()
    shares = np.r_[0.01, np.arange(1, inner + 1) / (inner + 1), 0.99]
    return tuple(float(knot) for knot in np.unique(np.quantile(number, shares)))


def to_knots(number: np.ndarray, knots: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The knots below and above each number, weighted by nearness; beyond the ends, the first or the last one alone.

    The mean of the values at both, with these weights, is a line with bends at the knots.

    Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning (2009), appendix of
        chapter 5: B-splines of order 2.

    Returns:
        [N, 2] int64 knots, and [N, 2] float32 weights, 1 together, of which the second may be 0; no row where there is
        no knot.

    Example:
        >>> knot, weight = to_knots(np.array([0.0, 20.0, 25.0]), (10.0, 20.0, 40.0))
        >>> knot.tolist(), weight.tolist()
        ([[0, 1], [1, 2], [1, 2]], [[1.0, 0.0], [1.0, 0.0], [0.75, 0.25]])
    """
    if not knots:  # nobody in training has a number
        return np.empty((0, 2), np.int64), np.empty((0, 2), np.float32)
    place = np.interp(number, np.asarray(knots), np.arange(len(knots)))
    below = np.floor(place).astype(np.int64)
    knot = np.stack([below, np.minimum(below + 1, len(knots) - 1)], axis=1)
    return knot, np.stack([1 - (place - below), place - below], axis=1).astype(np.float32)


def knot_labels(knots: tuple[float, ...]) -> list[str]:
    """A name for each knot.

    Example:
        >>> knot_labels((18.0, 25.0))
        ['near 18', 'near 25']
    """
    short = [f"{knot:g}" for knot in knots]
    return [f"near {name}" for name in (short if len(set(short)) == len(knots) else map(repr, knots))]
