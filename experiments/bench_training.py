"""Positive edges per second in training on MovieLens-1M: sampled mini-batches, whole-graph steps, PyG's loader.

    python -m experiments.bench_training [--steps 8]

Two layers of 64 channels, num_neighbors 10 and 10, one drawn item for each true edge, batches of 2,048 edges; a
whole-graph step asks for a fifth of all edges at once, as pretraining does. `LinkNeighborLoader` needs pyg-lib or
torch-sparse and is skipped where neither can be imported. Each measurement takes one step: draw, forward,
backward, AdamW.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.data import HeteroData
from torch_geometric.nn import HeteroConv, SAGEConv

from experiments.benchmarks import medians, movielens, side_by_side, write
from gnnrec.graph.block import whole_graph
from gnnrec.graph.build import build_graph, node_counts
from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.nn.propagation import vectors
from gnnrec.views import INTERACTS, ITEM, USER

BATCH, NUM_NEIGHBORS, CHANNELS = 2048, 10, 64


def ours(graph: HeteroData, batch: int, *, sampled: bool) -> Callable[[], Tensor]:
    """One step of ours; edges asked for pass no message."""
    torch.manual_seed(0)
    count, edges = node_counts(graph), graph[INTERACTS].edge_index
    encoder = Encoder(count, graph.edge_types, EncoderConfig(layers=2, channels=CHANNELS), SAGEConv)
    optimizer, block = torch.optim.AdamW(encoder.parameters()), whole_graph(graph)
    generator = torch.Generator().manual_seed(0)

    def batches() -> Iterator[Tensor]:
        while True:
            yield from torch.randperm(edges.shape[1], generator=generator).split(batch)[:-1]

    parts = batches()

    def step() -> Tensor:
        asked = next(parts)
        kept = torch.ones(edges.shape[1], dtype=torch.bool)
        kept[asked] = False
        user, item = edges[:, asked]
        drawn = torch.randint(count[ITEM], (len(asked),), generator=generator)
        wanted = {USER: user, ITEM: torch.cat([item, drawn])}
        num_neighbors = NUM_NEIGHBORS if sampled else None
        masked = block.hide(INTERACTS, kept)
        x = vectors(encoder, masked, wanted, num_neighbors=num_neighbors, sampled=sampled, generator=generator)
        score = (torch.cat([x[USER], x[USER]]) * x[ITEM]).sum(-1)
        return _learn(score, optimizer)

    return step


def loader(graph: HeteroData) -> Callable[[], Tensor]:
    """One step of torch_geometric's pipeline: LinkNeighborLoader, HeteroConv, users with vectors of zeros."""
    from torch_geometric.loader import LinkNeighborLoader

    torch.manual_seed(0)
    count = node_counts(graph)
    tables = torch.nn.ModuleDict({t: torch.nn.Embedding(n, CHANNELS) for t, n in count.items() if t != USER})
    layers = torch.nn.ModuleList(
        HeteroConv({t: SAGEConv(CHANNELS, CHANNELS) for t in graph.edge_types}, aggr="sum") for _ in range(2)
    )
    optimizer = torch.optim.AdamW([*tables.parameters(), *layers.parameters()])
    data = graph.clone()
    for node_type, n in count.items():
        data[node_type].index = torch.arange(n)
    batches = itertools.cycle(
        LinkNeighborLoader(
            data,
            [NUM_NEIGHBORS, NUM_NEIGHBORS],
            edge_label_index=(INTERACTS, data[INTERACTS].edge_index),
            neg_sampling_ratio=1.0,
            batch_size=BATCH,
            shuffle=True,
        )
    )

    def step() -> Tensor:
        batch = next(batches)
        x = {t: tables[t](batch[t].index) for t in tables} | {USER: torch.zeros(batch[USER].num_nodes, CHANNELS)}
        for depth, layer in enumerate(layers):
            received = layer(x, batch.edge_index_dict)
            x = {t: (x[t] + received[t] if t in received else x[t]) for t in x}
            x = {t: functional.dropout(v.relu(), 0.3) for t, v in x.items()} if depth == 0 else x
        user, item = batch[INTERACTS].edge_label_index
        score = (x[USER][user] * x[ITEM][item]).sum(-1)  # the true edges come first
        return _learn(score, optimizer)

    return step


def _learn(score: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
    true, drawn = score.chunk(2)
    loss = functional.softplus(-true).mean() + functional.softplus(drawn).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=8)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    graph = build_graph(movielens().train)
    fifth = graph[INTERACTS].num_edges // 5
    runs = {"sampled": ours(graph, BATCH, sampled=True), "whole graph": ours(graph, fifth, sampled=False)}
    skipped = {}
    try:
        step = loader(graph)
        step()
        runs["LinkNeighborLoader"] = step
    except ImportError as error:
        skipped["LinkNeighborLoader"] = str(error)
    seconds = medians(side_by_side(runs, steps, time.process_time))
    per_second = {name: (fifth if name == "whole graph" else BATCH) / s for name, s in seconds.items()}
    against = "LinkNeighborLoader" if "LinkNeighborLoader" in runs else "sampled"
    write(
        "training",
        {
            "what": "two layers of 64 channels, num_neighbors 10, one drawn item per edge; processor time, one thread",
            "positive_edges_per_second": per_second,
            "ratios": {
                f"{name} / {against}": v / per_second[against] for name, v in per_second.items() if name != against
            },
            "skipped": skipped,
            "target": {"sampled / LinkNeighborLoader": 3, "whole graph / LinkNeighborLoader": 40},
        },
    )


if __name__ == "__main__":
    main()
