"""Histories in the order of time, by hand and against a slow second look."""

import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.graph.histories import Histories, time_order
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges

EDGES = Edges(  # user 1 has nothing; user 0 chose 4 and 2 at one time
    torch.tensor([2, 0, 0, 2, 0]), torch.tensor([7, 4, 2, 5, 9]), time=torch.tensor([30, 20, 20, 10, 0])
)


def test_by_hand() -> None:
    own = Histories.of(EDGES, 3, half_life=1 / 3)  # of 30, so that an age of 10 counts half
    assert own.pointer.tolist() == [0, 3, 3, 5]
    assert own.item.tolist() == [9, 4, 2, 5, 7]
    assert own.edge.tolist() == [4, 1, 2, 3, 0]
    assert own.count.tolist() == [3, 0, 2]
    assert own.place.tolist() == [0, 1, 2, 0, 1]
    assert own.weight is not None
    assert torch.allclose(own.weight, torch.tensor([1 / 8, 1 / 2, 1 / 2, 1 / 4, 1.0]))
    counts = own.weighted_counts(torch.tensor([0.0] * 4 + [1, 1, 0, 1, 0, 1]))
    assert torch.allclose(counts[[4, 5, 7, 9]], torch.tensor([0.5, 0.25, 1.0, 0.125]) * 4 / 2.375)
    assert Histories.of(EDGES, 3).weight is None


def test_without_times_the_order_stays() -> None:
    edges = Edges(EDGES.row, EDGES.node)
    assert time_order(edges).tolist() == [1, 2, 4, 0, 3]
    assert Histories.of(edges, 3, half_life=0.5).weight is None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_user_is_sorted(seed: int) -> None:
    train = make_split(synthetic(seed), UnseenUsers(test=0.2, validation=0.2), seed).train
    own, items = Histories.of(train.users.items, train.num_users, 0.1), train.users.items
    assert items.time is not None
    assert own.weight is not None
    events = list(zip(items.row.tolist(), items.time.tolist(), items.node.tolist(), strict=True))
    expected = [item for user in range(train.num_users) for row, _, item in sorted(events) if row == user]
    assert own.item.tolist() == expected
    newest = int(items.time.argmax())
    assert float(own.weight[own.edge == newest]) == 1
