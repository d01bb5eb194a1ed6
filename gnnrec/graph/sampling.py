"""Neighbour sampling: the edges that lead to some nodes, drawn or all of them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gnnrec.graph.adjacency import Adjacency, runs
from gnnrec.graph.block import Block
from gnnrec.views import EdgeType

NumNeighbors = int | Mapping[str, int] | None
"""Edges drawn per target and relation: one number, one per relation name (all edges of the others), or None: all."""


def sample_edges(
    adjacency: Adjacency, target: Tensor, num_neighbors: int | None, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draws edges into some targets, in time proportional to the edges drawn.

    Args:
        adjacency: the edges; hidden ones are never drawn.
        target: [T] int64.
        num_neighbors: at most this many edges per target; all of them where it has no more. Above that, so many draws
            with replacement, each edge kept once: all have the same probability, and the mean is unbiased.
        generator: source of the draws.

    Returns:
        [E] int64 positions of the edges in the sorted order, and [E] int64 positions in `target`, ascending.
    """
    first = adjacency.pointer[target]
    degree = adjacency.pointer[target + 1] - first
    if not adjacency.hides:
        row, place = _draw(first, degree, num_neighbors, generator)
        return place, row
    # For a target with many edges, edges are drawn as if none were hidden; only where a hidden one is drawn, and for
    # targets with few edges, all edges are masked first. Either way each visible edge has the same probability.
    many = (degree > max(64, 4 * num_neighbors)).nonzero().flatten() if num_neighbors is not None else degree[:0]
    row, place = _draw(first[many], degree[many], num_neighbors, generator)
    fine = torch.ones(len(many), dtype=torch.bool, device=many.device)
    fine[row[~adjacency.alive(place)]] = False
    row, place = many[row[fine[row]]], place[fine[row]]
    rest = torch.ones(len(target), dtype=torch.bool, device=target.device)
    rest[many[fine]] = False
    looked_at = rest.nonzero().flatten()
    run, every = runs(first[looked_at], degree[looked_at])
    alive = adjacency.alive(every)
    run, every = run[alive], every[alive]
    count = torch.bincount(run, minlength=len(looked_at))
    drawn, chosen = _draw(count.cumsum(0) - count, count, num_neighbors, generator)
    row, place = torch.cat([row, looked_at[drawn]]), torch.cat([place, every[chosen]])
    order = row.argsort(stable=True)
    return place[order], row[order]


def _draw(
    first: Tensor, degree: Tensor, num_neighbors: int | None, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draws from runs of edges as `sample_edges` does: [T] starts and lengths -> [E] runs, ascending, and positions."""
    if num_neighbors is None:
        return runs(first, degree)
    many = (degree > num_neighbors).nonzero().flatten()
    if not len(many):
        return runs(first, degree)
    row, place = runs(first, torch.where(degree <= num_neighbors, degree, 0))
    draw = torch.randint(2**32, (len(many), num_neighbors), generator=generator).to(first.device)  # [M, K]
    drawn = (draw * degree[many, None] >> 32) + first[many, None]
    drawn = drawn.sort(dim=1).values
    new = torch.ones_like(drawn, dtype=torch.bool)
    new[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
    row = torch.cat([row, many[:, None].expand_as(drawn)[new]])
    place = torch.cat([place, drawn[new]])
    order = row.argsort(stable=True)
    return row[order], place[order]


def sample_blocks(
    block: Block,
    plan: Sequence[Sequence[EdgeType]],
    wanted: Mapping[str, Tensor],
    num_neighbors: NumNeighbors,
    generator: torch.Generator,
) -> tuple[dict[str, Tensor], list[Block]]:
    """Samples the blocks for some target nodes, one per step.

    Args:
        block: the whole graph, with the masks of this step.
        plan: the relations of each step, see `Encoder.plan`.
        wanted: node type -> [T] int64, no node twice.
        num_neighbors: edges per target and relation.
        generator: source of the draws.

    Returns:
        Node type -> [N] int64 sources of the first block, and the blocks; their last targets are `wanted`.
    """
    device = next(iter(wanted.values())).device
    nodes = {t: wanted.get(t, torch.empty(0, dtype=torch.int64, device=device)) for t in block.num_targets}
    blocks = []
    for relations in reversed(plan):
        count = {t: len(index) for t, index in nodes.items()}
        edges: dict[EdgeType, tuple[Tensor, Tensor, Tensor | None]] = {}
        for edge_type in relations:
            limit = num_neighbors.get(edge_type[1]) if isinstance(num_neighbors, Mapping) else num_neighbors
            all_edges = block.adjacency[edge_type]
            drawn, row = sample_edges(all_edges, nodes[edge_type[2]], limit, generator)
            weight = None if all_edges.weight is None else all_edges.weight[drawn]
            edges[edge_type] = all_edges.edge_index[0, drawn], row, weight
        place = {}
        for node_type in {t[0] for t in relations}:
            known = nodes[node_type]
            more = torch.zeros(block.num_targets[node_type], dtype=torch.bool, device=device)
            for edge_type, (source, _, _) in edges.items():
                if edge_type[0] == node_type:
                    more[source] = True
            more[known] = False
            nodes[node_type] = torch.cat([known, more.nonzero().flatten()])
            # of each node, where it is among these
            place[node_type] = torch.empty(len(more), dtype=torch.int64, device=device)
            place[node_type][nodes[node_type]] = torch.arange(len(nodes[node_type]), device=device)
        adjacency = {}
        for edge_type, (source, row, weight) in edges.items():
            local = torch.stack([place[edge_type[0]][source], row])
            size = (len(nodes[edge_type[0]]), count[edge_type[2]])
            adjacency[edge_type] = Adjacency(local, *size, weight=weight, in_order=True)
        blocks.append(Block(adjacency, count))
    return nodes, blocks[::-1]
