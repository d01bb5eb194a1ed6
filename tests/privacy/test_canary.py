"""The claim attacked: a planted user, found again or not, and an audit that can fail."""

import math

import numpy as np
import pytest
import torch
from scipy import sparse

from gnnrec.data.synthetic import synthetic
from gnnrec.models.baselines.private_popularity import PrivatePopularity
from gnnrec.models.private_graphsage import PrivateGraphSAGE
from gnnrec.privacy import canary, moments, sums
from gnnrec.privacy.accountant import calibrated
from gnnrec.privacy.moments import release_moments
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.training.private import GradientConfig
from gnnrec.views import USER

DELTA = 1e-6
TRAIN = make_split(synthetic(5, num_users=60, num_items=40, choices=6), UnseenUsers(test=0.2, validation=0.2), 5).train
CLUB, COLOUR = ((USER, name, name) for name in ("club", "colour"))
VALUES = {t: len(TRAIN.ids[t[2]]) for t in (CLUB, COLOUR)}
UNUSUAL = torch.bincount(TRAIN.users.items.node, minlength=TRAIN.num_items).argsort()[:10].tolist()
USER_TO_FIND = canary.canary(TRAIN, {CLUB: [3], COLOUR: [0]}, UNUSUAL)


def gradients(**options):
    return GradientConfig(steps=2, sample_rate=0.5, learning_rate=0.02, **options)


def private(epsilon, **options):
    return PrivateGraphSAGE(
        epsilon=epsilon,
        delta=DELTA,
        declared=("item", "club", "colour"),
        attributes=("club", "colour"),
        channels=8,
        **options,
    )


def released(noise, trials, history_clip=10.0):
    """Released moments with the user and without, projected on the items that the user adds: of a Gaussian release, the
    most powerful statistic but for what the numbers of users with a value tell besides."""
    found, seed = ([], []), 3
    for values, train in zip(found, (canary.planted(TRAIN, USER_TO_FIND), TRAIN), strict=True):
        for _ in range(trials):
            seed += 1
            random = np.random.default_rng(seed)
            one = release_moments(train.users, VALUES, TRAIN.num_items, history_clip, noise, random)
            values.append(float((one.popularity + one.chosen[3] + one.chosen[4])[UNUSUAL].sum()))
    return found


def test_bounds_by_hand():
    """Of 100 guesses all are right and none is wrong: p >= .9638 and q <= .0362 (beta quantiles at .025)."""
    found = canary.epsilon_from_below([2.0] * 200, [1.0] * 200, DELTA)
    assert found == pytest.approx(math.log((0.025 ** (1 / 100) - DELTA) / (1 - 0.025 ** (1 / 100))))
    assert canary.epsilon_from_below([1.0] * 200, [2.0] * 200, DELTA) == found  # in either direction


def test_two_worlds_that_are_one_are_not_told_apart():
    """The bound holds with 95 % confidence: of 200 audits of nothing, at most 5 % find something, and a few more by
    chance."""
    random = np.random.default_rng(3)
    found = [canary.epsilon_from_below(random.normal(size=100), random.normal(size=100), DELTA) > 0 for _ in range(200)]
    assert sum(found) <= 16


def test_the_bound_of_one_gaussian_stays_below_the_accountant_and_comes_near_it():
    """With noise .65 the accountant says 8; a shift of 1 / .65 is told from none well enough to prove a part of it."""
    random = np.random.default_rng(3)
    noise = calibrated(8.0, DELTA)
    inside, outside = (random.normal(shift, noise, 20_000) for shift in (1, 0))
    assert 2.5 < canary.epsilon_from_below(inside, outside, DELTA) <= 8.0


@pytest.mark.parametrize("epsilon", [1.0, 4.0])
def test_released_moments_stay_under_the_budget(epsilon):
    assert canary.epsilon_from_below(*released(calibrated(epsilon, DELTA), 200), DELTA) <= epsilon


def test_moments_with_a_twentieth_of_the_noise_are_caught():
    assert canary.epsilon_from_below(*released(calibrated(1.0, DELTA) / 20, 100), DELTA) > 1.0


def test_moments_that_are_not_clipped_are_caught(monkeypatch):
    """Ten items where a twentieth counts in full: unclipped, the user adds sqrt(200) times what the noise is for."""
    noise = calibrated(1.0, DELTA)
    assert canary.epsilon_from_below(*released(noise, 150, 0.05), DELTA) <= 1.0
    for module in (moments, sums):
        monkeypatch.setattr(module, "clip_rows", lambda rows, bound: sparse.csr_array(rows))
    assert canary.epsilon_from_below(*released(noise, 150, 0.05), DELTA) > 1.0


MODELS = {
    "gradients": lambda epsilon: private(epsilon, gradients=gradients()),
    "moments": lambda epsilon: private(epsilon, gradients=None),
    "every part": lambda epsilon: private(
        epsilon, gradients=gradients(parts=("items", "values", "histories", "popularity"))
    ),
    "popularity": lambda epsilon: PrivatePopularity(epsilon=epsilon, delta=DELTA),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_planted_user_stays_under_the_budget(name):
    found = canary.guesses(lambda: MODELS[name](1.0), TRAIN, USER_TO_FIND, 40, 3)
    assert canary.epsilon_from_below(*found, DELTA) <= 1.0


@pytest.mark.parametrize("name", ["moments", "popularity"])
def test_a_planted_user_is_found_where_there_is_no_noise(name):
    found = canary.guesses(lambda: MODELS[name](None), TRAIN, USER_TO_FIND, 30, 3)
    assert canary.epsilon_from_below(*found, DELTA) > 1.0


def test_a_model_that_says_1_and_adds_a_hundredth_of_the_noise_is_caught(monkeypatch):
    honest = PrivateGraphSAGE.releases

    def too_little(model):
        return {name: r._replace(noise_multiplier=r.noise_multiplier / 100) for name, r in honest(model).items()}

    monkeypatch.setattr(PrivateGraphSAGE, "releases", too_little)
    monkeypatch.setattr("gnnrec.models.private_graphsage.guarantee", lambda *given: {"epsilon": 1.0})
    found = canary.guesses(lambda: MODELS["gradients"](1.0), TRAIN, USER_TO_FIND, 40, 3)
    assert canary.epsilon_from_below(*found, DELTA) > 1.0
