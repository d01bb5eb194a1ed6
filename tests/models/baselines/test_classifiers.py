"""Logistic regression and gradient boosting beside scikit-learn's own, and what they read of a user."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import described_users as made
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression as Library

from gnnrec.data.frames import from_frames
from gnnrec.errors import ConfigError, TrainingError
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.graph.matrices import UserFeatures
from gnnrec.models.baselines.classifiers import GradientBoosting, LogisticRegression, _Rows
from gnnrec.models.baselines.linear import AttributeLinear
from gnnrec.models.saving import load_model, save_model
from gnnrec.runtime import seeds
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.split import Split


def applicants(seed: int, classes: int = 2, users: int = 300) -> Split:
    """Users with a value, a number between knots and one item, which follows both."""
    random = np.random.default_rng(seed)
    job, age = random.choice(["nurse", "smith", "clerk"], users), random.normal(40, 10, users).round(1)
    noisy = (job == "nurse") * 1.5 + (age - 40) / 10 + random.normal(size=users)
    outcome = np.digitize(noisy, np.quantile(noisy, np.arange(1, classes) / classes))
    frames = {
        "people": pd.DataFrame({"u": range(users), "job": job, "age": age}),
        "loans": pd.DataFrame({"u": range(users), "i": [f"outcome {one}" for one in outcome]}),
    }
    data = from_frames(
        frames,
        interactions={"path": "loans", "user": "u", "item": "i"},
        users={"path": "people", "id": "u", "attributes": {"job": {}, "age": {"number": {"knots": 5}}}},
    )
    return make_split(data, UnseenUsers(test=0.2, validation=0.2), seed)


def numbers(split: Split) -> dict[int, float]:
    (age,) = split.dataset.numeric
    return dict(zip(age.node.tolist(), age.number.tolist(), strict=True))


def test_a_number_between_knots_is_the_number_again() -> None:
    split = applicants(5)
    train = split.train
    rows = _Rows.of(train)(train.users).toarray()
    known = np.array([numbers(split)[user] for user in train.users.index.tolist()])
    low, high = np.quantile(known, [0.01, 0.99])
    clipped = known.clip(low, high)
    assert rows.shape[1] == 3 + 1
    np.testing.assert_allclose(rows[:, 3], (clipped - clipped.mean()) / clipped.std(), atol=1e-5)
    assert (rows[:, :3].sum(1) == 1).all()


@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_regression_beside_the_library(classes: int) -> None:
    split = applicants(6, classes)
    train, asked = split.train, split.validation.users
    model = LogisticRegression(regularization=0.5)
    model.fit(train, None, 3)
    rows = _Rows.of(train)
    library = Library(C=2.0, max_iter=1000).fit(rows(train.users).toarray(), train.users.items.node.numpy())
    expected = library.predict_log_proba(rows(asked).toarray())
    np.testing.assert_allclose(model.score(asked).numpy(), expected, atol=1e-3)
    assert model.score(asked).exp().sum(1).numpy() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_gradient_boosting_beside_the_library(classes: int) -> None:
    split = applicants(8, classes)
    train, asked = split.train, split.validation.users
    model = GradientBoosting(trees=12, depth=2, subsample=0.7)
    model.fit(train, None, 4)
    rows = _Rows.of(train)
    library = GradientBoostingClassifier(
        n_estimators=12,
        max_depth=2,
        subsample=0.7,
        random_state=np.random.RandomState(seeds.integer(4, "trees") % 2**32),
    ).fit(rows(train.users).astype(np.float32).toarray(), train.users.items.node.numpy())
    expected = library.predict_log_proba(rows(asked).astype(np.float32).toarray())
    np.testing.assert_allclose(model.score(asked).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("model", [LogisticRegression(), GradientBoosting(trees=5)], ids=lambda one: type(one).__name__)
def test_they_tell_users_apart_and_are_saved(model: Any, tmp_path: Path) -> None:
    split = applicants(9)
    model.fit(split.train, None, 2)
    config = EvaluateConfig(metrics=["auc", "brier", "log_loss"])
    found = evaluate(model, split.validation, split.train.candidates, config, 1)
    assert found.metrics["auc"] > 0.7
    assert found.metrics["brier"] < 0.25
    assert found.per_user["auc"].mean() == pytest.approx(found.metrics["auc"])
    save_model(model, tmp_path)
    asked = split.validation.users
    assert torch.equal(load_model(tmp_path).score(asked), model.score(asked))


def test_words_are_columns() -> None:
    split = made.split(5, {"says": made.LETTERS})
    model = LogisticRegression(regularization=0.1)
    model.fit(split.train, None, 2)
    features = UserFeatures(split.train, attributes=["says"])
    assert model._weights.shape == (26, len(model._classes))
    assert sparse.issparse(features(split.train.users))
    best = model.score(split.validation.users).argmax(1)
    truth = split.validation.ground_truth
    group = truth.node[torch.tensor([(truth.row == row).nonzero()[0, 0] for row in range(len(best))])]
    ids = split.dataset.ids["item"]
    found, wanted = ([int(ids[one][1:]) // made.ITEMS_OF_GROUP for one in each.tolist()] for each in (best, group))
    assert np.mean(np.array(found) == np.array(wanted)) > 0.8


def test_one_item_alone_cannot_be_told_apart() -> None:
    split = applicants(9)
    items = split.train.users.items
    only = items.take(items.node == items.node[0])
    train = replace(split.train, users=replace(split.train.users, items=only))
    for model in (LogisticRegression(), GradientBoosting()):
        with pytest.raises(TrainingError, match="have chosen one item alone"):
            model.fit(train, None, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogisticRegression(regularization=0), "regularization must be above 0"),
        (lambda: GradientBoosting(subsample=1.5), "subsample in \\(0, 1\\]"),
        (lambda: GradientBoosting(trees=0), "trees, depth and leaf must be at least 1"),
    ],
)
def test_options_out_of_range(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_model_without_probabilities_has_a_dash_and_several_items_are_refused() -> None:
    split = applicants(9)
    ridge = AttributeLinear()
    ridge.fit(split.train, None, 2)
    given = split.validation, split.train.candidates
    found = evaluate(ridge, *given, EvaluateConfig(metrics=["auc", "brier"]), 1)
    assert found.metrics["auc"] > 0.7
    assert found.metrics["brier"] is None
    assert "brier" not in found.per_user
    with pytest.raises(ConfigError, match="brier needs probabilities, and AttributeLinear gives scores"):
        evaluate(ridge, *given, EvaluateConfig(metrics=["brier"]), 1)
    several = made.split(5, {"taste": {"vector": "taste"}})
    ridge.fit(several.train, None, 2)
    with pytest.raises(ConfigError, match="auc is of users with one item each, and a held-out user has 3"):
        evaluate(ridge, several.validation, several.train.candidates, EvaluateConfig(metrics=["auc"]), 1)
