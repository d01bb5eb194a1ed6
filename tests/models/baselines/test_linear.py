"""Ridge regression in closed form, against scikit-learn on dense matrices."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.graph.matrices import UserFeatures
from gnnrec.models import ridge
from gnnrec.models.baselines import AttributeLinear
from gnnrec.models.ridge import RidgeMap
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


@pytest.mark.parametrize("options", [{"regularization": 0.0}, {"rank": 0}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        AttributeLinear(**options)  # type: ignore[arg-type]
