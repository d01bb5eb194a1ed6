"""Rating models that use attributes, against numbers worked by hand and against dense solves."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.models.baselines import AttributeKNNRatings, Biases, BilinearRatings, GlobalMean, SegmentItemMean
from gnnrec.models.rating_effects import expected_item_bias, fit_biases, item_features, ratings_of
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges, TrainingData, UserBatch

COLOUR = ("user", "colour", "colour")
NONE = torch.empty(0, dtype=torch.int64)
# Users 0 and 1 are red, user 2 is blue. Item 0 gets 5 and 4 from red and 3 from blue: mean 4, no shrinkage anywhere.
USERS = UserBatch(
    torch.arange(3),
    Edges(torch.tensor([0, 1, 2]), torch.tensor([0, 0, 0]), torch.tensor([5.0, 4.0, 3.0])),
    {COLOUR: Edges(torch.arange(3), torch.tensor([0, 0, 1]))},
)
TRAIN = TrainingData(
    USERS,
    {"item": pd.Index(["a", "b"]), "colour": pd.Index(["red", "blue"])},
    (),
    {},
    torch.tensor([True, False]),
)
RED = UserBatch(torch.tensor([-1]), Edges(NONE, NONE), {COLOUR: Edges(torch.tensor([0]), torch.tensor([0]))})
NO_USER_BIAS = {"user_shrinkage": 1e9, "item_shrinkage": 0.0}


def split(seed: int = 0):
    return make_split(synthetic(seed, num_users=40), UnseenUsers(test=0.2, validation=0.2), seed)


def test_global_mean() -> None:
    model = GlobalMean()
    model.fit(TRAIN, None, 0)
    assert model.score(RED).tolist() == [[4.0, 4.0]]


def test_segment_item_mean_by_hand() -> None:
    # Residuals of red on item 0: 1 and 0, so its effect is (1 + 0) / (2 + 1) = 1/3; doubled 2/3. Nobody rated item 1.
    model = SegmentItemMean(shrinkage=1, strength=2, **NO_USER_BIAS)
    model.fit(TRAIN, None, 0)
    assert model.score(RED)[0].tolist() == pytest.approx([4.6667, 4], abs=1e-4)


def test_knn_by_hand() -> None:
    # Users 0 and 1 are alike (similarity 1), user 2 not at all: (1 + 0) / (2 + 2) = .25. User 0 is left out of
    # its own list: (0) / (1 + 2) = 0.
    model = AttributeKNNRatings(shrinkage=2, **NO_USER_BIAS)
    model.fit(TRAIN, None, 0)
    assert model.score(RED)[0].tolist() == pytest.approx([4.25, 4], abs=1e-4)
    assert model.score(USERS.take(torch.tensor([0])))[0, 0].item() == pytest.approx(4, abs=1e-4)


def test_without_effect_they_are_biases() -> None:
    parts = split()
    biases = Biases(item_shrinkage=5, user_shrinkage=3, cold="mean")
    biases.fit(parts.train, None, 0)
    some = Edges(torch.tensor([0]), torch.tensor([1]), torch.tensor([5.0]))
    for users in (parts.validation.users, replace(parts.validation.users, items=some)):
        wanted = biases.score(users)
        for model in (
            SegmentItemMean(strength=0),
            AttributeKNNRatings(shrinkage=1e12),
            BilinearRatings(regularization=1e12),
        ):
            model.fit(parts.train, None, 0)
            assert torch.allclose(model.score(users), wanted, atol=1e-4), type(model).__name__


def test_bilinear_equals_a_dense_solve() -> None:
    from gnnrec.graph.matrices import UserFeatures

    parts = split(3)
    train, users = parts.train, parts.validation.users
    model = BilinearRatings(regularization=2.0, item_shrinkage=5, user_shrinkage=3)
    model.fit(train, None, 0)
    features = UserFeatures(train)
    known = features(train.users).toarray()
    item = item_features(train).toarray()
    ratings = ratings_of(train)
    biases = fit_biases(ratings, 3, 5)
    centred = known - known.mean(axis=0)
    design = np.stack([np.outer(centred[u], item[i]).ravel() for u, i in zip(ratings.user, ratings.item, strict=True)])
    gram = design.T @ design + 2.0 * np.eye(design.shape[1])
    solved = np.linalg.solve(gram, design.T @ biases.residual(ratings)).reshape(known.shape[1], -1)
    effect = (features(users).toarray() - known.mean(axis=0)) @ solved @ item.T
    wanted = (biases.mean + biases.item + biases.mean_user + effect).clip(1, 5)
    assert model.score(users).numpy() == pytest.approx(wanted, abs=1e-4)


def test_bilinear_needs_attributes_of_items() -> None:
    with pytest.raises(ConfigError, match="needs attributes of items"):
        BilinearRatings().fit(TRAIN, None, 0)


def test_expected_item_bias_equals_a_weighted_dense_solve() -> None:
    train = split(1).train
    ratings = ratings_of(train)
    biases = fit_biases(ratings, 3, 5)
    count = np.bincount(ratings.item, minlength=train.num_items)
    mean = np.array(
        [
            np.mean((ratings.value - biases.mean - biases.user[ratings.user])[ratings.item == i]) if n else 0.0
            for i, n in enumerate(count)
        ]
    )
    features = np.column_stack([np.log1p(count), np.log1p(count) ** 2, item_features(train).toarray()])
    weight = count / (count + 4.0)
    centre, target = np.average(features, axis=0, weights=weight), np.average(mean, weights=weight)
    gram = (features - centre).T @ (weight[:, None] * (features - centre)) + 7.0 * np.eye(features.shape[1])
    solved = np.linalg.solve(gram, (features - centre).T @ (weight * (mean - target)))
    expected = expected_item_bias(train, ratings, biases, regularization=7.0, confidence=4.0)
    assert expected == pytest.approx((features - centre) @ solved + target, abs=1e-5)


def test_biases_are_shrunk_to_what_is_expected() -> None:
    ratings = ratings_of(TRAIN)
    expected = np.array([0.5, -1.0])
    biases = fit_biases(ratings, 1e9, 3.0, expected)
    # Residuals of item 0 beyond the expected .5: .5, -.5, -1.5, so -1.5 / (3 + 3) = -.25; item 1 keeps its -1.
    assert biases.item == pytest.approx([0.25, -1.0], abs=1e-6)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (SegmentItemMean, ("shrinkage", "strength", "item_shrinkage", "user_shrinkage")),
        (AttributeKNNRatings, ("shrinkage", "power", "item_shrinkage", "user_shrinkage")),
        (BilinearRatings, ("regularization", "item_shrinkage", "user_shrinkage")),
    ],
)
def test_options_out_of_range_are_refused(model: type, names: tuple[str, ...]) -> None:
    for name in names:
        with pytest.raises(ValueError, match=f"^{name} must be"):
            model(**{name: -1.0})
