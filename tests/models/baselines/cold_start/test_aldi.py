"""ALDI: its losses against loops, and that they ask for nothing more of a student that is like its teacher."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gnnrec.data.synthetic import synthetic
from gnnrec.models.baselines import ALDI
from gnnrec.models.baselines.cold_start.aldi import (
    aligning_loss,
    balanced,
    draw_pairs,
    identity,
    inner_products,
    rating_loss,
    supervised_loss,
    teacher_weight,
)
from gnnrec.models.baselines.cold_start.fit import FitConfig
from gnnrec.models.baselines.cold_start.start import ALSConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges, TrainingData, UserBatch

pytest.importorskip("implicit", reason="the factorization needs gnnrec[mf]")
SEED = 6


def normal(*shape: int, seed: int = SEED) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def data() -> tuple[TrainingData, UserBatch]:
    split = make_split(synthetic(SEED), UnseenUsers(test=0.2, validation=0.2), SEED)
    return split.train, split.validation.users


def fitted(train: TrainingData, *, epochs: int = 3, **options: Any) -> ALDI:
    fit = FitConfig(epochs=epochs, batch_users=16, learning_rate=0.03)
    model = ALDI(hidden=8, als=ALSConfig(factors=6), fit=fit, **options)
    model.fit(train, None, SEED)
    return model


def test_the_supervised_loss_is_the_one_of_bpr() -> None:
    gap = normal(3, 4)
    expected = [-math.log(sigmoid(float(one))) for one in gap.flatten()]
    assert float(supervised_loss(gap)) == pytest.approx(np.mean(expected), rel=1e-5)


def test_the_rating_loss_is_the_distance_of_the_scores_of_both_items_of_a_pair() -> None:
    # Chosen items: |1 - 2| and |0 - 3|; the others: |1 - 1| and |2 - 0|. Pairs have 1 + 0 and 3 + 2; their mean is 3.
    student, teacher = torch.tensor([[[1.0, 0.0]], [[1.0, 2.0]]]), torch.tensor([[[2.0, 3.0]], [[1.0, 0.0]]])
    assert float(rating_loss(student, teacher)) == 3


def test_the_aligning_loss_is_the_weighted_cross_entropy_of_sigmoids() -> None:
    student, teacher, weight = normal(2, 3), normal(2, 3, seed=SEED + 1), torch.tensor([[0.5], [2.0]])
    total = 0.0
    for user in range(2):
        for pair in range(3):
            wanted, found = sigmoid(float(teacher[user, pair])), sigmoid(float(student[user, pair]))
            entropy = -wanted * math.log(found) - (1 - wanted) * math.log(1 - found)
            total += float(weight[user]) * entropy
    assert float(aligning_loss(student, teacher, weight)) == pytest.approx(total / 6, rel=1e-5)


def test_an_identity_is_how_far_a_user_is_from_the_others_of_the_batch() -> None:
    vectors = normal(4, 3)
    for user in range(4):
        others = np.mean([float(vectors[user] @ vectors[other]) for other in range(4) if other != user])
        expected = float(vectors[user] @ vectors[user]) - others
        assert float(identity(vectors)[user]) == pytest.approx(expected, rel=1e-5)
    assert float(identity(vectors[:1])) == pytest.approx(float(vectors[0] @ vectors[0]))  # nobody else


def test_a_teacher_counts_the_more_the_more_items_its_user_has_up_to_the_mean() -> None:
    weight = teacher_weight(torch.tensor([1, 2, 4, 5, 100]), torch.tensor(4.0), 2.0)
    expected = [math.tanh(0.5), math.tanh(1), math.tanh(2), math.tanh(2), math.tanh(2)]
    assert weight.tolist() == pytest.approx(expected)
    assert teacher_weight(torch.tensor([1, 100]), torch.tensor(4.0), 0.0).tolist() == [1, 1]


def test_inner_products_are_of_a_user_with_its_own_items() -> None:
    users, items = normal(3, 5), normal(2, 3, 4, 5, seed=SEED + 1)
    found = inner_products(users, items)
    for side in range(2):
        for user in range(3):
            for pair in range(4):
                assert float(found[side, user, pair]) == pytest.approx(float(users[user] @ items[side, user, pair]))


def test_balanced_vectors_are_as_long_on_both_sides_and_multiply_the_scores() -> None:
    users, items = 10 * normal(6, 3), 0.1 * normal(8, 3, seed=SEED + 1)
    users[2], items[5] = 0, 0  # nothing is known of these, which count in no mean
    one, other = balanced(users, items, 4.0)
    assert torch.allclose(one @ other.t(), 4 * users @ items.t(), atol=1e-5)
    lengths = [float(vectors.square().sum()) / (len(vectors) - 1) for vectors in (one, other)]
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-5)


def test_pairs_are_of_a_chosen_item_and_a_candidate_that_is_not() -> None:
    history = torch.zeros(2, 6, dtype=torch.bool)
    history[0, [0, 4]], history[1, 2] = True, True
    candidates = torch.tensor([True, True, True, False, True, True])
    drawn = draw_pairs(history, candidates, 200, torch.Generator().manual_seed(SEED))
    assert [set(drawn[0, user].tolist()) for user in range(2)] == [{0, 4}, {2}]
    assert [set(drawn[1, user].tolist()) for user in range(2)] == [{1, 2, 5}, {0, 1, 4, 5}]


@pytest.mark.parametrize(
    "loss",
    [
        lambda student, teacher: aligning_loss(student[0] - student[1], teacher[0] - teacher[1], torch.ones(3, 1)),
        lambda student, teacher: aligning_loss(identity(student[0]), identity(teacher[0]), torch.ones(3)),
        rating_loss,
    ],
    ids=["ranking", "identification", "rating"],
)
def test_a_student_that_is_like_its_teacher_has_nothing_to_learn(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    teacher = normal(2, 3, 4)
    student = teacher.clone().requires_grad_()
    reached = loss(student, teacher)
    (slope,) = torch.autograd.grad(reached, student)
    assert float(slope.abs().max()) < 1e-6
    for seed in range(1, 6):
        assert float(loss(teacher + 0.5 * normal(2, 3, 4, seed=seed), teacher)) > reached.item()


def test_students_come_near_to_their_teachers_scores() -> None:
    train, _ = data()
    chosen = train.users.history(train.num_items)

    def away(model: ALDI) -> float:
        bare = replace(train.users, items=train.users.items.take(train.users.items.row < 0))
        difference = (model.score(bare) - model.score(train.users)).abs()
        return float(difference[chosen].mean() + difference[~chosen].mean())

    options = {"rating": 100.0, "ranking": 0.0, "identification": 0.0}
    assert away(fitted(train, epochs=15, **options)) < 0.6 * away(fitted(train, epochs=0, **options))


def test_users_without_items_teach_nothing() -> None:
    train, _ = data()
    without = train.users.index % 4 == 3  # a club of its own: its column belongs to them alone
    users = replace(train.users, items=train.users.items.take(~without[train.users.items.row]))
    silent = replace(train, users=users)
    start, end = (fitted(silent, epochs=epochs) for epochs in (0, 3))
    rows = start._features(users).toarray() != 0
    theirs = rows[without.numpy()].any(0) & ~rows[~without.numpy()].any(0)
    assert theirs.sum() == 1
    column = torch.from_numpy(theirs)
    before, after = (model._net.of_features.weight for model in (start, end))
    assert torch.equal(before[column], after[column])
    assert not torch.equal(before[~column], after[~column])


def test_a_user_with_known_items_is_scored_by_the_teacher() -> None:
    train, users = data()
    model = fitted(train, scale=3.0)
    row = torch.arange(0, len(users), 2)  # every second user has one known item
    known = replace(users, items=Edges(row, row % train.num_items))
    wanted = 3 * model._factors.fold_in(known) @ model._factors.items.t()
    assert torch.allclose(model.score(known)[::2], wanted[::2], atol=1e-5)
    assert torch.allclose(model.score(known)[1::2], model.score(users)[1::2], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"pairs": 0}, "pairs must be at least 1, got 0"),
        ({"rating": -1.0}, "rating must be at least 0, got -1"),
        ({"ranking": -1.0}, "ranking must be at least 0, got -1"),
        ({"identification": -1.0}, "identification must be at least 0, got -1"),
        ({"qualified": -1.0}, "qualified must be at least 0, got -1"),
        ({"scale": 0.0}, "scale must be above 0, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ALDI(**options)
