"""Newcomers of the demo shop: a run's test users with their profiles, and what they chose, in order."""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gnnrec.data.dataset import Dataset
from gnnrec.errors import ConfigError
from gnnrec.experiment.report.data import Splits
from gnnrec.experiment.results import read_run
from gnnrec.runtime import seeds
from gnnrec.serving.artifact import ARTIFACT, place_of
from gnnrec.splits.parts import TEST, TEST_SUPPORT
from gnnrec.splits.split import Split
from gnnrec.splits.temporal import in_time_order
from gnnrec.views import ITEM, USER

MOST_VALUES = 999
"""Values of one attribute of a user that the service takes."""


@dataclass(frozen=True)
class Choice:
    """An interaction of a test user.

    Attributes:
        item: its id.
        findable: whether a list could hold the item: training knows it.
        value: such as a rating; None where the data have none.
        time: in the data's unit; None where the data have none.
    """

    item: str
    findable: bool = True
    value: float | None = None
    time: int | None = None


@dataclass(frozen=True)
class Newcomer:
    """A test user.

    Attributes:
        id: in the data.
        attributes: name of an attribute or relation -> a value, a list of values, or value -> weight.
        choices: all held-out interactions, the first one first.
    """

    id: str
    attributes: Mapping[str, Any]
    choices: tuple[Choice, ...]

    def remaining(self, events: int) -> frozenset[str]:
        """The items that are left to find once the first choices are known; those that no list could hold are none."""
        return frozenset(one.item for one in self.choices[events:] if one.findable)

    def lists(self, events: int) -> int:
        """How many lists can be measured, the first one with no event known, the last one with `events` of them."""
        last = max((place for place, one in enumerate(self.choices) if one.findable), default=-1)
        return min(last, events) + 1


@dataclass(frozen=True)
class Newcomers:
    """The newcomers of a run.

    Attributes:
        dataset: name of the data.
        version: of the run's model, as the service tells it.
        users: those with something to find, in the order in which they come.
        test_users: of the run, in all.
        in_time: whether the data have times; else the choices are in the order of the file.
        items: ids of all items that training knows.
        notes: what a reader of the numbers has to know.
    """

    dataset: str
    version: str
    users: tuple[Newcomer, ...]
    test_users: int
    in_time: bool
    items: tuple[str, ...]
    notes: tuple[str, ...] = ()


def version_of(run: Path) -> str:
    """The version that a service tells of a run's model, see `gnnrec.serving.live.read_live`.

    Raises:
        ConfigError: there is no finished run, or it has no model.
    """
    return hashlib.sha256((place_of(run) / ARTIFACT).read_bytes()).hexdigest()[:12]


def read_newcomers(run: Path, number: int, seed: int) -> Newcomers:
    """Some test users of a finished run, drawn with a seed.

    Args:
        run: its folder.
        number: of users, at most.
        seed: draws them and their order.

    Raises:
        InputError: the run or its data cannot be read, the data have changed, or there are no test users.
    """
    splits = Splits()
    split = splits.of(read_run(run))
    for warning in splits.warnings:
        warnings.warn(warning, stacklevel=2)
    data = split.dataset
    everyone = (split.user_part == TEST).nonzero().flatten().numpy()
    if not len(everyone):
        raise ConfigError(
            f"{run}: the run has no test users: its split holds out interactions of users whom the model was trained "
            "on; take a run whose split holds out users, such as one of configs/ml-100k/graphsage.yaml"
        )
    random = seeds.numpy_generator(seed, "users of the demo shop")
    drawn = everyone[random.permutation(len(everyone))[:number]]
    choices, (profiles, cut) = _choices(split, drawn), _profiles(data, drawn)
    found = [
        Newcomer(str(data.ids[USER][user]), profile, own)
        for user, profile, own in zip(drawn.tolist(), profiles, choices, strict=True)
    ]
    users = tuple(one for one in found if one.lists(0))
    if not users:
        raise ConfigError(f"{run}: none of {len(found)} test users has an item to find that training knows")
    notes = []
    if len(users) < len(found):
        notes.append(f"{len(found) - len(users)} users are left out: training knows no item that they chose")
    if data.interactions.time is None:
        notes.append("the data have no times: each user's events come in the order of the file")
    if cut:
        notes.append(f"{cut} users have more than {MOST_VALUES} values of an attribute; the first ones are sent")
    items = tuple(str(one) for one in data.ids[ITEM][split.full.candidates.numpy()])
    in_time = data.interactions.time is not None
    return Newcomers(data.name, version_of(run), users, len(everyone), in_time, items, tuple(notes))


def _choices(split: Split, users: np.ndarray) -> list[tuple[Choice, ...]]:
    """What each user chose, in the order of time; ties in time are broken as the splits by time do."""
    own, findable = split.dataset.interactions, split.full.candidates
    held_out = torch.isin(split.edge_part, torch.tensor([TEST, TEST_SUPPORT]))
    edges = (held_out & torch.isin(own.user, torch.from_numpy(users))).nonzero().flatten()
    if own.time is not None:
        edges = edges[in_time_order(split.dataset)[edges].argsort()]
    place = {user: number for number, user in enumerate(users.tolist())}
    found: list[list[Choice]] = [[] for _ in place]
    ids = split.dataset.ids[ITEM]
    for edge in edges.tolist():
        item = int(own.item[edge])
        value = None if own.value is None else float(own.value[edge])
        time = None if own.time is None else int(own.time[edge])
        found[place[int(own.user[edge])]].append(Choice(str(ids[item]), bool(findable[item]), value, time))
    return [tuple(one) for one in found]


def _profiles(data: Dataset, users: np.ndarray) -> tuple[list[dict[str, Any]], int]:
    """Each user's attributes and relations as a shop would send them; and how many users' were cut.

    Events of other kinds are left out: at the first list, a user has done nothing.
    """
    place = {user: number for number, user in enumerate(users.tolist())}
    index = torch.from_numpy(users)
    found: list[dict[str, Any]] = [{} for _ in place]
    cut = set()
    for relation in data.relations:
        if relation.source != USER or relation.time is not None:
            continue
        values: dict[int, dict[str, float]] = {}
        for edge in torch.isin(relation.edge_index[0], index).nonzero().flatten().tolist():
            user, node = relation.edge_index[:, edge].tolist()
            weight = 1.0 if relation.weight is None else float(relation.weight[edge])
            values.setdefault(user, {})[str(data.ids[relation.target][node])] = weight
        for user, some in values.items():
            if len(some) > MOST_VALUES:
                cut.add(user)
                some = dict(list(some.items())[:MOST_VALUES])
            names = list(some)
            plain = names[0] if len(names) == 1 else names
            found[place[user]][relation.name] = plain if relation.weight is None else some
    for one in data.numeric:
        if one.node_type == USER:
            for row in torch.isin(one.node, index).nonzero().flatten().tolist():
                number = float(one.number[row])
                told = int(number) if number.is_integer() and abs(number) < 2**53 else number
                found[place[int(one.node[row])]][one.name] = told
    return found, len(cut)
