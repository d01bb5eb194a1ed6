"""The accountant against closed forms that it does not use, and calibration against the accountant."""

import math

import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from gnnrec.errors import ConfigError
from gnnrec.privacy.accountant import Release, calibrated, spent


def gaussian_epsilon(noise, delta):
    """Balle and Wang, ICML 2018, theorem 8: the exact epsilon of one Gaussian mechanism of sensitivity 1."""

    def excess(epsilon):
        a, b = 1 / (2 * noise), epsilon * noise
        return norm.cdf(a - b) - math.exp(epsilon) * norm.cdf(-a - b) - delta

    return brentq(excess, 0, 200)


@pytest.mark.parametrize(("noise", "delta"), [(0.7, 1e-5), (1.2, 1e-6), (4.0, 1e-6)])
def test_one_sum_costs_what_the_closed_form_says(noise, delta):
    exact = gaussian_epsilon(noise, delta)
    assert exact <= spent((Release(noise),), delta) <= exact + 0.03


def test_several_sums_cost_as_one_with_less_noise():
    """Four Gaussian mechanisms with noise 2 are one with noise 2 / sqrt(4) = 1."""
    assert spent((Release(2.0, steps=3), Release(2.0)), 1e-6) == pytest.approx(gaussian_epsilon(1.0, 1e-6), abs=0.03)


def test_sampling_costs_less_than_everybody_and_more_than_nobody():
    everybody, tenth = Release(1.0, 1.0, 10), Release(1.0, 0.1, 10)
    assert 0.1 < spent((tenth,), 1e-6) < 0.6 * spent((everybody,), 1e-6)


@pytest.mark.parametrize("epsilon", [0.8, 3.0])
def test_calibrated_noise_just_meets_the_budget(epsilon):
    before = (Release(12.0 / epsilon),)
    noise = calibrated(epsilon, 1e-5, 0.2, 7, before)
    assert 0.97 * epsilon < spent((*before, Release(noise, 0.2, 7)), 1e-5) <= epsilon
    assert calibrated(epsilon, 1e-5) == pytest.approx(
        brentq(lambda s: gaussian_epsilon(s, 1e-5) - epsilon, 0.1, 50), rel=0.02
    )


def test_a_budget_that_is_spent_already_is_refused_in_one_line():
    with pytest.raises(ConfigError, match=r"epsilon: 0\.5 at delta 1e-05 cannot be met by 5 steps") as raised:
        calibrated(0.5, 1e-5, 0.2, 5, (Release(0.8),))
    assert "\n" not in str(raised.value)
