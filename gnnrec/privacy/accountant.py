"""What a sequence of noisy sums costs in privacy, and the noise that a budget asks for."""

import functools
import warnings
from typing import Any, NamedTuple

from scipy.optimize import brentq

from gnnrec.errors import ConfigError

ACCOUNTANT = "PRV"
"""Numerical composition of privacy loss random variables."""
_FIRST, _LEAST, _MOST = 16.0, 0.2, 1e4  # noise multipliers that are tried
_CLOSE = 5e-3  # how close to the budget the noise is calibrated, relative to the noise


class Release(NamedTuple):
    """Sums that are released, each of contributions of whole users of Euclidean norm at most 1, with Gaussian noise."""

    noise_multiplier: float
    """Standard deviation of the noise in each number of a sum."""
    sample_rate: float = 1.0
    """Probability with which each user is in a sum, independently of all others and in each sum anew."""
    steps: int = 1
    """Number of sums."""


@functools.cache
def spent(releases: tuple[Release, ...], delta: float) -> float:
    """The epsilon for which all releases together are (epsilon, delta)-differentially private.

    Neighbouring are two sets of users of which one has one user more, with everything that belongs to it.

    Source: Gopi, Lee, Wutschitz, "Numerical Composition of Differential Privacy", NeurIPS 2021, as implemented by
        Opacus (`PRVAccountant`); the result is its upper bound, which lies up to 0.01 above the best estimate.

    Args:
        releases: what is released, in any order; each may depend on the results of those before it.
        delta: above 0 and below 1.

    Raises:
        ConfigError: Opacus is not installed.
    """
    accountant = _prv()
    accountant.history = [tuple(release) for release in releases]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tries orders and takes logarithms of 0 on the way
        return float(accountant.get_epsilon(delta))


@functools.cache
def calibrated(
    epsilon: float, delta: float, rate: float = 1.0, steps: int = 1, before: tuple[Release, ...] = ()
) -> float:
    """The least noise multiplier with which some steps stay within a budget, found by bisection.

    Args:
        epsilon: of the budget, above 0.
        delta: of the budget.
        rate: sample rate of the steps.
        steps: how many there are.
        before: what is released besides, from the same budget.

    Returns:
        A multiplier with which all releases cost at most `epsilon`, no more than a hundredth above the least one.

    Raises:
        ConfigError: no noise is enough, or Opacus is not installed.
    """

    def excess(noise: float) -> float:
        return spent((*before, Release(noise, rate, steps)), delta) - epsilon

    low = high = _FIRST
    while excess(high) > 0:
        if high > _MOST:
            raise ConfigError(
                f"epsilon: {epsilon:g} at delta {delta:g} cannot be met by {steps} steps with noise {_MOST:g}; "
                "raise it, or take fewer steps"
            )
        low, high = high, high * 2
    while low == high or excess(low) <= 0:  # from above: with little noise, accounting takes long
        if low < _LEAST:
            return low
        high, low = low, low / 2
    found = float(brentq(excess, low, high, rtol=_CLOSE))
    while excess(found) > 0:
        found *= 1 + _CLOSE
    return found


def _prv() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries that it brings, about their own versions
            from opacus.accountants import PRVAccountant
    except ImportError as error:
        raise ConfigError("epsilon: needs Opacus for its accountant; pip install 'gnnrec[privacy]'") from error
    return PRVAccountant()
