"""The inputs of a model: training data, batches of users as queries, and test sets with their ground truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import pandas as pd
import torch
from torch import Tensor

from gnnrec.errors import ConfigError

USER = "user"
ITEM = "item"
EdgeType = tuple[str, str, str]
"""(source node type, relation name, target node type), as in torch_geometric."""
INTERACTS: EdgeType = (USER, "interacts", ITEM)


def reverse(edge_type: EdgeType) -> EdgeType:
    """The type of the reversed edges.

    Example:
        >>> reverse(("user", "tag", "tag"))
        ('tag', 'rev_tag', 'user')
    """
    source, name, target = edge_type
    return (target, f"rev_{name}", source)


@dataclass(frozen=True)
class Relation:
    """Edges of one kind between two node types.

    A relation between users and another type has the users as its source (readers reverse it where needed). A
    relation from users to users is symmetric: it holds each edge in both directions.

    Attributes:
        source: node type of row 0.
        name: name of the relation; also its key in `gnnrec recommend --user`.
        target: node type of row 1.
        edge_index: [2, E] int64.
        weight: [E] float32, at least 0; None where every weight is 1. Of events, below 0 where they count against the
            item.
        time: [E] int64, when, of events, which are edges from users to items; None for all other relations.
    """

    source: str
    name: str
    target: str
    edge_index: Tensor
    weight: Tensor | None = None
    time: Tensor | None = None

    @property
    def type(self) -> EdgeType:
        """The edge type in torch_geometric's notation."""
        return (self.source, self.name, self.target)

    def take(self, kept: Tensor) -> "Relation":
        """The edges selected by a [E] bool mask."""
        weight, time = (None if one is None else one[kept] for one in (self.weight, self.time))
        return replace(self, edge_index=self.edge_index[:, kept], weight=weight, time=time)


@dataclass(frozen=True)
class Features:
    """Numbers that describe the nodes of one type: what an encoder makes of words or pictures, or numbers themselves.

    Attributes:
        node_type: `item`, `user`, or that of the values of an attribute.
        name: of the column, or of the attribute.
        vector: [N, F] float32, 0 for a node of which nothing is known.
        known: [N] bool.
        words: [N] texts from which vectors are still to be made, by an encoder that is fitted on nodes of training.
        encoder: the name and the options of the encoder: a text or image encoder, `number` or `vector`.
    """

    node_type: str
    name: str
    vector: Tensor
    known: Tensor
    words: tuple[str, ...] = field(default=(), repr=False)
    encoder: tuple[str, Mapping[str, Any]] = ("", {})

    def of(self, nodes: Tensor) -> "Features":
        """Known of some nodes alone ([N] bool)."""
        words = tuple(text if own else "" for text, own in zip(self.words, nodes.tolist(), strict=False))
        return replace(self, vector=self.vector * nodes[:, None], known=self.known & nodes, words=words)

    def take(self, rows: Tensor) -> "Features":
        """Of some nodes, in the order of `rows` ([N'] int64)."""
        words = tuple(self.words[row] for row in rows.tolist()) if self.words else ()
        return replace(self, vector=self.vector[rows], known=self.known[rows], words=words)

    @staticmethod
    def join(parts: Sequence["Features"]) -> "Features":
        """One feature of the nodes of all parts, one part after the other; at least one."""
        vector, known = torch.cat([one.vector for one in parts]), torch.cat([one.known for one in parts])
        return replace(parts[0], vector=vector, known=known, words=())


@dataclass(frozen=True)
class Edges:
    """Edges from the rows of a batch of users to nodes of one type.

    Attributes:
        row: [E] int64, position of the user in the batch.
        node: [E] int64, index of the node: an item, an attribute value, or a row of the training users.
        weight: [E] float32 (a rating, a count, a strength); None where every weight is 1.
        time: [E] int64, when, of interactions and events, in the unit of the data; None where the data have none.
    """

    row: Tensor
    node: Tensor
    weight: Tensor | None = None
    time: Tensor | None = None

    def __len__(self) -> int:
        return len(self.row)

    def take(self, kept: Tensor) -> "Edges":
        """The edges selected by a [E] bool mask or by int64 positions."""
        weight, time = (None if one is None else one[kept] for one in (self.weight, self.time))
        return Edges(self.row[kept], self.node[kept], weight, time)

    @staticmethod
    def join(parts: Sequence["Edges"]) -> "Edges":
        """The edges of all parts, one part after the other; at least one. What one part lacks, all lose."""

        def column(values: Sequence[Tensor | None]) -> Tensor | None:
            known = [one for one in values if one is not None]
            return torch.cat(known) if len(known) == len(values) else None

        row, node = torch.cat([part.row for part in parts]), torch.cat([part.node for part in parts])
        return Edges(row, node, column([part.weight for part in parts]), column([part.time for part in parts]))


@dataclass(frozen=True)
class UserBatch:
    """B users as queries to a model: their edges, and what else describes them.

    Attributes:
        index: [B] int64, the user's index in the data set (an identity, never a feature); -1 for a user who is not in
            the data set.
        items: edges to items: the history of a training user, or the support of a held-out one in the order in which
            it is revealed. Weights are the values of the interactions.
        relations: (user, name, node type) -> edges. Where the node type is `user`, nodes are rows of
            `TrainingData.users`: edges to users outside training are left out. Those with times are events: looks,
            returns and other kinds of interaction than the one that is predicted.
        features: words, pictures and vectors that describe the users themselves, with B rows each.
    """

    keeps_interactions: ClassVar[bool] = True

    index: Tensor
    items: Edges
    relations: Mapping[EdgeType, Edges]
    features: tuple[Features, ...] = ()

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: Tensor) -> "UserBatch":
        """Some of the users, in the order of `rows` ([B'] int64, no row twice)."""
        place = torch.full((len(self),), -1, dtype=torch.int64)
        place[rows] = torch.arange(len(rows))

        def cut(edges: Edges) -> Edges:
            new = place[edges.row]
            return replace(edges, row=new).take(new >= 0)

        relations = {k: cut(e) for k, e in self.relations.items()}
        return UserBatch(self.index[rows], cut(self.items), relations, self._described(rows))

    def _described(self, rows: Tensor) -> tuple[Features, ...]:
        return tuple(one.take(rows) for one in self.features)

    @property
    def events(self) -> dict[EdgeType, Edges]:
        """The relations that are events."""
        return {t: edges for t, edges in self.relations.items() if edges.time is not None}

    def with_events(self, kinds: Sequence[str] | None) -> "UserBatch":
        """The users with events of some kinds alone; None for all."""
        if kinds is None or not self.events:
            return self
        kept = {t: edges for t, edges in self.relations.items() if edges.time is None or t[1] in kinds}
        return replace(self, relations=kept)

    @property
    def rejected(self) -> Edges:
        """The events that count against their items, of all kinds together; without times."""
        none = torch.empty(0, dtype=torch.int64)
        parts = [e.take(e.weight < 0) for e in self.events.values() if e.weight is not None]
        return Edges.join([Edges(e.row, e.node) for e in (Edges(none, none), *parts)])

    @property
    def unranked(self) -> Edges:
        """The items that are in no list of their user: known or rejected."""
        return Edges.join([Edges(e.row, e.node) for e in (self.items, self.rejected)])

    def before(self, time: Tensor) -> "UserBatch":
        """The users with only those of their events that came before a moment; interactions stay.

        Args:
            time: [B] int64, the moment of each user.
        """
        known = {t: e.take(e.time < time[e.row]) for t, e in self.events.items() if e.time is not None}
        return replace(self, relations={**self.relations, **known}) if known else self

    def without_events(self) -> "UserBatch":
        """The users as if nothing but interactions had happened yet: their events are there, and empty."""
        return self.before(torch.full((len(self),), torch.iinfo(torch.int64).min))

    def copies(self, rows: Tensor) -> "UserBatch":
        """Users with their relations, each as often as it stands in `rows` ([P] int64), without interactions."""
        order = rows.argsort(stable=True)  # copies of the first user, then of the second ...
        count = torch.bincount(rows, minlength=len(self))
        start = count.cumsum(0) - count

        def copied(edges: Edges) -> Edges:
            each = count[edges.row]
            edge = torch.arange(len(edges)).repeat_interleave(each)
            number = torch.arange(len(edge)) - (each.cumsum(0) - each)[edge] + start[edges.row][edge]
            return replace(edges.take(edge), row=order[number])

        nothing = self.items.take(torch.empty(0, dtype=torch.int64))
        relations = {t: copied(edges) for t, edges in self.relations.items()}
        return UserBatch(self.index[rows], nothing, relations, self._described(rows))

    @staticmethod
    def join(parts: Sequence["UserBatch"]) -> "UserBatch":
        """The users of all parts, one part after the other; at least one, each with the same relations and features."""
        first = torch.tensor([0, *(len(part) for part in parts)]).cumsum(0).tolist()

        def stack(each: Sequence[Edges]) -> Edges:
            return Edges.join([replace(edges, row=edges.row + row) for edges, row in zip(each, first, strict=False)])

        return UserBatch(
            index=torch.cat([part.index for part in parts]),
            items=stack([part.items for part in parts]),
            relations={t: stack([part.relations[t] for part in parts]) for t in parts[0].relations},
            features=tuple(map(Features.join, zip(*(part.features for part in parts), strict=True))),
        )

    def history(self, num_items: int) -> Tensor:
        """[B, I] bool, the items of each user. Dense: for a batch, never for all users at once."""
        mask = torch.zeros(len(self), num_items, dtype=torch.bool)
        mask[self.items.row, self.items.node] = True
        return mask


@dataclass(frozen=True)
class TestSet:
    """Users of an evaluation: queries, ground truth, and masked items.

    Attributes:
        users: the queries; all that a model gets.
        ground_truth: edges to the relevant items, with the values of the interactions; no input of a model.
        masked: edges to items with an interaction that is neither support nor ground truth: they are in no list, see
            `gnnrec.splits.kshot`; None where there are none.
        next_item: whether the ground truth is the one item that follows the support in the order of time.
        held_out_items: [I] bool, the items that are ranked where some were held out; None where those of training are.
        person: [B] int64, equal for queries of one user; None where each query is another user's.
    """

    users: UserBatch
    ground_truth: Edges
    masked: Edges | None = None
    next_item: bool = False
    held_out_items: Tensor | None = None
    person: Tensor | None = None

    def candidates(self, train: "TrainingData") -> Tensor:
        """[I] bool, the items that are ranked for a model that was fitted on `train`."""
        return train.candidates if self.held_out_items is None else self.held_out_items

    def take(self, rows: Tensor) -> "TestSet":
        """Some of the users, in the order of `rows` ([B'] int64, no row twice)."""

        def cut(edges: Edges) -> Edges:
            return UserBatch(self.users.index, edges, {}).take(rows).items

        masked = None if self.masked is None else cut(self.masked)
        person = None if self.person is None else self.person[rows]
        return replace(
            self, users=self.users.take(rows), ground_truth=cut(self.ground_truth), masked=masked, person=person
        )

    @property
    def unranked(self) -> Edges:
        """The items that are in no list of their user: known, masked, or rejected and not in the ground truth."""
        size = 1 + max((int(e.node.max()) for e in (self.ground_truth, self.users.rejected) if len(e)), default=0)
        truth, rejected = (e.row * size + e.node for e in (self.ground_truth, self.users.rejected))
        others = self.users.rejected.take(~torch.isin(rejected, truth))
        return Edges.join([Edges(e.row, e.node) for e in (self.users.items, self.masked, others) if e is not None])

    def in_time(self) -> "TestSet":
        """The same queries with only those events of each user that came before the first item of its ground truth.

        Where interactions have no times, nobody has an event left.
        """
        if not self.users.events:
            return self
        never = torch.iinfo(torch.int64).min
        moment = torch.full((len(self.users),), never)
        row, time = self.ground_truth.row, self.ground_truth.time
        if time is not None:
            moment.scatter_reduce_(0, row, time, "amin", include_self=False)
        return replace(self, users=self.users.before(moment))


@dataclass(frozen=True)
class TrainingData:
    """Training data: everything that a model is fitted on.

    Attributes:
        users: the training users with their histories and their other edges.
        ids: node type -> ids, for every type but `user`.
        relations: edges between nodes other than users (item to category, skill to skill ...).
        bounds: (node type, attribute) -> ascending inner bounds of the bins of a numeric attribute, or its knots.
        candidates: [I] bool, the items that may be recommended: those with a training interaction.
        titles: [I] titles of the items, for output only; empty where there are none.
        features: what words, pictures and numbers say of items, those without an interaction among them.
        values: what words say of the values of users' attributes, those that no training user has among them.
        interpolated: the relations from users to the knots of a number. Its edges have weights, 1 together for a user,
            and what is known of the number is the mean over them with these weights, always.
        fitted_bounds: names of the numeric attributes of users whose `bounds` are quantiles over the training users.
    """

    users: UserBatch
    ids: Mapping[str, pd.Index]
    relations: tuple[Relation, ...]
    bounds: Mapping[tuple[str, str], tuple[float, ...]]
    candidates: Tensor
    titles: tuple[str, ...] = ()
    features: tuple[Features, ...] = ()
    values: tuple[Features, ...] = ()
    interpolated: tuple[EdgeType, ...] = ()
    fitted_bounds: tuple[str, ...] = ()

    @property
    def num_users(self) -> int:
        """Number of training users, those without any interaction included."""
        return len(self.users)

    @property
    def num_items(self) -> int:
        """Number of items in the data set: the columns of scores, candidates or not."""
        return len(self.ids[ITEM])

    @cached_property
    def popularity(self) -> Tensor:
        """[I] float32, number of training interactions of each item."""
        return torch.bincount(self.users.items.node, minlength=self.num_items).float()

    @cached_property
    def reachable(self) -> dict[str, Tensor]:
        """Node type -> [N] bool, nodes with an edge in training; every training user counts as one."""
        seen = {t: torch.zeros(len(ids), dtype=torch.bool) for t, ids in self.ids.items()}
        seen[USER] = torch.ones(self.num_users, dtype=torch.bool)
        seen[ITEM][self.users.items.node] = True
        for edge_type, edges in self.users.relations.items():
            seen[edge_type[2]][edges.node] = True
        for relation in self.relations:
            seen[relation.source][relation.edge_index[0]] = True
            seen[relation.target][relation.edge_index[1]] = True
        return seen

    @cached_property
    def usable(self) -> dict[str, Tensor]:
        """Node type -> [N] bool, nodes that say something of a user: those with an edge, or known by their words."""
        described = {one.node_type: one.known for one in self.values}
        return {t: seen | described[t] if t in described else seen for t, seen in self.reachable.items()}

    def hold_out(self, rows: Tensor) -> tuple["TrainingData", TestSet]:
        """Moves some training users into a test set, for model selection within the training data.

        Args:
            rows: [B] int64, their positions among the training users, each once.

        Returns:
            The training data without them, with the same bins; and the users, whose histories are the ground truth.
        """
        rest = torch.ones(self.num_users, dtype=torch.bool)
        rest[rows] = False
        place = torch.where(rest, rest.cumsum(0) - 1, -1)  # [U]

        def among_rest(users: UserBatch) -> UserBatch:
            edges = {
                t: replace(e, node=place[e.node]).take(rest[e.node]) if t[2] == USER else e
                for t, e in users.relations.items()
            }
            return replace(users, relations=edges)

        users = among_rest(self.users.take(rest.nonzero().flatten()))
        candidates = torch.zeros_like(self.candidates)
        candidates[users.items.node] = True
        train = replace(self, users=users, candidates=candidates)
        held_out = among_rest(self.users.take(rows))
        seen = {t: e.take(train.usable[t[2]][e.node]) for t, e in held_out.relations.items()}
        nothing = held_out.items.take(torch.empty(0, dtype=torch.int64))
        return train, TestSet(replace(held_out, items=nothing, relations=seen), held_out.items).in_time()

    def with_events(self, kinds: Sequence[str] | None) -> "TrainingData":
        """The training data with events of some kinds alone; None for all.

        Raises:
            ConfigError: there is no such kind.
        """
        there = [t[1] for t in self.users.events]
        for kind in kinds or ():
            if kind not in there:
                raise ConfigError(f"events: {kind!r} is no other kind of event of the data; there are {there}")
        return self if kinds is None else replace(self, users=self.users.with_events(kinds))

    @property
    def attribute_types(self) -> tuple[EdgeType, ...]:
        """The relations from users to other types, but no events: attributes, tags, skills ..."""
        return tuple(t for t in self.users.relations if t[2] != USER and t not in self.users.events)

    @property
    def user_types(self) -> tuple[EdgeType, ...]:
        """The relations from users to users."""
        return tuple(t for t in self.users.relations if t[2] == USER)
