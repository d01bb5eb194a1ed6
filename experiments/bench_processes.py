"""Throughput of training: two processes of one thread against one process of one thread.

    python -m experiments.bench_processes [--rounds 9] [--steps 8]

Three cases, with encoders and settings as configs have them where nothing else is said (three layers of 64 channels):

- *ml-1m*: MovieLens-1M, as many items as users; whole-graph steps of 256 users, as in configs/ml-1m/graphsage.yaml;
- *many users*: synthetic data with ten users for each item; the same steps;
- *many users, sampled*: two layers, num_neighbors 10, steps of 2,048 users, sampled softmax. Only gradients are sent.

One process and two take turns, so that a busy moment of the machine meets both. Measured are the wall clock, and the
processor time of the busier process, in which its waiting for the other one does not count.
"""

import argparse
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import Tensor
from torch_geometric.nn import SAGEConv

from experiments.benchmarks import medians, movielens, ratio, write
from gnnrec.data.synthetic import synthetic
from gnnrec.graph.sharding import Shard, own_shard
from gnnrec.models.ranking_task import RankingTask
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.runtime import distributed
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.training.ranking import RankingConfig, ranking_losses
from gnnrec.views import USER, TrainingData

PROCESSES = 2


class Trainer:
    """Steps of fine-tuning, by all processes that are joined.

    Args:
        case: one of CASES.
    """

    def __init__(self, case: str) -> None:
        make, layers, num_neighbors, config = CASES[case]
        train = make()
        task = RankingTask(
            train, config, EncoderConfig(layers=layers), SAGEConv, pretrained=False, seed=0, weights_seed=0
        )
        sampled = num_neighbors is not None
        alone = distributed.count() == 1
        shard = Shard.whole(task.block) if alone else own_shard(task.graph_for_shards, sampled=sampled)
        self.parameters = list(task.head.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=0.005)
        task.head.train()
        generator = torch.Generator().manual_seed(0)

        def losses() -> Iterator[Tensor]:
            while True:
                yield from ranking_losses(task.head, shard, train, config, num_neighbors, generator)

        self.losses = losses()

    def take(self, steps: int) -> None:
        """Takes some steps."""
        for loss in itertools.islice(self.losses, steps):
            self.optimizer.zero_grad()
            loss.backward()
            distributed.sum_gradients(self.parameters)
            self.optimizer.step()


def work(case: str, rank: int, store: str, orders: list[Any], done: Any) -> None:
    """One of several processes: takes as many steps as it is told, until it is told none."""
    torch.set_num_threads(1)
    if len(orders) > 1:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=len(orders))
    trainer = Trainer(case)
    while steps := orders[rank].get():
        start = time.process_time()
        trainer.take(steps)
        done.put(time.process_time() - start)


def many_users() -> TrainingData:
    """Synthetic data with ten users for each item: 20,000 users, 2,000 items, 20 draws per user; no friends."""
    data = synthetic(0, num_users=20_000, num_items=2_000, groups=20, choices=20, friends=0)
    train = make_split(data, UnseenUsers(test=0.1, validation=0.1), 0).train
    alone = {t: edges for t, edges in train.users.relations.items() if t[2] != USER}
    return replace(train, users=replace(train.users, relations=alone))


CASES: Mapping[str, tuple[Callable[[], TrainingData], int, int | None, RankingConfig]] = {
    "ml-1m": (lambda: movielens().train, 3, None, RankingConfig()),
    "many users": (many_users, 3, None, RankingConfig(graph_users=100_000)),  # all of them, as several processes do
    "many users, sampled": (many_users, 2, 10, RankingConfig(loss="sampled_softmax", batch_users=2048)),
}
"""Name -> what makes the data, layers, num_neighbors, settings."""


def compare(case: str, rounds: int, steps: int) -> dict[str, Any]:
    """Measures one process and two, in turn, in one case."""
    context = multiprocessing.get_context("spawn")
    seconds: dict[str, list[float]] = {"one process": [], "two processes": []}
    busy: dict[str, list[float]] = {"one process": [], "two processes": []}
    with TemporaryDirectory() as folder:
        teams = []
        for name, size in (("one process", 1), ("two processes", PROCESSES)):
            orders, done = [context.SimpleQueue() for _ in range(size)], context.SimpleQueue()
            store = str(Path(folder) / name)
            team = [context.Process(target=work, args=(case, rank, store, orders, done)) for rank in range(size)]
            for process in team:
                process.start()
            teams.append((name, orders, done, team))
        for number in range(rounds + 1):
            for name, orders, done, _ in teams:
                start = time.perf_counter()
                for order in orders:
                    order.put(1 if number == 0 else steps)
                most = max(done.get() for _ in orders)
                if number > 0:  # the first step builds what later ones use
                    seconds[name].append(time.perf_counter() - start)
                    busy[name].append(most)
        for _, orders, _, team in teams:
            for order, process in zip(orders, team, strict=True):
                order.put(0)
                process.join()
    return {
        "steps_per_second": {name: steps / s for name, s in medians(seconds).items()},
        "ratios": {
            "two processes / one process": ratio(seconds, "one process", "two processes"),
            "by processor time": ratio(busy, "one process", "two processes"),
        },
        "seconds": {name: [round(s, 2) for s in values] for name, values in seconds.items()},
        "processor_seconds": {name: [round(s, 2) for s in values] for name, values in busy.items()},
    }


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=8)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    movielens()  # missing data stop this before one process waits for another
    write(
        "processes",
        {
            "what": "steps of fine-tuning, one thread per process; see experiments/bench_processes.py for the cases",
            "cases": {case: compare(case, arguments.rounds, arguments.steps) for case in CASES},
            "target": {"two processes / one process": 1.2},
        },
    )


if __name__ == "__main__":
    main()
