"""Histories of neighbours, against numbers worked by hand and against loops."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.models.baselines import AttributeKNN, NeighbourPopularity
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges, TrainingData, UserBatch

TAG, FRIEND = ("user", "tag", "tag"), ("user", "friend", "user")


def edges(*pairs: tuple[int, int]) -> Edges:
    return Edges(*torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T)


# Users 0, 1, 2 chose item 0, items 0 and 1, item 2; their tags are {0}, {0, 1}, {2}. The one who is asked about has
# the tags {0, 1} and the friends 1 and 2.
TRAIN = TrainingData(
    UserBatch(
        torch.arange(3),
        edges((0, 0), (1, 0), (1, 1), (2, 2)),
        {TAG: edges((0, 0), (1, 0), (1, 1), (2, 2)), FRIEND: edges()},
    ),
    {"item": pd.Index(list("abcd")), "tag": pd.Index(list("xyz"))},
    (),
    {},
    torch.tensor([True, True, True, False]),
)
ASKED = UserBatch(torch.tensor([9]), edges(), {TAG: edges((0, 0), (0, 1)), FRIEND: edges((0, 1), (0, 2))})
PLAIN = {"idf": False, "edge_weights": "ignore", "popularity": 1e-6}


def score(model: NeighbourPopularity | AttributeKNN, users: UserBatch = ASKED) -> list[float]:
    model.fit(TRAIN, None, 0)
    return model.score(users)[0].tolist()


def test_friends_alone_are_the_mean_of_their_histories() -> None:
    # Friends 1 and 2 chose items 0, 1 and 2 once each.
    model = NeighbourPopularity(friends=1, attributes=0, **PLAIN)
    assert score(model) == pytest.approx([1, 1, 1, 0], abs=1e-5)


def test_neighbours_by_attributes_are_weighted_by_cosine_to_a_power() -> None:
    # Cosines: user 0 1/sqrt(2) = .7071, user 1 1, user 2 0. Item 0 gets 1.7071, item 1 gets 1; scaled: 1, .5858.
    model = NeighbourPopularity(friends=0, attributes=1, power=1, **PLAIN)
    assert score(model) == pytest.approx([1, 0.5858, 0, 0], abs=1e-4)
    # Squared: item 0 gets .5 + 1, item 1 gets 1; scaled: 1, .6667.
    model = NeighbourPopularity(friends=0, attributes=1, power=2, **PLAIN)
    assert score(model) == pytest.approx([1, 0.6667, 0, 0], abs=1e-4)


def test_a_mix_adds_the_parts_each_scaled_to_its_largest() -> None:
    # .6 * (1, 1, 1, 0) + .4 * (1, .6667, 0, 0) + .1 * (2, 1, 1, 0) / 2
    model = NeighbourPopularity(friends=0.6, attributes=0.4, power=2, idf=False, edge_weights="ignore", popularity=0.1)
    assert score(model) == pytest.approx([1.1, 0.9167, 0.65, 0], abs=1e-4)


def test_a_user_without_neighbours_gets_popularity() -> None:
    nobody = UserBatch(torch.tensor([-1]), edges(), {TAG: edges(), FRIEND: edges()})
    got = score(NeighbourPopularity(popularity=0.1), nobody)
    assert got == pytest.approx([0.1, 0.05, 0.05, 0])


def test_nobody_is_its_own_neighbour() -> None:
    # User 1 (tags 0 and 1) has user 0 as only neighbour, who chose item 0; its own item 1 must get no more than
    # popularity says.
    model = NeighbourPopularity(friends=0, attributes=1, **PLAIN)
    model.fit(TRAIN, None, 0)
    assert model.score(TRAIN.users)[1].tolist() == pytest.approx([1, 0, 0, 0], abs=1e-5)


def test_the_nearest_and_those_as_near_count() -> None:
    # k = 1: only user 1. With the tag {0} alone, k = 1 is user 0; with {2} k = 2 has only user 2 above 0.
    assert score(AttributeKNN(k=1)) == pytest.approx([1, 1, 0, 0], abs=1e-3)
    both = UserBatch(torch.tensor([9]), edges(), {TAG: edges((0, 0), (0, 2))})
    # Cosines with {0, 2}: user 0 .7071, user 1 .5, user 2 .7071: the first and the third tie, so k = 1 has both.
    assert score(AttributeKNN(k=1), both) == pytest.approx([1, 0, 1, 0], abs=1e-3)


def test_attribute_knn_equals_a_loop() -> None:
    split = make_split(synthetic(1, num_users=80), UnseenUsers(test=0.2, validation=0.2), 0)
    train, asked, k = split.train, split.validation.users, 5
    model = AttributeKNN(k=k)
    model.fit(train, None, 0)
    got = model.score(asked)

    def values(users: UserBatch, row: int) -> set[tuple[str, int]]:
        edges = {t[1]: users.relations[t] for t in train.attribute_types}
        return {(name, int(node)) for name, e in edges.items() for node in e.node[e.row == row]}

    known = [values(train.users, row) for row in range(train.num_users)]
    history = train.users.history(train.num_items).double().numpy()
    for row in range(3):
        own = values(asked, row)
        cosine = np.array([len(own & other) / np.sqrt(len(own) * len(other)) if other else 0.0 for other in known])
        cosine = cosine.round(9)
        kept = cosine >= np.sort(cosine)[-k]
        wanted = (cosine * kept) @ history
        popularity = history.sum(0)
        wanted = wanted / wanted.max() + 1e-4 * popularity / popularity.max()
        assert got[row].numpy() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    "options", [{"friends": -0.1}, {"attributes": -1}, {"popularity": -1e-4}, {"power": 0}, {"neighbours": 0}]
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be at least|{next(iter(options))} must be above"):
        NeighbourPopularity(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        AttributeKNN(k=0)


def test_without_popularity_a_user_without_neighbours_has_equal_scores() -> None:
    alone = UserBatch(torch.tensor([9]), edges(), {TAG: edges(), FRIEND: edges()})
    for weight, differ in ((0.0, False), (1e-4, True)):
        model = NeighbourPopularity(friends=1, attributes=0, popularity=weight)
        model.fit(TRAIN, None, 0)
        scores = model.score(alone)
        assert bool((scores != scores[:, :1]).any()) == differ


def test_friends_in_common_make_users_alike() -> None:
    # User 0 has the friend 2, user 1 has none; the one who is asked about has the friends 1 and 2. Rows over tags and
    # friends: user 0 (x; 2), user 1 (x, y), user 2 (z), asked (x, y; 1, 2). Cosines 2 / (sqrt(2) * 2) = .7071,
    # 2 / (sqrt(2) * 2) = .7071, 0: item 0 gets 1.4142, item 1 .7071; scaled: 1, .5.
    relations = {**TRAIN.users.relations, FRIEND: edges((0, 2))}
    train = replace(TRAIN, users=replace(TRAIN.users, relations=relations))
    model = NeighbourPopularity(friends=0, attributes=1, friends_in_common=True, power=1, **PLAIN)
    model.fit(train, None, 0)
    assert model.score(ASKED)[0].tolist() == pytest.approx([1, 0.5, 0, 0], abs=1e-4)
