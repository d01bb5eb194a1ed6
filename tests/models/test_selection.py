"""Model selection: buckets by hand, NDCG of scores at hand against `evaluate`, one model for each fold."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gnnrec.data.synthetic import synthetic
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.models import held_out, selection
from gnnrec.models.baselines import Popularity
from gnnrec.models.held_out import HeldOutNDCG, MixedNDCG
from gnnrec.models.selection import BUCKETS, Fold, best_value, by_bucket, fold_models, score_in_batches
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.kshot import reveal
from gnnrec.splits.split import Split
from gnnrec.views import Edges, TestSet, TrainingData, UserBatch

NDCG = EvaluateConfig(metrics=["ndcg"], at=[10])


def known(*counts: int) -> UserBatch:
    """Users with so many known items each."""
    row = torch.tensor([user for user, count in enumerate(counts) for _ in range(count)], dtype=torch.int64)
    place = torch.tensor([item for count in counts for item in range(count)], dtype=torch.int64)
    return UserBatch(torch.arange(len(counts)), Edges(row, place), {})


class Given:
    """A recommender of scores that are at hand."""

    supports_cold_users, predicts_ratings = True, False

    def __init__(self, scores: Tensor, index: Tensor) -> None:
        self._row = {int(one): row for row, one in enumerate(index)}
        self._scores = scores
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """There is nothing to fit."""

    def score(self, users: UserBatch) -> Tensor:
        return self._scores[[self._row[int(one)] for one in users.index]]


def made_split(support: int = 0, seed: int = 0) -> Split:
    return make_split(synthetic(seed, num_users=120), UnseenUsers(test=0.2, validation=0.3, support=support), seed)


def drawn(test: TestSet, items: int = 40, seed: int = 0) -> Tensor:
    """[B, I] scores, many of which are equal."""
    return torch.randint(4, (len(test.users), items), generator=torch.Generator().manual_seed(seed)).float()


def test_a_user_is_in_the_highest_bucket_that_it_reaches() -> None:
    users = known(0, 3, 1, 2, 7, 0)
    assert {least: rows.tolist() for least, rows in by_bucket(users, [2, 0, 5])} == {0: [0, 2, 5], 2: [1, 3], 5: [4]}
    assert {least: rows.tolist() for least, rows in by_bucket(users, [1])} == {1: [1, 2, 3, 4]}
    assert list(by_bucket(users, [])) == []
    assert {least: rows.tolist() for least, rows in by_bucket(users)} == {0: [0, 5], 1: [2], 2: [1, 3], 5: [4]}
    assert BUCKETS[0] == 0


@pytest.mark.parametrize("support", [0, 3])
def test_ndcg_of_scores_at_hand_is_that_of_the_evaluation(support: int) -> None:
    split = made_split(support)
    sets = [split.validation] if not support else [split.validation, reveal(split.validation, 1)]
    for test in sets:
        for seed in (0, 1):  # of the ties
            scores = drawn(test)
            found = HeldOutNDCG(test, split.train.candidates, seed)(scores)
            wanted = evaluate(Given(scores, test.users.index), test, split.train.candidates, NDCG, seed).per_user
            assert found == pytest.approx(wanted["ndcg@10"].to_numpy(), abs=1e-6)


def test_users_without_a_candidate_in_their_ground_truth_do_not_count() -> None:
    split = made_split()
    candidates = split.train.candidates.clone()
    candidates[4:] = False
    scores = drawn(split.validation)
    values = HeldOutNDCG(split.validation, candidates, 0)(scores)
    target = split.validation.ground_truth
    with_any = target.row[candidates[target.node]].unique()
    assert 0 < len(values) == len(with_any) < len(split.validation.users)


@pytest.mark.parametrize("pool", [1, 3, 12, 64])
def test_a_weighted_sum_is_measured_on_a_pool_of_items_as_on_all(pool: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the pool is: users whose list may hold an item from outside of it are ranked over all items."""
    monkeypatch.setattr(held_out, "POOL", pool)
    split = made_split(2)
    test, candidates = split.validation, split.train.candidates
    parts = [drawn(test, seed=seed) / 4 for seed in range(3)]
    parts[1] = torch.rand(parts[1].shape, generator=torch.Generator().manual_seed(9))  # no two equal
    parts[2][::2] = 0  # and users of whom a component has no score above 0
    mixed, every = MixedNDCG(parts, test, candidates, 0), HeldOutNDCG(test, candidates, 0)
    for weights in ([1.0, 0.0, 0.0], [0.5, 0.25, 0.25], [0.25, 0.0, 0.75], [0.0, 0.0, 1.0]):
        whole = sum((w * part for w, part in zip(weights, parts, strict=True) if w), torch.zeros(()))
        assert mixed(weights) == pytest.approx(every(whole), abs=1e-9)


class Counting:
    """A model that notes what it was fitted on; it may choose its option on the validation users."""

    supports_cold_users, predicts_ratings = True, False
    fits: list[tuple[int, bool, float | None]] = []  # noqa: RUF012

    def __init__(self, *, option: float | None = None, chooses: bool = True) -> None:
        self.option, self.chooses_on_validation = option, chooses
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        self.fits.append((train.num_users, validation is not None, self.option))
        if validation is not None:
            self.best_params = {"option": 0.5}

    def score(self, users: UserBatch) -> Tensor:
        return torch.zeros(len(users), 40)


class Folding(Counting):
    """Chooses on all folds together."""

    def fit_folds(self, folds: list[Fold], seed: int) -> list["Folding"]:
        self.best_params = {"option": float(len(folds))}
        return [Folding(option=fold.train.num_users) for fold in folds]


def folds_of(split: Split) -> list[Fold]:
    further = split.train.hold_out(torch.arange(20))
    return [Fold(train, test, test) for train, test in ((split.train, split.validation), further)]


@pytest.mark.parametrize("chooses", [True, False])
def test_a_model_chooses_on_the_first_fold_and_follows_on_the_others(chooses: bool) -> None:
    split = made_split()
    users = split.train.num_users
    Counting.fits.clear()
    made_with: list[Mapping[str, Any]] = []

    def make(params: Mapping[str, Any]) -> Counting:
        made_with.append(params)
        return Counting(chooses=chooses, **params)

    models = fold_models(make, folds_of(split), 0)
    wanted = 0.5 if chooses else None
    assert Counting.fits == [(users, chooses, None), (users - 20, False, wanted)]
    assert made_with == [{}, {"option": 0.5} if chooses else {}]
    assert models[0].best_params == ({"option": 0.5} if chooses else {})


def test_a_model_that_can_chooses_on_all_folds_together() -> None:
    split = made_split()
    made_models: list[Folding] = []

    def make(params: Mapping[str, Any]) -> Folding:
        made_models.append(Folding(**params))
        return made_models[-1]

    models: list[Any] = fold_models(make, folds_of(split), 0)
    assert [model.option for model in models] == [split.train.num_users, split.train.num_users - 20]
    assert [model.best_params for model in made_models] == [{"option": 2.0}]


def test_the_best_value_has_the_highest_mean_over_the_users_of_all_folds() -> None:
    # NDCG of a user with one item in its ground truth, in place 1: 1; place 2: 1 / log2(3) = 0.63; place 3: 0.5.
    def fold(users: int) -> Fold:
        row = torch.arange(users)
        none = torch.empty(0, dtype=torch.int64)
        batch = UserBatch(row, Edges(none, none), {})
        return Fold(train, test := TestSet(batch, Edges(row, torch.zeros_like(row))), test)

    train = replace(made_split().train, candidates=torch.ones(3, dtype=torch.bool))
    folds = [fold(1), fold(3)]
    order = {"a": ([9, 1, 0], [1, 9, 2]), "b": ([1, 9, 2], [2, 9, 1]), "c": ([1, 9, 2], [2, 9, 1])}

    def fit(value: str, one: Fold) -> Given:
        place = next(j for j, other in enumerate(folds) if other is one)
        scores = torch.tensor([order[value][place]]).float()
        return Given(scores.repeat(len(one.test.users), 1), one.test.users.index)

    # a: (1 + 3 * 0.5) / 4 = 0.625; b and c: (0.5 + 3 * 0.63) / 4 = 0.6. By folds, a is 0.75 and b 0.565.
    assert best_value("abc", fit, folds, lambda one: one.test, 0)[0] == "a"
    # The second fold alone: 0.5 for a, 0.63 for b and c; the first of the equals.
    best, models = best_value("abc", fit, folds, lambda one: one.test if one is folds[1] else None, 0)
    assert best == "b"
    assert len(models) == 2
    assert best_value(["c"], fit, folds, lambda one: one.test, 0)[0] == "c"


def test_scores_in_batches_are_those_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "BATCH", 7)
    monkeypatch.setattr(held_out, "BATCH", 7)
    split = made_split()
    model = Given(drawn(split.validation), split.validation.users.index)
    users = split.validation.users
    assert len(users) % 7
    assert torch.equal(score_in_batches(model, users), model.score(users))
    test = split.validation
    popularity = Popularity()
    popularity.fit(split.train, None, 0)
    scores = score_in_batches(popularity, users)
    found = HeldOutNDCG(test, split.train.candidates, 0)(scores)
    monkeypatch.setattr(held_out, "BATCH", 256)
    assert np.array_equal(found, HeldOutNDCG(test, split.train.candidates, 0)(scores))
