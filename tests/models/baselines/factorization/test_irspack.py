"""IRSpack: the normal equations with prior means, solved slowly, and users who were not there in the fit."""

import builtins
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import gnnrec.models.baselines.factorization.irspack as module
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError, TrainingError
from gnnrec.graph.matrices import UserFeatures
from gnnrec.models.baselines import IRSpack
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.testing.recommender import assert_recommender
from gnnrec.views import ITEM, Edges, Relation, TrainingData, UserBatch, reverse

pytest.importorskip("irspack", reason="IRSpack needs gnnrec[mf]")

SPLIT = make_split(synthetic(4, num_users=70), UnseenUsers(test=0.2, validation=0.2), 4)
TRAIN, UNSEEN = SPLIT.train, SPLIT.validation.users
SMALL: dict[str, Any] = {
    "factors": 6,
    "alpha": 0.3,
    "regularization": 0.05,
    "feature_regularization": 2.0,
    "item_feature_regularization": 5.0,
    "edge_weights": "ignore",
    "idf": False,
    "normalise": "none",
}


def fitted(seed: int = 4, train: TrainingData = TRAIN, **options: Any) -> Any:
    model = IRSpack(**SMALL | options)
    model.fit(train, None, seed)
    return model


def features(users: UserBatch, friends: bool) -> np.ndarray:
    """[B, A + 1], with the constant."""
    known = UserFeatures(TRAIN, friends=friends)(users).toarray()
    return np.hstack([known, np.ones((len(known), 1))])


def item_features() -> np.ndarray:
    """[I, A + 1], with the constant, edge by edge."""
    columns = []
    for relation in TRAIN.relations:
        assert relation.source == ITEM
        one = np.zeros((TRAIN.num_items, len(TRAIN.ids[relation.target])))
        for item, value in relation.edge_index.T.tolist():
            one[item, value] = 1
        columns.append(one)
    return np.hstack([*columns, np.ones((TRAIN.num_items, 1))])


def solved(chosen: list[int], other: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """The vector of one user (or item) with the chosen items (users), by its normal equations."""
    weight = 0.05 * (0.3 * len(other) + len(chosen))
    left = 0.3 * other.T @ other + weight * np.eye(other.shape[1])
    right = weight * prior
    for one in chosen:
        left = left + np.outer(other[one], other[one])
        right = right + other[one]
    return np.linalg.solve(left, right)


def ridge(known: np.ndarray, vectors: np.ndarray, weights: np.ndarray, penalty: float) -> np.ndarray:
    """[A + 1, D], the map from features to vectors that weighted least squares give."""
    left = known.T @ np.diag(weights) @ known + penalty * np.eye(known.shape[1])
    return np.linalg.solve(left, known.T @ np.diag(weights) @ vectors)


@pytest.mark.parametrize("friends", [False, True])
@pytest.mark.parametrize("of_items", [False, True])
def test_the_fit_ends_where_the_normal_equations_hold(friends: bool, of_items: bool) -> None:
    # One more alternation, written out, must leave vectors and maps as they are. With friends there are more features
    # than users, so the library is given coordinates; the equations here are those of the features themselves.
    model = fitted(friends=friends, item_features=of_items, iterations=1000)
    known = features(TRAIN.users, friends)
    assert (known.shape[1] > len(known)) == friends
    item, weight = model._item_vectors.astype(np.float64), model._feature_weight.astype(np.float64)
    pairs = list(zip(TRAIN.users.items.row.tolist(), TRAIN.users.items.node.tolist(), strict=True))
    of_user = [[i for u, i in pairs if u == user] for user in range(TRAIN.num_users)]
    by_item = [[u for u, i in pairs if i == item] for item in range(TRAIN.num_items)]

    user = np.stack([solved(of_user[u], item, known[u] @ weight) for u in range(len(known))])
    by_user = np.array([0.05 * (0.3 * len(item) + len(chosen)) for chosen in of_user])
    assert ridge(known, user, by_user, 2.0) == pytest.approx(weight, abs=3e-3)
    prior = np.zeros_like(item)
    if of_items:
        per_item = np.array([0.05 * (0.3 * len(user) + len(chosen)) for chosen in by_item])
        prior = item_features() @ ridge(item_features(), item, per_item, 5.0)
    again = np.stack([solved(by_item[i], user, prior[i]) for i in range(len(item))])
    assert again == pytest.approx(item, abs=3e-3)
    assert np.abs(item).max() > 0.3


@pytest.mark.parametrize("friends", [False, True])
def test_an_unseen_user_gets_the_solution_of_its_equations_with_known_items_and_without(friends: bool) -> None:
    model = fitted(friends=friends)
    users = replace(UNSEEN, items=Edges(torch.tensor([2, 2, 2]), torch.tensor([9, 1, 5])))
    item, weight = model._item_vectors.astype(np.float64), model._feature_weight.astype(np.float64)
    prior = features(users, friends) @ weight
    scores = model.score(users).numpy()
    assert scores[2] == pytest.approx(item @ solved([1, 5, 9], item, prior[2]), abs=1e-4)
    assert scores[0] == pytest.approx(item @ solved([], item, prior[0]), abs=1e-4)
    assert model.score(UNSEEN)[0].numpy() == pytest.approx(scores[0], abs=1e-5)
    assert np.abs(model.score(UNSEEN)[2].numpy() - scores[2]).max() > 0.05


def test_a_user_of_whom_nothing_is_known_gets_popular_items() -> None:
    none = torch.empty(0, dtype=torch.int64)
    nobody = UserBatch(torch.tensor([-1]), Edges(none, none), {})
    scores = fitted(factors=16).score(nobody)[0]
    # Independent numbers of 40 items correlate above .5 about once in two thousand times.
    assert np.corrcoef(scores.numpy(), TRAIN.popularity.numpy())[0, 1] > 0.6


def test_two_fits_agree_bit_for_bit_and_two_seeds_do_not() -> None:
    one, same, other = (fitted(seed, factors=16).score(UNSEEN) for seed in (5, 5, 6))
    assert one.equal(same)
    assert not one.equal(other)


def test_item_attributes_count_whichever_way_their_relation_runs() -> None:
    turned = tuple(
        Relation(*reverse(r.type), edge_index=r.edge_index.flip(0), weight=r.weight) for r in TRAIN.relations
    )
    assert turned
    with_features = fitted(item_features=True).score(UNSEEN)
    assert fitted(train=replace(TRAIN, relations=turned), item_features=True).score(UNSEEN).equal(with_features)
    assert not fitted().score(UNSEEN).allclose(with_features, atol=1e-3)


def test_item_attributes_that_are_not_there_are_refused() -> None:
    with pytest.raises(ConfigError, match="item_features: the items have no attributes"):
        fitted(train=replace(TRAIN, relations=()), item_features=True)


def test_a_system_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_SYSTEM", 5)
    with pytest.raises(ConfigError, match=r"needs a system of \d+ equations, at most 5"):
        fitted()


def test_vectors_that_are_not_finite_end_the_fit() -> None:
    with pytest.raises(TrainingError, match="raise its"):
        fitted(alpha=1e38, regularization=1e38)


def test_fits_without_a_warning_or_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(iterations=1, item_features=True).score(UNSEEN)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("options", [{}, {"item_features": True, "friends": True}], ids=str)
def test_keeps_the_contract(options: dict[str, Any]) -> None:
    # The prior weighs in proportion to the number of items: 40 of them need a larger regularization than the default.
    assert_recommender(IRSpack, {"factors": 16, "regularization": 0.3, **options}, seed=2)


def test_a_missing_library_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("irspack"):
            raise ImportError("No module named 'irspack'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"needs the library irspack: pip install 'gnnrec\[mf\]'"):
        fitted()


@pytest.mark.parametrize(
    "name",
    [
        "factors",
        "iterations",
        "alpha",
        "regularization",
        "feature_regularization",
        "item_feature_regularization",
    ],
)
def test_options_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        IRSpack(**{name: 0})
