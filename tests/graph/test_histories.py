"""Histories in the order of time, by hand and against a slow second look."""

import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.graph.histories import Histories, time_order, with_kinds
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


def test_events_of_other_kinds_stand_in_the_order_of_time_and_behind_what_is_of_their_moment() -> None:
    items = Edges(torch.tensor([0, 0, 1]), torch.tensor([5, 6, 7]), time=torch.tensor([10, 20, 15]))
    looks = Edges(torch.tensor([0, 0, 2]), torch.tensor([6, 8, 9]), torch.ones(3), torch.tensor([10, 12, 3]))
    back = Edges(torch.tensor([1]), torch.tensor([7]), time=torch.tensor([14]))
    both, kind = with_kinds(items, [looks, back])
    assert both.row.tolist() == [0, 0, 0, 0, 1, 1, 2]
    assert both.node.tolist() == [5, 6, 8, 6, 7, 7, 9]
    assert kind.tolist() == [0, 1, 1, 0, 2, 0, 1]
    histories = Histories.of(items, 3, half_life=0.5, events=[looks, back])
    assert histories.pointer.tolist() == [0, 4, 6, 7]
    assert histories.item.tolist() == both.node.tolist()
    assert histories.kind is not None
    assert histories.kind.tolist() == kind.tolist()
    weight = [2 ** -((20 - time) / (0.5 * 17)) for time in (10, 20, 15)]  # times go from 3 to 20
    found = histories.weighted_counts(torch.tensor([0.0, 0, 0, 0, 0, 1, 2, 3, 0, 0]))
    assert found.tolist() == pytest.approx([0] * 5 + [6 * one / sum(weight) for one in weight] + [0, 0])


def test_without_times_events_come_after_the_items() -> None:
    items = Edges(torch.tensor([0, 0]), torch.tensor([5, 3]))
    looks = Edges(torch.tensor([0, 0]), torch.tensor([9, 1]), time=torch.zeros(2, dtype=torch.int64))
    both, kind = with_kinds(items, [looks])
    assert both.node.tolist() == [5, 3, 9, 1]
    assert kind.tolist() == [0, 0, 1, 1]
