"""Clipping and noise of sums over users."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from gnnrec.privacy.sums import clip_rows, generator, noisy_products


def rows(seed, number, width, scale=3.0):
    return sparse.csr_array(np.random.default_rng(seed).normal(size=(number, width)) * scale)


def test_rows_are_scaled_down_to_the_bound_and_never_up():
    clipped = clip_rows(sparse.csr_array(np.array([[0.0, 6.0, 8.0], [0.3, 0.4, 0.0], [0.0, 0.0, 0.0]])), 5.0)
    assert clipped.toarray().tolist() == [[0.0, 3.0, 4.0], [0.3, 0.4, 0.0], [0.0, 0.0, 0.0]]


def test_entries_that_stand_there_twice_are_added_before_they_are_clipped():
    """Two entries of 3 are one of 6: taken apart, their norm would be sqrt(18) < 6."""
    twice = sparse.csr_array((np.array([3.0, 3.0]), np.array([1, 1]), np.array([0, 2])), shape=(1, 2))
    assert clip_rows(twice, 1.0).toarray().tolist() == [[0.0, 1.0]]


def test_without_noise_the_sum_is_that_of_the_outer_products():
    left, right = rows(3, 5, 2), rows(4, 5, 3)
    expected = np.zeros((2, 3))
    for a, b in zip(left.toarray(), right.toarray(), strict=True):
        expected += np.outer(a / max(1, np.linalg.norm(a)), b / max(1, np.linalg.norm(b)))
    assert noisy_products(left, right, 0.0, np.random.default_rng(1)) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 6), st.floats(0.01, 1e6))
def test_no_user_changes_the_sum_by_more_than_1(seed, user, scale):
    """The sensitivity that the accountant is told, over users with numbers as large as one likes."""
    left, right = rows(seed, 7, 4, scale), rows(seed + 1, 7, 5, scale)
    others = np.delete(np.arange(7), user)
    both = [noisy_products(left[kept], right[kept], 2.0, np.random.default_rng(5)) for kept in (np.arange(7), others)]
    assert np.linalg.norm(both[0] - both[1]) <= 1 + 1e-9


def test_noise_has_the_deviation_that_it_is_given_in_every_entry():
    nobody = sparse.csr_array((0, 60)), sparse.csr_array((0, 70))
    noise = noisy_products(*nobody, 1.7, generator("seed", 3, "noise"))
    assert noise.shape == (60, 70)
    assert noise.std() == pytest.approx(1.7, rel=0.05)
    assert abs(noise.mean()) < 0.1


def test_noise_of_the_seed_can_be_drawn_again_and_noise_of_the_system_cannot():
    draws = [generator(source, 3, "noise").random() for source in ("seed", "seed", "system", "system")]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 3
    assert generator("seed", 3, "another").random() != draws[0]
