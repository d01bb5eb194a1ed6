"""Pairwise preference regression against the system of all pairs, and where users and items are both new."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.graph.matrices import UserFeatures, histories, item_features
from gnnrec.models.baselines import PairwisePreferenceRegression, Random
from gnnrec.splits import UnseenBoth, make_split
from gnnrec.splits.split import Split


def split(seed: int = 3, num_users: int = 30, num_items: int = 20) -> Split:
    data = synthetic(seed, num_users=num_users, num_items=num_items)
    return make_split(data, UnseenBoth(test=0.2, validation=0.2), seed)


def test_it_minimises_the_errors_of_all_pairs() -> None:
    train = split().train
    model = PairwisePreferenceRegression(regularization=0.7, idf=True, normalise="length", feature_weight=2.0)
    model.fit(train, None, 3)
    items = item_features(train, idf=True, feature_weight=2.0).toarray()
    users = np.c_[UserFeatures(train, normalise="length")(train.users).toarray(), np.ones(train.num_users)]
    chosen = histories(train.users, train.num_items).toarray()
    own = np.flatnonzero(train.candidates.numpy())
    gram, right = 0.0, 0.0
    for user in range(train.num_users):
        for i in own:
            for j in own:
                pair = np.outer(users[user], items[i] - items[j]).ravel()
                gram = gram + np.outer(pair, pair)
                right = right + (chosen[user, i] - chosen[user, j]) * pair
    # a user's pairs count each deviation from the mean twice as often as there are items
    penalty = 0.7 * len(own) * 2 * len(own)
    weight = np.linalg.solve(gram + penalty * np.eye(len(gram)), right).reshape(users.shape[1], -1)
    expected = users @ weight @ (items - items[own].mean(axis=0)).T
    assert model.score(train.users).numpy() == pytest.approx(expected, abs=1e-5)
    assert np.abs(expected).max() > 0.01


def test_where_users_and_items_are_both_new_it_finds_the_group() -> None:
    whole = split(5, 200, 80)
    model, drawn = PairwisePreferenceRegression(regularization=0.1), Random()
    scores: list[float] = []
    for one in (model, drawn):
        one.fit(whole.train, None, 5)
        candidates = whole.validation.candidates(whole.train)
        config = EvaluateConfig(metrics=["ndcg"], at=[10])
        found = evaluate(one, whole.validation, candidates, config, 5).metrics["ndcg@10"]
        assert found is not None
        scores.append(found)
    assert scores[0] > scores[1] + 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regularization": 0}, "regularization must be above 0, got 0"),
        ({"feature_weight": -1}, "feature_weight must be above 0, got -1"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PairwisePreferenceRegression(**options)


def test_items_without_anything_and_too_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    train = split().train
    with pytest.raises(ConfigError, match="neither attributes nor features"):
        PairwisePreferenceRegression().fit(replace(train, relations=()), None, 3)
    monkeypatch.setattr("gnnrec.models.baselines.pairwise.LARGEST", 3)
    with pytest.raises(ConfigError, match="items have 4 attribute values and features, at most 3 are taken"):
        PairwisePreferenceRegression().fit(train, None, 3)
