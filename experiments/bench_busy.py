"""How much longer training takes beside processes that keep all cores but one busy, with threads as they come.

    python -m experiments.bench_busy [--rounds 3]

Each fit is a command of its own, because how threads wait is settled when torch is loaded. In turns on the machine as
it is and beside the busy processes: with the threads that the command line takes, and with one for each core that
wait as OpenMP's do by default.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from experiments.benchmarks import medians, ratio, write
from experiments.protocols import CONFIGS
from gnnrec.runtime.cluster import cores_here
from gnnrec.runtime.waiting import SET

OPTIONS = ("model.finetune.epochs=8", "model.encoder.regression=0")


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    cores = cores_here()
    ways = {"as it comes": {}, "spinning": {"OMP_NUM_THREADS": str(cores), "KMP_BLOCKTIME": "200"}}
    seconds: dict[str, list[float]] = {f"{way}, {where}": [] for way in ways for where in ("free", "busy")}
    for _ in range(given.rounds):
        for way, environment in ways.items():
            seconds[f"{way}, free"].append(fit(environment))
            with busy(cores - 1):
                seconds[f"{way}, busy"].append(fit(environment))
    write(
        "busy",
        {
            "what": f"MovieLens-100K, eight epochs, {given.rounds} rounds, {cores} cores, {cores - 1} busy processes",
            "seconds": medians(seconds),
            "ratios": {f"{way}: busy / free": ratio(seconds, f"{way}, busy", f"{way}, free") for way in ways}
            | {"free: as it comes / spinning": ratio(seconds, "as it comes, free", "spinning, free")},
        },
    )


def fit(environment: Mapping[str, str]) -> float:
    """Seconds of one fit, in a new process."""
    clean = {key: value for key, value in os.environ.items() if key not in (*SET, "OMP_NUM_THREADS")}
    config = CONFIGS / "ml-100k" / "graphsage-default.yaml"
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "gnnrec", "run", str(config), *OPTIONS, "--out", name]
        subprocess.run(command, env={**clean, **environment}, check=True, capture_output=True)
        result = json.loads((Path(name) / config.stem / "0" / "result.json").read_text())
    return float(result["seconds"]["fit"])


@contextmanager
def busy(count: int) -> Iterator[None]:
    """While it lasts, so many processes compute."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


if __name__ == "__main__":
    main()
