"""Popularity counts training users; chance does not follow the order of the items."""

import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.models.baselines import Popularity, Random
from gnnrec.splits import UnseenUsers, make_split


def test_popularity_counts_the_training_users_and_nobody_else() -> None:
    split = make_split(synthetic(0), UnseenUsers(test=0.2, validation=0.2), 0)
    model = Popularity()
    model.fit(split.train, split.validation, 0)
    wanted = [0] * split.train.num_items
    for user, item in zip(split.dataset.interactions.user, split.dataset.interactions.item, strict=True):
        wanted[int(item)] += int(split.user_part[user] == 0)
    assert model.score(split.validation.users).tolist() == [wanted] * len(split.validation.users)


def test_scores_can_be_changed_without_changing_the_model() -> None:
    split = make_split(synthetic(0), UnseenUsers(test=0.2, validation=0.2), 0)
    for model in (Popularity(), Random()):
        model.fit(split.train, None, 0)
        before = model.score(split.validation.users).clone()
        model.score(split.validation.users).fill_(7)
        assert model.score(split.validation.users).equal(before)


def test_random_has_the_value_of_chance() -> None:
    # 400 test users, 40 items, lists of 10: a list holds a quarter of what is asked for. The standard error of the
    # mean recall is about sqrt(.25 * .75 / 7 / 400) = .008, each user having about 7 items to find.
    split = make_split(synthetic(0, num_users=800), UnseenUsers(test=0.5, validation=0.1), 0)
    split.open_test("nothing to choose")
    model = Random()
    model.fit(split.full, None, 0)
    config = EvaluateConfig(metrics=["recall"], at=[10])
    value = evaluate(model, split.test, torch.ones(40, dtype=torch.bool), config, 0).metrics["recall@10"]
    assert value == pytest.approx(0.25, abs=0.03)
