"""Every way of re-ranking: what holds for all of them, and each against a slow second implementation."""

import math
from dataclasses import replace

import numpy as np
import pools
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from scipy.stats import binom

from gnnrec.reranking import DPP, MMR, Calibrated, Fair, LessPopular, PlackettLuce, RerankConfig
from gnnrec.reranking.fair import failing, least_protected
from gnnrec.reranking.pool import Items, Pool

EVERY = (MMR, DPP, Calibrated, Fair, LessPopular, PlackettLuce)


@pytest.mark.parametrize("way", EVERY)
@pytest.mark.parametrize("strength", [0.02, 0.5, 1.0])
def test_places_are_chosen_once_and_empty_ones_last(way, strength):
    pool, items = pools.made(3)
    chosen = way(places=8, pool=12).order(pool, items, strength)
    assert chosen.shape == (5, 8)
    for row, listed in zip(chosen, pool.listed, strict=True):
        assert len(row.unique()) == 8
        there = listed[row].tolist()
        assert there == sorted(there, reverse=True)
    assert pool.listed[1][chosen[1]].sum() == 4  # all that user 1 has


@pytest.mark.parametrize("way", EVERY)
def test_a_users_list_depends_on_nobody_else(way):
    pool, items = pools.made(4)
    wanted = pool.taste.toarray()
    wanted[[1, 3], 2:] = 0  # some values are wanted by others alone
    pool = replace(pool, taste=pools.csr_array(wanted))
    together = way(places=6, pool=12).order(pool, items, 0.4)
    for row in range(5):
        rows = slice(row, row + 1)
        alone = Pool(pool.item[rows], pool.relevance[rows], pool.user[rows], pool.taste[rows])
        assert way(places=6, pool=12).order(alone, items, 0.4).tolist() == together[rows].tolist()


@pytest.mark.parametrize("way", [MMR, DPP, Calibrated, LessPopular, PlackettLuce])
def test_hardly_any_strength_hardly_changes_anything(way):
    pool, items = pools.made(5)
    order = way(places=12, pool=12).order(pool, items, 1e-9)
    assert order[[0, 2, 3, 4]].tolist() == [list(range(12))] * 4


def cosine_matrix(pool, items, row):
    dense = items.values.toarray()
    rows = [dense[i] if i >= 0 else np.zeros(pools.VALUES) for i in pool.item[row].tolist()]
    unit = np.array([r / np.linalg.norm(r) if r.any() else r for r in rows])
    return unit @ unit.T


@pytest.mark.parametrize("seed", [6, 7])
def test_dpp_maximizes_the_determinant_step_by_step(seed):
    pool, items = pools.made(seed)
    strength, found = 0.4, DPP(places=6, pool=12).order(*pools.made(seed), 0.4)
    for row in range(5):
        cosines, relevance = cosine_matrix(pool, items, row), pool.relevance[row].numpy()
        np.fill_diagonal(cosines, 1.0)  # an item of which nothing is known is like itself
        chosen = []
        for _ in range(min(6, int(pool.listed[row].sum()))):
            gains = {}
            for one in range(12):
                if one in chosen or not pool.listed[row, one]:
                    continue
                both = [*chosen, one]
                volume = max(np.linalg.det(cosines[np.ix_(both, both)]), 0)
                before = np.linalg.det(cosines[np.ix_(chosen, chosen)]) if chosen else 1.0
                gain = max(volume / before, 1e-6)
                gains[one] = (1 - strength) * relevance[one] + strength / 2 * math.log(gain)
            chosen.append(max(gains, key=gains.get))
            if gains[chosen[-1]] < (1 - strength) * relevance[chosen[-1]] + strength / 2 * math.log(1e-4):
                break  # the volume is used up: what follows hangs on last bits
        assert found[row, : len(chosen)].tolist() == chosen


def divergence(wanted, chosen, values):
    total = sum((values[i] for i in chosen), np.zeros(pools.VALUES))
    share = total / total.sum() if total.sum() else total
    return sum(p * math.log(p / (0.99 * q + 0.01 * p)) for p, q in zip(wanted, share, strict=True) if p > 0)


@pytest.mark.parametrize("seed", [8, 9])
def test_calibrated_as_the_greedy_loop(seed):
    pool, items = pools.made(seed)
    found, values, taste = Calibrated(places=5, pool=12).order(pool, items, 0.3), items.values.toarray(), pool.taste
    for row, wanted in enumerate(taste.toarray()):
        chosen = []
        for _ in range(min(5, int(pool.listed[row].sum()))):
            gains = {}
            for one in range(12):
                if one not in chosen and pool.listed[row, one]:
                    both = [int(pool.item[row, place]) for place in (*chosen, one)]
                    gains[one] = 0.7 * float(pool.relevance[row, one]) - 0.3 * divergence(wanted, both, values)
            chosen.append(max(gains, key=gains.get) if wanted.any() else len(chosen))
        assert found[row, : len(chosen)].tolist() == chosen


def test_calibrated_by_hand():
    # Three items of a before three of b, and a user who wants both alike: they alternate.
    values = torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]])
    sparse = pools.csr_array(values.double().numpy())
    pool = Pool(torch.arange(6)[None], torch.linspace(1, 0, 6)[None], torch.tensor([0]), pools.csr_array([[0.5, 0.5]]))
    assert Calibrated(places=4).order(pool, Items(sparse, torch.ones(6)), 0.9).tolist() == [[0, 3, 1, 4]]


def test_least_protected_numbers_by_hand():
    # Of two places, a fair draw with p = 1/2 has none with a chance of 1/4: allowed at .3, too seldom at .2.
    assert least_protected(0.5, 0.3, 2) == [0, 1]
    assert least_protected(0.5, 0.2, 2) == [0, 0]
    assert failing((0, 1, 1), 0.5) == 0.25
    assert failing((1, 1), 0.5) == 0.5


@pytest.mark.parametrize(("share", "significance", "places"), [(0.3, 0.1, 20), (0.6, 0.05, 15), (0.5, 0.3, 10)])
def test_fair_draws_fail_as_seldom_as_is_asked_for(share, significance, places):
    least = least_protected(share, significance, places)
    draws = np.random.default_rng(11).random((200_000, places)) < share
    failed = (draws.cumsum(1) < np.array(least)).any(1).mean()
    assert failing(tuple(least), share) == pytest.approx(failed, abs=0.004)
    assert failed <= significance + 0.004
    # Uncorrected, each place alone is tested at the whole significance, and more draws fail somewhere.
    plain = binom.ppf(significance, np.arange(1, places + 1), share).clip(0)
    assert (np.array(least) <= plain).all()


@pytest.mark.parametrize("seed", [12, 13])
def test_fair_as_two_queues(seed):
    pool, items = pools.made(seed)
    way = Fair(places=8, pool=12)
    found, least = way.order(pool, items, 0.6), least_protected(0.6, 0.1, 8)
    assert max(least) >= 2
    for row in range(5):
        queue = [place for place in range(12) if pool.listed[row, place]]
        chosen = []
        for step in range(min(8, len(queue))):
            shown = sum(bool(items.protected[pool.item[row, place]]) for place in chosen)
            left = [place for place in queue if place not in chosen]
            open_ = [place for place in left if items.protected[pool.item[row, place]]]
            chosen.append(open_[0] if shown < least[step] and open_ else left[0])
        assert found[row, : len(chosen)].tolist() == chosen


def test_less_popular_by_hand():
    # Popularities e^2 - 1, e - 1 and 0 have logarithms 2, 1, 0: seldom 0, 1/2, 1. Relevances 1, .8, 0.
    popularity = torch.tensor([math.e**2 - 1, math.e - 1, 0.0])
    items = Items(pools.csr_array((3, 1)), popularity)
    pool = Pool(torch.tensor([[0, 1, 2]]), torch.tensor([[1.0, 0.8, 0.0]]), torch.tensor([0]))
    assert LessPopular().order(pool, items, 0.2).tolist() == [[0, 1, 2]]  # .8, .74, .2
    assert LessPopular().order(pool, items, 0.4).tolist() == [[1, 0, 2]]  # .6, .68, .4
    assert LessPopular().order(pool, items, 0.6).tolist() == [[1, 2, 0]]  # .4, .62, .6


def test_plackett_luce_draws_the_first_place_in_proportion_to_its_weights():
    # At temperature t, the first place is drawn with weights exp(relevance / t).
    users, relevance = 20_000, torch.tensor([1.0, 0.7, 0.0])
    pool = Pool(torch.tensor([[4, 9, 2]]).repeat(users, 1), relevance.repeat(users, 1), torch.arange(users))
    items = Items(pools.csr_array((10, 1)), torch.ones(10))
    first = PlackettLuce(seed=5).order(pool, items, 0.5)[:, 0]
    expected = (relevance / 0.5).softmax(0)
    assert torch.bincount(first, minlength=3) / users == pytest.approx(expected, abs=0.012)
    again = PlackettLuce(seed=5).order(pool, items, 0.5)[:, 0]
    assert first.equal(again)
    assert not first.equal(PlackettLuce(seed=6).order(pool, items, 0.5)[:, 0])


def test_a_newcomer_is_drawn_for_by_what_is_known():
    item, relevance = torch.arange(9).repeat(2, 1), torch.linspace(1, 0, 9).repeat(2, 1)
    items, nobody = Items(pools.csr_array((9, 1)), torch.ones(9)), torch.tensor([-1, -1])
    first, second = PlackettLuce(places=9).order(Pool(item, relevance, nobody), items, 0.5).tolist()
    assert first == second
    assert first != PlackettLuce(places=9).order(Pool(item, relevance**2, nobody), items, 0.5)[0].tolist()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"method": "mrm"}, "'mrm' found using 'method' does not match any of the expected tags: 'mmr', 'dpp'"),
        ({"method": "mmr", "strength": 1.5}, "less than or equal to 1"),
        ({"method": "fair", "places": 30, "pool": 20}, "30 cannot be chosen among a pool of 20; raise pool"),
        ({"method": "dpp", "theta": 1}, "Extra inputs are not permitted"),
    ],
)
def test_what_does_not_fit_is_refused(config, message):
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(RerankConfig).validate_python(config)
