"""Item kNN, EASE and the fold-in of BPR, against slow second implementations and numbers worked by hand."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.graph.matrices import histories
from gnnrec.models.baselines import EASE, ItemKNN
from gnnrec.models.baselines.autoencoder import item_weights
from gnnrec.models.baselines.factorization.fold_in import BPRFoldIn
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges, TrainingData, UserBatch

SPLIT = make_split(synthetic(1, num_users=80), UnseenUsers(test=0.2, validation=0.2, support=3), 0)
TRAIN, UNSEEN = SPLIT.train, SPLIT.validation.users
HISTORY = histories(TRAIN.users, TRAIN.num_items).toarray()
ASKED = histories(UNSEEN, TRAIN.num_items).toarray()


def with_histories(rows: list[list[int]], num_items: int) -> tuple[TrainingData, UserBatch]:
    """Training users with these items, and one user who is asked about, with item 0 known."""
    row = torch.tensor([u for u, items in enumerate(rows) for _ in items])
    node = torch.tensor([item for items in rows for item in items])
    users = UserBatch(torch.arange(len(rows)), Edges(row, node), {})
    items = TRAIN.ids["item"][:num_items]
    train = TrainingData(users, {"item": items}, (), {}, torch.ones(num_items, dtype=torch.bool))
    return train, UserBatch(torch.tensor([99]), Edges(torch.tensor([0]), torch.tensor([0])), {})


def fitted(model: Any, train: TrainingData = TRAIN) -> Any:
    model.fit(train, None, 0)
    return model


def test_item_knn_by_hand() -> None:
    # Item 0 is chosen by 2 users, item 1 by 3, item 2 by 1, item 3 by 1. With item 0: item 1 twice, item 2 once.
    train, user = with_histories([[0, 1], [0, 1, 2], [1, 3]], 4)
    assert fitted(ItemKNN(), train).score(user)[0].tolist() == pytest.approx([0, 2 / np.sqrt(6), 1 / np.sqrt(2), 0])
    shrunk = fitted(ItemKNN(shrinkage=2), train).score(user)[0].tolist()
    assert shrunk == pytest.approx([0, 2 / (np.sqrt(6) + 2), 1 / (np.sqrt(2) + 2), 0])
    assert fitted(ItemKNN(neighbours=1), train).score(user)[0].tolist() == pytest.approx([0, 2 / np.sqrt(6), 0, 0])


@pytest.mark.parametrize("neighbours", [None, 4])
@pytest.mark.parametrize("block", [7, 512])
def test_item_knn_against_a_loop(neighbours: int | None, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnnrec.models.baselines.item_knn.BLOCK", block)
    wanted = np.zeros((len(UNSEEN), TRAIN.num_items))
    for known in range(TRAIN.num_items):
        similarity = np.zeros(TRAIN.num_items)
        for item in range(TRAIN.num_items):
            both = (HISTORY[:, known] * HISTORY[:, item]).sum()
            if item != known and both:
                similarity[item] = both / (np.sqrt(HISTORY[:, known].sum() * HISTORY[:, item].sum()) + 1)
        if neighbours is not None:
            similarity[similarity < np.sort(similarity)[-neighbours] - 1e-7] = 0
        wanted[ASKED[:, known] > 0] += similarity
    scores = fitted(ItemKNN(neighbours=neighbours, shrinkage=1)).score(UNSEEN)
    assert scores.numpy() == pytest.approx(wanted, abs=1e-5)


def test_ease_minimises_its_objective_column_by_column() -> None:
    # Each column of B is a ridge regression of an item on all others.
    lam = 5.0
    weight = np.zeros((TRAIN.num_items, TRAIN.num_items))
    for item in range(TRAIN.num_items):
        others = np.delete(np.arange(TRAIN.num_items), item)
        x = HISTORY[:, others]
        weight[others, item] = np.linalg.solve(x.T @ x + lam * np.eye(len(others)), x.T @ HISTORY[:, item])
    assert fitted(EASE(regularization=lam)).score(UNSEEN).numpy() == pytest.approx(ASKED @ weight, abs=1e-4)


def test_a_dropout_adds_what_it_hides_to_the_penalty_of_each_item() -> None:
    # Two items, both chosen by users 0 and 1, the first by user 2 too. With a dropout of 1/2, the penalty of a weight
    # grows by the number of users who chose the item it starts from: 0 -> 1: 2 / (3 + 1 + 3), 1 -> 0: 2 / (2 + 1 + 2).
    train, user = with_histories([[0, 1], [0, 1], [0]], 2)
    assert fitted(EASE(regularization=1, dropout=0.5), train).score(user)[0].tolist() == pytest.approx([0, 2 / 7])
    other = replace(user, items=Edges(torch.tensor([0]), torch.tensor([1])))
    assert fitted(EASE(regularization=1, dropout=0.5), train).score(other)[0].tolist() == pytest.approx([2 / 5, 0])


def test_a_dropout_expects_what_hidden_items_leave_on_average() -> None:
    # Each row of the history many times, with half of its entries hidden: the least squares of one column on the rest.
    random, lam = np.random.default_rng(0), 5.0
    history, wanted, draws = HISTORY.astype(float), np.zeros(TRAIN.num_items - 1), 4000
    others = np.arange(1, TRAIN.num_items)
    gram, right = np.zeros((len(others), len(others))), np.zeros(len(others))
    for _ in range(draws):
        shown = history[:, others] * (random.random((len(history), len(others))) < 0.5) * 2  # kept entries are doubled
        gram += shown.T @ shown / draws
        right += shown.T @ history[:, 0] / draws
    wanted = np.linalg.solve(gram + lam * np.eye(len(others)), right)
    found = item_weights(histories(TRAIN.users, TRAIN.num_items), lam, 0.5)[1:, 0]
    assert found == pytest.approx(wanted, abs=0.01)
    assert np.abs(found).max() > 0.1


def test_ease_gives_weights_to_the_most_popular_items_alone() -> None:
    popular = np.argsort(-TRAIN.popularity.numpy(), kind="stable")[:6]
    scores = fitted(EASE(regularization=5, max_items=6)).score(UNSEEN).numpy()
    others = np.setdiff1d(np.arange(TRAIN.num_items), popular)
    assert not scores[:, others].any()
    only = np.isin(TRAIN.users.items.node, popular)
    kept = replace(TRAIN, users=replace(TRAIN.users, items=TRAIN.users.items.take(torch.from_numpy(only))))
    assert scores[:, popular] == pytest.approx(fitted(EASE(regularization=5), kept).score(UNSEEN)[:, popular], abs=1e-5)


def test_without_known_items_every_score_is_zero_and_both_say_so() -> None:
    nobody = replace(UNSEEN, items=UNSEEN.items.take(torch.empty(0, dtype=torch.int64)))
    for model in (ItemKNN(), EASE()):
        assert not model.supports_cold_users
        assert not fitted(model).score(nobody).any()


def test_options_out_of_range_are_refused() -> None:
    for model, options, message in (
        (ItemKNN, {"neighbours": 0}, "neighbours must be at least 1, or none for all; got 0"),
        (ItemKNN, {"shrinkage": -1.0}, "shrinkage must be at least 0, got -1"),
        (EASE, {"regularization": 0.0}, "regularization must be above 0, got 0"),
        (EASE, {"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        (EASE, {"max_items": 0}, "max_items must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            model(**options)


def test_bpr_fold_in_takes_the_mean_step_over_the_negatives() -> None:
    # One factor. Items: y = 1, -1, 0 with biases 0, 0, 1. The user knows item 0 and starts from w = 0; the negatives
    # are item 1 and item 0 itself, which is known and therefore none. margin to item 1: 0, so doubt 1/2; over both
    # draws 1/4; the gradient is 1/4 * (1 - (-1)) - 0.1 * 0 = 1/2, the step 0.2: w = 0.1.
    item = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    known = histories(UserBatch(torch.tensor([5]), Edges(torch.tensor([0]), torch.tensor([0])), {}), 3)
    start = np.array([[0.0, 1.0]])
    one = BPRFoldIn(item, np.array([1, 0]), learning_rate=0.2, regularization=0.1, passes=1)(start, known)
    assert one.tolist() == [[pytest.approx(0.1), 1.0]]
    # Second pass: margin 0.1 - (-0.1), doubt sigmoid(-0.2) / 2, gradient twice that - 0.1 * 0.1.
    two = BPRFoldIn(item, np.array([1, 0]), learning_rate=0.2, regularization=0.1, passes=2)(start, known)
    assert two[0, 0] == pytest.approx(0.1 + 0.2 * (1 / (1 + np.exp(0.2)) - 0.01))


def test_bpr_fold_in_takes_no_known_item_for_a_negative() -> None:
    # With items 0 and 1 known, of the negatives 1 and 2 only 2 pulls. w = 1: margins to item 2 (score 1) are 1 - 1 = 0
    # and 2 - 1 = 1; the gradient is the mean over both of sigmoid(-margin) / 2 * (y - 0), less 0.1 * 1. The step for
    # two items is twice the learning rate.
    item = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    edges = Edges(torch.tensor([0, 0]), torch.tensor([0, 1]))
    known = histories(UserBatch(torch.tensor([5]), edges, {}), 3)
    fold_in = BPRFoldIn(item, np.array([1, 2]), learning_rate=0.2, regularization=0.1, passes=1)
    gradient = (0.5 / 2 * 1 + 1 / (1 + np.exp(1)) / 2 * 2) / 2 - 0.1
    assert fold_in(np.array([[1.0, 1.0]]), known)[0, 0] == pytest.approx(1 + 0.4 * gradient)


def test_bpr_fold_in_never_overshoots_and_ends_at_the_minimum() -> None:
    random = np.random.default_rng(0)
    item = np.concatenate([random.normal(size=(20, 4)) * 5, random.normal(size=(20, 1))], axis=1)
    known = histories(UserBatch(torch.tensor([5]), Edges(torch.zeros(6, dtype=torch.int64), torch.arange(6)), {}), 20)
    negatives = np.arange(6, 20)

    def loss(vector: np.ndarray) -> float:
        scores = item @ vector
        margin = scores[:6, None] - scores[negatives]
        return float(np.log1p(np.exp(-margin)).mean() + 0.3 / 2 * (vector[:-1] ** 2).sum())

    values = []
    for passes in range(0, 40):
        end = BPRFoldIn(item, negatives, 10.0, 0.3, passes)(np.array([[3.0, -3.0, 3.0, -3.0, 1.0]]), known)[0]
        values.append(loss(end))
    assert all(after < before + 1e-12 for before, after in itertools.pairwise(values))
    end = BPRFoldIn(item, negatives, 10.0, 0.3, 5000)(np.array([[3.0, -3.0, 3.0, -3.0, 1.0]]), known)[0]
    for factor in range(4):
        for shift in (-1e-3, 1e-3):
            moved = end.copy()
            moved[factor] += shift
            assert loss(moved) > loss(end)
