"""Content models against slow second implementations, and on items that nobody has chosen."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.graph.matrices import histories, item_features
from gnnrec.models.baselines import ContentKNN, ContentRidge, Random
from gnnrec.models.baselines.content import REGULARIZATIONS
from gnnrec.models.selection import Fold, best_value
from gnnrec.splits import UnseenItems, make_split
from gnnrec.splits.parts import TEST, VALIDATION
from gnnrec.splits.split import Split
from gnnrec.views import TrainingData, UserBatch

NDCG = EvaluateConfig(metrics=["ndcg"], at=[10])


def split(seed: int = 3) -> Split:
    found = make_split(synthetic(seed, num_users=60, num_items=40), UnseenItems(test=0.2, validation=0.2), seed)
    found.open_test("a test")
    return found


def features(train: TrainingData, idf: bool, length: bool) -> np.ndarray:
    """[I, A], by loops."""
    columns: list[tuple[str, int]] = []
    sets: list[set[tuple[str, int]]] = [set() for _ in range(train.num_items)]
    for relation in train.relations:
        if relation.source == "item":
            columns += [(relation.name, value) for value in range(len(train.ids[relation.target]))]
            for item, value in relation.edge_index.T.tolist():
                sets[item].add((relation.name, value))
    found = np.array([[float(one in own) for one in columns] for own in sets])
    if idf:
        found *= np.log(len(sets) / np.maximum((found > 0).sum(0), 1))
    if length:
        size = np.sqrt((found**2).sum(1))
        found /= np.where(size > 0, size, 1)[:, None]
    return found


@pytest.mark.parametrize(("idf", "length"), [(False, False), (True, True), (True, False)])
def test_features_of_items(idf: bool, length: bool) -> None:
    train = split().train
    found = item_features(train, idf=idf, normalise="length" if length else "none").toarray()
    assert found == pytest.approx(features(train, idf, length))
    assert (found.sum(axis=1) > 0).any()


@pytest.mark.parametrize("idf", [False, True])
def test_ridge_is_a_regression_for_each_user(idf: bool) -> None:
    whole = split()
    model = ContentRidge(regularization=2.0, idf=idf, normalise="length")
    model.fit(whole.train, None, 3)
    users = whole.validation.users
    x = features(whole.train, idf, True)
    known = whole.train.candidates.numpy()
    y = histories(users, whole.train.num_items).toarray()
    for row, score in zip(y, model.score(users).numpy(), strict=True):
        with_intercept = np.hstack([x[known], np.ones((known.sum(), 1))])
        penalty = np.hstack([np.sqrt(2.0) * np.eye(x.shape[1]), np.zeros((x.shape[1], 1))])
        targets = np.concatenate([row[known], np.zeros(x.shape[1])])
        w = np.linalg.lstsq(np.vstack([with_intercept, penalty]), targets, rcond=None)[0][:-1]
        assert score == pytest.approx(x @ w, abs=1e-5)


def test_neighbours_are_a_mean_of_cosines() -> None:
    whole = split()
    model = ContentKNN()
    model.fit(whole.train, None, 3)
    x = features(whole.train, True, True)
    found = model.score(whole.test.users).numpy()
    y = histories(whole.test.users, whole.train.num_items).toarray()
    for user in range(len(y)):
        chosen = y[user].nonzero()[0]
        expected = [np.mean([x[i] @ x[j] for i in chosen]) if len(chosen) else 0.0 for j in range(len(x))]
        assert found[user] == pytest.approx(expected, abs=1e-6)


def test_what_is_chosen_on_are_the_held_out_items() -> None:
    whole = split()
    assert torch.equal(whole.validation.candidates(whole.train), whole.candidates(VALIDATION, whole.train))
    assert torch.equal(whole.test.candidates(whole.full), whole.candidates(TEST, whole.full))
    assert not (whole.validation.candidates(whole.train) & whole.train.candidates).any()
    truth = torch.zeros(len(whole.validation.users), whole.train.num_items)
    truth[whole.validation.ground_truth.row, whole.validation.ground_truth.node] = 1.0
    known = whole.validation.users.history(whole.train.num_items).float()

    class Fixed:
        def __init__(self, score: torch.Tensor) -> None:
            self._score = score

        def score(self, users: UserBatch) -> torch.Tensor:
            return self._score[torch.searchsorted(whole.validation.users.index, users.index)]

    fold = Fold(whole.train, whole.validation, whole.validation)
    both: Any = {"knows held-out items": truth, "knows those of training": known + (1 - truth)}
    best, _ = best_value(list(both)[::-1], lambda name, _: Fixed(both[name]), [fold], lambda one: one.test, 3)
    assert best == "knows held-out items"
    model = ContentRidge(regularization="choose")
    model.fit(whole.train, whole.validation, 3)
    assert model.best_params["regularization"] in REGULARIZATIONS


def test_items_without_attributes_are_refused() -> None:
    train = split().train
    bare = replace(train, relations=tuple(r for r in train.relations if r.source != "item"))
    for model in (ContentRidge(), ContentKNN()):
        with pytest.raises(ConfigError, match="the items have neither attributes nor features"):
            model.fit(bare, None, 3)
    with pytest.raises(ValueError, match="regularization"):
        ContentRidge(regularization=0)


def test_attributes_tell_which_new_items_a_user_will_choose() -> None:
    whole = make_split(synthetic(5, num_users=200, num_items=80), UnseenItems(test=0.2, validation=0.2), 5)
    whole.open_test("a test")
    found: dict[str, Any] = {}
    for model in (ContentRidge(), ContentKNN(), Random()):
        model.fit(whole.full, None, 5)
        value: Any = evaluate(model, whole.test, whole.candidates(TEST, whole.full), NDCG, 5, whole.full)
        found[type(model).__name__] = value.metrics["ndcg@10"]
    assert min(found["ContentRidge"], found["ContentKNN"]) > found["Random"] + 0.15, found
