"""A split by time: what is before a moment trains, users who come after it are unseen, their events come in order."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from gnnrec.audit.held_out import audit_held_out
from gnnrec.audit.training import audit
from gnnrec.data.dataset import Dataset, Interactions, Numeric
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.evaluation.evaluator import EvaluateConfig
from gnnrec.experiment.run import fit_and_evaluate
from gnnrec.runtime.ties import tie_key
from gnnrec.splits import Temporal, make_split
from gnnrec.splits.kshot import reveal
from gnnrec.splits.parts import LATER, TEST, TEST_SUPPORT, TRAIN, UNUSED, VALIDATION
from gnnrec.splits.split import Split
from gnnrec.splits.temporal import in_time_order
from gnnrec.views import ITEM, USER, Relation

EVENTS = [  # user, item, time
    *(("a", "x", 1), ("a", "y", 2), ("a", "z", 9)),
    *(("b", "x", 3), ("b", "y", 6)),
    *(("c", "x", 7), ("c", "y", 5)),
    *(("d", "x", 10), ("d", "y", 8), ("d", "z", 8)),
]


def small() -> Dataset:
    """Four users in the order of their arrival, three items with a price and a colour; `e` has no event."""
    user, item, time = zip(*EVENTS, strict=True)
    interactions = Interactions(
        torch.tensor(["abcde".index(one) for one in user]),
        torch.tensor(["xyz".index(one) for one in item]),
        time=torch.tensor(time),
    )
    return Dataset(
        "small",
        {USER: pd.Index(list("abcde")), ITEM: pd.Index(list("xyz")), "colour": pd.Index(["red", "blue"])},
        interactions,
        (Relation(ITEM, "colour", "colour", torch.tensor([[0, 1, 2], [0, 1, 1]])),),
        (Numeric(ITEM, "price", torch.arange(3), torch.tensor([1.0, 3.0, 100.0]).double(), bins=2),),
    )


def arriving(seed: int, num_users: int = 200) -> Dataset:
    """Users who arrive one after the other, and choose for a while; later users know later items."""
    data = synthetic(seed, num_users=num_users, num_items=60, choices=10)
    random, own = np.random.default_rng(seed), data.interactions
    arrival = random.permutation(num_users) * 50
    time = arrival[own.user.numpy()] + random.integers(0, 60, len(own)) * 20 + own.item.numpy() * 60
    return replace(data, interactions=replace(own, time=torch.from_numpy(time)))


def parts(split: Split) -> list[int]:
    return split.edge_part.tolist()


def test_new_users_by_hand() -> None:
    """Test is from 8 on; of the six events before it, the last third is from 5 on."""
    split = make_split(small(), Temporal(test_from=8, validation=0.34), seed=3)
    assert split.moments == (5, 8)
    assert split.user_part.tolist() == [TRAIN, TRAIN, VALIDATION, TEST, TRAIN]
    assert split.item_part.tolist() == [TRAIN, TRAIN, UNUSED]
    expected = [TRAIN, TRAIN, UNUSED, TRAIN, LATER, VALIDATION, VALIDATION, TEST, TEST, TEST]
    assert parts(split) == expected
    assert split.train.popularity.tolist() == [2, 1, 0]
    assert split.full.popularity.tolist() == [3, 3, 0]  # b's y and all of c
    assert split.full.bounds[ITEM, "price"] == (2.0,)  # the median of x and y; z is not there yet
    (colour,) = (relation for relation in split.full.relations if relation.name == "colour")
    assert colour.edge_index.tolist() == [[0, 1], [0, 1]]
    split.open_test("a test")
    assert split.test.ground_truth.time is not None
    assert split.test.ground_truth.time.tolist() == [10, 8, 8]


def test_known_users_by_hand() -> None:
    split = make_split(small(), Temporal(test_from=8, validation=0.34, users="known"), seed=3)
    assert split.user_part.tolist() == [TRAIN, TRAIN, UNUSED, UNUSED, TRAIN]
    assert parts(split) == [TRAIN, TRAIN, TEST, TRAIN, VALIDATION, *[UNUSED] * 5]
    split.open_test("a test")
    assert split.test.users.index.tolist() == [0]
    assert split.test.users.items.node.tolist() == [0, 1]
    assert split.validation.users.index.tolist() == [1]


def test_events_of_one_moment_are_in_an_order_that_is_drawn_for_each_user() -> None:
    """The two events of d at 8 stand in the order of their keys, and so do they in every view."""
    split = make_split(small(), Temporal(test_from=8, validation=0.34, support=1), seed=3)
    y, z = tie_key(torch.tensor([3, 3]), torch.tensor([1, 2]), 0).tolist()
    first, second = ("y", "z") if y < z else ("z", "y")
    assert [EVENTS[e][1] for e, part in enumerate(parts(split)) if part == TEST_SUPPORT] == [first]
    order = [EVENTS[e][:2] for e in in_time_order(small()).argsort()]
    assert [one for one in order if one[0] == "d"] == [("d", first), ("d", second), ("d", "x")]
    assert [EVENTS[e][2] for e in in_time_order(small()).argsort()] == sorted(time for _, _, time in EVENTS)


def test_no_order_of_items_can_be_learned_from_events_of_one_moment() -> None:
    """200 users choose the same 30 items at one time: each item is first about as often as any other."""
    user, item = torch.arange(200).repeat_interleave(30), torch.arange(30).repeat(200)
    ids = {USER: pd.Index(range(200)), ITEM: pd.Index(range(30))}
    data = Dataset("moment", ids, Interactions(user, item, time=torch.full_like(user, 5)), (), ())
    order = in_time_order(data)
    first = order.view(200, 30).argmin(1)
    assert torch.bincount(first, minlength=30).max() < 20  # 6.7 on average


def test_training_histories_are_in_the_order_of_time() -> None:
    data = arriving(5)
    split = make_split(data, Temporal(support=2), 5)
    place = dict(zip(_pairs_of(data), in_time_order(data).tolist(), strict=True))
    for train in (split.train, split.full):
        index = train.users.index.tolist()
        order = [place[index[row], item] for row, item in _pairs(train.users.items)]
        assert order == sorted(order)


@pytest.mark.parametrize("users", ["new", "known"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_of_later_is_in_training(seed: int, users: Any) -> None:
    """A slow second look at every view, from the raw events."""
    data = arriving(seed)
    support = 3 if users == "new" else 0
    split = make_split(data, Temporal(users=users, test=0.3, validation=0.2, support=support), seed)
    assert split.moments is not None
    events = _pairs_of(data)
    assert data.interactions.time is not None
    when = dict(zip(events, data.interactions.time.tolist(), strict=True))
    first = {user: min(when[e] for e in events if e[0] == user) for user in {e[0] for e in events}}
    split.open_test("a test")
    for train, held_out, moment, end in (
        (split.train, split.validation, *split.moments),
        (split.full, split.test, split.moments[1], 10**9),
    ):
        index = train.users.index.tolist()
        learned = {(index[row], item) for row, item in _pairs(train.users.items)}
        starts = moment if train is split.full and users == "new" else split.moments[0]
        everybody = {e for e in events if when[e] < moment and first[e[0]] < starts}
        assert learned == everybody
        asked = held_out.users.index.tolist()
        targets = {(asked[row], item) for row, item in _pairs(held_out.ground_truth)}
        shown = {(asked[row], item) for row, item in _pairs(held_out.users.items)}
        if users == "new":
            assert all(moment <= first[user] < end for user in asked)
            assert {*targets, *shown} == {e for e in events if e[0] in asked and when[e] < end}
            for user in asked:
                mine = sorted(when[e] for e in shown if e[0] == user)
                assert mine == sorted(when[e] for e in events if e[0] == user and when[e] < end)[:3]
        else:
            assert targets == {e for e in events if first[e[0]] < split.moments[0] and moment <= when[e] < end}
    if users == "new":
        (item,) = reveal(split.test.take(torch.tensor([0])), 1).users.items.node.tolist()
        assert when[asked[0], item] == first[asked[0]]


def _pairs(edges: Any) -> list[tuple[int, int]]:
    return list(zip(edges.row.tolist(), edges.node.tolist(), strict=True))


@pytest.mark.parametrize("users", ["new", "known"])
def test_the_next_item_is_the_earliest_of_the_rest(users: Any) -> None:
    data, support = arriving(7), 2 if users == "new" else 0
    config = Temporal(users=users, test=0.3, support=support)
    rest, following = (make_split(data, config.model_copy(update={"target": target}), 0) for target in ("rest", "next"))
    for split in (rest, following):
        split.open_test("a test")
    place = dict(zip(_pairs_of(data), in_time_order(data).tolist(), strict=True))
    index = rest.test.users.index.tolist()
    asked = [(index[row], item) for row, item in _pairs(rest.test.ground_truth)]
    earliest = {min((pair for pair in asked if pair[0] == user), key=lambda pair: place[pair]) for user in index}
    assert {(index[row], item) for row, item in _pairs(following.test.ground_truth)} == earliest
    assert following.test.next_item
    assert len(earliest) > 20
    audit_held_out(following, following.test, following.full, TEST)


def _pairs_of(data: Dataset) -> list[tuple[int, int]]:
    return list(zip(data.interactions.user.tolist(), data.interactions.item.tolist(), strict=True))


@pytest.mark.parametrize("users", ["new", "known"])
def test_the_audit_passes(users: Any) -> None:
    split = make_split(arriving(4), Temporal(users=users, support=2 if users == "new" else 0), seed=4)
    assert "moment" in audit(split, split.train)["checks"]
    audit_held_out(split, split.validation, split.train, VALIDATION)
    assert "moment" in audit(split, split.full)["checks"]
    split.open_test("a test")
    audit_held_out(split, split.test, split.full, TEST)


def test_a_date_is_seconds() -> None:
    data = small()
    days = torch.tensor([86_400 * event[2] for event in EVENTS])
    data = replace(data, interactions=replace(data.interactions, time=days))
    for date in ("1970-01-09", "1970-01-09 00:00:00+00:00", 86_400 * 8):
        split = make_split(data, Temporal(test_from=date, validation=0.34), seed=0)
        assert split.moments == (5 * 86_400, 8 * 86_400)


def test_what_cannot_be_cut_is_one_line() -> None:
    data = small()

    def refused(config: Temporal, match: str, of: Dataset = data) -> None:
        with pytest.raises(ConfigError, match=match):
            make_split(of, config, 0)

    untimed = replace(data, interactions=replace(data.interactions, time=None))
    refused(Temporal(), "temporal needs the time of each interaction, and small has none; name a column", untimed)
    refused(Temporal(test=0.2, test_from=8), "give either test or test_from, not both")
    refused(Temporal(test_from=11), "all interactions are before the moment 11 of the test part; times go from 1 to 10")
    refused(Temporal(test_from=1), "all interactions are after the moment 1 of the test part")
    for other in ("spring", "now", "nan", ""):
        refused(Temporal(test_from=other), f"'{other}' is neither a whole number nor a date such as 1998-04-01")
    refused(Temporal(test_from=8, validation=0.99), "0.99 leaves no interaction to train on")
    refused(Temporal(users="known", support=2), "known users' support is all that they chose before")
    refused(Temporal(test_from=8, validation=0.34, support=5), "no interaction left to find; make support smaller")
    for wrong in ({"test": 1.5}, {"test_from": 2**63}, {"validation": 0}, {"target": "all"}):
        with pytest.raises(ValidationError):
            Temporal(**wrong)


@pytest.mark.parametrize("target", ["rest", "next"])
def test_a_whole_run_on_new_users_finds_their_clubs_items(target: Any) -> None:
    """Audited, chosen, fitted and measured; a club reveals what its members like, also when all of them come later."""
    split = make_split(arriving(3), Temporal(test=0.3, validation=0.2, support=2, target=target), seed=3)
    measured = EvaluateConfig(metrics=["ndcg"], at=[10], shots=(0, 1, 2))
    options = {
        "GraphSAGE": {"encoder": {"channels": 8}, "pretrain": {"epochs": 1}, "finetune": {"epochs": 8}, "choose_on": 0},
        "SegmentPopularity": {},
        "Popularity": {},
    }
    found = {
        name: measured.objective(fit_and_evaluate(split, name, given, evaluate=measured).result.metrics)
        for name, given in options.items()
    }
    assert min(found["GraphSAGE"], found["SegmentPopularity"]) > 1.15 * found["Popularity"], found
