"""Coverage, diversity and novelty against loops, by hand, and against torch_geometric."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch_geometric.metrics as oracle
from scipy.sparse import csr_array

from gnnrec.evaluation.metrics.beyond_accuracy import (
    average_popularity,
    coverage,
    gini,
    head,
    intra_list_diversity,
    long_tail_share,
    miscalibration,
    novelty,
)


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


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_gini_equals_the_mean_difference_of_all_pairs(seed):
    items, random = random_lists(seed)
    candidates = torch.from_numpy(random.random(30) < 0.8)
    items[(items >= 0) & ~candidates[items.clamp(min=0)]] = -1
    counts = [int((items == i).sum()) for i in range(30) if candidates[i]]
    pairs = [abs(a - b) for a in counts for b in counts]
    expected = np.mean(pairs) / (2 * np.mean(counts))
    assert gini(items, candidates) == pytest.approx(expected)


def test_gini_by_hand():
    four = torch.ones(4, dtype=torch.bool)
    assert gini(torch.tensor([[0, 1], [2, 3]]), four) == 0  # each once
    assert gini(torch.tensor([[2], [2]]), four) == 0.75  # one has all: 1 - 1/4
    assert gini(torch.tensor([[-1], [-1]]), four) == 0


@pytest.mark.parametrize("seed", [4, 5])
def test_popularity_and_the_long_tail_equal_the_loops(seed):
    items, random = random_lists(seed)
    chosen = random.integers(0, 6, 30) ** 2
    total, held, in_head = chosen.sum(), 0, set()
    for count in sorted(set(chosen.tolist()), reverse=True):
        if count == 0 or held >= 0.8 * total:
            break
        alike = [i for i in range(30) if chosen[i] == count]
        in_head |= set(alike)
        held += count * len(alike)
    shares, tails = [], []
    for row in items.tolist():
        listed = [i for i in row if i >= 0]
        shares.append(float(np.mean([chosen[i] / 50 for i in listed])) if listed else 0.0)
        tails.append(float(np.mean([i not in in_head for i in listed])) if listed else 0.0)
    popularity = torch.from_numpy(chosen).float()
    assert average_popularity(items, popularity, torch.tensor(50)).tolist() == pytest.approx(shares)
    assert long_tail_share(items, popularity).tolist() == pytest.approx(tails)


def test_nothing_is_in_the_head_where_nobody_chose_anything():
    assert head(torch.zeros(3)).tolist() == [False, False, False]
    # Of 10 choices 8 are enough: the first two items hold 6, the next two are chosen alike.
    assert head(torch.tensor([3.0, 3, 1.5, 1.5, 1])).tolist() == [True, True, True, True, False]


def slow_miscalibration(items, features, relevant):
    """Steck's divergence, one value after the other."""
    described = [features[i] / features[i].sum() for i in items if i >= 0 and features[i].sum()]
    if not described or not relevant.sum():
        return 0.0
    q, p = np.sum(described, 0), relevant / relevant.sum()
    q = q / q.sum()
    return sum(a * math.log(a / (0.99 * b + 0.01 * a)) for a, b in zip(p, q, strict=True) if a > 0)


@pytest.mark.parametrize("seed", [6, 7])
def test_miscalibration_equals_the_loop(seed):
    items, random = random_lists(seed)
    features = (random.random((30, 5)) < 0.4) * random.random((30, 5))
    features[::4] = 0
    relevant = random.random((20, 5)) * (random.random((20, 5)) < 0.6)
    relevant[3] = 0
    expected = [slow_miscalibration(row, features, one) for row, one in zip(items.tolist(), relevant, strict=True)]
    found = miscalibration(items, csr_array(features), csr_array(relevant))
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_miscalibration_by_hand():
    # Half of what the user wants is a, half is b; the list has a alone: log(.5 / .995) / 2 + log(.5 / .005) / 2.
    features, wanted = csr_array(np.eye(2)), csr_array(np.array([[1.0, 1.0]]))
    expected = (math.log(0.5 / 0.995) + math.log(100)) / 2
    assert miscalibration(torch.tensor([[0, -1]]), features, wanted).tolist() == pytest.approx([expected])
