"""Noisy moments by hand, and the closed form that follows from them."""

import math

import numpy as np
import pytest
import torch

from gnnrec.privacy.moments import Moments, choices, factors, log_popularity, log_ratios, profiles, release_moments
from gnnrec.views import Edges, UserBatch

CLUB, TAG = ("user", "club", "club"), ("user", "tag", "tag")
VALUES = {CLUB: 2, TAG: 3}


def edges(*pairs):
    return Edges(*torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T)


def users():
    """Three users: clubs 0, 1, 0; tags {0, 1}, {}, {2}; items {0}, {0, 1, 2, 3}, {1}."""
    items = edges((0, 0), (1, 0), (1, 1), (1, 2), (1, 3), (2, 1))
    relations = {CLUB: edges((0, 0), (1, 1), (2, 0)), TAG: edges((0, 0), (0, 1), (2, 2))}
    return UserBatch(torch.arange(3), items, relations)


def test_without_noise_moments_are_counts_of_clipped_histories():
    """With a clip of 2, the four items of user 1 count sqrt(2 / 4) each; two tags of a user sqrt(1 / 2) each."""
    found = release_moments(users(), VALUES, 4, 2.0, 0.0, np.random.default_rng(3))
    half, root = math.sqrt(0.5), math.sqrt(0.5)
    assert found.popularity == pytest.approx([1 + half, 1 + half, half, half])
    assert found.chosen == pytest.approx(
        np.array([[1, 1, 0, 0], [half, half, half, half], [root, 0, 0, 0], [root, 0, 0, 0], [0, 1, 0, 0]])
    )
    assert found.share == pytest.approx([2 / 3, 1 / 3, root / 3, root / 3, 1 / 3])
    assert found.users == pytest.approx(3)
    assert found.noise == 0


def test_every_users_rows_are_at_most_of_length_1():
    several = UserBatch(
        torch.arange(1),
        edges(*((0, i) for i in range(9)), (0, 0)),
        {CLUB: edges((0, 0), (0, 1), (0, 1)), TAG: edges((0, 0), (0, 1), (0, 2))},
    )
    for batch in (users(), several):
        for rows in (profiles(batch, VALUES), choices(batch, 9, 2.0)):
            assert (np.sqrt((rows.toarray() ** 2).sum(1)) <= 1 + 1e-12).all()
    assert np.sqrt((profiles(several, VALUES).toarray() ** 2).sum()) == pytest.approx(1)  # and it is reached


def test_noise_is_in_the_unit_of_interactions():
    """1.5 sqrt(2 * 3 * 4): three parts of a profile, a clip of 4, and profile and choices side by side."""
    found = release_moments(users(), VALUES, 4000, 4.0, 1.5, np.random.default_rng(3))
    assert found.noise == pytest.approx(1.5 * math.sqrt(24))
    assert found.popularity[4:].std() == pytest.approx(found.noise, rel=0.05)
    assert found.chosen[:, 4:].std() == pytest.approx(found.noise, rel=0.03)


def test_popularity_below_the_noise_counts_as_half_of_it():
    assert np.exp(log_popularity(np.array([6.0, -9.0, 0.5]), 4.0)) == pytest.approx([0.6, 0.2, 0.2])


def test_a_ratio_is_shrunk_by_its_variance():
    """Half of the users have the value; 30 of 40 choices are theirs, where 20 are expected: half as many again.

    Without noise the variance is 20 / 20^2 = 1 / 20; with a prior variance of 1 / 20, half of .5 is left. Noise of 4 in
    both terms adds 16 (1 + 1 / 4) / 20^2 = 1 / 20, which leaves a third.
    """
    for noise, expected in ((0.0, 0.25), (4.0, 0.5 / 3)):
        moments = Moments(np.array([40.0]), np.array([[30.0]]), np.array([0.5]), 100.0, noise)
        assert log_ratios(moments, math.sqrt(1 / 20)) == pytest.approx(np.array([[expected]]))


def test_wide_vectors_give_the_ratios_and_narrow_ones_the_best_fit():
    random = np.random.default_rng(3)
    ratios, share = random.normal(size=(4, 9)), random.dirichlet(np.ones(9))
    value, item = factors(ratios, share, 6)
    assert value @ item.T == pytest.approx(ratios)
    value, item = factors(ratios, share, 2)
    singular = np.linalg.svd(ratios * np.sqrt(share), compute_uv=False)
    lost = ((value @ item.T - ratios) ** 2 * share).sum()
    assert lost == pytest.approx((singular[2:] ** 2).sum())
