"""The denoising regression, against one weighted least squares problem over every way to hide items."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.graph.matrices import UserFeatures
from gnnrec.models.baselines import DenoisingRegression
from gnnrec.models.baselines.autoencoder import INTERCEPT_PENALTY, PENALTIES
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.models.selection import BUCKETS, Fold, by_bucket
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.kshot import reveal_ground_truth
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


def with_known(users: UserBatch, count: int) -> UserBatch:
    """The users with `count` known items each."""
    row = torch.arange(len(users)).repeat_interleave(count)
    node = (row * 7 + torch.arange(len(row)) % max(count, 1) * 3) % 40
    return replace(users, items=Edges(row, node))


def by_enumeration(
    train: TrainingData, users: UserBatch, known: int, penalty: float, side_penalty: float = 3.0
) -> np.ndarray:
    """[B, I], from the least squares problem with a row for each user and way to hide, weighted by its chance."""
    features = UserFeatures(train, friends=True, edge_weights="log", idf=True, normalise="length")
    history = train.users.history(train.num_items).double().numpy()
    side = features(train.users).toarray()
    rows, targets, weights = [], [], []
    for user in range(train.num_users):
        chosen = np.flatnonzero(history[user])
        if len(chosen) == 0:
            continue
        chance = min(known / len(chosen), 1)
        for mask in itertools.product([0, 1], repeat=len(chosen)):
            visible = np.zeros(train.num_items)
            visible[chosen] = mask
            rows.append(np.concatenate([[1.0], visible, side[user]]))
            targets.append(history[user])
            weights.append(np.prod([chance if m else 1 - chance for m in mask]))
    x, y, w = np.array(rows), np.array(targets), np.array(weights)
    per_column = np.repeat([INTERCEPT_PENALTY, penalty, side_penalty], [1, train.num_items, side.shape[1]])
    solved = np.linalg.solve(x.T @ (w[:, None] * x) + np.diag(per_column), x.T @ (w[:, None] * y))
    inputs = [np.ones((len(users), 1)), users.history(train.num_items).double().numpy(), features(users).toarray()]
    return np.concatenate(inputs, axis=1) @ solved


@pytest.mark.parametrize(("known", "penalty"), [(1, 1.0), (2, 0.25), (10, 4.0)])
def test_it_is_the_least_expected_error_over_all_ways_to_hide_items(known: int, penalty: float) -> None:
    train, users = small()
    model = DenoisingRegression(penalty=penalty)
    model.fit(train, None, 0)
    batch = with_known(users, known)
    found = model.score(batch).numpy()
    np.testing.assert_allclose(found, by_enumeration(train, batch, known, penalty), atol=1e-5)


def test_each_user_gets_the_regression_of_its_bucket_and_that_ones_penalty() -> None:
    train, users = small()
    model = DenoisingRegression(penalty={1: 0.25, 5: 4.0}, side_penalty=7.0)
    model.fit(train, None, 0)
    three = users.take(torch.arange(3))
    # Without any known item, the regression for one; with 3, the one for 2; the penalty is the last bucket's that has
    # one.
    for count, bucket, penalty in ((0, 1, 0.25), (1, 1, 0.25), (3, 2, 0.25), (5, 5, 4.0), (12, 10, 4.0)):
        batch = with_known(three, count)
        wanted = by_enumeration(train, batch, bucket, penalty, side_penalty=7.0)
        np.testing.assert_allclose(model.score(batch).numpy(), wanted, atol=1e-5)


def test_only_the_most_frequent_columns_are_used_where_users_are_many() -> None:
    train, users = small()
    every, few = DenoisingRegression(penalty=1.0), DenoisingRegression(penalty=1.0, max_inputs=3)
    for model in (every, few):
        model.fit(train, None, 0)
    one = users.take(torch.arange(6))
    known = with_known(one, 1)
    assert not torch.allclose(every.score(known), few.score(known))
    side = UserFeatures(train, friends=True)(train.users)
    frequency = np.concatenate([train.popularity.numpy(), (side != 0).sum(axis=0)])
    kept = np.argsort(-frequency, kind="stable")[:3]
    rare = next(item for item in range(train.num_items) if item not in kept)
    known = replace(one, items=Edges(torch.arange(6), torch.full((6,), rare)))
    none = torch.empty(0, dtype=torch.int64)
    assert torch.equal(few.score(known), few.score(replace(one, items=Edges(none, none))))
    assert not torch.equal(every.score(known), every.score(replace(one, items=Edges(none, none))))


def test_of_too_many_users_some_are_drawn_by_the_seed() -> None:
    train, users = small()

    def score(seed: int) -> torch.Tensor:
        model = DenoisingRegression(penalty=1.0, max_users=train.num_users // 2)
        model.fit(train, None, seed)
        return model.score(users)

    first, again, other = (score(seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_of_a_user_of_whom_nothing_is_known_it_expects_about_what_is_popular() -> None:
    split = make_split(synthetic(0), UnseenUsers(test=0.2), 0)
    none = torch.empty(0, dtype=torch.int64)
    model = DenoisingRegression(penalty=1e6)  # items hold no evidence at such a penalty
    model.fit(split.train, None, 0)
    expected = model.score(UserBatch(torch.tensor([-1]), Edges(none, none), {}))[0]
    popular = split.train.popularity / split.train.num_users
    assert float(torch.corrcoef(torch.stack([expected, popular]))[0, 1]) > 0.8


def test_a_known_item_raises_the_items_of_the_users_who_chose_it() -> None:
    # Users 0-9 chose items 0 and 1, users 10-19 items 2 and 3. All of them: 1/2 of the users each.
    row = torch.arange(20).repeat_interleave(2)
    node = torch.tensor([0, 1] * 10 + [2, 3] * 10)
    split = make_split(synthetic(0), UnseenUsers(test=0.2), 0)
    train = replace(split.train, users=UserBatch(torch.arange(20), Edges(row, node), {}))
    model = DenoisingRegression(penalty=0.25)
    model.fit(train, None, 0)
    expected = model.score(UserBatch(torch.tensor([-1]), Edges(torch.tensor([0]), torch.tensor([0])), {}))[0]
    assert expected[1] > 0.7
    assert expected[2:4].max() < 0.3


def test_the_penalty_of_a_bucket_is_the_best_one_on_the_held_out_users_of_all_folds() -> None:
    split = make_split(synthetic(0, num_users=160), UnseenUsers(test=0.2, validation=0.2), 0)
    folds = []
    for train, test in ((split.train, split.validation), split.train.hold_out(torch.arange(30))):
        folds.append(Fold(train, test, reveal_ground_truth(test, (1, 2, 5), 0)))
    model = DenoisingRegression()
    fitted = model.fit_folds(folds, 0)
    chosen = model.best_params["penalty"]
    assert list(chosen) == list(BUCKETS[1:])
    for least in (1, 2, 5):
        value = {}
        for penalty in PENALTIES:
            values = []
            for fold in folds:
                other = DenoisingRegression(penalty=penalty)
                other.fit(fold.train, None, 0)
                test = fold.revealed.take(dict(by_bucket(fold.revealed.users))[least])
                values.append(HeldOutNDCG(test, fold.train.candidates, 0)(other.score(test.users)))
            value[penalty] = np.concatenate(values).mean()
        assert chosen[least] == max(value, key=lambda penalty: value[penalty])
    assert chosen[10] == chosen[20] == chosen[50] == chosen[5]  # no held-out users: that of the bucket below
    final = DenoisingRegression(penalty=chosen)
    final.fit(folds[1].train, None, 0)
    users = folds[1].revealed.users
    assert torch.equal(final.score(users), fitted[1].score(users))


def test_without_known_items_to_choose_on_the_penalty_is_one() -> None:
    split = make_split(synthetic(0, num_users=60), UnseenUsers(test=0.2, validation=0.2), 0)
    model = DenoisingRegression()
    model.fit(split.train, split.validation, 0)
    assert model.best_params == {"penalty": dict.fromkeys(BUCKETS[1:], 1.0)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty": 0.0}, "penalty must be above 0, got 0"),
        ({"penalty": {1: 1.0, 5: -2.0}}, "penalty must be above 0, got -2"),
        ({"side_penalty": 0.0}, "side_penalty must be above 0, got 0"),
        ({"max_inputs": 0}, "max_inputs must be at least 1, got 0"),
        ({"max_users": 0}, "max_users must be at least 1, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenoisingRegression(**options)  # type: ignore[arg-type]
