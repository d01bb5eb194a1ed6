"""What an encoder loses, weighs and takes as an ONNX model whose tables are in four bytes a number, two, or one.

    python -m experiments.bench_portable [--runs runs] [--seeds 3] [PROTOCOL...]

The model of a protocol's row `graphsage-default` is fitted with each seed (a fold) as for the table and written in each
way. NDCG@10 of the test users is over the scores of the ONNX model, by onnxruntime: the mean over all, and the
difference to four bytes a number with a paired bootstrap interval over users. One list: the median of 500 users asked
one by one, by the saved model and by each file.
"""

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from experiments.benchmarks import write as write_result
from experiments.protocols import CONFIGS
from gnnrec.evaluation.statistics import paired_bootstrap
from gnnrec.experiment.config import read_config
from gnnrec.experiment.run import load_split, run
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.serving.artifact import Artifact, load
from gnnrec.serving.portable import PortableEncoder, Weights, write
from gnnrec.splits.parts import TEST
from gnnrec.views import TestSet, UserBatch

PROTOCOLS = ("ml-100k", "ml-1m", "filmtrust")
ONE_BY_ONE, BATCH = 500, 512


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("protocols", nargs="*", default=PROTOCOLS)
    parser.add_argument("--runs", type=Path, default=Path("runs") / "portable")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {name: of_protocol(name, given.seeds, given.runs) for name in given.protocols}
    write_result("portable", {"what": f"graphsage-default, {given.seeds} seeds, one thread", "protocols": found})


def of_protocol(name: str, seeds: int, runs: Path) -> dict[str, Any]:
    """The numbers of one protocol."""
    values: dict[str, list[np.ndarray]] = {way: [] for way in get_args(Weights)}
    size: dict[str, list[int]] = {way: [] for way in values}
    latency: dict[str, list[float]] = {way: [] for way in ("model", *values)}
    for seed in range(seeds):
        config = read_config(CONFIGS / name / "graphsage-default.yaml", [f"seed={seed}"])
        folder = runs / name / str(seed)
        run(config, folder)
        artifact, split = load(folder), load_split(config)
        split.open_test("sizes and precisions of a fitted model; nothing is chosen")
        test = split.test
        ndcg = HeldOutNDCG(test, split.candidates(TEST, split.full), seed)
        few = [test.users.take(row) for row in torch.arange(min(ONE_BY_ONE, len(test.users))).split(1)]
        latency["model"].append(timed([partial(artifact.model.score, user) for user in few]))
        for way in values:
            session, module = session_of(artifact, way, folder)
            size[way].append((folder / f"{way}.onnx").stat().st_size)
            values[way].append(ndcg(scores_of(session, module, test)))
            asked = [fed(module, user) for user in few]
            latency[way].append(timed([partial(session.run, ["best"], one) for one in asked]))
        means = {way: float(one[-1].mean()) for way, one in values.items()}
        print(f"{name} seed {seed}: {json.dumps(means)}", flush=True)
    whole = {way: np.concatenate(one) for way, one in values.items()}
    rows = {}
    for way in values:
        pair = whole[way][:, None], whole["float32"][:, None]  # folds share no user
        difference = paired_bootstrap(*pair, np.ones_like(pair[0]), seed=1)
        rows[way] = {
            "ndcg@10": float(whole[way].mean()),
            "difference": [difference.mean, difference.low, difference.high],
            "megabytes": statistics.mean(size[way]) / 1e6,
            "milliseconds": 1000 * statistics.median(latency[way]),
        }
    return {"model_milliseconds": 1000 * statistics.median(latency["model"]), "users": len(whole["int8"]), "rows": rows}


def session_of(artifact: Artifact, way: Weights, folder: Path) -> tuple[Any, PortableEncoder]:
    """A session of the written model on one thread, and the module that makes its inputs."""
    import onnxruntime

    write(artifact, folder / f"{way}.onnx", way)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    module = PortableEncoder(artifact.model, artifact.vocabulary, way, 10)
    return onnxruntime.InferenceSession(str(folder / f"{way}.onnx"), options), module


def fed(module: PortableEncoder, users: UserBatch) -> dict[str, np.ndarray]:
    """The inputs of some users."""
    everybody, given = module.inputs(users)
    return {"users": everybody.numpy(), **{name: one.numpy() for name, one in given.items()}}


def scores_of(session: Any, module: PortableEncoder, test: TestSet) -> torch.Tensor:
    """[B, I] of the test users."""
    parts = torch.arange(len(test.users)).split(BATCH)
    found = [session.run(["score"], fed(module, test.users.take(part)))[0] for part in parts]
    return torch.from_numpy(np.concatenate(found))


def timed(calls: list[Any]) -> float:
    """Median seconds of a call."""
    seconds = []
    for call in calls:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
