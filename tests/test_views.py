import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnrec.data.synthetic import synthetic
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.bins import bin_labels, bin_number, fit_bounds
from gnnrec.views import Edges, Relation, TestSet, TrainingData, UserBatch

TAG, FRIEND, WISH = ("user", "tag", "tag"), ("user", "friend", "user"), ("user", "wish", "item")


def edges(*pairs, weight=None):
    table = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)
    return Edges(table[:, 0], table[:, 1], weight)


def some_users():
    return UserBatch(
        torch.tensor([7, 3, 9]),
        edges((0, 1), (2, 0), (0, 2), weight=torch.tensor([5.0, 4.0, 3.0])),
        {TAG: edges((1, 0), (2, 0), (2, 1)), FRIEND: edges((0, 4))},
    )


def as_pairs(part):
    return list(zip(part.row.tolist(), part.node.tolist(), strict=True))


class TestUsers:
    def test_taken_users_keep_their_own_edges(self):
        taken = some_users().take(torch.tensor([2, 0]))
        assert taken.index.tolist() == [9, 7]
        assert as_pairs(taken.items) == [(1, 1), (0, 0), (1, 2)]
        assert taken.items.weight.tolist() == [5, 4, 3]
        assert as_pairs(taken.relations[TAG]) == [(0, 0), (0, 1)]
        assert as_pairs(taken.relations[FRIEND]) == [(1, 4)]

    def test_none_can_be_taken(self):
        taken = some_users().take(torch.empty(0, dtype=torch.int64))
        assert len(taken) == len(taken.items) == len(taken.relations[TAG]) == 0
        assert set(taken.relations) == {TAG, FRIEND}

    def test_history(self):
        assert some_users().history(3).tolist() == [[False, True, True], [False] * 3, [True, False, False]]

    def test_edges_are_taken_by_mask_or_by_place(self):
        items = some_users().items
        by_mask, by_place = items.take(torch.tensor([False, True, True])), items.take(torch.tensor([2, 1]))
        assert as_pairs(by_mask) == [(2, 0), (0, 2)]
        assert as_pairs(by_place) == [(0, 2), (2, 0)]
        assert by_place.weight.tolist() == [3, 4]


def training():
    # Items 0 and 1 are chosen, 2 has a category, 3 is wished for, 4 has nothing. Tag 2 and category 1 are nobody's.
    users = UserBatch(
        torch.tensor([5, 6]),
        edges((0, 0), (1, 0), (1, 1)),
        {TAG: edges((0, 1), (1, 0)), WISH: edges((0, 3)), FRIEND: edges((0, 1), (1, 0))},
    )
    ids = {"item": pd.Index(list("abcde")), "tag": pd.Index(list("xyz")), "category": pd.Index(["k", "l"])}
    return TrainingData(
        users,
        ids,
        (Relation("item", "of", "category", torch.tensor([[2], [0]])),),
        {},
        torch.tensor([True, True, False, False, False]),
    )


class TestTraining:
    def test_popularity_counts_users(self):
        assert training().popularity.tolist() == [2, 1, 0, 0, 0]
        assert training().popularity.dtype == torch.float32

    def test_a_node_is_reachable_by_any_edge(self):
        reachable = training().reachable
        assert reachable["item"].tolist() == [True, True, True, True, False]
        assert reachable["tag"].tolist() == [True, True, False]
        assert reachable["category"].tolist() == [True, False]
        assert reachable["user"].tolist() == [True, True]

    def test_counts_and_kinds_of_relations(self):
        train = training()
        assert (train.num_users, train.num_items) == (2, 5)
        assert train.attribute_types == (TAG, WISH)
        assert train.user_types == (FRIEND,)


numbers = st.lists(st.integers(-20, 20).map(float), max_size=30)


@settings(max_examples=100)
@given(numbers, st.integers(1, 6))
def test_numbers_fall_into_the_bins_of_a_loop(values, bins):
    number = np.array(values)
    bounds = fit_bounds(number, bins)
    assert list(bounds) == sorted(set(bounds))
    assert len(bounds) <= bins - 1
    got = bin_number(number, bounds)
    assert got.tolist() == [sum(value >= bound for bound in bounds) for value in values]
    if values:
        assert {0, len(bounds)} <= set(got)  # neither the lowest nor the highest bin is empty
    assert len(bin_labels(bounds)) == len(bounds) + 1


def test_quantile_bins_hold_equal_shares():
    # 1 ... 12 in four bins: quartiles 3.75, 6.5, 9.25.
    number = np.arange(1.0, 13.0)
    assert fit_bounds(number, 4) == (3.75, 6.5, 9.25)
    assert np.bincount(bin_number(number, fit_bounds(number, 4))).tolist() == [3, 3, 3, 3]
    assert fit_bounds(number, 1) == fit_bounds(np.array([]), 4) == fit_bounds(np.full(5, 7.0), 4) == ()


@pytest.mark.parametrize(
    "bounds", [(), (0.5,), (18, 25, 35), (1234567.0, 1234568.0, 1234569.0), (1_600_000_000.0, 1_600_000_001.0)]
)
def test_bins_have_distinct_names(bounds):
    assert len(set(bin_labels(bounds))) == len(bounds) + 1


def test_names_of_bins():
    assert bin_labels((18, 25)) == ["below 18", "18 to 25", "25 and above"]
    assert bin_labels((1234567, 1234568)) == ["below 1234567.0", "1234567.0 to 1234568.0", "1234568.0 and above"]


class TestHoldOut:
    """Taking training users out again must give what a split that held them out from the start would have given."""

    def parts(self):
        split = make_split(synthetic(3), UnseenUsers(test=0.2, validation=0.3), 0)
        rows = torch.isin(split.full.users.index, split.validation.users.index).nonzero().flatten()
        return split, *split.full.hold_out(rows)

    def test_the_rest_is_the_training_part_of_such_a_split(self):
        split, rest, _ = self.parts()
        assert rest.users.index.tolist() == split.train.users.index.tolist()
        assert as_pairs(rest.users.items) == as_pairs(split.train.users.items)
        assert rest.candidates.tolist() == split.train.candidates.tolist()
        assert rest.popularity.tolist() == split.train.popularity.tolist()
        for edge_type in [t for t in split.train.users.relations if t[1] != "age"]:  # bins keep their bounds
            assert as_pairs(rest.users.relations[edge_type]) == as_pairs(split.train.users.relations[edge_type])

    def test_the_users_are_the_held_out_users_of_such_a_split(self):
        split, _, asked = self.parts()
        assert asked.users.index.tolist() == split.validation.users.index.tolist()
        assert len(asked.users.items) == 0
        assert as_pairs(asked.ground_truth) == as_pairs(split.validation.ground_truth)
        assert asked.ground_truth.weight.tolist() == split.validation.ground_truth.weight.tolist()
        for edge_type in [t for t in split.validation.users.relations if t[1] != "age"]:
            assert as_pairs(asked.users.relations[edge_type]) == as_pairs(split.validation.users.relations[edge_type])

    def test_a_value_that_only_they_have_is_not_known_of_them(self):
        tag = edges((0, 0), (1, 1), (2, 1))
        users = UserBatch(torch.arange(3), edges((0, 0), (1, 0), (2, 1)), {TAG: tag})
        ids = {"item": pd.Index(["i", "j"]), "tag": pd.Index(["rare", "common"])}
        _, asked = TrainingData(users, ids, (), {}, torch.ones(2, dtype=torch.bool)).hold_out(torch.tensor([0, 1]))
        assert as_pairs(asked.users.relations[TAG]) == [(1, 1)]


def test_held_out_users_can_be_taken_with_all_that_is_theirs():
    held_out = TestSet(some_users(), edges((0, 3), (2, 4), (1, 5)), edges((2, 2)))
    taken = held_out.take(torch.tensor([2, 0]))
    assert taken.users.index.tolist() == [9, 7]
    assert as_pairs(taken.ground_truth) == [(1, 3), (0, 4)]
    assert as_pairs(taken.masked) == [(0, 2)]
    assert TestSet(some_users(), edges((0, 3))).take(torch.tensor([0])).masked is None
