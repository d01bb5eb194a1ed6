"""Paired comparison of runs of several models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gnnrec.errors import ConfigError
from gnnrec.evaluation.metrics import find
from gnnrec.evaluation.metrics.metric import RATINGS
from gnnrec.evaluation.statistics import Difference, paired_bootstrap
from gnnrec.experiment.results import Result, Run, find_runs, read_run

RESAMPLES = 10_000


def rows_of(runs: Sequence[Run | Path | str]) -> dict[str, list[Run]]:
    """Runs of one config, sorted by seed, under its name; under its folder where two folders have one name.

    Args:
        runs: finished runs, or folders that hold some.

    Raises:
        ConfigError: two different runs have the same name, folder and seed.
    """
    every: dict[tuple[str, Path | None], dict[int, Run]] = {}
    for given in runs:
        for run in [given] if isinstance(given, Run) else map(read_run, find_runs([Path(given)])):
            group, seed = every.setdefault(row_key(run), {}), run.result.seed
            same = group.get(seed, run)
            if same is not run and not (run.folder and same.folder and run.folder.samefile(same.folder)):
                raise ConfigError(f"two runs are called {run.result.name} and have seed {seed}; give one of them")
            group[seed] = run
    names = [name for name, _ in every]
    return {
        name if names.count(name) == 1 else str(folder or name): [group[seed] for seed in sorted(group)]
        for (name, folder), group in every.items()
    }


def row_key(run: Run) -> tuple[str, Path | None]:
    """What the runs of one row have in common: name and folder of the config."""
    return run.result.name, None if run.folder is None else run.folder.resolve().parent


def has_values_per_user(run: Run, metric: str) -> bool:
    """Whether a run holds what it takes to compare it by a metric; one of all lists together has no value per user."""
    return _columns(metric)[0] in run.per_user


def difference(
    name: str, group: list[Run], reference_name: str, reference: list[Run], metric: str, seed: int = 0
) -> Difference:
    """One row's metric minus another's, on the same users of the same seeds; see `gnnrec.evaluation.statistics`.

    Args:
        name: of the first row, for messages.
        group: its runs, sorted by seed.
        reference_name: of the second row.
        reference: its runs.
        metric: one with a value per user.
        seed: of the bootstrap.

    Raises:
        ConfigError: seeds, splits or evaluated users differ.
    """
    _check_alike(name, group, reference_name, reference)
    first, weight = _sums(group, metric)
    second, _ = _sums(reference, metric)
    return paired_bootstrap(first, second, weight, root=_has_root(metric), resamples=RESAMPLES, seed=seed)


def mean_with_interval(group: list[Run], metric: str, seed: int = 0) -> Difference:
    """A row's metric itself, as its difference to zero."""
    values, weight = _sums(group, metric)
    return paired_bootstrap(
        values, np.zeros_like(values), weight, root=_has_root(metric), resamples=RESAMPLES, seed=seed
    )


def change(group: list[Run], metric: str, before: str, seed: int = 0) -> Difference:
    """One metric of a row minus another, for the same users: with some items known and with none, for example."""
    values, weight = _sums(group, metric)
    earlier, _ = _sums(group, before)
    return paired_bootstrap(values, earlier, weight, root=_has_root(metric), resamples=RESAMPLES, seed=seed)


def summary(results: Sequence[Result], metric: str) -> dict[str, Any] | None:
    """Mean and standard deviation over seeds; None where a run has no number."""
    values = [result.metrics.get(metric) for result in results]
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return None
    spread = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
    return {"mean": float(np.mean(numbers)), "std": spread}


def _columns(metric: str) -> tuple[str, str | None]:
    """The columns with each user's value, and with its weight where users do not all count 1."""
    declared, shots = find(metric), metric[: metric.rfind("/") + 1]
    if declared is None or declared.mean_over != "ratings":
        return metric, None
    return shots + declared.sums, shots + RATINGS


def _has_root(metric: str) -> bool:
    declared = find(metric)
    return declared is not None and declared.root


def _sums(group: list[Run], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """[U, R] sum and weight of each user in each run, users sorted by id; 0 where the user is not in the run."""
    column, number = _columns(metric)

    def values(column: str) -> pd.DataFrame:
        frame = pd.concat([run.per_user.set_index("user")[column] for run in group], axis=1)
        ordered: pd.DataFrame = frame.sort_index()
        return ordered

    first = values(column)
    weight = values(number) if number else first.notna()
    return first.fillna(0).to_numpy(dtype=np.float64), weight.fillna(0).to_numpy(dtype=np.float64)


def _check_alike(name: str, group: list[Run], reference_name: str, reference: list[Run]) -> None:
    """Refuses what cannot be paired: other seeds, another question, other users."""
    seeds, wanted = ([run.result.seed for run in runs] for runs in (group, reference))
    if seeds != wanted:
        raise ConfigError(f"{name} has seeds {seeds}, but {reference_name} {wanted}; run what is missing, or name runs")
    for one, other in zip(group, reference, strict=True):
        where = f"{name} and {reference_name}, seed {one.result.seed}"
        # What was asked may be the same although the data were read with other attributes.
        asked = [run.result.checksums.get("evaluation") for run in (one, other)]
        split = [run.result.checksums.get("split") for run in (one, other)]
        if len(set(split if None in asked else asked)) > 1:
            raise ConfigError(f"{where}: the splits differ, so users cannot be paired; use the same data and split")
        if set(one.per_user["user"]) != set(other.per_user["user"]):
            raise ConfigError(f"{where}: the evaluated users differ, so they cannot be paired; run both again")
