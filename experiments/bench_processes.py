"""Throughput of training on MovieLens-1M: two processes of one thread against one process of one thread.

    python -m experiments.bench_processes [--rounds 3] [--steps 8]

Both take the same whole-graph steps of fine-tuning as configs/ml-1m/graphsage.yaml says (three layers of 64 channels,
256 users asked about per step). They take turns, so that a busy moment of the machine meets both. Measured are the wall
clock, and the processor time of the busier process: two processes wait for each other, so on cores that others use too
the clock says what is left of them, and processor time what they would gain where each has a core and nobody waits.
"""

import argparse
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import Tensor

from experiments.benchmarks import medians, movielens, ratio, write
from gnnrec import distributed
from gnnrec.finetune import FinetuneConfig, _steps
from gnnrec.gnn import GraphRecommender
from gnnrec.sharding import Shard, own_shard

PROCESSES = 2


class Trainer:
    """Steps of fine-tuning, by all processes that are joined."""

    def __init__(self) -> None:
        train = movielens().train
        model = GraphRecommender(pretrain=None)
        model.build(train, 0)
        member = model._members[0]
        alone = distributed.count() == 1
        self.shard = Shard.whole(member.part.block) if alone else own_shard(member.part.graph, sampled=False)
        self.parameters = list(member.ranker.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=0.005)
        member.ranker.train()
        generator, config = torch.Generator().manual_seed(0), FinetuneConfig()

        def losses() -> Iterator[Tensor]:
            while True:
                yield from _steps(member.ranker, self.shard, train, config, None, generator)

        self.losses = losses()

    def take(self, steps: int) -> None:
        """Takes some steps."""
        for loss in itertools.islice(self.losses, steps):
            self.optimizer.zero_grad()
            loss.backward()
            distributed.sum_gradients(self.parameters)
            self.optimizer.step()


def work(rank: int, store: str, orders: list[multiprocessing.SimpleQueue], done: multiprocessing.SimpleQueue) -> None:
    """One of several processes: takes as many steps as it is told, until it is told none."""
    torch.set_num_threads(1)
    if len(orders) > 1:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=len(orders))
    trainer = Trainer()
    while steps := orders[rank].get():
        start = time.process_time()
        trainer.take(steps)
        done.put(time.process_time() - start)


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    movielens()  # where the data is missing this says so, before anybody waits for anybody
    context = multiprocessing.get_context("spawn")
    seconds: dict[str, list[float]] = {"one process": [], "two processes": []}
    busy: dict[str, list[float]] = {"one process": [], "two processes": []}
    with TemporaryDirectory() as folder:
        teams = []
        for name, size in (("one process", 1), ("two processes", PROCESSES)):
            orders, done = [context.SimpleQueue() for _ in range(size)], context.SimpleQueue()
            store = str(Path(folder) / name)
            team = [context.Process(target=work, args=(rank, store, orders, done)) for rank in range(size)]
            for process in team:
                process.start()
            teams.append((name, orders, done, team))
        for number in range(arguments.rounds + 1):
            for name, orders, done, _ in teams:
                start = time.perf_counter()
                for order in orders:
                    order.put(1 if number == 0 else arguments.steps)
                most = max(done.get() for _ in orders)
                if number > 0:  # the first step builds what later ones use
                    seconds[name].append(time.perf_counter() - start)
                    busy[name].append(most)
        for _, orders, _, team in teams:
            for order, process in zip(orders, team, strict=True):
                order.put(0)
                process.join()
    write(
        "processes",
        {
            "what": "whole-graph steps of fine-tuning on ML-1M, 256 users each, one thread per process",
            "steps_per_second": {name: arguments.steps / s for name, s in medians(seconds).items()},
            "ratios": {
                "two processes / one process": ratio(seconds, "one process", "two processes"),
                "by processor time": ratio(busy, "one process", "two processes"),
            },
            "seconds": {name: [round(s, 2) for s in values] for name, values in seconds.items()},
            "processor_seconds": {name: [round(s, 2) for s in values] for name, values in busy.items()},
            "target": {"two processes / one process": 1.2},
        },
    )


if __name__ == "__main__":
    main()
