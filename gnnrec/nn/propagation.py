"""The vectors of the wanted nodes, by whole-graph propagation or by sampled mini-batches: one call, same numbers."""

from collections.abc import Mapping

import torch
from torch import Tensor

from gnnrec.graph.block import Block
from gnnrec.graph.sampling import NumNeighbors, sample_blocks
from gnnrec.nn.encoder import Encoder, Vectors
from gnnrec.views import USER


def vectors(
    encoder: Encoder,
    block: Block,
    wanted: Mapping[str, Tensor],
    *,
    num_neighbors: NumNeighbors | None = None,
    sampled: bool = False,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Computes the vectors of some nodes.

    Args:
        encoder: the encoder.
        block: the whole graph, with what is hidden in this step.
        wanted: node type -> [n] int64; a node may stand there more than once.
        num_neighbors: edges drawn per target and relation, for sampled propagation; None takes all of them.
        sampled: whether to follow only the edges that lead to the wanted nodes. Pays where the graph is large and the
            batch is small.
        generator: source of the draws, needed with a fan-out.

    Returns:
        Node type -> [n, D] float32, row by row as wanted.
    """
    outputs = tuple(wanted)
    if not sampled:
        return _whole(encoder, block, wanted)
    once = {t: index.unique(return_inverse=True) for t, index in wanted.items()}
    distinct = {t: nodes for t, (nodes, _) in once.items()}
    nodes, blocks = sample_blocks(block, encoder.plan(outputs), distinct, num_neighbors, generator or torch.Generator())
    some = encoder(blocks, nodes, outputs)
    return {t: _rows(_present(some[t], len(distinct[t]), encoder), place) for t, (_, place) in once.items()}


def _whole(encoder: Encoder, block: Block, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole-graph propagation, but where few users are wanted, the last step is taken for them alone."""
    plan, steps = encoder.plan(tuple(wanted)), encoder.config.layers
    x: Vectors = encoder.initial()
    for depth, relations in enumerate(plan[:-1]):
        x = encoder.step(depth, x, x, block, relations)
    index, targets = dict(wanted), dict(x)
    users = wanted.get(USER)
    if users is not None and 2 * len(users) < block.num_targets[USER]:
        few, index[USER] = users.unique(return_inverse=True)
        received = {t: block.adjacency[t].reaching(few) for t in plan[-1] if t[2] == USER}
        block = Block({**block.adjacency, **received}, {**block.num_targets, USER: len(few)})
        before = x[USER]
        targets[USER] = None if before is None else _rows(before, few)
    last = encoder.step(steps - 1, x, targets, block, plan[-1])
    return {t: _rows(_present(last[t], block.num_targets[t], encoder), place) for t, place in index.items()}


def _rows(x: Tensor, place: Tensor) -> Tensor:
    return x.index_select(0, place)  # half the time of x[place] on the way back


def _present(x: Tensor | None, count: int, encoder: Encoder) -> Tensor:
    return torch.zeros(count, encoder.config.channels, device=encoder.device) if x is None else x
