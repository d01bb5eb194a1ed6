"""k-shot: the same held-out users and targets, with only the first k items of each support shown."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gnnrec.runtime import seeds
from gnnrec.views import Edges, TestSet, UserBatch


def reveal(held_out: TestSet, shots: int) -> TestSet:
    """Cuts each user's support to its first `shots` items; the rest of the support becomes masked.

    Users, ground truth and ranked items are the same for any number of shots, since masked items are in no list. The
    support of k shots is part of that of k + 1. Where the next item is asked for, the ground truth is what follows the
    shown items instead, and what comes after it is ranked like everything else. Of a user's events, those are known
    that came before the first interaction that is not shown.

    Args:
        held_out: test set, the support in the order in which it is revealed.
        shots: k, at least 0; a smaller support is kept whole.
    """
    items = held_out.users.items
    place = _place(items, len(held_out.users))
    shown = place < shots
    if held_out.next_item:
        whole = torch.bincount(items.row, minlength=len(held_out.users)) <= shots  # these are asked as they were
        last = held_out.ground_truth.take(whole[held_out.ground_truth.row])
        follows = Edges.join([items.take(place == shots), last])
        users = replace(held_out.users, items=items.take(shown))
        return replace(held_out, users=users, ground_truth=follows).in_time()
    masked = items.take(~shown)
    asked = replace(held_out, ground_truth=Edges.join([masked, held_out.ground_truth])).in_time()
    if held_out.masked is not None:
        masked = Edges.join([masked, held_out.masked])
    return replace(held_out, users=replace(asked.users, items=items.take(shown)), masked=masked)


def reveal_each(held_out: TestSet, shots: Sequence[int], num_users: int) -> TestSet:
    """The users once per number of shots, for model selection: a mean over the copies is a mean over the shots.

    Args:
        held_out: as in `reveal`.
        shots: K numbers.
        num_users: users of the data set. The copy for the j-th number of shots has the index of its user plus
            j * num_users, so that all are distinct.

    Returns:
        K * B users: B of the first number of shots, then B of the next.
    """
    copies = [reveal(held_out, k) for k in shots]
    size = len(held_out.users)

    def stack(edges: Sequence[Edges]) -> Edges:
        return Edges.join([replace(e, row=e.row + j * size) for j, e in enumerate(edges)])

    users = UserBatch.join(
        [replace(copy.users, index=held_out.users.index + j * num_users) for j, copy in enumerate(copies)]
    )
    masked = [copy.masked for copy in copies if copy.masked is not None]
    ground_truth = stack([copy.ground_truth for copy in copies])
    every, person = stack(masked) if masked else None, held_out.users.index.repeat(len(copies))
    return replace(held_out, users=users, ground_truth=ground_truth, masked=every, person=person)


def _place(edges: Edges, num_users: int) -> Tensor:
    """[E] int64, number of edges of the same user before each edge."""
    order = edges.row.argsort(stable=True)
    count = torch.bincount(edges.row, minlength=num_users)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order)) - (count.cumsum(0) - count)[edges.row[order]]
    return place


def reveal_ground_truth(test: TestSet, shots: Sequence[int], seed: int) -> TestSet:
    """Users without support, once per number of shots, with so many items of their ground truth as support.

    The items are drawn; those of k are among those of k + 1. Users with no more than k items are left out for k.

    Args:
        test: users without support.
        shots: K numbers, at least 1 each.
        seed: draws the items.

    Returns:
        At most K * B users, those of the first number of shots before those of the next; the copy for the j-th number
        has the index of its user plus (j + 1) times the largest index + 1, so that all are distinct.
    """
    edges, size = test.ground_truth, len(test.users)
    drawn = torch.rand(len(edges), generator=seeds.generator(seed, "revealed"), dtype=torch.float64)
    order = drawn.argsort()
    place = torch.empty_like(order)
    place[order] = _place(edges.take(order), size)
    count = torch.bincount(edges.row, minlength=size)
    offset = int(test.users.index.max()) + 1 if size else 1
    parts = []
    for number, k in enumerate(shots, start=1):
        shown = edges.take(place < k)
        users = replace(test.users, index=test.users.index + number * offset, items=shown)
        parts.append(TestSet(users, edges.take(place >= k)).take((count > k).nonzero().flatten()))
    sizes = torch.tensor([0, *(len(part.users) for part in parts)]).cumsum(0).tolist()

    def stack(each: Sequence[Edges]) -> Edges:
        return Edges.join([replace(e, row=e.row + first) for e, first in zip(each, sizes, strict=False)])

    return TestSet(UserBatch.join([part.users for part in parts]), stack([part.ground_truth for part in parts]))
