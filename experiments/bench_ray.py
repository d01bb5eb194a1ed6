"""What a cluster costs on one machine: runs through Ray against the same runs in a pool of workers.

    python -m experiments.bench_ray [--seeds 16]

Four models on MovieLens-100K with so many seeds each, as many side by side as there are cores, one thread each; both
ways begin with nothing and end with all results on disk, the start of the workers included.
"""

import argparse
import tempfile
import time
from pathlib import Path

import joblib

from experiments.benchmarks import write
from experiments.protocols import CONFIGS
from experiments.reproduce import _run
from gnnrec.experiment.config import read_config
from gnnrec.runtime.cluster import LOCAL, connected, cores_here

ROWS = ("popularity", "segment-popularity", "als-attribute-map", "graphsage-default")
OPTIONS = ("split.folds=null", "split.test=0.2")
SMALL = ("model.finetune.epochs=2",)


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=16)
    given = parser.parse_args()
    configs = [
        read_config(CONFIGS / "ml-100k" / f"{row}.yaml", [*OPTIONS, *(SMALL if row.startswith("graphsage") else ())])
        for row in ROWS
    ]
    jobs = [(config, seed) for seed in range(given.seeds) for config in configs]
    cores = cores_here()

    def calls(folder: str) -> list[tuple[object, ...]]:
        return [(*job, "ndcg@10", Path(folder).resolve(), False, False) for job in jobs]

    def pool() -> None:
        with tempfile.TemporaryDirectory() as name:
            joblib.Parallel(cores)(joblib.delayed(_run)(*call) for call in calls(name))

    def ray() -> None:
        with tempfile.TemporaryDirectory() as name, connected(LOCAL) as cluster:
            names = [f"{config.name} {seed}" for config, seed in jobs]
            assert len(list(cluster.finished(_run, calls(name), names, print))) == len(jobs)

    seconds = {}
    for name, way in {"pool": pool, "ray": ray}.items():
        began = time.perf_counter()
        way()
        seconds[name] = time.perf_counter() - began
    write(
        "ray",
        {
            "what": f"{len(jobs)} runs of {len(ROWS)} models on MovieLens-100K, {cores} cores",
            "seconds": seconds,
            "ratios": {"ray / pool": seconds["ray"] / seconds["pool"]},
        },
    )


if __name__ == "__main__":
    main()
