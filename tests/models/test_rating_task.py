"""The closed forms of the rating objective: the base of a prediction, and what the encoder's part is multiplied by."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from torch_geometric.nn import SAGEConv

from gnnrec.data.synthetic import synthetic
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.models.rating_task import RatingTask
from gnnrec.models.selection import Fold
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.split import Split
from gnnrec.training.rating import DISLIKES, LIKES, RatingConfig
from gnnrec.views import Edges, TestSet, UserBatch, reverse

SMALL = EncoderConfig(channels=16, layers=2, dropout=0.1)


def made_split(seed: int = 0) -> Split:
    return make_split(synthetic(seed, num_users=80), UnseenUsers(test=0.2, validation=0.2), seed)


def task_of(split: Split, **options: Any) -> RatingTask:
    config = RatingConfig(**options)
    return RatingTask(split.train, config, SMALL, SAGEConv, pretrained=False, seed=0, weights_seed=0)


def test_a_known_rating_moves_the_bias_of_its_user_and_no_more() -> None:
    """With s ratings of shrinkage and n known ones, the bias is the sum of their residuals / (n + s)."""
    split = made_split()
    task = task_of(split, user_shrinkage=3.0)
    none = torch.empty(0, dtype=torch.int64)
    cold = UserBatch(torch.tensor([-1]), Edges(none, none, torch.empty(0)), {})
    value = task.base(cold)[0]
    known = replace(
        cold, items=Edges(torch.zeros(2, dtype=torch.int64), torch.tensor([1, 6]), torch.tensor([5.0, 4.0]))
    )
    residuals = (5 - value[1]) + (4 - value[6])
    torch.testing.assert_close(task.base(known)[0], value + residuals / (2 + 3))


@pytest.mark.parametrize("signed_edges", [True, False])
def test_ratings_are_two_relations_of_the_graph_or_none(signed_edges: bool) -> None:
    split = made_split()
    task = task_of(split, signed_edges=signed_edges)
    relations = set(task.block.adjacency)
    assert ({LIKES, reverse(LIKES), DISLIKES, reverse(DISLIKES)} <= relations) == signed_edges
    assert ("user", "interacts", "item") not in relations
    of_task = sum(task.edges[t].shape[1] for t in (LIKES, DISLIKES))
    assert of_task == len(split.train.users.items)  # link prediction predicts them all the same


def test_without_signed_edges_a_known_rating_moves_nothing_but_the_bias() -> None:
    split = made_split()
    users = split.validation.users
    some = Edges(torch.tensor([0, 0]), torch.tensor([3, 4]), torch.tensor([1.0, 5.0]))
    for signed_edges in (False, True):
        task = task_of(split, signed_edges=signed_edges)
        task.precompute()
        same = torch.equal(task.embed(users)[0], task.embed(replace(users, items=some))[0])
        assert same != signed_edges


def test_the_weight_is_the_least_squares_one_within_users() -> None:
    split = made_split(2)
    finetune = RatingConfig(epochs=30, batch_users=16, ema_decay=0.0, unobserved_weight=0.0)
    model = GraphSAGE(encoder=SMALL, pretrain=None, finetune=finetune, choose_on=0)
    model.fit(split.train, split.validation, 0)
    [task] = model._tasks
    users, target = split.validation.users, split.validation.ground_truth
    encoded, base = task.encoded(users).double(), task.base(users)
    rows: list[Any] = []
    for user in range(len(users)):
        items = target.node[target.row == user]
        left = target.weight[target.row == user].numpy() - base[user, items].numpy()
        values = encoded[user, items].numpy()
        rows += zip(values - values.mean(), left - left.mean(), strict=True)
    table = np.array(rows)
    wanted, _ = nnls(table[:, :1], table[:, 1])
    assert wanted[0] > 0
    assert model.best_params["finetune"].residual_weight == pytest.approx(wanted[0], abs=1e-3)


def test_the_weight_counts_every_rating_of_all_folds_once() -> None:
    """Of two folds that hold the same users it is that of one, and of a fold without ratings that of the others."""
    split = made_split()
    task = task_of(split)
    with torch.no_grad():
        task.head.logit_scale.fill_(0.3)
    task.precompute()
    fold = Fold(split.train, split.validation, split.validation)
    weight = RatingTask.best_weight([task], [fold])
    assert RatingTask.best_weight([task, task], [fold, fold]) == pytest.approx(weight, abs=2e-3)
    bare = split.validation.ground_truth.take(torch.empty(0, dtype=torch.int64))
    empty = TestSet(split.validation.users, bare)
    assert RatingTask.best_weight([task, task], [fold, Fold(split.train, empty, empty)]) == weight


def test_the_measure_is_minus_the_mean_error_of_all_held_out_ratings() -> None:
    split = made_split()
    test = split.validation
    for loss in ("squared", "absolute"):
        task = task_of(split, loss=loss)
        task.precompute()
        fold = Fold(split.train, test, test)
        [(name, value)] = RatingTask.measure([task, task], [fold, fold], 0)().items()
        predicted = task.base(test.users) + task.encoded(test.users)
        errors = [
            float(test.ground_truth.weight[edge] - predicted[test.ground_truth.row[edge], test.ground_truth.node[edge]])
            for edge in range(len(test.ground_truth))
        ]
        wanted = np.mean(np.square(errors)) if loss == "squared" else np.mean(np.abs(errors))
        assert name == f"minus {loss} error"
        assert value == pytest.approx(-wanted, rel=1e-5)
