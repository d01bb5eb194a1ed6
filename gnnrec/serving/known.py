"""Known items of users who are named by their ids, from one source or several."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from gnnrec.serving.encode import Known, known_items
from gnnrec.serving.vocabulary import PREDICTED, Vocabulary, places
from gnnrec.views import ITEM, USER, Edges, EdgeType

BEFORE_ALL = np.iinfo(np.int64).min
"""Time of an interaction that has none, where others have one."""


class Source:
    """Interactions with items of the vocabulary, sorted by user.

    Args:
        users: [U] ids as text, each once.
        owner: [R] int64, position of each interaction's user.
        item: [R] int64, position of the item.
        value: [R] float64, nan for none; None where there are none.
        time: [R] int64 and [R] float64, times and fractions; None where there are none.
        kind: [R] int64, as of `Kinds.of`; None where all are of the kind that is predicted.
    """

    def __init__(
        self,
        users: pd.Index,
        owner: np.ndarray,
        item: np.ndarray,
        value: np.ndarray | None = None,
        time: tuple[np.ndarray, np.ndarray] | None = None,
        kind: np.ndarray | None = None,
    ) -> None:
        order = np.argsort(owner, kind="stable")
        self.users = users.astype(object)
        self.length = np.bincount(owner, minlength=len(users))
        self._start = np.cumsum(self.length) - self.length
        self._item = item[order]
        self._value = None if value is None else value[order]
        self._time = None if time is None else (time[0][order], time[1][order])
        self._kind = np.zeros(len(order), np.int64) if kind is None else kind[order]
        self.found = np.zeros(len(users), dtype=bool)

    def of(
        self, ids: pd.Index
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, tuple[np.ndarray, ...] | None]:
        """[R'] row of the id, item, kind, value and time of the interactions of B users; remembers who was asked."""
        code = self.users.get_indexer(ids)
        known = code >= 0
        self.found[code[known]] = True
        length, first = np.zeros((2, len(ids)), dtype=np.int64)
        length[known], first[known] = self.length[code[known]], self._start[code[known]]
        row = np.repeat(np.arange(len(ids)), length)
        before = np.cumsum(length) - length
        place = np.arange(len(row)) + np.repeat(first - before, length)
        value = None if self._value is None else self._value[place]
        time = None if self._time is None else (self._time[0][place], self._time[1][place])
        return row, self._item[place], self._kind[place], value, time

    def strangers(self) -> pd.Index:
        """The users with items who were not asked for."""
        strange: pd.Index = self.users[~self.found & (self.length > 0)]
        return strange


def known_of(vocabulary: Vocabulary, sources: Sequence[Source], ids: pd.Index) -> Known:
    """What is known of B users from all sources, items in the order of time.

    Args:
        vocabulary: of the model.
        sources: later ones come after earlier ones where times do not say otherwise.
        ids: [B] of the users, as text.
    """
    found = [source.of(pd.Index(ids, dtype=object)) for source in sources]
    row, item, kind = (np.concatenate([np.empty(0, np.int64), *(one[part] for one in found)]) for part in (0, 1, 2))
    value = time = None
    if any(one[3] is not None for one in found):
        values = [np.full(len(one[0]), np.nan) if one[3] is None else one[3] for one in found]
        value = np.concatenate(values)
        mean = np.nan if vocabulary.mean_value is None else vocabulary.mean_value
        value = np.where(np.isnan(value), mean, value)
    if any(one[4] is not None for one in found):
        whole = [np.full(len(one[0]), BEFORE_ALL) if one[4] is None else one[4][0] for one in found]
        part = [np.zeros(len(one[0])) if one[4] is None else one[4][1] for one in found]
        time = np.concatenate(whole), np.concatenate(part)

    return together(vocabulary, row, item, kind, value, time)


def known_of_one(vocabulary: Vocabulary, events: Mapping[str, np.ndarray]) -> Known:
    """What is known of one user from its events, as `known_of` has it, without looking for the user among others.

    Args:
        vocabulary: of the model.
        events: columns as feedback has them, without users: [R] item, kind, value, time and fraction.
    """
    item = places(vocabulary.texts[ITEM], events["item"])
    value, when = events["value"], events["time"]
    text = None if vocabulary.kinds.predicted is None else events["kind"]
    kind = vocabulary.kinds.of(text, value, vocabulary.min_value)
    kept = (item >= 0) & (kind >= PREDICTED)
    own = None
    if vocabulary.mean_value is not None:
        own = np.where(np.isnan(value[kept]), vocabulary.mean_value, value[kept])
    time = (when[kept], events["fraction"][kept]) if (when[kept] != BEFORE_ALL).any() else None
    return together(vocabulary, np.zeros(int(kept.sum()), np.int64), item[kept], kind[kept], own, time)


def together(
    vocabulary: Vocabulary,
    row: np.ndarray,
    item: np.ndarray,
    kind: np.ndarray,
    value: np.ndarray | None,
    time: tuple[np.ndarray, np.ndarray] | None,
) -> Known:
    """Interactions, [R] each, as what is known of users: items of each kind, in the order of time."""

    def of_kind(code: int) -> Edges:
        some = kind == code
        own = None if value is None else value[some]
        return known_items(vocabulary, row[some], item[some], own, time and (time[0][some], time[1][some]))[0]

    types = [(code, (USER, name, ITEM)) for code, name in enumerate(vocabulary.kinds.weights, start=1)]
    events = {t: of_kind(code) for code, t in types if t in vocabulary.relations}
    return Known(of_kind(PREDICTED), {t: _timed(vocabulary, t, edges) for t, edges in events.items()})


def _timed(vocabulary: Vocabulary, edge_type: EdgeType, edges: Edges) -> Edges:
    """Events of a kind, at their times where these are known."""
    found = vocabulary.edges(edge_type, edges.row, edges.node)
    return found if edges.time is None else replace(found, time=edges.time)
