"""Noisy popularity: by hand without noise, and what it refuses."""

import math

import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.models.baselines.private_popularity import PrivatePopularity
from gnnrec.options.resolve import build
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.testing import assert_recommender

TRAIN = make_split(synthetic(3, num_users=80, num_items=24), UnseenUsers(test=0.2, validation=0.2), 3).train


def fitted(**options):
    model = build(PrivatePopularity, options)
    model.fit(TRAIN, None, 3)
    return model


def test_without_noise_it_counts_clipped_histories():
    """A user with n items counts min(1, sqrt(4 / n)) for each; the unit is sqrt(4) of it."""
    expected = torch.zeros(TRAIN.num_items)
    for user in range(len(TRAIN.users)):
        items = TRAIN.users.items.node[TRAIN.users.items.row == user].unique()
        expected[items] += min(1.0, math.sqrt(4 / max(len(items), 1))) / math.sqrt(4)
    scores = fitted(epsilon=None, history_clip=4.0).score(TRAIN.users)
    assert scores[0].numpy() == pytest.approx(expected.numpy(), rel=1e-5)
    assert torch.equal(scores, scores[:1].repeat(len(TRAIN.users), 1))


def test_noise_is_that_of_the_whole_budget():
    exact, noisy = (fitted(epsilon=epsilon).score(TRAIN.users)[0] for epsilon in (None, 2.0))
    noise = fitted(epsilon=2.0).guarantee["releases"]["popularity"]["noise_multiplier"]
    assert float((noisy - exact).std()) == pytest.approx(noise, rel=0.35)  # of 24 draws
    assert fitted(epsilon=2.0).guarantee["epsilon"] <= 2.0


def test_it_keeps_the_contract_of_a_recommender():
    assert_recommender(PrivatePopularity, {"epsilon": None}, seed=3, learns=False)


def test_ids_of_items_must_be_public():
    with pytest.raises(ConfigError, match="declared: must name 'item', got") as raised:
        fitted(declared=[])
    assert "\n" not in str(raised.value)
