"""From a CSV file of new users to a Parquet file of their ten best items, by the command line's own way.

    python -m experiments.bench_serving [--users 100000] [--rounds 3]

Reading, looking up values, encoding, scoring, choosing and writing, against the product of matrices of the same sizes
and the choice of the ten best alone, batch by batch. The encoder has three layers of 64 channels and is hardly trained:
time does not hang on the weights. Memory is that of `gnnrec recommend --users` in a process of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from experiments.bench_unseen_users import OPTIONS
from experiments.benchmarks import medians, movielens, ratio, side_by_side, write
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.options.resolve import build
from gnnrec.serving.artifact import load, save
from gnnrec.serving.lists import SCORES, USERS, serve
from gnnrec.serving.many import recommend_file
from gnnrec.serving.newcomers import Newcomers
from gnnrec.serving.vocabulary import Vocabulary
from gnnrec.views import USER

LENGTH, FEW = 10, 10_000
"""Length of a list; users of a smaller file, whose memory that of the whole is compared with."""


def write_users(path: Path, vocabulary: Vocabulary, count: int) -> None:
    """Writes users with one value of each attribute, drawn evenly; a tenth of the cells is empty."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"user": np.arange(count)})
    for _, name, target in vocabulary.relations:
        bounds = vocabulary.bounds.get(name)
        known = list(vocabulary.ids[target]) if bounds is None else [str(bound) for bound in bounds]
        frame[name] = np.where(random.random(count) < 0.1, "", random.choice(known, count))
    frame.to_csv(path, index=False)


def saved_model(folder: Path) -> Vocabulary:
    """Saves a hardly trained GraphSAGE of MovieLens-1M, and gives its vocabulary."""
    split = movielens()
    model: Any = build(GraphSAGE, OPTIONS)
    model.fit(split.full, None, seed=0)
    vocabulary = Vocabulary.of(split.full, split.dataset.ids[USER])
    save(model, folder, vocabulary)
    return vocabulary


def peak_mib(model: Path, users: Path, to: Path) -> float:
    """Most memory of a process that writes the lists."""
    command = [sys.executable, "-m", "gnnrec", "recommend", str(model), "--users", str(users), "--out", str(to)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed")
    return used.ru_maxrss / 1024


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vocabulary = saved_model(folder / "model")
        loading = []
        for _ in range(5):
            start = time.perf_counter()
            artifact = load(folder / "model")
            loading.append(time.perf_counter() - start)
        served = serve(artifact)
        for count in (given.users, FEW):
            write_users(folder / f"{count}.csv", vocabulary, count)
        source, to = folder / f"{given.users}.csv", folder / "lists.parquet"

        def ours() -> int:
            return recommend_file(served, Newcomers(source, vocabulary), LENGTH, to).rows

        items = torch.randn(vocabulary.num_items, 64)
        size = min(USERS, SCORES // vocabulary.num_items)
        vectors = torch.randn(size, 64)

        def limit() -> None:
            for start in range(0, given.users, size):
                (vectors[: given.users - start] @ items.t()).topk(LENGTH)

        seconds = side_by_side({"ours": ours, "limit": limit}, given.rounds)
        memory = {str(count): peak_mib(folder / "model", folder / f"{count}.csv", to) for count in (FEW, given.users)}
        kib = sum(path.stat().st_size for path in (folder / "model").iterdir()) / 1024
    write(
        "serving",
        {
            "what": f"{given.users} users, CSV to Parquet, {vocabulary.num_items} items, batches of {size}, one thread",
            "artifact_kib": kib,
            "load_seconds": float(np.median(loading)),
            "seconds": medians(seconds),
            "users_per_second": {name: given.users / s for name, s in medians(seconds).items()},
            "ratios": {"ours / limit": ratio(seconds, "limit", "ours")},
            "peak_mib": memory,
        },
    )


if __name__ == "__main__":
    main()
