"""Values of attributes and known items of many users -> UserBatch, without a loop over users."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from gnnrec.data.columns import each_value
from gnnrec.serving.described import describe
from gnnrec.serving.vocabulary import Vocabulary, places
from gnnrec.splits.bins import bin_number, to_knots
from gnnrec.views import ITEM, USER, Edges, EdgeType, Features, UserBatch

KEPT, NO_NUMBER, UNSEEN = 0, 1, 2
"""What became of a value."""


@dataclass(frozen=True)
class Values:
    """Values of one attribute, or known items, of some users.

    Attributes:
        row: [V] int64, position of the user in the batch, ascending.
        text: [V] the values, objects that are text.
        weight: [V] float64; None where every weight is 1.
    """

    row: np.ndarray
    text: np.ndarray
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.row)


NOTHING = Values(np.empty(0, np.int64), np.empty(0, object))


def attribute_edges(vocabulary: Vocabulary, edge_type: EdgeType, values: Values) -> tuple[Edges, np.ndarray]:
    """The edges that values name; several values that name one node are one edge, their weights added.

    A number that is interpolated names the knots on both sides of it.

    Args:
        vocabulary: of the model.
        edge_type: a relation from users.
        values: of some users.

    Returns:
        The edges, in the order of the values; and [V] what became of each value: KEPT, NO_NUMBER, or UNSEEN where
        training has no such value or no edge to it.
    """
    if not len(values):
        none = torch.empty(0, dtype=torch.int64)
        return vocabulary.edges(edge_type, none, none), none.numpy()
    code, distinct = pd.factorize(values.text)
    nodes, shares, fate = _nodes(vocabulary, edge_type, np.asarray(distinct, dtype=object))
    value, which = np.nonzero((nodes >= 0)[code])
    node, share, row = nodes[code[value], which], shares[code[value], which], values.row[value]
    key = row * len(vocabulary.ids[edge_type[2]]) + node
    _, first, same = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first)
    weight = None
    if vocabulary.relations[edge_type]:
        each = np.ones(len(values)) if values.weight is None else values.weight
        total = np.bincount(same, weights=each[value] * share, minlength=len(first))
        weight = torch.from_numpy(total[order].astype(np.float32))
    first = first[order]
    edges = vocabulary.edges(edge_type, torch.from_numpy(row[first]), torch.from_numpy(node[first]), weight)
    return edges, fate[code]


def _nodes(vocabulary: Vocabulary, edge_type: EdgeType, text: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[V, K] int64 nodes of each value, -1 for none, [V, K] the share of each, and [V] what becomes of the value."""
    _, name, target = edge_type
    bounds = vocabulary.bounds.get(name)
    if target != USER and bounds is not None:
        number = np.array([_number(value) for value in text], dtype=np.float64)  # distinct values, not users
        finite = np.isfinite(number)
        if not vocabulary.relations[edge_type]:
            nodes, shares = np.where(finite, bin_number(number, bounds), -1)[:, None], np.ones((len(text), 1))
        elif bounds:
            nodes, shares = to_knots(np.where(finite, number, 0), bounds)
            nodes = np.where(finite[:, None] & (shares > 0), nodes, -1)
        else:
            nodes, shares = np.full((len(text), 1), -1), np.ones((len(text), 1))
    else:
        finite = np.ones(len(text), dtype=bool)
        nodes, shares = places(vocabulary.texts[target], text)[:, None], np.ones((len(text), 1))
    if target != USER and len(vocabulary.seen[target]):
        nodes = np.where(vocabulary.seen[target].numpy()[nodes], nodes, -1)
    kept = (nodes >= 0).any(axis=1)
    return nodes, shares, np.where(~finite, NO_NUMBER, np.where(kept, KEPT, UNSEEN))


def _number(text: str) -> float:
    """The number, nan where the text is none."""
    try:
        return float(text)
    except ValueError:
        return np.nan


def item_edges(vocabulary: Vocabulary, values: Values) -> tuple[Edges, np.ndarray]:
    """The known items, user after user, in the order given; of several values of one item one counts.

    Args:
        vocabulary: of the model.
        values: ids of items; the weights are the values of the interactions.

    Returns:
        The edges, with the mean value of training where values have no weight; and [V] KEPT or UNSEEN.
    """
    code, distinct = pd.factorize(values.text)
    place = places(vocabulary.texts[ITEM], np.asarray(distinct, dtype=object))
    return known_items(vocabulary, values.row, place[code], values.weight)


def known_items(
    vocabulary: Vocabulary,
    row: np.ndarray,
    item: np.ndarray,
    value: np.ndarray | None,
    time: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[Edges, np.ndarray]:
    """As `item_edges`, from positions of items, in the order of time where there are times.

    Args:
        vocabulary: of the model; it says whether the first or the last of several values of one item counts.
        row: [V] int64, users.
        item: [V] int64, -1 for one that is unknown.
        value: [V] values; None where there are none.
        time: [V] int64 and [V] float64, times and fractions; None for the order in which the values stand. Edges have
            the times where there are several kinds of events, which these put in order.
    """
    known = np.flatnonzero(item >= 0)
    by_time = () if time is None else (time[1][known], time[0][known])
    known = known[np.lexsort((np.arange(len(known)), *by_time, row[known]))]
    key = row[known] * vocabulary.num_items + item[known]
    first = vocabulary.repeated == "first"
    _, place = np.unique(key if first else key[::-1], return_index=True)
    chosen = known[np.sort(place if first else len(key) - 1 - place)]
    weight = None
    if vocabulary.mean_value is not None:
        weight = torch.full((len(chosen),), vocabulary.mean_value, dtype=torch.float32)
        if value is not None:
            weight = torch.from_numpy(value[chosen].astype(np.float32))
    when = None if time is None or not vocabulary.kinds.weights else torch.from_numpy(time[0][chosen])
    edges = Edges(torch.from_numpy(row[chosen]), torch.from_numpy(item[chosen]), weight, when)
    return edges, np.where(item >= 0, KEPT, UNSEEN)


def batch(
    number: int, items: Edges, relations: Mapping[EdgeType, Edges], features: tuple[Features, ...] = ()
) -> UserBatch:
    """Users who stand in no file."""
    return UserBatch(torch.full((number,), -1, dtype=torch.int64), items, relations, features)


@dataclass(frozen=True)
class Known:
    """What is known of B users from their interactions.

    Attributes:
        items: of the kind that is predicted, user after user, in the order of time.
        events: the other kinds of events, each user's items of one kind once.
    """

    items: Edges
    events: Mapping[EdgeType, Edges] = field(default_factory=dict)

    def part(self, start: int, end: int) -> "Known":
        """Of the users from one row to another, who are renumbered."""

        def cut(edges: Edges) -> Edges:
            first, last = torch.searchsorted(edges.row, torch.tensor([start, end])).tolist()
            some = edges.take(torch.arange(first, last))
            return replace(some, row=some.row - start)

        return Known(cut(self.items), {t: cut(edges) for t, edges in self.events.items()})


def encode_frame(
    vocabulary: Vocabulary, frame: pd.DataFrame, known: Known | None = None, notes: "Notes | None" = None
) -> UserBatch:
    """Many new users as edges to the nodes of training: a row each, an attribute or relation in each column.

    A cell holds a value, several values with the separator of training between them, or a list; an empty or missing
    cell is no value, and neither is what training took for one. Weights are 1. Columns that name no relation, and
    values that training has not seen, are ignored.

    Args:
        vocabulary: of the model.
        frame: B rows.
        known: from their interactions; None for nothing. Events beside those of a column of the frame are added.
        notes: counts what is ignored; None counts nothing.

    Returns:
        The users, in the order of the rows.
    """
    notes = Notes(vocabulary) if notes is None else notes
    names = vocabulary.names(frame.columns)
    edges = {}
    for edge_type, name in names.items():
        values = _values(frame[name], vocabulary.separators.get(edge_type[1])) if name in frame else NOTHING
        edges[edge_type], fate = attribute_edges(vocabulary, edge_type, values)
        if known is not None and edge_type in known.events:
            edges[edge_type] = _together(edges[edge_type], known.events[edge_type], vocabulary.num_items)
        for why in (NO_NUMBER, UNSEEN):
            ignored = values.text[fate == why]
            notes.ignored(edge_type, name, why, ignored[~pd.Index(ignored).isin(vocabulary.missing)])
    for name in frame.columns:
        if name not in names.values() and name not in vocabulary.feature_names:
            notes.unknown(name)
    cells = {name: _cells(frame[name], vocabulary) for name in vocabulary.feature_names if name in frame}
    features, told = describe(vocabulary.features, cells, len(frame))
    notes.told(told)
    items = item_edges(vocabulary, NOTHING)[0] if known is None else known.items
    return batch(len(frame), items, edges, features)


def _cells(column: "pd.Series", vocabulary: Vocabulary) -> list[Any]:
    """What the cells of a column hold, None for nothing."""
    missing = {None, "", *vocabulary.missing}
    return [
        cell if isinstance(cell, list | tuple | np.ndarray) else None if cell != cell or cell in missing else cell
        for cell in column.astype(object)
    ]


def _together(some: Edges, others: Edges, num_items: int) -> Edges:
    """Events of one kind from two places, each user's items once."""
    both = Edges.join([some, others])
    _, first = np.unique((both.row * num_items + both.node).numpy(), return_index=True)
    return both.take(torch.from_numpy(np.sort(first)))


def _values(cells: "pd.Series", separator: str | None) -> Values:
    """The values in the cells of a column, each once per row."""
    cells = cells.reset_index(drop=True)
    if cells.dtype == object and any(isinstance(cell, list | tuple | np.ndarray) for cell in cells):
        cells, separator = cells.explode(), None
    elif cells.dtype.kind == "f" and (cells.dropna() % 1 == 0).all() and (cells.abs().fillna(0) < 2.0**63).all():
        cells = cells.astype("Int64")  # large ids are not written with an exponent
    owner = cells.index.to_numpy(np.int64)
    row, value = each_value(cells, separator)
    text = value.to_numpy(object)
    if len(owner) and owner[-1] != len(owner) - 1:  # lists
        row = owner[row]
        once = ~pd.DataFrame({"row": row, "text": text}).duplicated().to_numpy(bool)
        row, text = row[once], text[once]
    return Values(row, text)


class Notes:
    """What is ignored of many users: counted for each column, with three examples.

    Args:
        vocabulary: of the model.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._unknown: dict[str, None] = {}
        self._told: dict[str, None] = {}
        self._count: dict[tuple[EdgeType, str, int], int] = {}
        self._examples: dict[tuple[EdgeType, str, int], dict[str, None]] = {}

    def ignored(self, edge_type: EdgeType, name: str, why: int, text: np.ndarray) -> None:
        """Counts values of a column that are ignored."""
        if len(text):
            key = (edge_type, name, why)
            self._count[key] = self._count.get(key, 0) + len(text)
            examples = self._examples.setdefault(key, {})
            for value in pd.unique(text[:1000])[:3]:
                if len(examples) < 3:
                    examples.setdefault(value)

    def told(self, lines: Sequence[str]) -> None:
        """Notes lines, each once."""
        self._told |= dict.fromkeys(lines)

    def unknown(self, name: str) -> None:
        """Notes a column that names no relation."""
        self._unknown.setdefault(name)

    def texts(self) -> list[str]:
        """One line for each column and reason."""
        lines = []
        for (edge_type, name, why), count in self._count.items():
            examples = ", ".join(repr(value) for value in self._examples[edge_type, name, why])
            what, hint = _what(self._vocabulary, edge_type, why)
            lines.append(f"{name}: {count:,} values ignored, each {what}, for example {examples}{hint}")
        return [*lines, *self._told, *(unknown_name(self._vocabulary, name) for name in self._unknown)]


def value_note(vocabulary: Vocabulary, edge_type: EdgeType, name: str, why: int, text: str) -> str:
    """Why one value is ignored."""
    what, hint = _what(vocabulary, edge_type, why)
    return f"{name}: {text!r} is {what} and is ignored{hint}"


def _what(vocabulary: Vocabulary, edge_type: EdgeType, why: int) -> tuple[str, str]:
    if why == NO_NUMBER:
        return "no number", ""
    if edge_type[2] == USER:
        return "no training user", ""
    return "a value that training has not seen", f"; known: {_some(vocabulary.ids[edge_type[2]])}"


def unknown_name(vocabulary: Vocabulary, name: str) -> str:
    """That a name is that of no relation."""
    names = [*(edge_type[1] for edge_type in vocabulary.relations), *(one.name for one in vocabulary.features)]
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown attribute {name!r} is ignored.{hint} Known: {', '.join(names)}"


def _some(ids: pd.Index) -> str:
    shown = ", ".join(str(value) for value in ids[:12])
    return shown if len(ids) <= 12 else f"{shown} ... ({len(ids)} in all)"
