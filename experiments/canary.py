"""Canaries: leaks planted into a protocol's own split; the audit must catch each before a table is believed."""

from collections.abc import Callable
from dataclasses import replace

import torch

from gnnrec.audit.training import audit, audit_graph
from gnnrec.errors import AuditError
from gnnrec.graph.build import build_graph
from gnnrec.splits.parts import TRAIN
from gnnrec.splits.split import Split
from gnnrec.views import INTERACTS, USER, Edges, TrainingData

Leak = Callable[[Split], None]
"""Plants one leak into what a model is given, and audits that."""


def planted(split: Split) -> dict[str, bool]:
    """Plants each leak in turn: name -> whether the audit caught it. The clean split must pass first.

    Where no user is held out (unseen items), none can stand in a training user's place.

    Raises:
        AuditError: the split itself leaks.
    """
    audit(split, split.train)
    nobody = bool((split.user_part == TRAIN).all())
    return {leak.__name__: _caught(leak, split) for leak in LEAKS if not (nobody and leak is held_out_user)}


def _caught(leak: Leak, split: Split) -> bool:
    try:
        leak(split)
    except AuditError:
        return True
    return False


def held_out_history(split: Split) -> None:
    """A held-out user's interactions under the name of a training user."""
    _, item = _held_out_edge(split)
    audit(split, _with_edge(split.train, 0, item))


def held_out_user(split: Split) -> None:
    """A held-out user in a training user's place."""
    user, _ = _held_out_edge(split)
    index = split.train.users.index.clone()
    index[0] = user
    audit(split, replace(split.train, users=replace(split.train.users, index=index)))


def popularity_of_everyone(split: Split) -> None:
    """Popularity counted before the split."""
    train = replace(split.train)
    everyone = torch.bincount(split.dataset.interactions.item, minlength=train.num_items).float()
    train.__dict__["popularity"] = everyone  # where a cached property keeps its value
    audit(split, train)


def graph_of_everyone(split: Split) -> None:
    """A graph built before validation users were taken out."""
    audit_graph(build_graph(split.full), split, split.train)


def held_out_edge_in_the_graph(split: Split) -> None:
    """A held-out interaction as an edge of the graph."""
    _, item = _held_out_edge(split)
    graph = build_graph(split.train)
    edges = graph[INTERACTS].edge_index
    graph[INTERACTS].edge_index = torch.cat([edges, torch.tensor([[0], [item]])], dim=1)
    audit_graph(graph, split, split.train)


def table_of_users(split: Split) -> None:
    """A learned vector for each user."""
    audit(split, split.train, {USER: split.train.num_users})


def _held_out_edge(split: Split) -> tuple[int, int]:
    """User and item of a held-out interaction that the first training user does not have; of a held-out user if any."""
    raw = split.dataset.interactions
    own = split.train.users.items.node[split.train.users.items.row == 0]
    of_held_out = split.user_part[raw.user] != TRAIN  # by time, training users have interactions after the moment, too
    held_out = of_held_out if of_held_out.any() else split.edge_part != TRAIN
    other = held_out & ~torch.isin(raw.item, own)
    edge = int(other.nonzero()[0])
    return int(raw.user[edge]), int(raw.item[edge])


def _with_edge(train: TrainingData, row: int, item: int) -> TrainingData:
    edges = train.users.items
    weight = None if edges.weight is None else torch.cat([edges.weight, edges.weight[:1]])
    more = Edges(torch.cat([edges.row, torch.tensor([row])]), torch.cat([edges.node, torch.tensor([item])]), weight)
    return replace(train, users=replace(train.users, items=more))


LEAKS: tuple[Leak, ...] = (
    held_out_history,
    held_out_user,
    popularity_of_everyone,
    graph_of_everyone,
    held_out_edge_in_the_graph,
    table_of_users,
)
