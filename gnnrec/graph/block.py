"""The edges of one step of message passing, from source nodes to target nodes."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from gnnrec.graph.adjacency import Adjacency
from gnnrec.graph.build import node_counts
from gnnrec.views import USER, EdgeType, reverse


@dataclass(frozen=True)
class Block:
    """The edges of one step: from source nodes to target nodes.

    The first nodes of each type among the sources are the targets, in the same order.

    Attributes:
        adjacency: edge type -> edges.
        num_targets: node type -> number of targets.
    """

    adjacency: Mapping[EdgeType, Adjacency]
    num_targets: Mapping[str, int]

    def hide(self, edge_type: EdgeType, kept: Tensor) -> "Block":
        """The block without some edges of one relation and of its reverse.

        Args:
            edge_type: the relation as the graph was built with it (not the reverse).
            kept: [E] bool in the order of the graph's edge list, the edges that stay visible.
        """
        hidden = {t: self.adjacency[t].hide(kept) for t in (edge_type, reverse(edge_type)) if t in self.adjacency}
        return Block({**self.adjacency, **hidden}, self.num_targets)

    def events_before(self, time: Tensor) -> "Block":
        """The block with only those events of each user, in both directions, that came before a moment.

        Args:
            time: [U] int64, the moment of each user among the targets, on the block's device.
        """
        block = self
        for edge_type in self.event_types:
            edges = self.adjacency[reverse(edge_type)]
            assert edges.time is not None
            kept = torch.empty(edges.num_edges, dtype=torch.bool, device=time.device)
            kept[edges.edge_id] = edges.time < time[edges.edge_index[1]]
            block = block.hide(edge_type, kept)
        return block

    @property
    def event_types(self) -> list[EdgeType]:
        """The relations of users whose edges have times."""
        known = (t for t in self.adjacency if t[0] == USER and reverse(t) in self.adjacency)
        return [t for t in known if self.adjacency[reverse(t)].time is not None]

    def to(self, device: torch.device) -> "Block":
        """The same block on a device."""
        return Block({t: edges.to(device) for t, edges in self.adjacency.items()}, self.num_targets)

    def without_messages_from(self, silent: Tensor) -> "Block":
        """The block without the edges that start at some users; a new user has none either.

        Args:
            silent: [U] bool, the users whose outgoing edges are hidden.
        """
        masked = {t: edges.without_messages_from(silent) for t, edges in self.adjacency.items() if t[0] == USER}
        return Block({**self.adjacency, **masked}, self.num_targets)

    def of_users(self, users: Tensor) -> "Block":
        """The subgraph of some users: their edges, those between them, and all other nodes and edges.

        Args:
            users: [U'] int64, ascending, on the block's device; they are renumbered.
        """
        number = torch.full((self.num_targets[USER],), -1, device=users.device)
        number[users] = torch.arange(len(users), device=users.device)
        adjacency = {t: edges for t, edges in self.adjacency.items() if USER not in (t[0], t[2])}
        for t in (t for t in self.adjacency if t[0] == USER):
            mutual = t[2] == USER
            incoming = self.adjacency[t if mutual else reverse(t)].reaching(users)
            edges, others = incoming.edge_index, incoming.num_sources
            if mutual:
                edges = torch.stack([number[edges[0]], edges[1]])
                adjacency[t] = Adjacency(edges[:, edges[0] >= 0], len(users), len(users))
            else:  # both directions from one list, so that hiding an edge by its position hides both
                adjacency[t] = Adjacency(edges.flip(0), len(users), others, weight=incoming.weight)
                adjacency[reverse(t)] = incoming
        in_order = {t: adjacency[t] for t in self.adjacency}  # sums over relations keep their order
        return Block(in_order, {**self.num_targets, USER: len(users)})


def whole_graph(graph: HeteroData) -> Block:
    """A graph as one block, for every step."""
    count = node_counts(graph)
    adjacency = {
        t: Adjacency(graph[t].edge_index, count[t[0]], count[t[2]], graph[t].get("time"), weight=graph[t].get("share"))
        for t in graph.edge_types
    }
    return Block(adjacency, count)
