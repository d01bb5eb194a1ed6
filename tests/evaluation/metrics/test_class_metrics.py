"""Metrics of items as classes, beside those of scikit-learn and SciPy and by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn.metrics import brier_score_loss, f1_score, log_loss, roc_auc_score

from gnnrec.evaluation.metrics import METRICS, MetricInput
from gnnrec.evaluation.metrics import classes as own


def drawn(seed: int, users: int = 200, classes: int = 2, ties: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores, which tell a little of the labels, and labels."""
    random = np.random.default_rng(seed)
    label = random.integers(classes, size=users)
    score = random.normal(size=(users, classes)) + np.eye(classes)[label]
    return torch.tensor(np.round(score, 0 if ties else 9)), torch.tensor(label)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", [4, 17])
def test_two_classes_beside_libraries(seed: int, ties: bool) -> None:
    score, label = drawn(seed, ties=ties)
    chance = score.softmax(1)[:, 1].numpy()
    truth = label.numpy()
    assert own.auc(score, label).mean().item() == pytest.approx(roc_auc_score(truth, chance), abs=1e-12)
    assert own.ks(score, label) == pytest.approx(ks_2samp(chance[truth == 1], chance[truth == 0]).statistic, abs=1e-12)
    assert own.brier(score.softmax(1), label).mean().item() == pytest.approx(brier_score_loss(truth, chance))
    assert own.log_loss(score.softmax(1), label).mean().item() == pytest.approx(log_loss(truth, chance))


@pytest.mark.parametrize("seed", [2, 11])
def test_the_spread_over_users_is_that_of_delong(seed: int) -> None:
    """Worked out with two loops, and as large as the spread of the area over drawn users."""
    score, label = drawn(seed, users=150)
    chance, truth = score.softmax(1)[:, 1].numpy(), label.numpy()
    first, second = chance[truth == 1], chance[truth == 0]
    wins = np.array([[float(a > b) + 0.5 * float(a == b) for b in second] for a in first])
    variance = wins.mean(1).var(ddof=1) / len(first) + wins.mean(0).var(ddof=1) / len(second)
    value = own.auc(score, label).numpy()
    assert value.var() / len(value) == pytest.approx(variance, rel=0.03)
    random = np.random.default_rng(seed)
    drawn_areas = []
    for _ in range(400):
        rows = random.integers(len(truth), size=len(truth))
        drawn_areas.append(roc_auc_score(truth[rows], chance[rows]))
    assert np.std(drawn_areas) == pytest.approx(variance**0.5, rel=0.15)


@pytest.mark.parametrize("seed", [3, 8])
def test_many_classes_beside_libraries(seed: int) -> None:
    score, label = drawn(seed, classes=5)
    chance, truth = score.softmax(1).numpy(), label.numpy()
    by_library = roc_auc_score(truth, chance, multi_class="ovr", average="weighted")
    assert own.auc(score, label).mean().item() == pytest.approx(by_library, abs=1e-12)
    assert own.macro_f1(score, label) == pytest.approx(f1_score(truth, chance.argmax(1), average="macro"))
    assert own.class_accuracy(score, label).mean().item() == pytest.approx((chance.argmax(1) == truth).mean())
    assert own.log_loss(score.softmax(1), label).mean().item() == pytest.approx(log_loss(truth, chance))


def test_the_calibration_error_by_hand() -> None:
    """Two users at .75, one right: .25 too sure; one at .55 and right: .45 too unsure; weights 2/3 and 1/3."""
    probability = torch.tensor([[0.75, 0.25], [0.25, 0.75], [0.55, 0.45]], dtype=torch.float64)
    assert own.calibration_error(probability, torch.tensor([0, 0, 0])) == pytest.approx(0.25 * 2 / 3 + 0.45 / 3)


def test_no_one_of_another_class() -> None:
    score, label = torch.tensor([[0.2, 0.8], [0.9, 0.1]]), torch.tensor([1, 1])
    assert own.auc(score, label).tolist() == [0.5, 0.5]
    assert own.ks(score, label) == 0


@given(st.integers(2, 6), st.integers(1, 40), st.integers(0, 2**31))
def test_a_users_offset_of_all_scores_changes_nothing(classes: int, users: int, seed: int) -> None:
    """Scores are logarithms up to a constant of the user; and all values lie within the declared bounds."""
    random = np.random.default_rng(seed)
    score = torch.from_numpy(random.normal(size=(users, classes)))
    label = torch.from_numpy(random.integers(classes, size=users))
    moved = score + torch.from_numpy(random.normal(size=(users, 1)))
    for metric in own.METRICS:
        both = []
        for one in (score, moved):
            given_ = MetricInput(num_users=users, score=one, probability=one.softmax(1), label=label)
            both.append(metric.measure(given_)[0])
        assert both[0] == pytest.approx(both[1], abs=1e-6)
        low, high = metric.bounds or (0, np.inf)
        assert low <= both[0] <= high


def test_they_are_measured_over_users_with_one_item_each() -> None:
    kinds: dict[str, Any] = {metric.name: metric.kind for metric in own.METRICS}
    assert set(kinds.values()) == {"classes"}
    assert METRICS["auc"].higher_is_better is True
    assert METRICS["brier"].higher_is_better is False
