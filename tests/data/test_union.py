"""Several platforms as one data set: hand-made platforms, and what must stay the same."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.data.dataset import Dataset, Interactions, Numeric
from gnnrec.data.synthetic import synthetic
from gnnrec.data.union import union
from gnnrec.errors import ConfigError
from gnnrec.views import Features, Relation


def made(name: str, titles: tuple[str, ...], sexes: list[str], genres: list[str]) -> Dataset:
    """Two users and as many items as titles; user u has sex u and chose item u, item i has genre i % genres."""
    items = len(titles)
    return Dataset(
        name=name,
        ids={
            "user": pd.Index(["1", "2"]),
            "item": pd.Index([f"{i}" for i in range(items)]),
            "sex": pd.Index(sexes),
            "genre": pd.Index(genres),
        },
        interactions=Interactions(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([5.0, 4.0])),
        relations=(
            Relation("user", "sex", "sex", torch.tensor([[0, 1], [0, 1]])),
            Relation("item", "genre", "genre", torch.stack([torch.arange(items), torch.arange(items) % len(genres)])),
        ),
        numeric=(Numeric("user", "age", torch.tensor([0, 1]), torch.tensor([20.0, 40.0]).double(), bounds=(30.0,)),),
        titles=titles,
    )


A = made("a", ("Up", "Down"), ["F", "M"], ["drama", "war"])
B = made("b", ("Left", "up", "Right"), ["m", "X"], ["Drama", "horror movie"])


def test_users_are_apart_and_what_is_the_same_is_one() -> None:
    both = union([A, B])
    assert both.ids["user"].tolist() == ["1", "2", "b:1", "b:2"]
    assert both.ids["item"].tolist() == ["0", "1", "b:0", "b:2"]  # B's "up" is A's "Up"
    assert both.titles == ("Up", "Down", "Left", "Right")
    assert both.ids["sex"].tolist() == ["F", "M", "X"]
    assert both.ids["genre"].tolist()[:2] == ["drama", "war"]
    assert both.interactions.user.tolist() == [0, 1, 2, 3]
    assert both.interactions.item.tolist() == [0, 1, 2, 0]
    sex, genre = both.relations
    assert sex.edge_index.tolist() == [[0, 1, 2, 3], [0, 1, 1, 2]]
    names = both.ids["genre"].tolist()
    edges = [(both.titles[i], names[g]) for i, g in genre.edge_index.T.tolist()]
    assert edges[:2] == [("Up", "drama"), ("Down", "war")]
    assert ("Left", "drama") in edges
    assert len(edges) == len(set(edges))
    (age,) = both.numeric
    assert age.node.tolist() == [0, 1, 2, 3]
    assert both.name == "a + b"


def test_a_mapping_joins_what_no_name_does() -> None:
    other = replace(
        B,
        ids={("gender" if t == "sex" else t): ids for t, ids in B.ids.items()},
        relations=(replace(B.relations[0], name="gender", target="gender"), B.relations[1]),
    )
    assert "gender" not in union([A, other], {"gender": "sex"}).ids
    apart = union([A, other], {"gender": None})
    assert apart.ids["gender"].tolist() == ["m", "X"]
    assert [r.name for r in apart.relations] == ["sex", "genre", "gender"]


def test_what_has_a_taken_name_but_is_of_items_gets_another_one() -> None:
    other = replace(
        B,
        ids={t: ids for t, ids in B.ids.items() if t != "sex"},
        relations=(Relation("item", "sex", "genre", torch.tensor([[0], [1]])), B.relations[1]),
    )
    both = union([A, other])
    assert [r.type for r in both.relations] == [
        ("user", "sex", "sex"),
        ("item", "genre", "genre"),
        ("item", "sex of b", "genre"),
    ]


def test_features_are_joined_and_must_be_of_one_encoder() -> None:
    def with_title(dataset: Dataset, width: int) -> Dataset:
        vector = torch.arange(dataset.num_items * width).float().reshape(-1, width) + 1
        return replace(
            dataset, features=(Features("item", "title", vector, torch.ones(len(vector), dtype=torch.bool)),)
        )

    both = union([with_title(A, 2), with_title(B, 2)])
    assert both.features[0].vector.tolist() == [[1, 2], [3, 4], [1, 2], [5, 6]]  # of "Up", A's is kept
    alone = union([A, with_title(B, 2)]).features[0]
    assert alone.known.tolist() == [True, False, True, True]
    with pytest.raises(ConfigError, match="a and b encode it differently"):
        union([with_title(A, 2), with_title(B, 3)])


def test_times_are_kept_where_all_have_them_and_events_are_left_out() -> None:
    timed = replace(A, interactions=replace(A.interactions, time=torch.tensor([1, 2])))
    assert union([timed, B]).interactions.time is None
    assert union([timed, timed]).interactions.time is not None
    looks = Relation("user", "look", "item", torch.tensor([[0], [1]]), torch.ones(1), torch.tensor([1]))
    with pytest.warns(UserWarning, match="a: several kinds of events cannot be joined"):
        both = union([replace(timed, relations=(*A.relations, looks)), timed])
    assert [r.name for r in both.relations] == ["sex", "genre"]


def test_one_platform_is_itself_and_three_are_in_order() -> None:
    assert union([A]) is not None
    assert union([A]).ids["item"].tolist() == ["0", "1"]
    third = made("c", ("Sideways", "Down"), ["F", "M"], ["war", "drama"])
    assert union([A, B, third]).ids["user"].tolist()[-2:] == ["c:1", "c:2"]


def test_degrees_of_made_platforms_add_up() -> None:
    one, other = synthetic(3, num_users=31), replace(synthetic(4, num_users=43), name="other")
    both = union([one, other])
    assert len(both.interactions) == len(one.interactions) + len(other.interactions)
    counts = [np.bincount(d.interactions.item.numpy(), minlength=40) for d in (one, other, both)]
    assert np.array_equal(counts[0] + counts[1], counts[2])  # titles are the same, so items are
    friends = [next(r for r in d.relations if r.name == "friend").edge_index for d in (one, other, both)]
    assert friends[2].shape[1] == friends[0].shape[1] + friends[1].shape[1]
    assert torch.equal(friends[2][:, -friends[1].shape[1] :], friends[1] + 31)
