"""Ridge regression in closed form, against scikit-learn on dense matrices."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import Ridge

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.graph.matrices import UserFeatures
from gnnrec.models import ridge
from gnnrec.models.baselines import AttributeLinear
from gnnrec.models.baselines.linear import REGULARIZATIONS
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.models.ridge import RidgeMap
from gnnrec.models.selection import Fold
from gnnrec.nn.init import decompose
from gnnrec.splits import UnseenUsers, make_split

SPLIT = make_split(synthetic(0, num_users=100), UnseenUsers(test=0.2, validation=0.2), 0)


@pytest.mark.parametrize("shape", [(30, 6), (6, 30), (8, 8)])
@pytest.mark.parametrize("dense_targets", [True, False])
def test_both_forms_equal_scikit_learn(shape: tuple[int, int], dense_targets: bool) -> None:
    random = np.random.default_rng(0)
    x = (random.random(shape) < 0.4) * random.random(shape)
    y = (random.random((shape[0], 5)) < 0.3).astype(float)
    asked = random.random((4, shape[1]))
    wanted = Ridge(alpha=0.7).fit(x, y).predict(asked)
    got = RidgeMap(sparse.csr_array(x), y if dense_targets else sparse.csr_array(y), 0.7)(sparse.csr_array(asked))
    assert got == pytest.approx(wanted, abs=1e-9)


def test_without_features_it_predicts_the_mean() -> None:
    none = sparse.csr_array((3, 0))
    assert RidgeMap(none, np.array([[1.0], [2.0], [6.0]]), 1.0)(sparse.csr_array((2, 0))).tolist() == [[3.0], [3.0]]


def test_a_system_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge, "LARGEST_SYSTEM", 5)
    monkeypatch.setattr(ridge, "MOST_TARGETS", 0)
    with pytest.raises(ConfigError, match="30 users on 6 attribute values"):
        RidgeMap(sparse.csr_array(np.eye(30, 6)), np.ones((30, 1)), 1.0)
    RidgeMap(sparse.csr_array(np.eye(30, 5)), np.ones((30, 1)), 1.0)


@pytest.mark.parametrize("shape", [(40, 12), (12, 40)])
@pytest.mark.parametrize("dense_targets", [False, True])
def test_a_large_system_with_few_targets_is_solved_by_conjugate_gradients(
    shape: tuple[int, int], dense_targets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ridge, "LARGEST_SYSTEM", 5)
    random = np.random.default_rng(0)
    x, y, asked = random.random(shape), random.random((shape[0], 3)), random.random((4, shape[1]))
    wanted = Ridge(alpha=0.7).fit(x, y).predict(asked)
    solved = RidgeMap(sparse.csr_array(x), y if dense_targets else sparse.csr_array(y), 0.7)
    assert solved(sparse.csr_array(asked)) == pytest.approx(wanted, abs=1e-6)


def test_scores_are_those_of_ridge_regression_from_attributes_and_friends() -> None:
    train, asked = SPLIT.train, SPLIT.validation.users
    for friends in (False, True):
        model = AttributeLinear(regularization=3.0, friends=friends, normalise="sum")
        model.fit(train, None, 0)
        features = UserFeatures(train, friends=friends, normalise="sum")
        known = Ridge(alpha=3.0).fit(features(train.users).toarray(), train.users.history(train.num_items).numpy())
        assert model.score(asked).numpy() == pytest.approx(known.predict(features(asked).toarray()), abs=1e-5)


def test_a_low_rank_uses_the_leading_singular_directions() -> None:
    train, asked = SPLIT.train, SPLIT.validation.users
    model = AttributeLinear(regularization=3.0, rank=4)
    model.fit(train, None, 0)
    features = UserFeatures(train)
    x = features(train.users).toarray()
    directions = np.linalg.svd(x)[2][:4].T
    known = Ridge(alpha=3.0).fit(x @ directions, train.users.history(train.num_items).numpy())
    wanted = known.predict(features(asked).toarray() @ directions)
    assert model.score(asked).numpy() == pytest.approx(wanted, abs=1e-3)


def test_a_rank_that_leaves_nothing_out_is_plain_ridge() -> None:
    full, ranked = AttributeLinear(), AttributeLinear(rank=10_000)
    for model in (full, ranked):
        model.fit(SPLIT.train, None, 0)
    assert full.score(SPLIT.validation.users).equal(ranked.score(SPLIT.validation.users))


def test_with_an_svd_rank_it_regresses_on_the_places_among_the_singular_vectors() -> None:
    train, asked = SPLIT.train, SPLIT.validation.users
    model = AttributeLinear(regularization=3.0, svd_rank=4, friends=True, normalise="length")
    model.fit(train, None, 7)
    features = UserFeatures(train, friends=True, normalise="length")
    svd = decompose(train, 4, 7)
    place = Ridge(alpha=3.0).fit(features(train.users).toarray(), svd.user).predict(features(asked).toarray())
    wanted = place @ (svd.item * svd.by_item[:, None]).T
    assert model.score(asked).numpy() == pytest.approx(wanted, abs=1e-5)


def test_with_an_svd_rank_unseen_users_get_items_of_their_group() -> None:
    split = make_split(synthetic(0, num_users=200), UnseenUsers(test=0.2, validation=0.2), 0)
    model = AttributeLinear(
        regularization=1.0, svd_rank=8, friends=True, edge_weights="log", idf=True, normalise="length"
    )
    model.fit(split.train, None, 0)
    users = split.validation.users
    share = (model.score(users).topk(5).indices % 4 == (users.index % 4)[:, None]).float().mean()
    assert share > 0.8  # chance is 0.25


@pytest.mark.parametrize("svd_rank", [None, 6])
def test_the_regularization_is_the_best_one_on_the_held_out_users_of_all_folds(svd_rank: int | None) -> None:
    split = make_split(synthetic(0, num_users=120), UnseenUsers(test=0.2, validation=0.2), 0)
    folds = [Fold(*pair, pair[1]) for pair in ((split.train, split.validation), split.train.hold_out(torch.arange(20)))]
    model = AttributeLinear(regularization="choose", svd_rank=svd_rank, friends=True)
    fitted = model.fit_folds(folds, 0)
    value = {}
    for regularization in REGULARIZATIONS:
        values = []
        for fold in folds:
            other = AttributeLinear(regularization=regularization, svd_rank=svd_rank, friends=True)
            other.fit(fold.train, None, 0)
            measure = HeldOutNDCG(fold.test, fold.train.candidates, 0)
            values.append(measure(other.score(fold.test.users)))
        value[regularization] = np.concatenate(values).mean()
    best = max(value, key=lambda regularization: value[regularization])
    assert model.best_params == {"regularization": best}
    final = AttributeLinear(regularization=best, svd_rank=svd_rank, friends=True)
    final.fit(folds[1].train, None, 0)
    assert fitted[1].score(folds[1].test.users).equal(final.score(folds[1].test.users))
    first = AttributeLinear(regularization="choose", svd_rank=svd_rank, friends=True)
    first.fit(split.train, split.validation, 0)
    assert first.score(split.validation.users).isfinite().all()
    assert set(first.best_params) == {"regularization"}


def test_without_users_to_choose_on_the_regularization_is_ten() -> None:
    models = AttributeLinear(regularization="choose"), AttributeLinear(regularization=10.0)
    for model in models:
        model.fit(SPLIT.train, None, 0)
    assert models[0].score(SPLIT.validation.users).equal(models[1].score(SPLIT.validation.users))


@pytest.mark.parametrize("options", [{"regularization": 0.0}, {"rank": 0}, {"svd_rank": 0}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        AttributeLinear(**options)  # type: ignore[arg-type]
