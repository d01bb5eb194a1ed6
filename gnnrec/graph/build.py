"""The heterogeneous graph of the training users as HeteroData."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from gnnrec.errors import DataError
from gnnrec.views import INTERACTS, USER, Edges, EdgeType, TrainingData, UserBatch, reverse


def build_graph(train: TrainingData) -> HeteroData:
    """Builds the heterogeneous graph of the training users.

    Node types are `user` (no features and no table: `num_nodes` only), `item`, and one for each attribute or further
    type. Every relation is there in both directions, its edges in the same order, so that an edge and its reverse have
    the same position; a relation from users to users is symmetric already and has no reverse.

    Args:
        train: the training data; nothing else can enter the graph.

    Returns:
        A graph with `edge_index` [2, E] int64 for each edge type, `edge_weight` [E] float32 where edges have one,
        `time` [E] int64 where they are events, and `share` [E] float32, the weights that messages have: those of
        interpolated numbers.

    Raises:
        DataError: a relation has the name of the interactions, or of the reverse of another relation.
    """
    graph = HeteroData()
    graph[USER].num_nodes = train.num_users
    for node_type, ids in train.ids.items():
        graph[node_type].num_nodes = len(ids)
    _add(graph, INTERACTS, _edge_index(train.users.items), train.users.items.weight)
    for edge_type, edges in train.users.relations.items():
        _add(graph, edge_type, _edge_index(edges), edges.weight, edges.time)
        if edge_type in train.interpolated:
            graph[edge_type].share = graph[reverse(edge_type)].share = edges.weight
    for relation in train.relations:
        _add(graph, relation.type, relation.edge_index, relation.weight)
    return graph


def attached_edges(users: UserBatch) -> dict[EdgeType, tuple[Tensor, Tensor | None]]:
    """The edges into B new users. New users have no outgoing edges, so no other vector changes.

    Args:
        users: B users; edges to other users point to rows of the training users.

    Returns:
        Edge type -> ([2, E] int64, row 0 nodes of the graph, row 1 rows of the batch; [E] weights or None).
    """
    result = {reverse(INTERACTS): (_edge_index(users.items).flip(0), users.items.weight)}
    for edge_type, edges in users.relations.items():
        into = edge_type if edge_type[2] == USER else reverse(edge_type)
        result[into] = (_edge_index(edges).flip(0), edges.weight)
    return result


def attach(graph: HeteroData, users: UserBatch) -> HeteroData:
    """The graph with B users appended to the training users by `attached_edges`. For inspection and tests.

    Returns:
        A new graph whose last B user nodes are the new users; the old one is unchanged.
    """
    first = graph[USER].num_nodes
    larger = HeteroData()
    for node_type in graph.node_types:
        larger[node_type].num_nodes = graph[node_type].num_nodes + (len(users) if node_type == USER else 0)
    new = attached_edges(users)
    for edge_type in graph.edge_types:
        edge_index, weight = graph[edge_type].edge_index, graph[edge_type].get("edge_weight")
        if edge_type in new:
            edges, new_weight = new[edge_type]
            edge_index = torch.cat([edge_index, edges + torch.tensor([[0], [first]])], dim=1)
            weight = None if weight is None or new_weight is None else torch.cat([weight, new_weight])
        larger[edge_type].edge_index = edge_index
        if weight is not None:
            larger[edge_type].edge_weight = weight
            if "share" in graph[edge_type]:
                larger[edge_type].share = weight
    return larger


def node_counts(graph: HeteroData) -> Mapping[str, int]:
    """Number of nodes of each type."""
    return {t: int(graph[t].num_nodes) for t in graph.node_types}


def _edge_index(edges: Edges) -> Tensor:
    return torch.stack([edges.row, edges.node])


def _add(
    graph: HeteroData, edge_type: EdgeType, edge_index: Tensor, weight: Tensor | None, time: Tensor | None = None
) -> None:
    both = [(edge_type, edge_index)]
    if edge_type[0] != USER or edge_type[2] != USER:
        both.append((reverse(edge_type), edge_index.flip(0)))
    for kind, edges in both:
        if kind in graph.edge_types:
            raise DataError(f"relation {edge_type}: the graph has edges {kind} already; give the relation another name")
        graph[kind].edge_index = edges
        if weight is not None:
            graph[kind].edge_weight = weight
        if time is not None:
            graph[kind].time = time
