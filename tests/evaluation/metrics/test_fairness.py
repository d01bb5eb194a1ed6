"""Differences between groups of users, by hand."""

import pytest
import torch

from gnnrec.evaluation.metrics import METRICS, MetricInput
from gnnrec.evaluation.metrics.fairness import gap, largest_difference


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([0, 0, 1, 1], 0.5),  # means .75 and .25
        ([0, 1, 3, 3], 0.75),  # 1, .5 and .25; group 2 has nobody
        ([0, 0, 0, -1], 0.0),  # one group; the last user is in none
        ([-1, -1, -1, -1], 0.0),
        ([5, -1, -1, 2], 1.0),  # 1 and 0
    ],
)
def test_largest_difference(groups, expected):
    assert largest_difference(torch.tensor([1.0, 0.5, 0.5, 0.0]), torch.tensor(groups)) == expected


def test_the_gap_of_recall():
    # Recall 1/1, 1/2, 0/1; groups {0, 1} and {2}: .75 - 0.
    given = MetricInput(
        num_users=3,
        hits=torch.tensor([[True, False], [False, True], [False, False]]),
        num_relevant=torch.tensor([1, 2, 1]),
        groups=torch.tensor([0, 0, 1]),
    )
    assert METRICS["recall_gap"].measure(given) == (0.75, None)
    assert METRICS["recall_gap"].measure(given.cut(1)) == (0.5, None)  # only user 0 has a hit: (1 + 0) / 2


def test_a_gap_is_made_of_any_metric_with_a_value_per_user():
    novelty_gap = gap(METRICS["novelty"])
    assert (novelty_gap.name, novelty_gap.kind, novelty_gap.higher_is_better) == ("novelty_gap", "lists", False)
    # Of 8 training users, 8 and 2 chose the items: 0 and 2 bits.
    given = MetricInput(
        num_users=2,
        items=torch.tensor([[0], [1]]),
        popularity=torch.tensor([8.0, 2.0]),
        num_training_users=torch.tensor(8),
        groups=torch.tensor([0, 1]),
    )
    assert novelty_gap.measure(given) == (2.0, None)
