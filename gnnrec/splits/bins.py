"""Bins of a numeric attribute: their bounds, fitted on training users, and a name for each."""

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
