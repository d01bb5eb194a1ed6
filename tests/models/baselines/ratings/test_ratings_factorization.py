"""Biased matrix factorization against a slow second one, and on data whose answer is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.models.baselines import BiasedMF, Biases
from gnnrec.models.rating_effects import fit_biases, ratings_of
from gnnrec.views import Edges, TrainingData, UserBatch

TASTE = ("user", "taste", "taste")


def made_ratings(seed: int, num_users: int = 60, num_items: int = 20) -> TrainingData:
    """Users of taste 0 give 5 to even items and 1 to odd ones, users of taste 1 the other way; half of all is rated."""
    random = np.random.default_rng(seed)
    user, item = np.nonzero(random.random((num_users, num_items)) < 0.5)
    value = np.where((user + item) % 2 == 0, 5.0, 1.0)
    users = UserBatch(
        torch.arange(num_users),
        Edges(torch.from_numpy(user), torch.from_numpy(item), torch.from_numpy(value).float()),
        {TASTE: Edges(torch.arange(num_users), torch.arange(num_users) % 2)},
    )
    ids = {"item": pd.Index([str(i) for i in range(num_items)]), "taste": pd.Index(["0", "1"])}
    return TrainingData(users, ids, (), {}, torch.ones(num_items, dtype=torch.bool))


def strangers() -> UserBatch:
    none = torch.empty(0, dtype=torch.int64)
    return UserBatch(torch.tensor([-1, -1]), Edges(none, none), {TASTE: Edges(torch.arange(2), torch.arange(2))})


def test_the_map_gives_a_stranger_the_taste_of_its_attribute_and_the_mean_does_not() -> None:
    train = made_ratings(0)
    model = BiasedMF(cold="attribute_map", factors=2, regularization=1, map_regularization=1)
    model.fit(train, None, 0)
    score = model.score(strangers())  # [2, I]
    assert (score[0, ::2] > 4).all()
    assert (score[0, 1::2] < 2).all()
    assert (score[1, ::2] < 2).all()
    mean = BiasedMF(cold="mean", factors=2, regularization=1)
    mean.fit(train, None, 0)
    assert torch.equal(mean.score(strangers())[0], mean.score(strangers())[1])
    assert ((mean.score(strangers()) - 3).abs() < 1).all()


def test_known_ratings_say_more_than_attributes() -> None:
    train = made_ratings(0)
    model = BiasedMF(cold="attribute_map", factors=2, regularization=1, map_regularization=1)
    model.fit(train, None, 0)
    known = Edges(torch.tensor([0] * 4), torch.tensor([0, 1, 2, 3]), torch.tensor([1.0, 5.0, 1.0, 5.0]))
    score = model.score(replace(strangers(), items=known))  # user 0 has taste 0, and rates against it
    assert (score[0, 4::2] < score[0, 5::2]).all()
    assert torch.equal(score[1], model.score(strangers())[1])


def test_equals_a_slow_factorization() -> None:
    train = made_ratings(1, num_users=12, num_items=6)
    ratings = ratings_of(train)
    model = BiasedMF(factors=2, regularization=0.7, iterations=2)
    model.fit(train, None, 5)
    biases = fit_biases(ratings, 3, 5)
    left = biases.residual(ratings)
    from gnnrec.runtime import seeds

    items = 0.1 * seeds.numpy_generator(5, "biased mf").standard_normal((6, 2))

    def solve(group: np.ndarray, other: np.ndarray, vectors: np.ndarray, number: int) -> np.ndarray:
        solved = []
        for g in range(number):
            x, y = vectors[other[group == g]], left[group == g]
            solved.append(np.linalg.solve(x.T @ x + 0.7 * np.eye(2), x.T @ y))
        return np.array(solved)

    for _ in range(2):
        users = solve(ratings.user, ratings.item, items, 12)
        items = solve(ratings.item, ratings.user, users, 6)
    mean = solve(ratings.user, ratings.item, items, 12).mean(axis=0)
    wanted = (biases.mean + biases.item + biases.mean_user + items @ mean).clip(1, 5)
    assert model.score(strangers())[0].numpy() == pytest.approx(wanted, abs=1e-5)


def test_with_strong_regularization_it_is_biases() -> None:
    train = made_ratings(0)
    model = BiasedMF(regularization=1e9)
    model.fit(train, None, 0)
    biases = Biases(item_shrinkage=5, user_shrinkage=3)
    biases.fit(train, None, 0)
    assert torch.allclose(model.score(strangers()), biases.score(strangers()), atol=1e-4)


@pytest.mark.parametrize(
    "name", ["factors", "iterations", "regularization", "map_regularization", "item_shrinkage", "user_shrinkage"]
)
def test_options_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        BiasedMF(**{name: -1})
