"""Groups of users with one value of an attribute, or of one activity: how well each is served, and who gains."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gnnrec.data.dataset import Dataset
from gnnrec.evaluation.statistics import Difference, gap_between_groups
from gnnrec.experiment.paired import difference, mean_with_interval
from gnnrec.experiment.report.protocols import Protocol
from gnnrec.experiment.results import Run
from gnnrec.splits.bins import bin_labels, bin_number, fit_bounds
from gnnrec.views import ITEM, USER

ACTIVITY = "number of interactions"
OTHERS, NO_VALUE = "others", "no value"
SMALLEST, MOST = 10, 12
"""Users of a group, at least, and groups with a name, at most; the users of the rest are joined."""

PIECES = 4
"""Groups of a number that has no bins of its own: quarters."""

Users = frozenset[Any]
"""Ids of users."""
Groups = list[tuple[str, Users]]


@dataclass(frozen=True)
class Gain:
    """One group of users.

    Attributes:
        group: what they have in common.
        users: how many of them were evaluated.
        differences: row -> its difference to the reference on these users alone.
    """

    group: str
    users: int
    differences: Mapping[str, Difference]


@dataclass(frozen=True)
class Served:
    """How well one model serves groups of users.

    Attributes:
        means: group -> its users, and the mean of the metric on these alone.
        worst: the group with the lowest mean, or the highest where lower is better.
        gap: how far the best and the worst group lie apart, with the ends of its interval.
    """

    means: Mapping[str, tuple[int, Difference]]
    worst: str
    gap: tuple[float, float, float]


def served(runs: list[Run], groups: Groups, metric: str, *, higher_is_better: bool) -> Served | None:
    """How well a model serves each group; None where fewer than two groups have users.

    Args:
        runs: of the model, one for each seed.
        groups: names and users.
        metric: with a value per user.
        higher_is_better: of the metric.
    """
    means: dict[str, tuple[int, Difference]] = {}
    values = []
    for name, users in groups:
        there = [own for run in runs if len((own := _only(run, users)).per_user)]
        if there:
            per_user = pd.concat([run.per_user.set_index("user")[metric] for run in there]).groupby(level=0).mean()
            values.append(per_user.to_numpy(dtype=np.float64))
            means[name] = len(per_user), mean_with_interval(there, metric)
    if len(values) < 2:
        return None
    order = sorted(means, key=lambda name: means[name][1].mean, reverse=not higher_is_better)
    return Served(means, order[0], gap_between_groups(values))


def groupings(dataset: Dataset, users: Users) -> dict[str, Groups]:
    """What users are grouped by -> the groups; a grouping into less than two groups is left out.

    Attributes are all relations from users to values, and numbers by their bins, fitted on all users. A user with
    several values is in several groups. Activity is a quarter of the users by the number of their interactions.

    Args:
        dataset: with these users.
        users: those who were evaluated.
    """
    found = {ACTIVITY: joined(_activity(dataset, users), users)}
    for name, groups in _attributes(dataset).items():
        found[name] = joined(groups, users)
    return {name: groups for name, groups in found.items() if len(groups) > 1}


def joined(groups: Iterable[tuple[str, Users]], users: Users) -> Groups:
    """The groups that are large enough, and the users who are in none of them.

    Args:
        groups: in order; their users need not be distinct.
        users: those who count; of groups, others are left out.

    Example:
        >>> few, many = frozenset(range(3)), frozenset(range(3, 20))
        >>> [(name, len(found)) for name, found in joined([("a", few), ("b", many)], few | many)]
        [('b', 17), ('others', 3)]
    """
    inside = [(name, found & users) for name, found in groups]
    rest = users.difference(*(found for _, found in inside))
    sizes = sorted((len(found) for _, found in inside), reverse=True)
    least = max(SMALLEST, sizes[MOST - 1] if len(sizes) > MOST else 0)
    large = [(name, found) for name, found in inside if len(found) >= least][:MOST]
    if len(rest) >= SMALLEST and inside:
        large.append((NO_VALUE, rest))
    others = users.difference(*(found for _, found in large))
    return [*large, (OTHERS, others)] if others else large


def gains(protocol: Protocol, groups: Groups) -> list[Gain]:
    """Each group's difference to the reference, of all rows that can be compared.

    Of several seeds, those count that have a user of the group.
    """
    assert protocol.reference is not None
    assert protocol.metric is not None
    first, found = protocol.reference, []
    for name, users in groups:
        rows = {row: [_only(run, users) for run in runs] for row, runs in protocol.compared.items()}
        there = [place for place, run in enumerate(rows[first]) if len(run.per_user)]
        rows = {row: [runs[place] for place in there] for row, runs in rows.items()}
        differences = {
            row: difference(row, runs, first, rows[first], protocol.metric)
            for row, runs in rows.items()
            if row != first and runs
        }
        tested = {user for run in rows[first] for user in run.per_user["user"]}
        if tested:
            found.append(Gain(name, len(tested), differences))
    return found


def evaluated(runs: Iterable[Run]) -> Users:
    """The users that some of the runs have values of."""
    return frozenset(user for run in runs for user in run.per_user["user"].tolist())


def _only(run: Run, users: Users) -> Run:
    return Run(run.result, run.per_user[run.per_user["user"].isin(users)], run.folder)


def _attributes(dataset: Dataset) -> dict[str, Groups]:
    ids = dataset.ids[USER]
    found: dict[str, Groups] = {}
    for relation in dataset.relations:
        if relation.source == USER and relation.target not in (USER, ITEM):
            user, value = relation.edge_index.numpy()
            found[relation.name] = _split(ids[user].tolist(), value, list(map(str, dataset.ids[relation.target])))
    for one in dataset.numeric:
        if one.node_type == USER:
            number = one.number.numpy()
            bounds = one.bounds if one.bounds is not None else fit_bounds(number, one.bins or PIECES)
            users = ids[one.node.numpy()].tolist()
            found[one.name] = _split(users, bin_number(number, bounds), bin_labels(bounds))
    return found


def _activity(dataset: Dataset, users: Users) -> Groups:
    count = np.bincount(dataset.interactions.user.numpy(), minlength=dataset.num_users)
    inside = np.flatnonzero(dataset.ids[USER].isin(list(users)))
    if len(inside) == 0:
        return []
    number = count[inside]
    bounds = np.unique(np.quantile(number, [0.25, 0.5, 0.75], method="lower"))
    bounds = bounds[bounds < number.max()]
    ends = [int(number.min()) - 1, *bounds.tolist(), int(number.max())]
    names = [str(high) if high == low + 1 else f"{low + 1} to {high}" for low, high in itertools.pairwise(ends)]
    quarter = np.searchsorted(bounds, number, side="left")  # a bound belongs below
    return _split(dataset.ids[USER][inside].tolist(), quarter, names)


def _split(users: list[Any], code: np.ndarray, names: list[str]) -> Groups:
    """The users of each code, in the order of the codes."""
    order = np.argsort(code, kind="stable")
    values, starts = np.unique(code[order], return_index=True)
    parts = np.split(order, starts[1:])
    return [
        (names[value], frozenset(users[place] for place in part)) for value, part in zip(values, parts, strict=True)
    ]
