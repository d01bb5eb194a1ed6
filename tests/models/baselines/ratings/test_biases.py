"""Item means and biases, against numbers worked by hand and against a dense solve."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.models.baselines import Biases, ItemMean
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges, TrainingData, UserBatch

# User 0 gives 5 to item 0 and 3 to item 1, user 1 gives 1 to item 1; nobody rated item 2. The mean is 3.
USERS = UserBatch(
    torch.arange(2), Edges(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), torch.tensor([5.0, 3.0, 1.0])), {}
)
TRAIN = TrainingData(USERS, {"item": pd.Index(list("abc"))}, (), {}, torch.tensor([True, True, False]))
NONE = torch.empty(0, dtype=torch.int64)
STRANGER = UserBatch(torch.tensor([-1]), Edges(NONE, NONE), {})


def test_item_mean_by_hand() -> None:
    # Item 0: 3 + 2 / (1 + 1) = 4; item 1: 3 + (0 - 2) / (2 + 1) = 2.3333; item 2: 3.
    model = ItemMean(shrinkage=1)
    model.fit(TRAIN, None, 0)
    assert model.score(STRANGER)[0].tolist() == pytest.approx([4, 2.3333, 3], abs=1e-4)


def test_biases_by_hand_for_a_stranger() -> None:
    # Minimise (2 - u0 - i0)^2 + (0 - u0 - i1)^2 + (-2 - u1 - i1)^2 + u0^2 + u1^2 + i0^2 + i1^2. Setting the
    # derivatives to 0: 3 u0 = 2 - i0 - i1, 2 u1 = -2 - i1, 2 i0 = 2 - u0, 3 i1 = -2 - u0 - u1. So i0 = 1 - u0 / 2,
    # u1 = -1 - i1 / 2, and 3 i1 = -1 - u0 + i1 / 2, i1 = -.4 - .4 u0; then 3 u0 = 1.4 + .9 u0, u0 = 2/3,
    # i0 = 2/3, i1 = -2/3, u1 = -2/3.
    for cold, user in (("zero", 0.0), ("mean", 0.0)):  # the mean of 2/3 and -2/3 is 0
        model = Biases(item_shrinkage=1, user_shrinkage=1, cold=cold)  # type: ignore[arg-type]
        model.fit(TRAIN, None, 0)
        assert model.score(STRANGER)[0].tolist() == pytest.approx([3.6667 + user, 2.3333 + user, 3 + user], abs=1e-4)
    # User 0: 3 + 2/3 + 2/3, 3 + 2/3 - 2/3, 3 + 2/3.
    assert model.score(USERS)[0].tolist() == pytest.approx([4.3333, 3, 3.6667], abs=1e-4)


@pytest.mark.parametrize("cold", ["zero", "mean", "attributes"])
def test_biases_equal_a_dense_solve(cold: Literal["zero", "mean", "attributes"]) -> None:
    split = make_split(synthetic(3, num_users=40), UnseenUsers(test=0.2, validation=0.2), 0)
    some = split.train.users.items.take(split.train.users.items.row > 2)  # three training users without any rating
    train = replace(split.train, users=replace(split.train.users, items=some))
    model = Biases(item_shrinkage=2.0, user_shrinkage=3.0, cold=cold, regularization=5.0)
    model.fit(train, None, 0)
    edges, users = train.users.items, train.num_users
    assert edges.weight is not None
    design = np.zeros((len(edges), users + train.num_items))
    design[np.arange(len(edges)), edges.row] = 1
    design[np.arange(len(edges)), users + edges.node.numpy()] = 1
    mean = edges.weight.double().mean().item()
    penalty = np.diag([3.0] * users + [2.0] * train.num_items)
    bias = np.linalg.solve(design.T @ design + penalty, design.T @ (edges.weight.double().numpy() - mean))
    asked = split.validation.users
    expected = np.zeros(len(asked))
    if cold == "mean":
        expected[:] = bias[3:users].mean()
    elif cold == "attributes":
        from sklearn.linear_model import Ridge

        from gnnrec.graph.matrices import UserFeatures

        features = UserFeatures(train)
        solved = Ridge(alpha=5.0).fit(features(train.users).toarray()[3:], bias[3:users])
        expected = solved.predict(features(asked).toarray())
    wanted = (mean + bias[users:] + expected[:, None]).clip(1, 5)
    assert model.score(asked).numpy() == pytest.approx(wanted, abs=1e-5)
    # With a 5 for item 1 known of user 0: three times what was expected, once the residual of that rating.
    known = replace(asked, items=Edges(torch.tensor([0]), torch.tensor([1]), torch.tensor([5.0])))
    moved = (3 * expected[0] + 5 - mean - bias[users + 1]) / 4
    wanted = (mean + bias[users:] + moved).clip(1, 5)
    assert model.score(known)[0].numpy() == pytest.approx(wanted, abs=1e-5)


def test_known_ratings_move_a_user_away_from_what_is_expected() -> None:
    # One known rating of item 2 (predicted 3 for a stranger), a 5: the user's bias is (5 - 3) / (1 + 1) = 1.
    model = Biases(item_shrinkage=1, user_shrinkage=1, cold="zero")
    model.fit(TRAIN, None, 0)
    known = replace(STRANGER, items=Edges(torch.tensor([0]), torch.tensor([2]), torch.tensor([5.0])))
    assert model.score(known)[0].tolist() == pytest.approx([4.6667, 3.3333, 4], abs=1e-4)


def test_predictions_are_clipped_to_the_training_values() -> None:
    model = Biases(item_shrinkage=1, user_shrinkage=0, cold="zero")
    model.fit(TRAIN, None, 0)
    known = replace(STRANGER, items=Edges(torch.tensor([0]), torch.tensor([2]), torch.tensor([50.0])))
    assert model.score(known)[0].tolist() == [5, 5, 5]


def test_data_without_values_is_refused() -> None:
    bare = replace(TRAIN, users=replace(USERS, items=Edges(USERS.items.row, USERS.items.node)))
    for model in (ItemMean(), Biases()):
        with pytest.raises(ConfigError, match="interactions with values"):
            model.fit(bare, None, 0)


@pytest.mark.parametrize("name", ["item_shrinkage", "user_shrinkage", "regularization"])
def test_options_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        Biases(**{name: -1.0})
    with pytest.raises(ValueError, match="shrinkage must be at least 0, got -1"):
        ItemMean(shrinkage=-1)
