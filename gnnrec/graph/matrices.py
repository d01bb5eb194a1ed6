"""Users as rows of sparse matrices: attributes, edges to other users, histories."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.options.search_space import Choice, SearchSpace
from gnnrec.views import ITEM, USER, Edges, EdgeType, Features, Relation, TrainingData, UserBatch

Matrix: TypeAlias = "sparse.csr_array[Any, tuple[int, int]]"
EdgeWeights = Literal["ignore", "log", "keep"]
"""Value of an edge: 1, log(1 + weight), or its weight."""
Normalise = Literal["none", "sum", "length"]
"""Divisor of each row: none, the sum of its entries, or its Euclidean length."""


NOTHING = torch.empty(0, dtype=torch.int64)
FEATURES: SearchSpace = {
    "edge_weights": Choice(("ignore", "log")),
    "idf": Choice((False, True)),
    "normalise": Choice(("none", "sum", "length")),
}
"""Search space of the options that models pass on to `UserFeatures`."""


class UserFeatures:
    """Turns users into rows of a sparse matrix, with a column for each value of each attribute.

    The columns are laid out once, from the training data: relation after relation, node after node. Where the words of
    an attribute's values are known, a value that no training user has counts by its words alone: the mean vector of the
    words of a user's values follows, a column for each of its numbers. What describes users by words, pictures or
    vectors comes last: a column for each number, in the unit of the mean length of the training users' vectors.

    Args:
        train: gives the columns; `idf` is computed on its users.
        attributes: names of the relations to use, and of what describes users itself; None for all.
        friends: also a column for each training user, 1 where the user has an edge to them.
        edge_weights: value of an edge; 1 in any case for an edge without a weight, and its weight for one to a knot.
        idf: multiply each column by log(training users / training users who have the value), so that rare values
            weigh more.
        normalise: divisor of each row of values.
        described: whether there are columns for what describes users itself; not where values are counted.

    Raises:
        ConfigError: a name in `attributes` is not a relation from users to attribute values.
    """

    _described: "dict[str, _Scaled]" = {}  # noqa: RUF012  (of a model that was saved before users had features)

    def __init__(
        self,
        train: TrainingData,
        *,
        attributes: Sequence[str] | None = None,
        friends: bool = False,
        edge_weights: EdgeWeights = "ignore",
        idf: bool = False,
        normalise: Normalise = "none",
        described: bool = True,
    ) -> None:
        own = list(train.users.features) if described else []
        names = [*(t[1] for t in train.attribute_types), *(one.name for one in own)]
        for name in attributes or ():
            if name not in names:
                raise ConfigError(f"attributes: {name!r} is no attribute of the users; there are {names}")
        chosen = [t for t in train.attribute_types if attributes is None or t[1] in attributes]
        self._start: dict[EdgeType, int] = {}
        self.width = 0
        for edge_type in [*chosen, *(train.user_types if friends else ())]:
            self._start[edge_type] = self.width
            self.width += train.num_users if edge_type in train.user_types else len(train.ids[edge_type[2]])
        self._words = {t: one for t in chosen for one in train.values if one.node_type == t[2]}
        self._seen = {t: train.reachable[t[2]] for t in self._words}
        self._edge_weights, self._interpolated = edge_weights, train.interpolated
        self._normalise = normalise
        self._columns = self.width
        self.width += sum(one.vector.shape[1] for one in self._words.values())
        own = [one for one in own if attributes is None or one.name in attributes]
        self._described = {one.name: _Scaled.of(one) for one in own}
        self.width += sum(one.width for one in self._described.values())
        self._column_weight: np.ndarray | None = None
        if idf:
            users_with_value = np.bincount(self._edges(train.users)[1], minlength=self._columns)
            self._column_weight = np.log(train.num_users / np.maximum(users_with_value, 1))

    def __call__(self, users: UserBatch) -> Matrix:
        """[B, A] float64, one row per user; empty for a user without edges."""
        parts: list[Any] = [self._values(users)]
        parts += [self._mean_words(users, edge_type, one) for edge_type, one in self._words.items()]
        own = {one.name: one for one in users.features}
        parts += [one(own.get(name), len(users)) for name, one in self._described.items()]
        return sparse.csr_array(sparse.hstack(parts)) if len(parts) > 1 else parts[0]

    def _mean_words(self, users: UserBatch, edge_type: EdgeType, words: Features) -> Matrix:
        """[B, F], the mean vector of the words of each user's values of one attribute."""
        edges, (size, _) = users.relations.get(edge_type, users.items.take(NOTHING)), words.vector.shape
        has = sparse.csr_array((np.ones(len(edges)), (edges.row.numpy(), edges.node.numpy())), (len(users), size))
        return sparse.csr_array(_scaled_rows(has, has.sum(axis=1)) @ words.vector.double().numpy())

    def _values(self, users: UserBatch) -> Matrix:
        row, column, weight = self._edges(users)
        if self._column_weight is not None:
            weight = weight * self._column_weight[column]
        matrix = sparse.csr_array((weight, (row, column)), shape=(len(users), self._columns))
        if self._normalise == "none":
            return matrix
        size = abs(matrix).sum(axis=1) if self._normalise == "sum" else np.sqrt((matrix * matrix).sum(axis=1))
        return _scaled_rows(matrix, size)

    def _edges(self, users: UserBatch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        row, column, weight = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
        for edge_type, start in self._start.items():
            edges = users.relations.get(edge_type)
            if edges is not None:
                edges = edges.take(self._seen[edge_type][edges.node]) if edge_type in self._seen else edges
                row.append(edges.row.numpy())
                column.append(edges.node.numpy() + start)
                weight.append(_weights(edges, "keep" if edge_type in self._interpolated else self._edge_weights))
        return np.concatenate(row), np.concatenate(column), np.concatenate(weight)


@dataclass(frozen=True)
class _Scaled:
    """The numbers of a feature of users, divided by the mean length of those of the training users.

    Attributes:
        width: their number.
        unit: what they are divided by.
    """

    width: int
    unit: float

    @classmethod
    def of(cls, one: Features) -> "_Scaled":
        length = one.vector[one.known].double().norm(dim=1)
        return cls(one.vector.shape[1], max(float(length.mean()), 1e-12) if len(length) else 1.0)

    def __call__(self, one: Features | None, number: int) -> Matrix:
        """[B, F] of B users; None where nothing describes them."""
        rows = np.zeros((number, self.width)) if one is None else one.vector.double().numpy() / self.unit
        return sparse.csr_array(rows)


def _weights(edges: Edges, edge_weights: EdgeWeights) -> np.ndarray:
    if edges.weight is None or edge_weights == "ignore":
        return np.ones(len(edges))
    weight = edges.weight.numpy().astype(np.float64)
    return np.log1p(weight) if edge_weights == "log" else weight


def _scaled_rows(matrix: Matrix, size: np.ndarray) -> Matrix:
    """Each row divided by its size; a row of size 0 stays as it is."""
    return sparse.csr_array(matrix.multiply(1 / np.where(size > 0, size, 1)[:, None]))


def histories(
    users: UserBatch, num_items: int, edge_weights: EdgeWeights = "ignore", *, events: bool = False
) -> Matrix:
    """[B, I] float64, the items of each user, with the values of `edge_weights`.

    With `events`, those of other kinds are added, each with the weight of its kind.
    """
    parts = [(users.items, _weights(users.items, edge_weights))]
    parts += [(edges, _weights(edges, "keep")) for edges in users.events.values()] if events else []
    row, node = (np.concatenate([getattr(edges, end).numpy() for edges, _ in parts]) for end in ("row", "node"))
    weight = np.concatenate([weight for _, weight in parts])
    return sparse.csr_array((weight, (row, node)), shape=(len(users), num_items))


def item_features(
    train: TrainingData,
    *,
    use: Sequence[str] | None = None,
    idf: bool = False,
    normalise: Normalise = "none",
    feature_weight: float = 1.0,
) -> Matrix:
    """[I, A] float64, a row for each item: a 1 for each of its attribute values, then the numbers of its features.

    Args:
        train: gives items, held-out ones among them, their attributes and features.
        use: names of attributes and features; None for all.
        idf: multiply the column of a value by log(items / items that have it), so that rare values weigh more.
        normalise: divisor of each row, its features apart.
        feature_weight: the length of an item's vector of each feature, on average.

    Raises:
        ConfigError: a name in `use` is neither an attribute nor a feature of the items.
    """
    own = [r for r in train.relations if r.source == ITEM and r.target not in (ITEM, USER)]
    names = [*(r.name for r in own), *(one.name for one in train.features)]
    for name in use or ():
        if name not in names:
            raise ConfigError(f"use: {name!r} is neither an attribute nor a feature of the items; there are {names}")
    values = _item_values(train, [r for r in own if use is None or r.name in use], idf, normalise)
    parts: list[Any] = [values]
    for one in train.features:
        if use is None or one.name in use:
            vector = one.vector.numpy().astype(np.float64)
            length = np.linalg.norm(vector[one.known.numpy()], axis=1).mean()
            parts.append(sparse.csr_array(vector * (feature_weight / max(length, 1e-12))))
    return sparse.csr_array(sparse.hstack(parts)) if len(parts) > 1 else values


def _item_values(train: TrainingData, relations: Sequence[Relation], idf: bool, normalise: Normalise) -> Matrix:
    rows, columns, width = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
    for relation in relations:
        item, value = relation.edge_index.numpy()
        rows.append(item)
        columns.append(value + width)
        width += len(train.ids[relation.target])
    row, column = np.concatenate(rows), np.concatenate(columns)
    matrix = sparse.csr_array((np.ones(len(row)), (row, column)), shape=(train.num_items, width))
    matrix.data[:] = 1  # an edge that is there twice counts once
    if idf:
        having = np.bincount(matrix.indices, minlength=width)
        matrix.data *= np.log(train.num_items / np.maximum(having, 1))[matrix.indices]
    if normalise == "none":
        return matrix
    size = matrix.sum(axis=1) if normalise == "sum" else np.sqrt((matrix * matrix).sum(axis=1))
    return _scaled_rows(matrix, size)


def links(users: UserBatch, train: TrainingData) -> Matrix:
    """[B, U] float64, number of edges from each user to each training user, over all user-user relations."""
    known = [users.relations[t] for t in train.user_types if t in users.relations]
    row = np.concatenate([np.empty(0, np.int64), *(edges.row.numpy() for edges in known)])
    node = np.concatenate([np.empty(0, np.int64), *(edges.node.numpy() for edges in known)])
    return sparse.csr_array((np.ones(len(row)), (row, node)), shape=(len(users), train.num_users))


def training_rows(users: UserBatch, train: TrainingData) -> np.ndarray:
    """[B] int64, the row of each user among the training users, -1 for a user who is not among them."""
    known, wanted = train.users.index.numpy(), users.index.numpy()
    if len(known) == 0:
        return np.full(len(wanted), -1)
    order = np.argsort(known)
    row = order[np.searchsorted(known, wanted, sorter=order).clip(max=len(known) - 1)]
    return np.where(known[row] == wanted, row, -1)


def as_csr_matrix(matrix: Matrix) -> Any:
    """The same as a `csr_matrix` of float32 with 32-bit indices, as compiled libraries need it."""
    converted = sparse.csr_matrix(matrix, dtype=np.float32)
    converted.indices, converted.indptr = converted.indices.astype(np.int32), converted.indptr.astype(np.int32)
    return converted


def as_scores(values: np.ndarray) -> Tensor:
    """[B, I] float32 tensor, a copy."""
    return torch.from_numpy(np.array(values, dtype=np.float32, order="C"))
