from dataclasses import replace

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnnrec.data.dataset import Dataset, Interactions, Numeric, Relation, symmetric
from gnnrec.data.made import made
from gnnrec.errors import DataError

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
    return Relation(source, name, target, torch.tensor(edges, dtype=torch.int64).T.reshape(2, -1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"interactions": Interactions(torch.tensor([0, 0]), torch.tensor([1, 1]))},
            "stand twice, e.g. user a, item y",
        ),
        ({"interactions": Interactions(torch.tensor([2]), torch.tensor([1]))}, "index out of range for 2 user"),
        ({"interactions": Interactions(torch.tensor([0]), torch.tensor([-1]))}, "index out of range for 2 item"),
        ({"interactions": Interactions(torch.tensor([]), torch.tensor([]))}, "no interaction is left"),
        ({"relations": (relation("user", "tag", "tag", (0, 1)),)}, "index out of range for 1 tag"),
        ({"relations": (relation("user", "tag", "tag", (0, 0), (0, 0)),)}, "stand twice"),
        ({"relations": (relation("tag", "of", "user", (0, 0)),)}, "must begin at the user"),
        ({"relations": (relation("user", "has", "skill", (0, 0)),)}, "unknown node type 'skill'"),
        ({"relations": (relation("user", "tag", "tag", (0, 0)),) * 2}, "two relations are called"),
        ({"numeric": (Numeric("user", "age", torch.tensor([0]), torch.tensor([1.0])),)}, "needs bins"),
        ({"titles": ("only one",)}, "1 titles for 2 items"),
    ],
)
def test_a_data_set_that_does_not_hold_together_is_refused(changes, message):
    with pytest.raises(DataError, match=message):
        toy(**changes)


def test_positives_drop_interactions_and_nobody():
    data = toy().positives(4)
    assert data.interactions.user.tolist() == [1]
    assert data.num_users == 2


def test_checksum_sees_every_part():
    data = made(0)
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
    ]
    checksums = [d.checksum for d in (data, *others)]
    assert len(set(checksums)) == len(checksums)
