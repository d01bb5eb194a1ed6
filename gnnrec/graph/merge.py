"""Merging attribute relations: many columns become one node type, whose cost does not grow with their number."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from gnnrec.errors import ConfigError
from gnnrec.views import ITEM, USER, Edges, EdgeType, Features, Relation, TrainingData, UserBatch

MOST = 16
"""Attribute columns of users, or of items, that stay relations of their own."""
OF_USERS, OF_ITEMS = "user attributes", "item attributes"
"""Node types of the merged columns; each is also the name of its relation."""


class AttributeMerge:
    """Merges the attribute columns of one training set: each value becomes a value of one common attribute.

    An encoder has a layer per relation and step. That is right for a few columns, whose layers may differ; with
    hundreds of columns it is slow, and each layer is trained on few edges. So more than `MOST` columns of users become
    one relation, and likewise those of items: a node averages all its values, whatever their column. No vector is
    shared between columns. A column whose values have another relation is not merged.

    Args:
        train: the training data; only their columns are used.
    """

    _interpolated: tuple[EdgeType, ...] = ()  # of a merge that was saved before there were knots

    def __init__(self, train: TrainingData) -> None:
        of_users = [t for t in train.users.relations if t[2] not in (USER, ITEM)]
        of_items = [r.type for r in train.relations if r.source == ITEM and r.target not in (USER, ITEM)]
        ends = [t for relation in train.relations for t in (relation.source, relation.target)]
        ends += [t[2] for t in train.users.relations]
        self._sizes = {t: len(ids) for t, ids in train.ids.items()}
        self._user_types = _single(of_users, ends)
        self._item_types = _single(of_items, ends)
        self._interpolated = tuple(t for t in self._user_types if t in train.interpolated)

    @property
    def needed(self) -> bool:
        """Whether any column is merged."""
        return bool(self._user_types or self._item_types)

    def training(self, train: TrainingData) -> TrainingData:
        """The training data with merged columns; the same object where none is merged."""
        if not self.needed:
            return train
        ids = {t: known for t, known in train.ids.items() if t not in self._merged}
        relations = [r for r in train.relations if r.type not in self._item_types]
        if self._user_types:
            ids[OF_USERS] = self._ids(train, self._user_types)
        if self._item_types:
            ids[OF_ITEMS] = self._ids(train, self._item_types)
            of_items = {r.type: Edges(r.edge_index[0], r.edge_index[1], r.weight) for r in train.relations}
            edges = self._edges(of_items, self._item_types)
            relations.append(Relation(ITEM, OF_ITEMS, OF_ITEMS, torch.stack([edges.row, edges.node]), edges.weight))
        values = self._values(train.values)
        interpolated = tuple(t for t in train.interpolated if t not in self._interpolated)
        interpolated += ((USER, OF_USERS, OF_USERS),) if self._interpolated else ()
        return replace(
            train,
            users=self.users(train.users),
            ids=ids,
            relations=tuple(relations),
            values=values,
            interpolated=interpolated,
        )

    def users(self, users: UserBatch) -> UserBatch:
        """Users with merged columns; users whose columns are merged already are returned unchanged."""
        if not self._user_types or not any(t in users.relations for t in self._user_types):
            return users
        kept = {t: edges for t, edges in users.relations.items() if t not in self._user_types}
        merged = self._edges(users.relations, self._user_types)
        return replace(users, relations={**kept, (USER, OF_USERS, OF_USERS): merged})

    def unmerged(self, tables: Mapping[str, int]) -> dict[str, int]:
        """Rows of learned tables by node type, those of merged columns under the columns' own types."""
        own = {t: rows for t, rows in tables.items() if t not in (OF_USERS, OF_ITEMS) or t in self._sizes}
        return own | {t: self._sizes[t] for t in self._merged}

    @property
    def _merged(self) -> list[str]:
        return [t[2] for t in (*self._user_types, *self._item_types)]

    def _ids(self, train: TrainingData, types: Sequence[EdgeType]) -> Any:
        """A pandas index of the merged values, each prefixed with its column."""
        first, *others = (f"{t[2]}=" + train.ids[t[2]].astype(str) for t in types)
        return first.append(others)

    def _values(self, values: Sequence[Features]) -> tuple[Features, ...]:
        """The words of values; those of merged columns as of one, where one encoder made them."""
        merged = {t[2] for t in self._user_types}
        own = {one.node_type: one for one in values if one.node_type in merged}
        others = tuple(one for one in values if one.node_type not in merged)
        if not own:
            return others
        first = next(iter(own.values()))
        if any(str(one.encoder) != str(first.encoder) for one in own.values()):
            raise ConfigError(f"data.values: more than {MOST} attributes are one for a graph; give them one encoder")
        width, vectors, known = first.vector.shape[1], [], []
        for _, _, node_type in self._user_types:
            size = self._sizes[node_type]
            vectors.append(own[node_type].vector if node_type in own else torch.zeros(size, width))
            known.append(own[node_type].known if node_type in own else torch.zeros(size, dtype=torch.bool))
        return (*others, Features(OF_USERS, OF_USERS, torch.cat(vectors), torch.cat(known), (), first.encoder))

    def _edges(self, relations: Mapping[EdgeType, Edges], types: Sequence[EdgeType]) -> Edges:
        """The edges of all columns; values are numbered column after column."""
        rows, nodes, weights, first = [], [], [], 0
        among = [t for t in types if t in relations]
        if self._interpolated:  # a number counts once, as any other value does
            relations = {t: relations[t] if t in self._interpolated else _bare(relations[t]) for t in among}
        weighted = any(relations[t].weight is not None for t in among)
        for edge_type in types:
            if edge_type in relations:
                edges = relations[edge_type]
                rows.append(edges.row)
                nodes.append(edges.node + first)
                weights.append(torch.ones(len(edges)) if edges.weight is None else edges.weight)
            first += self._sizes[edge_type[2]]
        return Edges(torch.cat(rows), torch.cat(nodes), torch.cat(weights) if weighted else None)


def _bare(edges: Edges) -> Edges:
    return Edges(edges.row, edges.node)


def _single(types: Sequence[EdgeType], ends: Sequence[str]) -> tuple[EdgeType, ...]:
    """The columns to merge: those whose values have no other relation, where there are more than `MOST`."""
    alone = tuple(t for t in types if ends.count(t[2]) == 1)
    return alone if len(alone) > MOST else ()
