"""Measuring things side by side in one process, and writing what was found with machine and versions."""

import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from experiments.protocols import CONFIGS, RESULTS
from gnnrec.errors import InputError
from gnnrec.experiment.config import read_config
from gnnrec.experiment.run import load_split
from gnnrec.splits.split import Split

PACKAGES = ("gnnrec", "torch", "torch-geometric", "numpy", "scipy", "lightfm-next", "faiss-cpu")


def side_by_side(
    runs: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Calls functions in turn, round after round, so that a busy moment of the machine meets all of them.

    Args:
        runs: name -> what is measured; each is called once beforehand without being measured.
        repeats: rounds.
        clock: `time.perf_counter`, or `time.process_time`, which other processes do not disturb.

    Returns:
        Name -> seconds of each round.
    """
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return seconds


def ratio(seconds: Mapping[str, list[float]], slow: str, fast: str) -> float:
    """Median over the rounds of how many times longer one took than the other.

    Example:
        >>> ratio({"one": [3.0, 8.0, 4.0], "other": [1.0, 2.0, 2.0]}, "one", "other")
        3.0
    """
    return statistics.median(s / f for s, f in zip(seconds[slow], seconds[fast], strict=True))


def medians(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """Name -> median of the rounds."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def write(name: str, found: Mapping[str, Any], folder: Path = RESULTS) -> None:
    """Writes `bench_NAME.json` and prints it."""
    whole = {**found, "machine": machine(), "versions": versions()}
    text = json.dumps(whole, indent=1, default=lambda value: round(float(value), 6)) + "\n"
    (folder / f"bench_{name}.json").write_text(text)
    print(text)


def machine() -> dict[str, Any]:
    """What the numbers were measured on, and how busy it was."""
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if cpuinfo.is_file()
        else []
    )
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 1),
    }


def versions() -> dict[str, str]:
    """Of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "-"
    return found


def movielens() -> Split:
    """MovieLens-1M as the tables have it: ratings of 4 and 5, first fold of five; ends with a line without the data."""
    try:
        return load_split(read_config(CONFIGS / "ml-1m" / "popularity.yaml"))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
