"""The vocabulary of a fitted model: ids, names and bins in which it is asked about users and answers with items."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gnnrec.data.config import NamedData, TableData
from gnnrec.data.delimited import Format
from gnnrec.data.textfile import MISSING
from gnnrec.serving.described import UserFeature
from gnnrec.views import ITEM, USER, Edges, EdgeType, TrainingData

SEPARATOR = "|"
"""Between the values of a cell, where users have several values of a relation that had no separator in training."""


@dataclass(frozen=True)
class Columns:
    """Names of columns in the files that training read; None where there are none.

    Attributes:
        user: ids in the file of users.
        history_user: ids of users in the file of interactions.
        history_item: ids of items there.
        history_value: values there.
        history_time: times there.
        history_event: kinds of events there.
    """

    user: str | None = None
    history_user: str | None = None
    history_item: str | None = None
    history_value: str | None = None
    history_time: str | None = None
    history_event: str | None = None


PREDICTED, IGNORED, NO_KIND = 0, -1, -2
"""Of an interaction: the kind that is predicted; a value too small for any kind; a text that names no kind."""


@dataclass(frozen=True)
class Kinds:
    """The kinds of events that training tells apart.

    Attributes:
        predicted: what files call the kind that is predicted; None where the values tell kinds apart, or there is one.
        weights: each other kind -> the weight of an event.
        least: each other kind -> its least value, where the values tell kinds apart.
    """

    predicted: str | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    least: Mapping[str, float] = field(default_factory=dict)

    def of(self, text: np.ndarray | None, value: np.ndarray | None, min_value: float | None) -> np.ndarray:
        """[R] int64: `PREDICTED`, place of another kind among `weights` + 1, `IGNORED` or `NO_KIND`.

        Args:
            text: [R] what names the kind, "" for the one that is predicted; None where there is no such column.
            value: [R] float64, nan for none; None for none at all, but not where `text` is.
            min_value: the least value of the kind that is predicted; None where any will do.
        """
        names = list(self.weights)
        if text is not None and self.predicted is not None:
            place = pd.Index(["", self.predicted, *names], dtype=object).get_indexer(pd.Index(text, dtype=object))
            return np.where(place < 0, NO_KIND, np.maximum(place - 1, PREDICTED)).astype(np.int64)
        given = value if text is None else text
        assert given is not None
        if value is None or min_value is None:
            return np.zeros(len(given), np.int64)
        found = np.where(value < min_value, IGNORED, PREDICTED)
        for name, least in sorted(self.least.items(), key=lambda kind: kind[1]):
            found = np.where((value >= least) & (value < min_value), names.index(name) + 1, found)
        return found.astype(np.int64)


@dataclass(frozen=True)
class Vocabulary:
    """All that serving needs to know of the training data; no interaction is in it.

    Attributes:
        ids: node type -> ids, for items and for every type that a relation from users or items leads to. Under `user`
            stand the ids of the training users, in the order of `TrainingData.users`, and only where a relation leads
            to them.
        seen: node type -> [N] bool, nodes with an edge in training; the same types without `user`.
        relations: the relations from users, in the order of training -> whether their edges have weights.
        bounds: name of a numeric attribute of users -> ascending inner bounds of its bins; or its knots, where the
            edges of the relation have weights.
        candidates: [I] bool, the items that may be recommended.
        titles: [I] titles of the items; empty where there are none.
        mean_value: mean value of a training interaction, for known items without one; None where none has a value.
        min_value: smallest value of a positive interaction; None where all are.
        separators: name of a relation -> separator of several values in one cell.
        columns: names of columns in the files that training read.
        users_form: how the file of users was written that training read.
        history_form: how the file of interactions was written.
        missing: cells that are taken for empty ones, unless training has the value.
        repeated: which of several known interactions of one user with one item counts, `first` or `last`.
        last_time: time of the last training interaction; None where training has no times.
        kinds: the kinds of events.
        popularity: [I] int64, training interactions of each item; None in an artifact that was written before they were
            kept.
        of_items: relations from items, such as their attributes -> [2, E] int64, in the ids of both types.
        item_bounds: as `bounds`, of items.
        features: what users are described by beside their edges.
    """

    ids: Mapping[str, pd.Index]
    seen: Mapping[str, Tensor]
    relations: Mapping[EdgeType, bool]
    bounds: Mapping[str, tuple[float, ...]]
    candidates: Tensor
    titles: tuple[str, ...] = ()
    mean_value: float | None = None
    min_value: float | None = None
    separators: Mapping[str, str] = field(default_factory=dict)
    columns: Columns = Columns()
    users_form: Format = Format()
    history_form: Format = Format()
    missing: tuple[str, ...] = MISSING
    repeated: Literal["first", "last"] = "last"
    last_time: int | None = None
    kinds: Kinds = Kinds()
    popularity: Tensor | None = None
    of_items: Mapping[EdgeType, Tensor] = field(default_factory=dict)
    item_bounds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    features: tuple[UserFeature, ...] = ()

    @classmethod
    def of(cls, train: TrainingData, user_ids: pd.Index, data: NamedData | TableData | None = None) -> "Vocabulary":
        """The vocabulary of the training data.

        Args:
            train: what the model was fitted on.
            user_ids: id of each user of the data set.
            data: the `data` part of the config, for names of columns and separators.
        """
        targets = [t[2] for t in train.users.relations]
        of_items = {r.type: r.edge_index for r in train.relations if r.source == ITEM and r.target != USER}
        types = list(dict.fromkeys([ITEM, *(t for t in targets if t != USER), *(t[2] for t in of_items)]))
        ids = {t: train.ids[t] for t in types}
        if USER in targets:
            ids[USER] = user_ids[train.users.index.numpy()]
        value = train.users.items.weight
        return cls(
            ids=ids,
            seen={t: train.usable[t] for t in types},
            relations={t: edges.weight is not None for t, edges in train.users.relations.items()},
            bounds={name: bounds for (owner, name), bounds in train.bounds.items() if owner == USER},
            candidates=train.candidates,
            titles=train.titles,
            mean_value=None if value is None else float(value.mean()),
            min_value=None if data is None or data.positive is None else data.positive.min_value,
            separators={**_several(train), **_separators(data)},
            columns=_columns(data),
            users_form=data.users.form if isinstance(data, TableData) and data.users is not None else Format(),
            history_form=data.interactions.form if isinstance(data, TableData) else Format(),
            missing=data.missing if isinstance(data, TableData) else MISSING,
            repeated="first" if isinstance(data, TableData) and data.interactions.repeated == "first" else "last",
            last_time=None if train.users.items.time is None else int(train.users.items.time.max()),
            kinds=_kinds(data),
            popularity=torch.bincount(train.users.items.node, minlength=train.num_items),
            of_items=of_items,
            item_bounds={name: bounds for (owner, name), bounds in train.bounds.items() if owner == ITEM},
            features=tuple(UserFeature.of(one, data) for one in train.users.features),
        )

    def public(self, declared: Collection[str]) -> "Vocabulary":
        """The vocabulary without anything that was counted, measured or fitted on training users.

        Relations of users to other than declared types are left out, with their bins and ids. Every id counts as seen
        and every item may be recommended; mean values, times and popularity are left out, and a cell may hold several
        values of any relation.

        Args:
            declared: node types whose ids are public.
        """
        relations = {t: weighted for t, weighted in self.relations.items() if t[2] in declared and t[2] != ITEM}
        kept = {ITEM, *(t[2] for t in relations), *(t[2] for t in self.of_items)}
        return replace(
            self,
            ids={t: ids for t, ids in self.ids.items() if t in kept},
            seen={t: torch.ones_like(seen) for t, seen in self.seen.items() if t in kept},
            relations=relations,
            bounds={name: bounds for name, bounds in self.bounds.items() if name in {t[1] for t in relations}},
            features=(),
            kinds=Kinds(),
            candidates=torch.ones_like(self.candidates),
            mean_value=None,
            last_time=None,
            popularity=None,
            separators={t[1]: self.separators.get(t[1], SEPARATOR) for t in relations},
        )

    @property
    def num_items(self) -> int:
        """Number of items: the columns of scores, candidates or not."""
        return len(self.ids[ITEM])

    @cached_property
    def texts(self) -> dict[str, pd.Index]:
        """Node type -> ids as text, as a cell of a file has them; as objects, which are looked up faster one by one."""
        return {t: ids.astype("str").astype(object) for t, ids in self.ids.items()}

    def weight(self, edge_type: EdgeType) -> float | None:
        """Of an event of a kind; None where the relation is none of events."""
        return self.kinds.weights.get(edge_type[1]) if edge_type[2] == ITEM else None

    def edges(self, edge_type: EdgeType, row: Tensor, node: Tensor, weight: Tensor | None = None) -> Edges:
        """Edges as training has those of a relation: with weights where they have some, and as events where they are.

        Args:
            edge_type: a relation from users.
            row: [E] int64, users.
            node: [E] int64.
            weight: [E] float32; None for 1 each. Events have the weight of their kind.
        """
        of_event = self.weight(edge_type)
        if of_event is not None:
            return Edges(row, node, torch.full((len(row),), of_event), torch.zeros_like(row))
        return Edges(
            row, node, (torch.ones(len(row)) if weight is None else weight) if self.relations[edge_type] else None
        )

    @cached_property
    def feature_names(self) -> dict[str, UserFeature]:
        """The names that features of users may be given by: their own, and those of their columns."""
        return {name: one for one in self.features for name in (one.column, one.name)}

    def names(self, given: Iterable[str]) -> dict[EdgeType, str]:
        """The name under which each relation is given: its own, or that of its node type where that is unambiguous.

        Args:
            given: names of attributes, or of columns.

        Returns:
            Relation -> name, for every relation; one that is not given has its own name.
        """
        given = set(given)
        own = {edge_type[1] for edge_type in self.relations}
        targets = [edge_type[2] for edge_type in self.relations if edge_type[2] != USER]
        found = {}
        for edge_type in self.relations:
            _, name, target = edge_type
            alone = targets.count(target) == 1 and self.weight(edge_type) is None
            other = name not in given and target in given and target not in own and alone
            found[edge_type] = target if other else name
        return found


def places(ids: pd.Index, text: np.ndarray) -> np.ndarray:
    """[V] int64, where texts stand among ids, each of which is there once; -1 for one that does not.

    Whether `.0` stands behind a whole number depends on all cells of a column, and pandas writes `True` for `true`.

    Args:
        ids: text, as in `Vocabulary.texts`.
        text: [V] objects that are text.

    Example:
        >>> places(pd.Index(["1.0", "True"]), np.array(["1", "true", "2"], dtype=object))
        array([ 0,  1, -1])
    """
    place = ids.get_indexer(pd.Index(text, dtype=object)).astype(np.int64)
    missed = np.flatnonzero(place < 0)
    if len(missed):
        for others in zip(*(_spellings(value) for value in text[missed]), strict=True):
            found = ids.get_indexer(pd.Index(others, dtype=object))
            place[missed] = np.where(place[missed] < 0, found, place[missed])
    return place


def _spellings(text: str) -> tuple[str, str]:
    """Two other ways to write a whole number or a truth value; the text itself where it is neither."""
    whole = text.removesuffix(".0")
    if whole.removeprefix("-").isdecimal():
        return whole, f"{whole}.0"
    return (text.lower(), text.capitalize()) if text in ("true", "false", "True", "False") else (text, text)


def _several(train: TrainingData) -> dict[str, str]:
    """The separator of each relation of which some training user has several edges."""
    found = {}
    for edge_type, edges in train.users.relations.items():
        name = edge_type[1]
        if edge_type not in train.interpolated and len(edges) and int(torch.bincount(edges.row).max()) > 1:
            found[name] = SEPARATOR
    return found


def _separators(data: NamedData | TableData | None) -> dict[str, str]:
    if not isinstance(data, TableData) or data.users is None:
        return {}
    return {name: options.split for name, options in data.users.attributes.items() if options.split is not None}


def _columns(data: NamedData | TableData | None) -> Columns:
    if not isinstance(data, TableData):
        return Columns()
    own = data.interactions
    return Columns(None if data.users is None else data.users.id, own.user, own.item, own.value, own.time, own.event)


def _kinds(data: NamedData | TableData | None) -> Kinds:
    if isinstance(data, TableData) and data.interactions.events is not None:
        return Kinds(data.interactions.asked, data.interactions.kinds)
    below = {} if data is None or data.positive is None else data.positive.kinds
    return Kinds(
        None, {name: weight for name, (_, weight) in below.items()}, {n: least for n, (least, _) in below.items()}
    )
