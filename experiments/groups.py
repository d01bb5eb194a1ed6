"""Who gains: differences to the plain row by how active the test users are, and by their attributes."""

import itertools
from typing import Any

import numpy as np
import pandas as pd

from experiments.comparisons import Rows, is_control, is_ours
from experiments.protocols import Protocol
from gnnrec.data import load
from gnnrec.data.dataset import Dataset
from gnnrec.errors import ConfigError
from gnnrec.experiment.config import read_config
from gnnrec.experiment.paired import difference
from gnnrec.experiment.results import CONFIG, Run
from gnnrec.splits.bins import bin_labels, bin_number, fit_bounds
from gnnrec.views import USER

ACTIVITY = "activity"
PARTS = 4
SMALLEST = 20
"""Fewer users than this form no group: an interval over them is too wide to read."""


def gains_by_group(rows: Rows, protocol: Protocol) -> dict[str, list[dict[str, Any]]]:
    """What the groups are by -> for each group: name, users, and each graph model's gain over the plain row.

    Activity is a quarter of the test users by the number of their interactions; attributes are the protocol's `groups`.

    Args:
        rows: finished runs of each config.
        protocol: which one.
    """
    plain = rows.get(protocol.plain)
    ours = {n: g for n, g in rows.items() if is_ours(g[0].result) and not is_control(g[0].result)}
    if (
        plain is None
        or not ours
        or any(protocol.main not in run.per_user for g in (*ours.values(), plain) for run in g)
    ):
        return {}
    assert plain[0].folder is not None
    config = read_config(plain[0].folder / CONFIG)
    dataset = load(config.config.data, config.folder)
    found = {}
    for by in (ACTIVITY, *protocol.groups):
        group_of = _activity(dataset, plain) if by == ACTIVITY else attribute_of(dataset, by)
        groups = [(name, set(users)) for name, users in group_of.groupby(group_of, sort=False).groups.items()]
        found[by] = [gain for name, users in groups if (gain := _gain(str(name), users, ours, plain, protocol))]
    return found


def attribute_of(dataset: Dataset, attribute: str) -> "pd.Series[str]":
    """User id -> value of an attribute, in the order of the values; a user with several values has the first one."""
    ids = dataset.ids[USER]
    for numeric in dataset.numeric:
        if numeric.node_type == USER and numeric.name == attribute:
            number = numeric.number.numpy()
            bounds = numeric.bounds if numeric.bounds is not None else fit_bounds(number, numeric.bins or 1)
            bins, names = bin_number(number, bounds), bin_labels(bounds)
            return _named(ids[numeric.node.numpy()], bins, names)
    for relation in dataset.relations:
        if relation.source == USER and relation.name == attribute:
            user, value = relation.edge_index.numpy()
            return _named(ids[user], value, [str(v) for v in dataset.ids[relation.target]])
    raise ConfigError(f"{dataset.name} has no user attribute {attribute!r}")


def _named(users: pd.Index, code: np.ndarray, names: list[str]) -> "pd.Series[str]":
    order = np.argsort(code, kind="stable")
    series = pd.Series([names[c] for c in code[order]], index=users[order])
    first: pd.Series[str] = series[~series.index.duplicated()]
    return first


def _activity(dataset: Dataset, runs: list[Run]) -> "pd.Series[str]":
    """User id -> quarter of the test users by number of interactions, the least active ones first."""
    count = np.bincount(dataset.interactions.user.numpy(), minlength=dataset.num_users)
    tested = sorted({user for run in runs for user in run.per_user["user"]})
    number = pd.Series(count, index=dataset.ids[USER])[tested]
    bounds = np.unique(np.quantile(number, np.linspace(0, 1, PARTS + 1)[1:-1]).round())
    quarter = np.searchsorted(bounds, number, side="left")  # a bound belongs below
    edges = [int(number.min()) - 1, *bounds.astype(int), int(number.max())]
    names = [f"{low + 1}-{high}" for low, high in itertools.pairwise(edges)]
    return _named(number.index, quarter, names)


def _gain(name: str, users: set[str], ours: Rows, plain: list[Run], protocol: Protocol) -> dict[str, Any] | None:
    """The gain on these users alone; None for a small group, or one that a run has nobody of."""

    def only(group: list[Run]) -> list[Run]:
        return [Run(run.result, run.per_user[run.per_user["user"].isin(users)]) for run in group]

    reference = only(plain)
    tested = {user for run in reference for user in run.per_user["user"]}
    if len(tested) < SMALLEST or any(run.per_user.empty for run in reference):
        return None
    gains = {}
    for model, group in ours.items():
        d = difference(model, only(group), protocol.plain, reference, protocol.main)
        gains[model] = {"mean": round(d.mean, 6), "low": round(d.low, 6), "high": round(d.high, 6)}
    return {"group": name, "users": len(tested), "gains": gains}
