"""Training on a GPU against training on the processor of the same machine, and whether a GPU repeats its numbers.

    python -m experiments.bench_devices [--users 10000 100000] [--threads 8]

Made data as in `bench_growth`: 20 interactions and 8 attributes a user, 10^5 items. Whole-graph steps of the default
model with sampled softmax, all users in one graph; the second epoch of each kind counts, so that nothing is measured
that happens once. Needs a GPU; where there is none, nothing is written.
"""

import argparse
import sys
import time
from typing import Any

import torch

from experiments.bench_growth import synthetic
from experiments.benchmarks import write
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.runtime.devices import Placement, available, place
from gnnrec.training.pretrain import PretrainConfig
from gnnrec.training.ranking import RankingConfig
from gnnrec.training.tracking import Tracker
from gnnrec.views import TrainingData

EPOCHS = 2


class Watch(Tracker):
    """Notes when each epoch ends, the GPU's work included."""

    def __init__(self, placement: Placement) -> None:
        super().__init__()
        self.placement = placement
        self.ends: dict[str, list[float]] = {}

    def epoch(self, stage: str, epoch: int, total: int, values: dict[str, float]) -> None:
        """See `Tracker.epoch`."""
        if self.placement.device.type == "cuda":
            torch.cuda.synchronize()
        self.ends.setdefault(stage, []).append(time.perf_counter())


def trained(train: TrainingData, placement: Placement) -> tuple[dict[str, float], torch.Tensor]:
    """Seconds of the last epoch of each stage and of the whole fit, and the scores of the first users."""
    model = GraphSAGE(
        encoder=EncoderConfig(init="random"),
        pretrain=PretrainConfig(epochs=EPOCHS),
        finetune=RankingConfig(epochs=EPOCHS, loss="sampled_softmax", graph_users=train.num_users),
    )
    model.placement = placement
    watch = model.tracker = Watch(placement)
    start = time.perf_counter()
    model.fit(train, None, seed=0)
    seconds = {f"{stage}_epoch": ends[-1] - ends[-2] for stage, ends in watch.ends.items()}
    return {**seconds, "fit": time.perf_counter() - start}, model.score(train.users.take(torch.arange(64)))


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--threads", type=int, default=8, help="of the processor, for both")
    arguments = parser.parse_args()
    if "cuda" not in available():
        print("error: torch finds no GPU of NVIDIA on this machine; run this where there is one", file=sys.stderr)
        sys.exit(2)
    torch.set_num_threads(arguments.threads)
    sizes: list[dict[str, Any]] = []
    for users in arguments.users:
        train = synthetic(users)
        found: dict[str, Any] = {"users": users, "interactions": len(train.users.items)}
        scores = {}
        for name, placement in (
            ("cpu", place("cpu")),
            ("cuda", place("cuda")),
            ("cuda again", place("cuda")),
            ("cuda bf16", place("cuda", "bf16")),
        ):
            torch.cuda.reset_peak_memory_stats()
            found[name], scores[name] = trained(train, placement)
            if placement.device.type == "cuda":
                found[name]["peak_mb_of_the_gpu"] = torch.cuda.max_memory_allocated() / 2**20
            print(f"{users} users, {name}: {found[name]}", file=sys.stderr, flush=True)
        found["times_faster"] = {key: found["cpu"][key] / found["cuda again"][key] for key in found["cpu"]}
        found["the_same_twice"] = torch.equal(scores["cuda"], scores["cuda again"])
        for name in ("cuda", "cuda bf16"):
            apart = (scores[name] - scores["cpu"]).abs().max() / scores["cpu"].std()
            found[f"{name}_apart_in_standard_deviations"] = float(apart)
        sizes.append(found)
    what = "the last of two epochs, whole-graph steps, 3 layers of 64 channels, 20 interactions and 8 attributes a user"
    gpu = torch.cuda.get_device_name()
    write("devices", {"what": what, "gpu": gpu, "threads": arguments.threads, "sizes": sizes})


if __name__ == "__main__":
    main()
