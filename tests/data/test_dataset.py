import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnnrec.data.dataset import Dataset, Interactions, Numeric, symmetric
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import DataError
from gnnrec.views import Relation

pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 9)), max_size=12)


@given(pairs)
def test_symmetric_is_what_a_loop_finds(edges):
    expected = {}
    for one, other, weight in edges:
        if one != other:
            for pair in ((one, other), (other, one)):
                expected[pair] = max(weight, expected.get(pair, 0))
    edge_index = torch.tensor([[e[0] for e in edges], [e[1] for e in edges]], dtype=torch.int64)
    got, weight = symmetric(edge_index, torch.tensor([float(e[2]) for e in edges]))
    assert list(zip(map(tuple, got.T.tolist()), weight.tolist(), strict=True)) == sorted(expected.items())
    assert torch.equal(symmetric(edge_index)[0], got)


def toy(**changes):
    whole = Dataset(
        "toy",
        {"user": pd.Index(["a", "b"]), "item": pd.Index(["x", "y"]), "tag": pd.Index(["t"])},
        Interactions(torch.tensor([0, 1]), torch.tensor([1, 1]), torch.tensor([2.0, 4.0])),
        (Relation("user", "tag", "tag", torch.tensor([[0], [0]])),),
    )
    return replace(whole, **changes)


def relation(source, name, target, *edges):
    return Relation(source, name, target, torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T)


def interactions(**columns):
    tensors = {name: torch.tensor(column) for name, column in columns.items()}
    return Interactions(torch.tensor([0, 1]), torch.tensor([1, 1]), **tensors)


def weighted(*weight):
    return replace(relation("user", "tag", "tag", (0, 0)), weight=torch.tensor(weight))


def age(node, number, bins=2):
    return Numeric("user", "age", torch.tensor(node), torch.tensor(number, dtype=torch.float64), bins)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"interactions": Interactions(torch.tensor([0, 0]), torch.tensor([1, 1]))},
            "are repeated, e.g. user a, item y",
        ),
        ({"interactions": Interactions(torch.tensor([2]), torch.tensor([1]))}, "index out of range for 2 user"),
        ({"interactions": Interactions(torch.tensor([0]), torch.tensor([-1]))}, "index out of range for 2 item"),
        ({"interactions": Interactions(torch.tensor([]), torch.tensor([]))}, "no interaction is left"),
        ({"interactions": Interactions(torch.tensor([0, 1]), torch.tensor([1]))}, "2 edges have a user, 1 a item"),
        ({"interactions": interactions(value=[1.0])}, "interactions: 1 numbers for 2 rows"),
        ({"interactions": interactions(value=[1.0, math.nan])}, "interactions: nan is no finite number"),
        ({"interactions": interactions(time=[1, 2, 3])}, "interactions: 3 numbers for 2 rows"),
        ({"ids": {"user": pd.Index(["a", "a"]), "item": pd.Index(["x", "y"])}}, "user id 'a' is repeated"),
        ({"ids": {"item": pd.Index(["x", "y"])}}, "unknown node type 'user'"),
        ({"relations": (relation("user", "tag", "tag", (0, 1)),)}, "index out of range for 1 tag"),
        ({"relations": (relation("user", "tag", "tag", (0, 0), (0, 0)),)}, "are repeated"),
        ({"relations": (weighted(-0.5),)}, "tag: -0.5 is no finite number of at least 0"),
        ({"relations": (weighted(math.inf),)}, "tag: inf is no finite number of at least 0"),
        ({"relations": (weighted(1.0, 1.0),)}, "tag: 2 numbers for 1 rows"),
        ({"relations": (relation("user", "friend", "user", (0, 1)),)}, "lacks the other direction"),
        ({"relations": (relation("tag", "of", "user", (0, 0)),)}, "must begin at the user"),
        ({"relations": (relation("user", "has", "skill", (0, 0)),)}, "unknown node type 'skill'"),
        ({"relations": (relation("user", "tag", "tag", (0, 0)),) * 2}, "two relations are called"),
        ({"numeric": (age([0], [1.0], bins=None),)}, "'age' needs bins"),
        ({"numeric": (age([0], [1.0], bins=0),)}, "'age' needs bins"),
        ({"numeric": (age([2], [1.0]),)}, "age: index out of range for 2 user nodes"),
        ({"numeric": (age([0], [1.0, 2.0]),)}, "age: 2 numbers for 1 rows"),
        ({"numeric": (age([0, 1], [1.0, math.nan]),)}, "age: nan is no finite number; leave it out"),
        ({"numeric": (age([0, 0], [1.0, 2.0]),)}, "age: a user has two numbers"),
        ({"titles": ("only one",)}, "1 titles for 2 items"),
    ],
)
def test_a_data_set_that_does_not_hold_together_is_refused(changes, message):
    with pytest.raises(DataError, match=message) as caught:
        toy(**changes)
    assert str(caught.value).startswith("toy: ")
    assert "\n" not in str(caught.value)


def test_what_is_whole_is_accepted():
    friends = relation("user", "friend", "user", (0, 1), (1, 0))
    whole = toy(relations=(weighted(0.0), friends), numeric=(age([1], [3.0]),), titles=("x", "y"))
    assert (whole.num_users, whole.num_items) == (2, 2)
    assert toy(numeric=(replace(age([1], [3.0], bins=None), bounds=(2.0,)),)).numeric[0].bounds == (2.0,)
    assert toy(relations=(relation("user", "tag", "tag"),)).relations[0].edge_index.shape == (2, 0)


def test_taken_interactions_keep_their_columns():
    rows = interactions(value=[2.0, 4.0], time=[8, 9]).take(torch.tensor([True, False]))
    assert [rows.user.tolist(), rows.item.tolist(), rows.value.tolist(), rows.time.tolist()] == [[0], [1], [2], [8]]
    assert interactions().take(torch.tensor([1])).value is None


def test_positives_drop_interactions_and_nobody():
    data = toy().positives(4)
    assert data.interactions.user.tolist() == [1]
    assert data.num_users == 2
    assert toy().positives(2).interactions.user.tolist() == [0, 1]  # a value equal to the bound is positive


def test_positives_need_values_and_must_leave_some():
    with pytest.raises(DataError, match=r"data.positive.min_value is set, but the interactions have no value column"):
        toy(interactions=interactions()).positives(4)
    with pytest.raises(DataError, match=r"no interaction is left; check the file, and data.positive in the config"):
        toy().positives(5)


def test_checksum_sees_every_part():
    data = synthetic(0)
    i, r, a = data.interactions, data.relations, data.numeric[0]
    others = [
        replace(data, interactions=replace(i, value=i.value + 1)),
        replace(data, interactions=replace(i, time=None)),
        replace(data, relations=r[1:]),
        replace(data, relations=(replace(r[0], name="society"), *r[1:])),
        replace(data, relations=(replace(r[0], weight=torch.ones(60)), *r[1:])),
        replace(data, numeric=(replace(a, bins=3),)),
        replace(data, numeric=(replace(a, number=a.number + 1),)),
        replace(data, ids=data.ids | {"club": pd.Index(list("abcd"))}),
        replace(data, ids=data.ids | {"club": pd.Index(["club 0club 1", "", "club 2", "club 3"])}),
        replace(data, ids=data.ids | {"more": pd.Index([])}),
        replace(data, interactions=replace(i, item=i.item.flip(0), user=i.user.flip(0))),
        replace(data, interactions=replace(i, value=i.time.float(), time=None)),
        replace(data, interactions=replace(i, value=None)),
        replace(data, relations=(r[1], r[0], *r[2:])),
        replace(data, relations=(replace(r[0], edge_index=r[0].edge_index[:, 1:]), *r[1:])),
        replace(data, numeric=(replace(a, name="age4", bins=None, bounds=(1.0,)),)),
        replace(data, numeric=(replace(a, bounds=(30.0,)),)),
        replace(data, numeric=(replace(a, node=a.node.flip(0)),)),
        replace(data, numeric=()),
        synthetic(1),
    ]
    checksums = [d.checksum for d in (data, *others)]
    assert len(set(checksums)) == len(checksums)
    # What the source and the items are called does not change what a model sees.
    assert {synthetic(0).checksum, replace(data, name="another", titles=()).checksum} == {data.checksum}


def test_checksum_does_not_run_parts_together():
    # The same letters, and the same numbers, in other parts.
    one, other = toy(), toy(ids={**toy().ids, "tag": pd.Index(["t", "tt"])})
    joined = toy(ids={**toy().ids, "tag": pd.Index(["t\ntt"])})
    assert len({data.checksum for data in (one, other, joined)}) == 3
    named = [
        toy(numeric=(Numeric("user", name, torch.tensor([0]), torch.tensor([1.0], dtype=torch.float64), bins),))
        for name, bins in (("a1", 1), ("a", 11))
    ]
    assert named[0].checksum != named[1].checksum
