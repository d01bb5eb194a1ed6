"""Time and memory of one epoch as the users grow: synthetic data, 20 interactions and 8 attributes each, 10^5 items.

    python -m experiments.bench_growth [--large] [--users 10000 100000]

Each size runs in a process of its own, so that its peak of memory is its own. Data is made straight as a training
part; nothing is read or split. Sampled training, two layers of 32 channels, num_neighbors 5, batches of 4,096 users,
sampled softmax with 100 drawn items. A step over few users soon draws all of them, and from there on costs no
more: the edges that a step draws are counted, and the time is given for each of them, too. `--large` adds 10^6 users.
"""

import argparse
import itertools
import json
import math
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from experiments.benchmarks import write
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.training.ranking import RankingConfig
from gnnrec.training.tracking import Tracker
from gnnrec.views import ITEM, USER, Edges, TrainingData, UserBatch

ITEMS, CHOICES, ATTRIBUTES, VALUES = 100_000, 20, 8, 100


class Watch(Tracker):
    """Notes when training begins and when its epoch ends, and what its steps draw."""

    steps = edges = users = 0

    def load(self, stage: str) -> None:
        """See `Tracker.load`."""
        self.begin = time.perf_counter()

    def drawn(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Counts what a step has drawn, before the encoder sees it."""
        if isinstance(module, Encoder) and module.training:
            blocks, nodes, *_ = inputs
            self.steps += 1
            self.users += len(nodes[USER])
            self.edges += sum(edges.num_edges for block in blocks for edges in block.adjacency.values())

    def epoch(self, stage: str, epoch: int, total: int, values: dict[str, float]) -> None:
        """See `Tracker.epoch`."""
        self.seconds = time.perf_counter() - self.begin


def synthetic(num_users: int) -> TrainingData:
    """Users with popular and less popular items (a power law), and an even value of each attribute."""
    random = np.random.default_rng(0)
    user = np.repeat(np.arange(num_users), CHOICES)
    item = (ITEMS * random.random(len(user)) ** 3).astype(np.int64)
    key = np.unique(user * ITEMS + item)
    row, node = torch.from_numpy(key // ITEMS), torch.from_numpy(key % ITEMS)
    everyone = torch.arange(num_users)
    relations = {
        (USER, f"attribute {a}", f"attribute {a}"): Edges(
            everyone, torch.from_numpy(random.integers(VALUES, size=num_users))
        )
        for a in range(ATTRIBUTES)
    }
    candidates = torch.zeros(ITEMS, dtype=torch.bool)
    candidates[node] = True
    ids = {ITEM: pd.RangeIndex(ITEMS), **{t[2]: pd.RangeIndex(VALUES) for t in relations}}
    return TrainingData(UserBatch(everyone, Edges(row, node), relations), ids, (), {}, candidates)


def one(num_users: int, threads: int) -> dict[str, float]:
    """Trains one epoch on synthetic data of one size, in this process."""
    torch.set_num_threads(threads)
    train = synthetic(num_users)
    model = GraphSAGE(
        encoder=EncoderConfig(layers=2, channels=32, init="random"),
        pretrain=None,
        finetune=RankingConfig(epochs=1, loss="sampled_softmax", batch_users=4096),
        num_neighbors=5,
    )
    watch = model.tracker = Watch()
    start = time.perf_counter()
    with register_module_forward_pre_hook(watch.drawn):
        model.fit(train, None, seed=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    edges = len(train.users.items) + sum(map(len, train.users.relations.values()))
    return {
        "users": num_users,
        "edges": edges,
        "seconds_of_the_epoch": watch.seconds,
        "users_drawn_in_a_step": watch.users / watch.steps,
        "edges_drawn_in_a_step": watch.edges / watch.steps,
        "microseconds_for_a_drawn_edge": 1e6 * watch.seconds / watch.edges,
        "seconds_of_the_fit": time.perf_counter() - start,
        "peak_mb": peak,
    }


def main() -> None:
    """Measures and writes; with --one, measures one size and prints it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--large", action="store_true", help="also a million users (about ten minutes)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(one(arguments.one, arguments.threads)))
        return
    sizes = [*arguments.users, *([1_000_000] if arguments.large else [])]
    rows = []
    for size in sizes:
        command = [sys.executable, "-m", "experiments.bench_growth", "--one", str(size)]
        command += ["--threads", str(arguments.threads)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    exponents = {}
    for few, many in itertools.pairwise(rows):
        grown = math.log(many["edges"] / few["edges"])
        exponents[f"{few['users']} to {many['users']} users"] = {
            key: math.log(many[key] / few[key]) / grown for key in ("seconds_of_the_epoch", "peak_mb")
        }
    write(
        "growth",
        {
            "what": f"one epoch, {CHOICES} interactions and {ATTRIBUTES} attributes a user, {ITEMS} items",
            "threads": arguments.threads,
            "sizes": rows,
            "exponents": exponents,
            "target": {"exponent from 10^5 to 10^6 users": 1.1, "minutes at 10^6": 15, "peak_mb at 10^6": 8192},
        },
    )


if __name__ == "__main__":
    main()
