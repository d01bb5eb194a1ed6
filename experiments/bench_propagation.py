"""One forward and backward pass of two hetero GraphSAGE layers on MovieLens-1M, one thread, against plain edge lists.

    python -m experiments.bench_propagation [--repeats 7]

Every competitor has the same layers, the same weights and the same relations in each step; a check before the
measurement compares their vectors. Only how neighbours are summed differs:

- `ours`: `gnnrec.nn.encoder`.
- `edge_index`: each layer of torch_geometric is handed `edge_index`, and gathers and scatters.
- `csr`: each layer of torch_geometric is handed a sparse CSR tensor of torch.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.nn import SAGEConv

from experiments.benchmarks import medians, movielens, ratio, side_by_side, write
from gnnrec.graph.adjacency import Adjacency
from gnnrec.graph.block import Block, whole_graph
from gnnrec.graph.build import build_graph, node_counts
from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.views import INTERACTS, ITEM, USER


class Plain(SAGEConv):  # type: ignore[misc]
    """torch_geometric's layer as it stands: of a subclass, the encoder knows nothing and calls it."""


class Csr(Adjacency):
    """Edges that are handed to a layer as a sparse tensor of torch, as torch_geometric allows."""

    def visible(self) -> Tensor:
        """[T, S], sparse."""
        pointer, column = self.pointer, self.edge_index[0]
        return torch.sparse_csr_tensor(pointer, column, torch.ones(len(column)), (self.num_targets, self.num_sources))


def passes(channels: int = 64) -> tuple[dict[str, Callable[[], dict[str, Tensor]]], int]:
    """Name -> forward and backward pass, which returns the vectors; and the number of interactions."""
    train = movielens().train
    graph = build_graph(train)
    count, block = node_counts(graph), whole_graph(graph)
    sparse = {t: Csr(graph[t].edge_index, count[t[0]], count[t[2]]) for t in graph.edge_types}
    config = EncoderConfig(layers=2, channels=channels, dropout=0.0)
    generator = torch.Generator().manual_seed(0)
    direction = {t: torch.randn(count[t], channels, generator=generator) for t in (USER, ITEM)}

    def one(layer: type, of: Block) -> Callable[[], dict[str, Tensor]]:
        torch.manual_seed(0)  # the same weights for all
        encoder = Encoder(count, graph.edge_types, config, layer)

        def run() -> dict[str, Tensor]:
            encoder.zero_grad()
            x = encoder([of, of])
            sum((x[t] * direction[t]).sum() for t in direction).backward()
            return {t: x[t].detach() for t in direction}

        return run

    return {
        "ours": one(SAGEConv, block),
        "edge_index": one(Plain, block),
        "csr": one(Plain, Block(sparse, count)),
    }, graph[INTERACTS].num_edges


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    runs, interactions = passes()
    expected = runs["edge_index"]()
    for name, run in runs.items():
        for node_type, x in run().items():
            torch.testing.assert_close(x, expected[node_type], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    seconds = side_by_side(runs, repeats, time.process_time)
    write(
        "propagation",
        {
            "what": "forward and backward, two layers of 64 channels, MovieLens-1M; processor seconds, one thread",
            "interactions": interactions,
            "seconds": medians(seconds),
            "ratios": {f"{name} / ours": ratio(seconds, name, "ours") for name in ("edge_index", "csr")},
            "target": {"edge_index / ours": 12},
        },
    )


if __name__ == "__main__":
    main()
