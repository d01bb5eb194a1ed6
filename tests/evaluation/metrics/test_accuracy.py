"""Metrics of relevant items against numbers worked by hand, against loops, and against torch_geometric."""

import math

import pytest
import torch
import torch_geometric.metrics as oracle

from gnnrec.evaluation.metrics import accuracy as metrics

OF_LIST = [metrics.ndcg, metrics.recall, metrics.precision, metrics.average_precision, metrics.hit]


def random_lists(seed, users=40, items=30, places=10):
    """Ranked lists, the relevant items of each user (1 to all of them), and what the metrics are given."""
    random = torch.Generator().manual_seed(seed)
    ranked = torch.stack([torch.randperm(items, generator=random)[:places] for _ in range(users)])  # [B, K]
    relevant = torch.rand(users, items, generator=random) < torch.rand(users, 1, generator=random)  # [B, I]
    relevant[torch.arange(users), torch.randint(items, (users,), generator=random)] = True
    return ranked, relevant, relevant.gather(1, ranked), relevant.sum(1)


def slow(ranked, relevant):
    """Each metric of one user by its textbook definition."""
    places, wanted = len(ranked), set(relevant)
    gain = ideal = found = precision_sum = 0.0
    for rank, item in enumerate(ranked, start=1):
        if item in wanted:
            found += 1
            gain += 1 / math.log2(rank + 1)
            precision_sum += found / rank
        if rank <= len(wanted):
            ideal += 1 / math.log2(rank + 1)
    return {
        "ndcg": gain / ideal,
        "recall": found / len(wanted),
        "precision": found / places,
        "average_precision": precision_sum / min(len(wanted), places),
        "hit": float(found > 0),
    }


@pytest.mark.parametrize("metric", OF_LIST)
@pytest.mark.parametrize("places", [1, 3, 10])
def test_equals_the_loop(metric, places):
    ranked, relevant, hits, num_relevant = random_lists(seed=places, places=places)
    expected = [
        slow(row.tolist(), mask.nonzero().flatten().tolist())[metric.__name__]
        for row, mask in zip(ranked, relevant, strict=True)
    ]
    torch.testing.assert_close(metric(hits, num_relevant), torch.tensor(expected))


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        (metrics.ndcg, oracle.LinkPredNDCG),
        (metrics.recall, oracle.LinkPredRecall),
        (metrics.precision, oracle.LinkPredPrecision),
        (metrics.average_precision, oracle.LinkPredMAP),
        (metrics.hit, oracle.LinkPredHitRatio),
    ],
)
def test_mean_equals_torch_geometric(metric, theirs):
    ranked, relevant, hits, num_relevant = random_lists(seed=7)
    other = theirs(k=ranked.shape[1])
    other.update(ranked, relevant.nonzero().t())
    torch.testing.assert_close(metric(hits, num_relevant).mean(), other.compute())


def test_hand_worked_list():
    # Places 1 and 3 of 4 are hits, 3 items are relevant.
    hits, num_relevant = torch.tensor([[True, False, True, False]]), torch.tensor([3])
    # (1/log2(2) + 1/log2(4)) / (1/log2(2) + 1/log2(3) + 1/log2(4)) = 1.5 / 2.13093
    assert float(metrics.ndcg(hits, num_relevant)) == pytest.approx(1.5 / 2.13093, abs=1e-5)
    assert float(metrics.recall(hits, num_relevant)) == pytest.approx(2 / 3)
    assert float(metrics.precision(hits, num_relevant)) == 0.5
    assert float(metrics.average_precision(hits, num_relevant)) == pytest.approx((1 + 2 / 3) / 3)  # 5/9
    assert float(metrics.hit(hits, num_relevant)) == 1.0


def test_more_relevant_items_than_places():
    # A perfect list of 2 with 5 relevant items: only recall stays below 1.
    hits, num_relevant = torch.tensor([[True, True]]), torch.tensor([5])
    values = {m.__name__: float(m(hits, num_relevant)) for m in OF_LIST}
    assert values == {"ndcg": 1, "recall": pytest.approx(0.4), "precision": 1, "average_precision": 1, "hit": 1}


@pytest.mark.parametrize("metric", OF_LIST)
def test_a_user_without_relevant_item_is_refused(metric):
    with pytest.raises(ValueError, match="1 users have no relevant item"):
        metric(torch.tensor([[False], [True]]), torch.tensor([0, 1]))


def test_reciprocal_rank_has_no_cut_off():
    assert metrics.reciprocal_rank(torch.tensor([1, 2, 5000])).tolist() == pytest.approx([1, 0.5, 0.0002])
