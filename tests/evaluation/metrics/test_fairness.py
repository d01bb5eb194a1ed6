"""Differences between groups of users, by hand."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from gnnrec.evaluation.metrics import METRICS, MetricInput
from gnnrec.evaluation.metrics.fairness import exposure_gap, gap, largest_difference, lowest_mean, probe_auc


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


def test_the_worst_group():
    values = torch.tensor([1.0, 0.5, 0.5, 0.0])
    assert lowest_mean(values, torch.tensor([0, 0, 2, 2])) == 0.25
    assert lowest_mean(values, torch.tensor([0, 1, 1, -1])) == 0.5  # the last user is in no group
    assert lowest_mean(values, torch.full((4,), -1)) == 0
    recall = METRICS["recall_worst"]
    assert (recall.higher_is_better, recall.mean_over) == (True, None)


def slow_exposure_gap(items, groups, chosen):
    shown, wanted = {}, {}
    for row in items.tolist():
        for place, item in enumerate(row, 1):
            for group, share in enumerate(groups[item] if item >= 0 else []):
                shown[group] = shown.get(group, 0) + share / np.log2(place + 1)
    for item, count in enumerate(chosen):
        for group, share in enumerate(groups[item]):
            wanted[group] = wanted.get(group, 0) + share * count
    return sum(abs(shown[g] / sum(shown.values()) - wanted[g] / sum(wanted.values())) for g in wanted) / 2


@pytest.mark.parametrize("seed", [3, 8])
def test_exposure_equals_the_loop(seed):
    random = np.random.default_rng(seed)
    items = np.stack([random.permutation(12)[:5] for _ in range(9)])
    items[2, 3:] = -1
    groups = random.random((12, 3)) * (random.random((12, 3)) < 0.7)
    groups = groups / groups.sum(1, keepdims=True).clip(min=1e-9)
    chosen = random.integers(0, 9, 12)
    found = exposure_gap(torch.from_numpy(items), csr_array(groups), torch.from_numpy(chosen))
    assert found == pytest.approx(slow_exposure_gap(items, groups, chosen))


def test_exposure_by_hand():
    groups = csr_array(np.array([[1.0, 0], [0, 1], [0, 0]]))
    chosen = torch.tensor([1.0, 3.0, 5.0])  # item 2 is in no group: shares of 1/4 and 3/4
    places = torch.tensor([[0, 2, 1]])  # exposures of 1 and 1 / log2(4) = 1/2: shares of 2/3 and 1/3
    assert exposure_gap(places, groups, chosen) == pytest.approx(2 / 3 - 1 / 4)
    assert exposure_gap(torch.tensor([[2, -1]]), groups, chosen) == 0


def test_a_probe_finds_what_is_there_in_a_line_or_not_and_nothing_where_nothing_is():
    random = np.random.default_rng(4)
    groups, noise = torch.from_numpy(random.integers(0, 2, 400)), torch.from_numpy(random.normal(size=(400, 3))).float()
    line = noise + torch.stack([groups * 3.0, groups * 0.0, groups * 0.0], 1)
    assert probe_auc(line, groups) > 0.95
    # Of opposite signs in one group and of the same in the other: no line tells them.
    sign = torch.from_numpy(random.choice([-1.0, 1.0], 400)).float()
    crossed = torch.stack([sign, sign * (2 * groups - 1)], 1) + 0.1 * noise[:, :2]
    assert probe_auc(crossed, groups) > 0.95
    # 400 users and two probes: the better of them lies within .1 of chance.
    assert abs(probe_auc(noise, groups) - 0.5) < 0.1


def test_a_probe_of_several_groups_and_of_too_few():
    groups = torch.arange(3).repeat(30)
    vectors = torch.nn.functional.one_hot(groups, 3).float()
    assert probe_auc(vectors, groups) == 1
    few = torch.where(groups > 0, -1, groups)
    few[1:9] = 1  # eight users are no group
    assert probe_auc(vectors, few) == 0.5
    order = torch.randperm(90, generator=torch.Generator().manual_seed(2))
    noise = torch.randn(90, 3, generator=torch.Generator().manual_seed(3))
    assert probe_auc(noise, groups) == probe_auc(noise[order], groups[order])
    metric = METRICS["probe_auc"]
    assert (metric.kind, metric.takes_length) == (None, False)
