"""Where paths lead: by hand, and against loops over users."""

import math
from itertools import pairwise

import pandas as pd
import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.graph.histories import Histories
from gnnrec.graph.paths import NEXT, PLACES, RECENT, SOON, START, TOGETHER, WINDOW, Paths
from gnnrec.nn.decoder import Recent
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import ITEM, USER, Edges, TrainingData, UserBatch

CLUB = (USER, "club", "club")


def three_users() -> TrainingData:
    """Users 0 and 1 are in club 0 and chose items 0, 1, 2 and 1, 2; user 2 is in club 1 and chose 3, 0."""
    row, item = torch.tensor([0, 0, 0, 1, 1, 2, 2]), torch.tensor([0, 1, 2, 1, 2, 3, 0])
    items = Edges(row, item, time=torch.arange(7))
    club = Edges(torch.arange(3), torch.tensor([0, 0, 1]))
    users = UserBatch(torch.arange(3), items, {CLUB: club})
    return TrainingData(users, {ITEM: pd.Index(range(4)), "club": pd.Index(["a", "b"])}, (), {}, torch.ones(4) > 0)


def paths_of(train: TrainingData, users: torch.Tensor | None = None, half_life: float | None = None) -> Paths:
    own = Histories.of(train.users.items, train.num_users, half_life)
    return Paths.of(train, own, torch.ones(train.num_users) > 0 if users is None else users, half_life)


def reached_of(paths: Paths, users: UserBatch, last: int = 50) -> dict[str, torch.Tensor]:
    """Path -> [B, I] float64, numbers of training users."""
    recent = Recent.of(users.items, len(users), last)
    place = torch.bincount(users.items.row, minlength=len(users))
    found = {}
    for name, one in zip(paths.names, paths.reached(recent.item, recent.count, place, users), strict=True):
        dense = torch.zeros(len(users), len(paths.share), dtype=torch.float64)  # as many starts as queries at most
        dense[one.row, one.item] = one.value.double() * torch.from_numpy(paths.share)[one.item]
        found[name] = dense if one.start is None else dense[one.start]
    return found


def values_of(edges: Edges, user: int) -> set[int]:
    return {node for row, node in zip(edges.row.tolist(), edges.node.tolist(), strict=True) if row == user}


def test_by_hand() -> None:
    paths = paths_of(three_users())
    assert paths.names == (START, NEXT, SOON, TOGETHER, "club")
    asked = UserBatch(
        torch.tensor([-1, -1]),
        Edges(torch.tensor([1, 1]), torch.tensor([0, 1]), time=torch.tensor([8, 9])),
        {CLUB: Edges(torch.tensor([0]), torch.tensor([0]))},
    )
    found = reached_of(paths, asked)
    half = 1 / math.sqrt(2)  # items 0, 1 and 2 have two users each
    expected = {
        START: [[1, 1, 0, 1], [0, 0, 1, 0]],  # first items; third items
        NEXT: [[0, 0, 0, 0], [0, 0, 2, 0]],  # after item 1
        SOON: [[0, 0, 0, 0], [0, half, 3 * half, 0]],
        TOGETHER: [[0, 0, 0, 0], [3 * half, 3 * half, 3 * half, half]],
        "club": [[1, 2, 2, 0], [0, 0, 0, 0]],
    }
    for name, values in expected.items():
        assert torch.allclose(found[name], torch.tensor(values, dtype=torch.float64)), name
    assert paths.share == pytest.approx([2.1 / 7.4, 2.1 / 7.4, 2.1 / 7.4, 1.1 / 7.4])


def test_users_who_are_left_out_count_nowhere() -> None:
    """Without user 2, whose item 3 nobody else chose; two thirds of the users count one and a half times."""
    found = paths_of(three_users(), torch.tensor([True, True, False]))
    assert found.matrices[START].toarray()[0].tolist() == [1.5, 1.5, 0, 0]
    assert found.matrices["club"].toarray().tolist() == [[1.5, 3, 3, 0], [0, 0, 0, 0]]
    assert all(matrix.toarray()[:, 3].sum() == 0 for matrix in found.matrices.values())


@pytest.mark.parametrize("half_life", [None, 0.3])
@pytest.mark.parametrize("seed", [1, 2])
def test_against_loops(seed: int, half_life: float | None) -> None:
    split = make_split(synthetic(seed, num_users=40), UnseenUsers(test=0.2, validation=0.2, support=4), seed)
    train, asked = split.train, split.validation.users
    paths, items = paths_of(train, None, half_life), train.users.items
    assert items.time is not None
    newest, oldest = int(items.time.max()), int(items.time.min())

    def weight(time: int, life: float | None) -> float:
        return 1.0 if life is None else 2 ** -((newest - time) / (life * (newest - oldest)))

    events = sorted(zip(items.row.tolist(), items.time.tolist(), items.node.tolist(), strict=True))
    chosen = {u: [(i, t) for row, t, i in events if row == u] for u in range(train.num_users)}
    number = train.popularity.tolist()
    found = reached_of(paths, asked)
    assert asked.items.time is not None
    mine = sorted(zip(asked.items.row.tolist(), asked.items.time.tolist(), asked.items.node.tolist(), strict=True))
    for b in range(len(asked)):
        known = [i for row, _, i in mine if row == b]
        expected = {name: [0.0] * train.num_items for name in paths.names}
        having = {name: values_of(edges, b) for (_, name, _), edges in asked.relations.items()}
        for u, own in chosen.items():
            for place, (item, time) in enumerate(own):
                w = weight(time, half_life)
                bucket = max(k for k in PLACES if k <= place)
                if bucket == max(k for k in PLACES if k <= len(known)):
                    expected[START][item] += w
                if half_life is not None:
                    expected[RECENT][item] += weight(time, 0.2 * half_life)
                for source in known:
                    before = [i for i, _ in own[:place]]
                    damped = w / math.sqrt(number[source]) if number[source] else 0.0
                    expected[SOON][item] += damped * (source in before[-WINDOW:])
                    expected[TOGETHER][item] += damped * (source in [i for i, _ in own])
                for (_, name, target), edges in train.users.relations.items():
                    shared = having[name] & ({u} if target == USER else values_of(edges, u))
                    expected[name][item] += w * len(shared)
            for (one, _), (item, time) in pairwise(own):
                expected[NEXT][item] += weight(time, half_life) * (bool(known) and one == known[-1])
        for name in paths.names:
            assert found[name][b].tolist() == pytest.approx(expected[name], rel=1e-4, abs=1e-5), name
