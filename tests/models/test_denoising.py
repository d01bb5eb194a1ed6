"""The denoising regression, against one weighted least squares problem over every way to hide items."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from gnnrec.models.denoising import INTERCEPT_PENALTY, SIDE_PENALTY, DenoisingRegression, penalty_of

from gnnrec.data.synthetic import synthetic
from gnnrec.graph.matrices import UserFeatures
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges, TrainingData, UserBatch


def small() -> tuple[TrainingData, UserBatch]:
    """Training users with at most four of the first six items, so that all ways to hide them can be listed."""
    split = make_split(synthetic(0), UnseenUsers(test=0.2, validation=0.2, support=2), 0)
    users = split.train.users
    items = users.items
    place = torch.zeros(len(items), dtype=torch.int64)
    for user in range(len(users)):
        mine = (items.row == user) & (items.node < 6)
        place[mine] = torch.arange(1, int(mine.sum()) + 1)
    few = (place > 0) & (place <= 4)
    return replace(split.train, users=replace(users, items=items.take(few))), split.validation.users


def by_enumeration(train: TrainingData, asked: UserBatch, shown: int, penalty: float) -> np.ndarray:
    """[B, I], from the least squares problem with a row for each user and way to hide, weighted by its chance."""
    features = UserFeatures(train, friends=True, edge_weights="log", idf=True, normalise="length")
    history = train.users.history(train.num_items).double().numpy()
    side = features(train.users).toarray()
    rows, targets, weights = [], [], []
    for user in range(train.num_users):
        chosen = np.flatnonzero(history[user])
        if len(chosen) == 0:
            continue
        chance = min(shown / len(chosen), 1)
        for mask in itertools.product([0, 1], repeat=len(chosen)):
            visible = np.zeros(train.num_items)
            visible[chosen] = mask
            rows.append(np.concatenate([[1.0], visible, side[user]]))
            targets.append(history[user])
            weights.append(np.prod([chance if m else 1 - chance for m in mask]))
    x, y, w = np.array(rows), np.array(targets), np.array(weights)
    per_column = np.repeat([INTERCEPT_PENALTY, penalty, SIDE_PENALTY], [1, train.num_items, side.shape[1]])
    solved = np.linalg.solve(x.T @ (w[:, None] * x) + np.diag(per_column), x.T @ (w[:, None] * y))
    known = [np.ones((len(asked), 1)), asked.history(train.num_items).double().numpy(), features(asked).toarray()]
    return np.maximum(np.concatenate(known, axis=1) @ solved, 0)


@pytest.mark.parametrize(("shown", "penalty"), [(1, 1.0), (2, 0.25), (10, 4.0)])
def test_it_is_the_least_expected_error_over_all_ways_to_hide_items(shown: int, penalty: float) -> None:
    train, asked = small()
    found = DenoisingRegression(train, shown, penalty)(asked)
    np.testing.assert_allclose(found, by_enumeration(train, asked, shown, penalty), atol=1e-5)


def test_only_the_most_frequent_columns_are_heard_where_users_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    train, asked = small()
    all_of_them = DenoisingRegression(train, 1, 1.0)(asked)
    monkeypatch.setattr("gnnrec.models.denoising.MOST_INPUTS", 3)
    few = DenoisingRegression(train, 1, 1.0)(asked)
    assert not torch.allclose(all_of_them, few)
    side = UserFeatures(train, friends=True)(train.users)
    frequency = np.concatenate([train.popularity.numpy(), (side != 0).sum(axis=0)])
    rare = torch.from_numpy(np.argsort(-frequency, kind="stable")[3:])
    seldom = rare[rare < train.num_items]
    assert len(seldom)
    nobody_has_them = asked.items.take(~torch.isin(asked.items.node, seldom))
    assert torch.equal(few, DenoisingRegression(train, 1, 1.0)(replace(asked, items=nobody_has_them)))


def test_of_too_many_users_some_are_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    train, asked = small()
    monkeypatch.setattr("gnnrec.models.denoising.MOST_USERS", train.num_users // 2)
    first, again, other = (DenoisingRegression(train, 1, 1.0, seed)(asked) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_of_a_user_of_whom_nothing_is_known_it_expects_about_what_is_popular() -> None:
    split = make_split(synthetic(0), UnseenUsers(test=0.2), 0)
    none = torch.empty(0, dtype=torch.int64)
    nobody = UserBatch(torch.tensor([-1]), Edges(none, none), {})
    expected = DenoisingRegression(split.train, 1, 1e6)(nobody)[0]  # items say nothing at such a penalty
    popular = split.train.popularity / split.train.num_users
    assert float(torch.corrcoef(torch.stack([expected, popular]))[0, 1]) > 0.8


def test_a_known_item_raises_the_items_of_the_users_who_chose_it() -> None:
    # Users 0-9 chose items 0 and 1, users 10-19 items 2 and 3. All of them: 1/2 of the users each.
    row = torch.arange(20).repeat_interleave(2)
    node = torch.tensor([0, 1] * 10 + [2, 3] * 10)
    split = make_split(synthetic(0), UnseenUsers(test=0.2), 0)
    train = replace(split.train, users=UserBatch(torch.arange(20), Edges(row, node), {}))
    asked = UserBatch(torch.tensor([-1]), Edges(torch.tensor([0]), torch.tensor([0])), {})
    expected = DenoisingRegression(train, 1, 0.25)(asked)[0]
    assert expected[1] > 0.7
    assert expected[2:4].max() < 0.3


def test_a_path_is_named_with_its_penalty() -> None:
    assert penalty_of("denoising@0.25") == 0.25
    for wrong in (
        "denoising",
        "denoising@",
        "denoising@0",
        "denoising@-1",
        "denoising@inf",
        "denoising@nan",
        "other@4",
    ):
        assert penalty_of(wrong) is None
