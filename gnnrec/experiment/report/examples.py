"""A few test users: what is known of them, each model's list as it was measured, and what is behind its items."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from gnnrec.data.dataset import Dataset
from gnnrec.errors import InputError
from gnnrec.evaluation.ranking import top
from gnnrec.experiment.report.data import Splits
from gnnrec.experiment.report.protocols import Protocol
from gnnrec.experiment.results import Run
from gnnrec.runtime import seeds
from gnnrec.serving.artifact import load
from gnnrec.serving.explain import HISTORY, explain
from gnnrec.serving.lists import Served
from gnnrec.splits.kshot import reveal
from gnnrec.splits.parts import TEST
from gnnrec.splits.split import Split
from gnnrec.views import ITEM, USER, Edges, TestSet

USERS, LENGTH, SEED = 10, 10, 0
"""Users that are shown, items of a list, and the seed that draws the users."""


@dataclass(frozen=True)
class Place:
    """An item of a list.

    Attributes:
        item: its title, or its id where it has none.
        hit: whether it is one of the user's held-out items.
        reasons: relation, value, and how much lower the item's score is without it.
    """

    item: str
    hit: bool
    reasons: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class UserList:
    """One model's list for one user; empty where it cannot score the user.

    Attributes:
        value: the metric of this user; None where it has none.
        places: best first.
    """

    value: float | None
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Example:
    """A test user.

    Attributes:
        user: its id.
        profile: name of an attribute -> its values.
        known: items that models know of, the last one last.
        held_out: items to find.
        lists: row -> its list.
    """

    user: str
    profile: Mapping[str, tuple[str, ...]]
    known: tuple[str, ...]
    held_out: tuple[str, ...]
    lists: dict[str, UserList]


def examples(protocol: Protocol, splits: Splits, number: int = USERS) -> tuple[int, list[Example], list[str]]:
    """Test users of the reference's first run, drawn with a fixed seed, the same for all models.

    Args:
        protocol: with a reference.
        splits: where to find the data.
        number: of users, at most.

    Returns:
        The seed of the runs; the users, in the order of the data; and a note for each row without lists.

    Raises:
        InputError: the reference's data cannot be had.
    """
    assert protocol.reference is not None
    run = protocol.rows[protocol.reference][0]
    seed, split = run.result.seed, splits.of(run)
    users = drawn_users(run.per_user["user"], number)
    test = _asked(split, users, protocol.metric)
    items, truth = _names(split.dataset), _of_each(test.ground_truth, len(users))
    known = _of_each(test.users.items, len(users))
    shown = [
        Example(
            user=str(user),
            profile=_profile(test, row, split),
            known=tuple(items[item] for item in known[row]),
            held_out=tuple(items[item] for item in truth[row]),
            lists={},
        )
        for row, user in enumerate(users)
    ]
    notes = []
    for name, group in protocol.rows.items():
        own = next((one for one in group if one.result.seed == seed), None)
        if own is None:
            notes.append(f"{name} has no run with seed {seed}, so it has no lists here")
            continue
        try:
            lists = _lists(own, splits.of(own), users, protocol.metric)
        except InputError as error:
            notes.append(f"{name} has no lists here: {error}")
            continue
        for example, found in zip(shown, lists, strict=True):
            example.lists[name] = found
    return seed, shown, notes


def drawn_users(users: "pd.Series[Any]", number: int) -> list[Any]:
    """Some of the users, in the order of their ids as text; the same users give the same ones in any order."""
    ordered = sorted(users.tolist(), key=str)
    random = seeds.numpy_generator(SEED, "examples of a report")
    return [ordered[place] for place in sorted(random.permutation(len(ordered))[:number].tolist())]


@torch.no_grad()
def _lists(run: Run, split: Split, users: list[Any], metric: str | None) -> list[UserList]:
    """The lists of these users, ties broken as in the evaluation."""
    assert run.folder is not None
    artifact = load(run.folder)
    model = artifact.model
    test = _asked(split, users, metric)
    batch = test.users
    eligible = split.candidates(TEST, split.full).repeat(len(users), 1)  # [B, I]
    eligible[test.unranked.row, test.unranked.node] = False
    items = top(model.score(batch), eligible, batch.index, LENGTH, run.result.seed)  # [B, K]
    reasons = explain(Served(model, artifact.vocabulary, split.full.candidates), batch, items.clamp(min=0)).told()
    truth = test.ground_truth
    relevant = torch.zeros_like(eligible)
    relevant[truth.row, truth.node] = True
    hits = relevant.gather(1, items.clamp(min=0)).tolist()
    known = torch.bincount(batch.items.row, minlength=len(users)).tolist()
    named = _names(split.dataset)
    titles = dict(zip(map(str, split.dataset.ids[ITEM]), named, strict=True))

    def reason(one: Mapping[str, Any]) -> tuple[str, str, float]:
        value = str(one["value"])
        return str(one["relation"]), titles[value] if one["relation"] == HISTORY else value, float(one["weight"])

    values = run.per_user.set_index("user")[metric] if metric in run.per_user else pd.Series(dtype=float)
    found = []
    for row, user in enumerate(users):
        able = model.supports_cold_users or known[row] > 0
        places = [
            Place(named[item], hits[row][place], tuple(map(reason, reasons[row][place])))
            for place, item in enumerate(items[row].tolist())
            if item >= 0 and able
        ]
        found.append(UserList(float(values[user]) if user in values.index else None, tuple(places)))
    return found


def _asked(split: Split, users: list[Any], metric: str | None) -> TestSet:
    """The test users with the known items that the metric is measured with, in the order of `users`."""
    place = pd.Index(split.test.users.index.numpy()).get_indexer(
        pd.Index(split.dataset.ids[USER].get_indexer(pd.Index(users)))
    )
    assert (place >= 0).all(), "users of a run stand in its split"
    shots = re.match(r"k(\d+)/", metric or "")
    test = split.test if shots is None else reveal(split.test, int(shots[1]))
    return test.take(torch.from_numpy(place))


def _names(dataset: Dataset) -> Sequence[str]:
    """[I] title of each item, or its id where it has none."""
    ids = [str(item) for item in dataset.ids[ITEM]]
    return [title or item for title, item in zip(dataset.titles, ids, strict=True)] if dataset.titles else ids


def _of_each(edges: Edges, users: int) -> list[list[int]]:
    """The nodes of each user, in the order of the edges."""
    found: list[list[int]] = [[] for _ in range(users)]
    for row, node in zip(edges.row.tolist(), edges.node.tolist(), strict=True):
        found[row].append(node)
    return found


def _profile(test: TestSet, row: int, split: Split) -> dict[str, tuple[str, ...]]:
    """What a model gets of a user besides items: values of attributes, and how many friends and events."""
    found: dict[str, tuple[str, ...]] = {}
    for (_, name, target), edges in test.users.relations.items():
        own = edges.take(edges.row == row)
        if target in (USER, ITEM):
            what = "of the training users" if target == USER else "items"
            found[name] = (f"{len(own)} {what}",) if len(own) else ()
            continue
        values = [str(split.full.ids[target][node]) for node in own.node.tolist()]
        if own.weight is not None:
            values = [f"{value} ({weight:g})" for value, weight in zip(values, own.weight.tolist(), strict=True)]
        found[name] = tuple(values)
    return found
