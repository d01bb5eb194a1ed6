"""Coverage, diversity and novelty against loops, by hand, and against torch_geometric."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch_geometric.metrics as oracle
from scipy.sparse import csr_array

from gnnrec.evaluation.metrics.beyond_accuracy import coverage, intra_list_diversity, novelty


def random_lists(seed, users=20, items=30, places=8):
    """Lists in which later places stay empty for some users, and for user 0 all of them."""
    random = np.random.default_rng(seed)
    lists = np.stack([random.permutation(items)[:places] for _ in range(users)])
    lists[np.arange(places) >= random.integers(0, places + 1, users)[:, None]] = -1
    lists[0] = -1
    return torch.from_numpy(lists), random


def test_coverage_equals_torch_geometric():
    random = torch.Generator().manual_seed(1)
    ranked = torch.stack([torch.randperm(50, generator=random)[:8] for _ in range(3)])
    other = oracle.LinkPredCoverage(k=8, num_dst_nodes=50)
    other.update(ranked, torch.zeros(2, 0, dtype=torch.int64))
    assert coverage(ranked, torch.ones(50, dtype=torch.bool)) == pytest.approx(float(other.compute()))


def test_coverage_counts_an_item_once_and_empty_places_not():
    candidates = torch.tensor([True] * 4 + [False] * 6)
    # Items 0, 1, 2 of 4 candidates.
    assert coverage(torch.tensor([[0, 1], [2, 0], [1, -1]]), candidates) == 0.75


def slow_diversity(items, features):
    described = [features[i] for i in items if i >= 0 and any(features[i])]
    pairs = list(itertools.combinations(described, 2))
    cosine = [np.dot(a, b) / math.sqrt(np.dot(a, a) * np.dot(b, b)) for a, b in pairs]
    return float(np.mean([1 - c for c in cosine])) if pairs else 0.0


@pytest.mark.parametrize("seed", range(4))
def test_diversity_equals_the_loop(seed):
    items, random = random_lists(seed)
    features = (random.random((30, 6)) < 0.4) * random.random((30, 6))
    features[::4] = 0
    expected = [slow_diversity(row, features) for row in items.tolist()]
    found = intra_list_diversity(items, csr_array(features))
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert found.dtype == torch.float32


def test_diversity_by_hand():
    # Item 0 has genre a; 1 has a and b; 2 has c; nothing is known of item 3.
    features = csr_array(np.array([[1.0, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]]))
    items = torch.tensor([[0, 1, 2], [0, 3, 1], [2, 3, -1], [0, -1, -1]])
    # Pairs 01, 02, 12: (1 - 1 / sqrt 2 + 1 + 1) / 3; pair 01 alone; no pair; no pair.
    one = 1 - 1 / math.sqrt(2)
    assert intra_list_diversity(items, features).tolist() == pytest.approx([(one + 2) / 3, one, 0, 0])
    assert features.toarray()[1].tolist() == [1, 1, 0]


@pytest.mark.parametrize("seed", range(3))
def test_novelty_equals_the_loop(seed):
    items, random = random_lists(seed)
    chosen = random.integers(0, 40, 30)
    expected = []
    for row in items.tolist():
        bits = [-math.log2(max(chosen[i], 1) / 40) for i in row if i >= 0]
        expected.append(sum(bits) / len(bits) if bits else 0.0)
    found = novelty(items, torch.from_numpy(chosen).float(), torch.tensor(40))
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_novelty_by_hand():
    # Of 16 training users, 16, 4 and none chose the items: 0, 2 and, counted as chosen by one, 4 bits.
    items = torch.tensor([[0, 1, 2], [1, -1, -1], [-1, -1, -1]])
    assert novelty(items, torch.tensor([16.0, 4, 0]), torch.tensor(16)).tolist() == [2, 2, 0]
