"""Shards of a graph: in each process, its own users with all their edges, and every other node."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.data import HeteroData

from gnnrec.errors import ConfigError
from gnnrec.graph.adjacency import Adjacency
from gnnrec.graph.block import Block
from gnnrec.graph.build import node_counts
from gnnrec.runtime import distributed
from gnnrec.views import INTERACTS, USER, EdgeType


@dataclass(frozen=True)
class Shard:
    """The part of a graph in one process.

    Own users are a contiguous range of the graph's users. Users are renumbered cyclically from the first own one on, so
    that own users have the numbers below `size`.

    Attributes:
        block: the edges; of users, its nodes are the own ones.
        edges: edge type -> [E'] int64, positions of the own edges in the graph's edge list, ascending; edge types that
            are complete in each process are left out.
        first: the graph's number of the first own user.
        size: number of own users.
        num_users: number of users of all processes.
    """

    block: Block
    edges: Mapping[EdgeType, Tensor]
    first: int
    size: int
    num_users: int

    @classmethod
    def whole(cls, block: Block) -> "Shard":
        """The shard of a single process."""
        users = block.num_targets[USER]
        return cls(block, {}, 0, users, users)

    @property
    def alone(self) -> bool:
        """Whether the process has all users."""
        return self.size == self.num_users

    def to(self, device: torch.device) -> "Shard":
        """The same shard on a device."""
        edges = {t: place.to(device) for t, place in self.edges.items()}
        return replace(self, block=self.block.to(device), edges=edges)

    def hide(self, edge_type: EdgeType, kept: Tensor) -> "Shard":
        """The shard without some edges, see `Block.hide`; `kept` is over all edges of the graph."""
        own = kept[self.edges[edge_type]] if edge_type in self.edges else kept
        return replace(self, block=self.block.hide(edge_type, own))

    def number(self, users: Tensor) -> Tensor:
        """Numbers in the graph -> numbers in the shard: [B] int64 -> [B] int64."""
        return (users - self.first) % self.num_users

    def own(self, users: Tensor) -> Tensor:
        """[B] bool, whether users ([B] int64, numbers in the graph) are own ones."""
        return self.number(users) < self.size

    def mine(self, edge_type: EdgeType, source: Tensor) -> Tensor:
        """[E] bool, which edges are training examples of this process: those of own users; of other types, every n-th.

        Args:
            edge_type: the relation as the graph was built with it.
            source: [E] int64, sources of the edges, as numbers in the graph.
        """
        if edge_type[0] == USER:
            return self.own(source)
        return torch.arange(len(source), device=source.device) % distributed.count() == distributed.rank()

    def everyone(self, x: Tensor) -> Tensor:
        """Vectors of own users -> of all users, in the numbers of the shard: [size, D] -> [U, D]."""
        if self.alone:
            return x
        return _everyone(x, self.first, self.num_users)


def own_shard(graph: HeteroData, *, sampled: bool) -> Shard:
    """The shard of this process: ranges of users with about equally many interactions each.

    Args:
        graph: the whole graph, the same in each process.
        sampled: whether neighbours are sampled. Then items and attribute values aggregate over own users only; else
            over all users, by sums over the processes in each step of message passing.

    Raises:
        ConfigError: there are more processes than users, or neighbours are sampled along a relation between users.
    """
    count, processes = node_counts(graph), distributed.count()
    load = (torch.bincount(graph[INTERACTS].edge_index[0], minlength=count[USER]) + 1).cumsum(0)
    inner = [int(torch.searchsorted(load, load[-1] * r // processes, right=True)) for r in range(1, processes)]
    bounds = [0, *inner, count[USER]]
    sizes = [after - before for before, after in itertools.pairwise(bounds)]
    if min(sizes) < 1:
        raise ConfigError(f"trainer.devices: {processes} processes are too many for {count[USER]} training users")
    first, size = bounds[distributed.rank()], sizes[distributed.rank()]
    adjacency: dict[EdgeType, Adjacency] = {}
    places: dict[EdgeType, Tensor] = {}
    for edge_type in graph.edge_types:
        edges = graph[edge_type].edge_index.clone()
        ends = [end for end in (0, 1) if edge_type[2 * end] == USER]
        if not ends:
            adjacency[edge_type] = Adjacency(edges, count[edge_type[0]], count[edge_type[2]])
            continue
        for end in ends:
            edges[end] = (edges[end] - first) % count[USER]
        place = (edges[ends[-1]] < size).nonzero().flatten()  # between users, the target's process has the edge
        of_graph = graph[edge_type].get("time"), graph[edge_type].get("share")
        time, weight = (None if one is None else one[place] for one in of_graph)
        edges, places[edge_type] = edges[:, place], place
        if len(ends) == 2:
            if sampled:
                raise ConfigError(
                    f"model.num_neighbors: with several processes, the relation {edge_type[1]!r} between users leads "
                    "to users of other processes; leave num_neighbors out, or the relation"
                )
            adjacency[edge_type] = _FromAllUsers(edges, first, count[USER], size)
        elif ends == [1]:
            adjacency[edge_type] = Adjacency(edges, count[edge_type[0]], size, time, weight=weight)
        else:
            kind, sources = (Adjacency, size) if sampled else (_FromOwnUsers, max(sizes))
            adjacency[edge_type] = kind(edges, sources, count[edge_type[2]], time, weight=weight)
    return Shard(Block(adjacency, {**count, USER: size}), places, first, size, count[USER])


class _Shared(Adjacency):
    """Edges whose aggregation needs vectors of other processes."""

    def visible(self) -> Tensor:
        """Raises: a layer that computes per edge would miss the edges of other processes."""
        raise ConfigError(
            "trainer.devices: several processes sum messages over their users, which only SAGEConv and GraphConv with "
            "aggr mean or sum allow; take one of these for encoder.layer, one process, or num_neighbors"
        )


class _FromOwnUsers(_Shared):
    """Edges from own users to nodes that every process has: messages are summed over the processes.

    The number of sources is padded to the same in all processes: a layer chooses by it whether to multiply before or
    after the sum, and must choose the same everywhere.
    """

    def degree(self) -> Tensor:
        """[T] float32, number of visible edges of each target in all processes."""
        return distributed.total(super().degree())

    def sum(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """Sums the vectors of each target's sources in all processes; see `Adjacency.sum`."""
        return distributed.total(self._own_sum(x, weight))

    def mean(self, x: Tensor) -> Tensor:
        """Averages the vectors of each target's sources in all processes, sums and degrees by one all-reduce."""
        both = distributed.total(torch.cat([self._own_sum(x, None), super().degree()[:, None]], dim=1))  # [T, D + 1]
        least = 1 if self.weight is None else 1e-12
        return both[:, :-1] * both[:, -1:].detach().clamp(min=least).reciprocal()

    def _own_sum(self, x: Tensor, weight: Tensor | None) -> Tensor:
        return super().sum(functional.pad(x, (0, 0, 0, self.num_sources - len(x))), weight)


class _FromAllUsers(_Shared):
    """Edges from all users to own ones: the vectors of other processes' users are gathered."""

    def __init__(self, edge_index: Tensor, first: int, num_users: int, size: int) -> None:
        super().__init__(edge_index, num_users, size)
        self.first = first

    def sum(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """Sums the vectors of each target's sources: own users' [size, D] -> [size, D]; see `Adjacency.sum`."""
        return super().sum(_everyone(x, self.first, self.num_sources), weight)


def _everyone(x: Tensor, first: int, num_users: int) -> Tensor:
    """[size, D] vectors of own users -> [U, D] of all, in the numbers of the shard."""
    padded = functional.pad(x, (0, 0, 0, num_users - len(x)))  # [U, D], zero for users of other processes
    return distributed.total(padded.roll(first, 0)).roll(-first, 0)
