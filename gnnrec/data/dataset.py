"""A data set before any split: nodes, interactions, relations, and numeric attributes that are not yet binned."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gnnrec.errors import DataError
from gnnrec.views import INTERACTS, ITEM, USER, Features, Relation


@dataclass(frozen=True)
class Interactions:
    """Users' interactions with items, one row each.

    Attributes:
        user: [E] int64, index of the user.
        item: [E] int64, index of the item.
        value: [E] float32, for example a rating or a count; None where the data have none.
        time: [E] int64, seconds or any other ascending unit; None where the data have none.
    """

    user: Tensor
    item: Tensor
    value: Tensor | None = None
    time: Tensor | None = None

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: Tensor) -> "Interactions":
        """The rows selected by a [E] bool mask or by int64 positions."""
        return Interactions(
            self.user[rows],
            self.item[rows],
            None if self.value is None else self.value[rows],
            None if self.time is None else self.time[rows],
        )


@dataclass(frozen=True)
class Numeric:
    """A numeric attribute of users or items. A split makes it edges to bins or knots, fitted on training users.

    Attributes:
        node_type: `user` or `item`.
        name: name of the attribute.
        node: [E] int64, the nodes that have a value; for the others it is missing.
        number: [E] float64.
        bins: number of quantile bins, fitted on the training users (items: on all of them).
        bounds: ascending inner bounds, instead of `bins`; a value equal to a bound is in the bin above it.
        knots: instead of bins, of users: number of inner quantiles between which a number is interpolated. A number has
            an edge to the knots below and above it, and the weights of both are 1 together.
    """

    node_type: str
    name: str
    node: Tensor
    number: Tensor
    bins: int | None = None
    bounds: tuple[float, ...] | None = None
    knots: int | None = None


@dataclass(frozen=True)
class Dataset:
    """A whole data set, checked when it is constructed.

    Attributes:
        name: name of the data set.
        ids: node type -> ids as text; a node's index is the position of its id.
        interactions: users' interactions with items; each (user, item) pair at most once.
        relations: every other edge, attribute values included (an attribute value is a node), and events of other
            kinds than `interactions` (these have times).
        numeric: numeric attributes, not yet binned.
        titles: [I] title of each item, for output only; empty where the data have none.
        cells: name -> [I] cells of the items' columns that features are made of, "" for a missing one.
        features: numbers that describe items.
        user_cells: as `cells`, of users.
        user_features: numbers that describe users.
        values: numbers that describe the values of users' attributes, made of their words.
        skipped_rows: unreadable rows that were left out, which `on_bad_row: skip` allows.
        skipped_values: unreadable values of attributes that were left out while their rows stayed.
        skipped_examples: what was wrong with the first of both.

    Raises:
        DataError: an index is out of range, a pair, an edge or an id is repeated, a number is not finite, a relation
            between users lacks a direction, or there is no interaction at all.
    """

    name: str
    ids: Mapping[str, pd.Index]
    interactions: Interactions
    relations: tuple[Relation, ...] = ()
    numeric: tuple[Numeric, ...] = ()
    titles: tuple[str, ...] = field(default=(), repr=False)
    cells: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    features: tuple[Features, ...] = field(default=(), repr=False)
    values: tuple[Features, ...] = field(default=(), repr=False)
    user_cells: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    user_features: tuple[Features, ...] = field(default=(), repr=False)
    skipped_rows: int = 0
    skipped_values: int = 0
    skipped_examples: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.interactions) == 0:
            raise DataError(f"{self.name}: no interaction is left; check the file, and data.positive in the config")
        for node_type, ids in self.ids.items():
            if not ids.is_unique:
                raise DataError(f"{self.name}: {node_type} id {ids[ids.duplicated()][0]!r} is repeated")
        self._check_edges("interactions", USER, ITEM, self.interactions.user, self.interactions.item)
        self._check_numbers("interactions", self.interactions.value, len(self.interactions))
        self._check_numbers("interactions", self.interactions.time, len(self.interactions))
        types = [relation.type for relation in self.relations]
        for relation in self.relations:
            if types.count(relation.type) > 1:
                raise DataError(f"{self.name}: two relations are called {relation.type}; give each its own name")
            if relation.target == USER and relation.source != USER:
                raise DataError(f"{self.name}: relation {relation.type} must begin at the user; turn it round")
            self._check_edges(relation.name, relation.source, relation.target, *relation.edge_index)
            of_events = relation.time is not None
            least = -math.inf if of_events else 0
            self._check_numbers(relation.name, relation.weight, relation.edge_index.shape[1], minimum=least)
            self._check_numbers(relation.name, relation.time, relation.edge_index.shape[1])
            if of_events and (relation.source, relation.target) != (USER, ITEM):
                raise DataError(f"{self.name}: relation {relation.type} has times, but only users' events have them")
            others = [r.name for r in self.relations if r.source == USER and r is not relation]
            others += [a.name for a in self.numeric if a.node_type == USER] + [USER, ITEM, INTERACTS[1]]
            if of_events and relation.name in others:
                raise DataError(
                    f"{self.name}: events {relation.name!r} have the name of something else of users; rename one"
                )
            if of_events and self.interactions.time is None:
                raise DataError(f"{self.name}: events {relation.name!r} have times, but the interactions have none")
            if relation.source == relation.target == USER:
                self._check_symmetric(relation)
        for attribute in self.numeric:
            given = (attribute.bins or 0) >= 1 or attribute.bounds is not None or attribute.knots is not None
            if not given:
                raise DataError(f"{self.name}: attribute {attribute.name!r} needs bins (at least 1), bounds or knots")
            if attribute.knots is not None and attribute.node_type != USER:
                raise DataError(f"{self.name}: attribute {attribute.name!r}: knots are of users; take bins or bounds")
            self._check_range(attribute.name, attribute.node_type, attribute.node)
            self._check_numbers(attribute.name, attribute.number, len(attribute.node))
            if len(attribute.node.unique()) < len(attribute.node):
                raise DataError(f"{self.name}: {attribute.name}: a {attribute.node_type} has two numbers; choose one")
        for one in (*self.features, *self.user_features, *self.values):
            if len(one.vector) != len(self.ids[one.node_type]):
                raise DataError(
                    f"{self.name}: {one.name}: {len(one.vector)} vectors for {len(self.ids[one.node_type])} "
                    f"{one.node_type} nodes"
                )
            if not one.vector.isfinite().all():
                raise DataError(f"{self.name}: {one.name}: a vector is not finite; leave that {one.node_type} out")
        if self.titles and len(self.titles) != self.num_items:
            raise DataError(f"{self.name}: {len(self.titles)} titles for {self.num_items} items")

    def _check_range(self, what: str, node_type: str, index: Tensor) -> None:
        if node_type not in self.ids:
            raise DataError(f"{self.name}: {what}: unknown node type {node_type!r}; there are {sorted(self.ids)}")
        if len(index) and not (int(index.min()) >= 0 and int(index.max()) < len(self.ids[node_type])):
            raise DataError(f"{self.name}: {what}: index out of range for {len(self.ids[node_type])} {node_type} nodes")

    def _check_edges(self, what: str, source_type: str, target_type: str, source: Tensor, target: Tensor) -> None:
        if len(source) != len(target):
            raise DataError(
                f"{self.name}: {what}: {len(source)} edges have a {source_type}, {len(target)} a {target_type}"
            )
        self._check_range(what, source_type, source)
        self._check_range(what, target_type, target)
        key = source * len(self.ids[target_type]) + target
        unique, count = key.unique(return_counts=True)
        if len(unique) < len(key):
            twice = int(unique[count > 1][0])
            a = self.ids[source_type][twice // len(self.ids[target_type])]
            b = self.ids[target_type][twice % len(self.ids[target_type])]
            raise DataError(
                f"{self.name}: {what}: {len(key) - len(unique)} edges are repeated, e.g. {source_type} {a}, "
                f"{target_type} {b}; merge them when reading"
            )

    def _check_numbers(self, what: str, number: Tensor | None, count: int, minimum: float = -math.inf) -> None:
        if number is None:
            return
        if len(number) != count:
            raise DataError(f"{self.name}: {what}: {len(number)} numbers for {count} rows")
        wrong = ~(number.isfinite() & (number >= minimum))
        if wrong.any():
            least = "" if minimum == -math.inf else f" of at least {minimum:g}"
            raise DataError(f"{self.name}: {what}: {float(number[wrong][0])} is no finite number{least}; leave it out")

    def _check_symmetric(self, relation: Relation) -> None:
        one, other = relation.edge_index
        forth, back = (a * self.num_users + b for a, b in ((one, other), (other, one)))
        if not torch.equal(forth.sort().values, back.sort().values):
            raise DataError(
                f"{self.name}: relation {relation.type} lacks the other direction of an edge; use symmetric()"
            )

    @property
    def num_users(self) -> int:
        """Number of users, those without any interaction included."""
        return len(self.ids[USER])

    @property
    def num_items(self) -> int:
        """Number of items, those without any interaction included."""
        return len(self.ids[ITEM])

    @property
    def skipped(self) -> str:
        """How much could not be read and was left out, with examples, on one line; empty where all was read."""
        counts = ((self.skipped_rows, "row"), (self.skipped_values, "value"))
        told = " and ".join(f"{number:,} {what}{'' if number == 1 else 's'}" for number, what in counts if number)
        return f"{told}, for example {'; '.join(self.skipped_examples)}" if told else ""

    def positives(self, min_value: float, below: Mapping[str, tuple[float, float]] | None = None) -> "Dataset":
        """The same data with only the interactions whose value is at least `min_value`; no user or item is dropped.

        Args:
            min_value: of an interaction.
            below: name of a kind of event -> its least value and its weight. An interaction with a smaller value than
                `min_value` is an event of the kind with the largest least value that it reaches; without one it is
                left out.

        Raises:
            DataError: the interactions have no value, or none is left; or there are kinds of events, and no times.
        """
        own = self.interactions
        if own.value is None:
            raise DataError(f"{self.name}: data.positive.min_value is set, but the interactions have no value column")
        if below and own.time is None:
            raise DataError(
                f"{self.name}: data.positive.below makes events, which need times, and the interactions have none; "
                "leave it out"
            )
        events, most = [], min_value
        for name, (least, weight) in sorted((below or {}).items(), key=lambda kind: -kind[1][0]):
            events += event_relation(name, own.take((own.value >= least) & (own.value < most)), weight)
            most = least
        return replace(self, interactions=own.take(own.value >= min_value), relations=(*self.relations, *events))

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of ids, interactions, relations, numeric attributes and features; name and titles do not count."""
        digest = hashlib.sha256()

        def add(what: object, *values: Tensor | None) -> None:
            sizes = [None if value is None else (value.dtype, tuple(value.shape)) for value in values]
            digest.update(repr((what, sizes)).encode())
            for value in values:
                digest.update(b"" if value is None else np.ascontiguousarray(value.numpy()).tobytes())

        add([(node_type, list(map(str, self.ids[node_type]))) for node_type in sorted(self.ids)])
        add("interactions", *(getattr(self.interactions, column.name) for column in fields(self.interactions)))
        for relation in self.relations:
            add(
                relation.type, relation.edge_index, relation.weight, *(() if relation.time is None else [relation.time])
            )
        for attribute in self.numeric:
            what = (attribute.node_type, attribute.name, attribute.bins, attribute.bounds)
            add(what if attribute.knots is None else (*what, attribute.knots), attribute.node, attribute.number)
        for one in (*self.features, *self.user_features):
            add((one.node_type, one.name, *((one.words, one.encoder) if one.words else ())), one.vector, one.known)
        for one in self.values:
            add(("value", one.node_type, one.name), one.vector, one.known)
        return digest.hexdigest()


def event_relation(name: str, events: Interactions, weight: float) -> list[Relation]:
    """Events of one kind as a relation from users to items; none where there is no event.

    Args:
        name: of the kind.
        events: with times, each (user, item) pair at most once.
        weight: of one event, as a share of that of an interaction; below 0 where it counts against the item.
    """
    if not len(events):
        return []
    edge_index = torch.stack([events.user, events.item])
    return [Relation(USER, name, ITEM, edge_index, torch.full((len(events),), weight), events.time)]


def symmetric(edge_index: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Edges between nodes of one type in both directions, each pair once, no self-loop; the largest weight wins.

    Args:
        edge_index: [2, E] int64.
        weight: [E] float32, or None.

    Returns:
        [2, E'] int64 sorted by row 0 then row 1, and [E'] float32 or None.
    """
    both = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    both_weight = torch.ones(both.shape[1]) if weight is None else torch.cat([weight, weight])
    keep = both[0] != both[1]
    size = int(both.max()) + 1 if both.numel() else 1
    key, place = (both[0] * size + both[1])[keep].unique(return_inverse=True)
    merged = torch.zeros(len(key)).scatter_reduce(0, place, both_weight[keep], "amax", include_self=False)
    return torch.stack([key // size, key % size]), None if weight is None else merged
