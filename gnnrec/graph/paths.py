"""Paths from a user to items through the interactions of the training users, as counts."""

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from gnnrec.graph.histories import Histories
from gnnrec.graph.matrices import Matrix
from gnnrec.views import USER, Edges, TrainingData, UserBatch

PLACES = (0, 1, 2, 3, 5, 10, 20)
"""Each range of places begins here: a user's first item, the second, the third ..."""
WINDOW = 5
"""Items that count as soon after one."""
MANY = 100
"""Items of a user that go together: pairs grow with the square of a long history."""
SHORT = 0.2
"""Half-life of what is in fashion, as a share of the half-life of all counts."""
START, NEXT, SOON, TOGETHER, RECENT = "place", "next", "soon", "together", "recent"


@dataclass(frozen=True)
class Reached:
    """What one path reaches from P queries, from each of S different starts.

    Attributes:
        row: [R] int64, the start.
        item: [R] int64.
        value: [R] float32, the number of training users on the way, divided by the item's share of all interactions.
        start: [P] int64, the start of each query, where several queries share one and it reaches many items; None where
            each query is a start of its own.
    """

    row: Tensor
    item: Tensor
    value: Tensor
    start: Tensor | None = None

    @staticmethod
    def join(parts: "Sequence[tuple[Tensor, Reached]]", queries: int) -> "Reached":
        """What several parts of P queries reach; each comes with its queries ([P'] int64)."""
        item, value = (torch.cat([getattr(one, name) for _, one in parts]) for name in ("item", "value"))
        if all(one.start is None for _, one in parts):
            return Reached(torch.cat([part[one.row] for part, one in parts]), item, value)
        rows, start, first = [], torch.empty(queries, dtype=torch.int64), 0
        for part, one in parts:
            own = torch.arange(len(part)) if one.start is None else one.start
            rows.append(one.row + first)
            start[part] = own + first
            first += int(own.max()) + 1
        return Reached(torch.cat(rows), item, value, start)


@dataclass(frozen=True)
class Paths:
    """Where the paths of each kind lead, counted over the training users.

    - `place`: from the number of a user's items so far to what others chose at that place.
    - `next`: from the last item to what others chose right after it.
    - `soon`: from each item to what others chose at most `WINDOW` items after it.
    - `together`: from each item to all that others chose who chose it, among the last `MANY` items of each.
    - `recent`: to what has been chosen of late.
    - one for each relation of users: from each value to what the users who have it chose; from each friend to what the
      friend chose.

    Of `soon` and `together`, an item counts 1 / sqrt(n), where n is its number of users.

    Attributes:
        matrices: path -> [K, I] sparse, from its K sources.
        share: [I] float64, the items' shares of all interactions; above 0.
        friends: the paths over relations between users.
    """

    keeps_interactions: ClassVar[bool] = True
    """With friends, their histories are among the matrices."""

    matrices: Mapping[str, Matrix]
    share: np.ndarray
    friends: tuple[str, ...] = ()

    @staticmethod
    def of(train: TrainingData, histories: Histories, users: Tensor, half_life: float | None) -> "Paths":
        """Counts.

        Args:
            train: the training users.
            histories: theirs; each interaction counts its weight.
            users: [U] bool, those who count; counts are multiplied as if all did.
            half_life: of the weights, as a share of training's time.
        """
        size, count = train.num_items, histories.count
        of_user = np.repeat(np.arange(train.num_users), count.numpy())
        kept = users.numpy()[of_user]
        scale = train.num_users / max(int(users.sum()), 1)
        weight = np.ones(len(of_user)) if histories.weight is None else histories.weight.double().numpy()
        item, place, weight = histories.item.numpy(), histories.place.numpy(), weight * kept * scale

        def counts(source: np.ndarray, target: np.ndarray, value: np.ndarray, sources: int) -> Matrix:
            there = value > 0
            made: Any = sparse.coo_array((value[there], (source[there], target[there])), shape=(sources, size))
            found: Matrix = sparse.csr_array(made).astype(np.float32)
            return found

        def after(steps: int) -> Matrix:
            """From an item to the one that many steps later."""
            later = np.flatnonzero(place >= steps)
            return counts(item[later - steps], item[later], weight[later], size)

        degree = np.sqrt(np.maximum(np.bincount(item, minlength=size), 1))
        damped = sparse.diags_array((1 / degree).astype(np.float32))
        chosen = counts(of_user, item, weight, train.num_users)
        late = np.flatnonzero(place >= count.numpy()[of_user] - MANY)
        lately = counts(of_user[late], item[late], weight[late], train.num_users)
        ones = sparse.csr_array((np.ones(lately.nnz, np.float32), lately.indices, lately.indptr), lately.shape)
        together = sparse.csr_array(damped @ (ones.T @ lately))
        soon = functools.reduce(operator.add, [after(steps) for steps in range(1, WINDOW + 1)])
        found = {
            START: counts(np.digitize(place, PLACES) - 1, item, weight, len(PLACES)),
            NEXT: after(1),
            SOON: sparse.csr_array(damped @ soon),
            TOGETHER: together,
        }
        time = train.users.items.time
        if time is not None and half_life is not None:
            age = (time.max() - time).double().numpy()[histories.edge.numpy()]
            fresh = np.exp2(-age / (SHORT * half_life * max(age.max(), 1))) * kept * scale
            found[RECENT] = counts(np.zeros(len(item), np.int64), item, fresh, 1)
        for (_, name, target), edges in train.users.relations.items():
            if edges.time is not None:  # a count over all events would know of later ones
                continue
            if target == USER:
                found[name] = chosen
            else:
                value = np.ones(len(edges)) if edges.weight is None else edges.weight.double().numpy()
                shape = (len(train.ids[target]), train.num_users)
                having: Any = sparse.coo_array((value, (edges.node.numpy(), edges.row.numpy())), shape=shape)
                found[name] = sparse.csr_array(sparse.csr_array(having).astype(np.float32) @ chosen)
        popularity = np.bincount(item, weight, size) + 0.1
        friends = tuple(name for (_, name, target) in train.users.relations if target == USER)
        return Paths(found, popularity / popularity.sum(), friends)

    @property
    def names(self) -> tuple[str, ...]:
        """The paths."""
        return tuple(self.matrices)

    @property
    def mixed(self) -> tuple[bool, ...]:
        """Of each path, whether it begins at one of several items or friends, any of which may be the reason."""
        return tuple(name in (NEXT, SOON, TOGETHER, *self.friends) for name in self.matrices)

    def reached(self, item: Tensor, count: Tensor, place: Tensor, users: UserBatch) -> list[Reached]:
        """What each path reaches from P queries.

        Args:
            item: [P, L] int64, recent items in the order of time.
            count: [P] int64, how many of them there are.
            place: [P] int64, the number of all items so far.
            users: of the P queries, their relations; interactions are not read.

        Returns:
            One for each of `names`.
        """
        rows = len(place)
        known = torch.arange(item.shape[1]) < count[:, None]
        row, shown = known.nonzero()[:, 0], item[known]
        some = (count > 0).nonzero().flatten()
        every, nothing = torch.arange(rows), torch.empty(0, dtype=torch.int64)
        bucket = torch.bucketize(place, torch.tensor(PLACES), right=True) - 1
        starts = {
            START: Edges(every, bucket),
            NEXT: Edges(some, item[some, count[some] - 1] if item.shape[1] else nothing),
            SOON: Edges(row, shown),
            TOGETHER: Edges(row, shown),
            RECENT: Edges(every, torch.zeros_like(every)),
            **{name: edges for (_, name, _), edges in users.relations.items()},
        }
        return [self._lead(starts.get(name, Edges(nothing, nothing)), rows, name) for name in self.matrices]

    def _lead(self, start: Edges, rows: int, path: str) -> Reached:
        matrix, shared = self.matrices[path], None
        if start.weight is None and self._is_wide(path) and len(start.row.unique()) == len(start):
            key = torch.full((rows,), -1)  # one source a query: those with the same one share what it reaches
            key[start.row] = start.node
            source, shared = key.unique(return_inverse=True)
            known = (source >= 0).nonzero().flatten()
            start, rows = Edges(known, source[known]), len(source)
        value = np.ones(len(start), np.float32) if start.weight is None else start.weight.numpy()
        first = sparse.csr_array((value, (start.row.numpy(), start.node.numpy())), shape=(rows, matrix.shape[0]))
        lead = sparse.coo_array(first @ matrix)
        row, item = (torch.from_numpy(index.astype(np.int64)) for index in lead.coords)
        return Reached(row, item, torch.from_numpy((lead.data / self.share[item.numpy()]).astype(np.float32)), shared)

    def _is_wide(self, path: str) -> bool:
        """Whether a source leads to more than a sixteenth of all items, on average."""
        matrix = self.matrices[path]
        return bool(16 * matrix.nnz > matrix.shape[0] * matrix.shape[1])
