"""The part of a graph that one of several processes holds: its own users with all their edges, and every other node."""

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
    """What one process holds of a graph.

    Own users are a run of the graph's users. Here all users are numbered anew, from the first own one on and round the
    end to the one before it, so that own users have the numbers below `size`.

    Attributes:
        block: the edges; of users, its nodes are the own ones.
        edges: edge type -> [E'] int64, places of the own edges in the graph's list of edges, ascending; types of which
            the process has all edges are left out.
        first: the graph's number of the first own user.
        size: own users.
        num_users: users of all processes.
    """

    block: Block
    edges: Mapping[EdgeType, Tensor]
    first: int
    size: int
    num_users: int

    @classmethod
    def whole(cls, block: Block) -> "Shard":
        """A graph that one process has for itself."""
        users = block.num_targets[USER]
        return cls(block, {}, 0, users, users)

    @property
    def alone(self) -> bool:
        """Whether the process has all users."""
        return self.size == self.num_users

    def hide(self, edge_type: EdgeType, kept: Tensor) -> "Shard":
        """The shard without some edges, see `Block.hide`; `kept` is over all edges of the graph."""
        own = kept[self.edges[edge_type]] if edge_type in self.edges else kept
        return replace(self, block=self.block.hide(edge_type, own))

    def number(self, users: Tensor) -> Tensor:
        """The numbers here of some of the graph's users: [B] int64 -> [B] int64."""
        return (users - self.first) % self.num_users

    def own(self, users: Tensor) -> Tensor:
        """[B] bool, which of some of the graph's users ([B] int64) are own ones."""
        return self.number(users) < self.size

    def mine(self, edge_type: EdgeType, source: Tensor) -> Tensor:
        """[E] bool, which of some edges this process asks about: those of own users; of others, every so many.

        Args:
            edge_type: the relation as the graph was built with it.
            source: [E] int64, where the edges begin, in the graph's numbers.
        """
        if edge_type[0] == USER:
            return self.own(source)
        return torch.arange(len(source)) % distributed.count() == distributed.rank()

    def everyone(self, x: Tensor) -> Tensor:
        """Vectors of own users -> of all users, as they are numbered here: [size, D] -> [U, D]."""
        if self.alone:
            return x
        return _everyone(x, self.first, self.num_users)


def own_shard(graph: HeteroData, *, sampled: bool) -> Shard:
    """The own part of a graph, in each of several processes: runs of users with about as many interactions each.

    Args:
        graph: the whole graph, the same in each process.
        sampled: whether propagation follows drawn edges. Then items and attribute values hear from own users only;
            else from all, by sums over the processes in each step of message passing.

    Raises:
        ConfigError: there are more processes than users, or users hear from users and edges are to be drawn.
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
        place = (edges[ends[-1]] < size).nonzero().flatten()  # between users, who hears counts
        edges, places[edge_type] = edges[:, place], place
        if len(ends) == 2:
            if sampled:
                raise ConfigError(
                    f"model.fan_out: with several processes, the relation {edge_type[1]!r} between users leads to "
                    "users of other processes; leave fan_out out, or the relation"
                )
            adjacency[edge_type] = _FromAllUsers(edges, first, count[USER], size)
        elif ends == [1]:
            adjacency[edge_type] = Adjacency(edges, count[edge_type[0]], size)
        else:
            kind, sources = (Adjacency, size) if sampled else (_FromOwnUsers, max(sizes))
            adjacency[edge_type] = kind(edges, sources, count[edge_type[2]])
    return Shard(Block(adjacency, {**count, USER: size}), places, first, size, count[USER])


class _Shared(Adjacency):
    """Edges along which processes tell each other something."""

    def visible(self) -> Tensor:
        """Refuses: a layer that looks at each edge would miss what other processes have."""
        raise ConfigError(
            "trainer.devices: several processes add up what their users say, which only SAGEConv and GraphConv with "
            "aggr mean or sum allow; take one of these for encoder.layer, one process, or a fan_out"
        )


class _FromOwnUsers(_Shared):
    """Edges from own users to nodes that every process has: what they bring is summed over the processes.

    All processes have as many sources, the last of which may be none: whether vectors are multiplied before they are
    summed or after hangs on the number, and must be the same everywhere.
    """

    def degree(self) -> Tensor:
        """[T] float32, visible edges of each target in all processes."""
        return distributed.total(super().degree())

    def sum(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """Sums the vectors of each target's sources in all processes; see `Adjacency.sum`."""
        return distributed.total(self._own_sum(x, weight))

    def mean(self, x: Tensor) -> Tensor:
        """Averages the vectors of each target's sources in all processes, sums and degrees in one message."""
        both = distributed.total(torch.cat([self._own_sum(x, None), super().degree()[:, None]], dim=1))  # [T, D + 1]
        return both[:, :-1] * both[:, -1:].detach().clamp(min=1).reciprocal()

    def _own_sum(self, x: Tensor, weight: Tensor | None) -> Tensor:
        return super().sum(functional.pad(x, (0, 0, 0, self.num_sources - len(x))), weight)


class _FromAllUsers(_Shared):
    """Edges from all users to own ones: the vectors of the others are fetched."""

    def __init__(self, edge_index: Tensor, first: int, num_users: int, size: int) -> None:
        super().__init__(edge_index, num_users, size)
        self.first = first

    def sum(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """Sums the vectors of each target's sources: own users' [size, D] -> [size, D]; see `Adjacency.sum`."""
        return super().sum(_everyone(x, self.first, self.num_sources), weight)


def _everyone(x: Tensor, first: int, num_users: int) -> Tensor:
    """[size, D] vectors of own users -> [U, D] of all, counted from the first own one on."""
    padded = functional.pad(x, (0, 0, 0, num_users - len(x)))  # [U, D], zero for the users of others
    return distributed.total(padded.roll(first, 0)).roll(-first, 0)
