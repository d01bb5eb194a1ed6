"""Runs that answer one question: what is measured, what models are compared with, and who cannot be compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gnnrec.errors import ConfigError
from gnnrec.evaluation.metrics import higher_is_better
from gnnrec.experiment.paired import difference, has_values_per_user, row_key, rows_of, summary
from gnnrec.experiment.results import Result, Run
from gnnrec.models import baselines

Rows = dict[str, list[Run]]


@dataclass(frozen=True)
class Protocol:
    """Runs of the same held-out users, asked for the same items.

    Attributes:
        title: data and kind of split.
        rows: name -> its runs, sorted by seed.
        metric: that models are compared by; None where no run has a metric with a value per user.
        reference: the row that others are compared with; None where there is no metric.
        apart: row -> why it cannot be compared with the reference, in one line.
    """

    title: str
    rows: Rows
    metric: str | None = None
    reference: str | None = None
    apart: Mapping[str, str] = field(default_factory=dict)

    @property
    def results(self) -> list[Result]:
        """Of all runs, under the names of the rows."""
        return [run.result.model_copy(update={"name": name}) for name, group in self.rows.items() for run in group]

    @property
    def compared(self) -> Rows:
        """The reference, and the rows that can be compared with it, user by user."""
        return {name: group for name, group in self.rows.items() if name not in self.apart}

    @property
    def config(self) -> Mapping[str, Any]:
        """The config of the reference's first run, or of the first one."""
        return self.rows[self.reference or next(iter(self.rows))][0].result.config


def protocols(runs: Sequence[Run], reference: str | None = None, metric: str | None = None) -> list[Protocol]:
    """The runs by what they were asked; runs of other data or another split are never in one table.

    Args:
        runs: finished runs.
        reference: name or folder of a row; left out, and where there is no such row, the best baseline by the metric,
            or the first row that has it.
        metric: left out, and where no row has it, the first one that has a value per user.

    Raises:
        ConfigError: no row is called so, no run has such a metric per user, or two runs are the same row and seed.
    """
    parts: list[list[list[Run]]] = []
    for group in rows_of(runs).values():
        part = next((part for part in parts if all(_same_question(group, other) for other in part)), None)
        if part is None:
            parts.append([group])
        else:
            part.append(group)
    rows = [rows_of([run for group in part for run in group]) for part in parts]
    titles = [_title(next(iter(found.values()))[0].result.config) for found in rows]
    _check_named(rows, reference, metric)
    return [
        _protocol(
            title if titles.count(title) == 1 else f"{title} ({titles[: place + 1].count(title)})",
            found,
            reference,
            metric,
        )
        for place, (title, found) in enumerate(zip(titles, rows, strict=True))
    ]


def is_baseline(result: Result) -> bool:
    """Whether a run is of one of the package's baselines, with the users' own attributes."""
    name = result.config.get("model", {}).get("class")
    return name in baselines.__all__ and not result.config.get("shuffle_attributes")


def per_user_metrics(group: Sequence[Run]) -> list[str]:
    """Metrics of a row with a number in each run, and a value per user."""
    return [
        metric
        for metric in group[0].result.metrics
        if all(run.result.metrics.get(metric) is not None and has_values_per_user(run, metric) for run in group)
    ]


def _same_question(group: Sequence[Run], other: Sequence[Run]) -> bool:
    """Whether runs of one seed have the same queries; of rows without a common seed, the same data and split."""
    one, two = ({run.result.seed: run.result for run in runs} for runs in (group, other))
    shared = one.keys() & two.keys()
    if shared:
        return all(_question(one[seed], two[seed]) == _question(two[seed], one[seed]) for seed in shared)
    first, second = group[0].result.config, other[0].result.config
    return all(first.get(key) == second.get(key) for key in ("data", "split"))


def _question(result: Result, other: Result) -> str | None:
    """The checksum that both runs have: of the queries, else of the split."""
    both = "evaluation" in result.checksums and "evaluation" in other.checksums
    return result.checksums.get("evaluation" if both else "split")


def _title(config: Mapping[str, Any]) -> str:
    data, split = config.get("data", {}), config.get("split", {})
    files = data.get("interactions") or {}
    source = data.get("source")
    named = Path(str(files.get("path", "table"))).name if source in (None, "table") else str(source)
    kind = str(split.get("kind", "")).replace("_", " ")
    return ", ".join(part for part in (named if data else "runs", kind) if part)


def _check_named(parts: Sequence[Rows], reference: str | None, metric: str | None) -> None:
    names = [name for rows in parts for name in rows]
    if reference is not None and all(_named(rows, reference) is None for rows in parts):
        raise ConfigError(f"--reference {reference}: no such model or folder here; there are {', '.join(names)}")
    there = list(dict.fromkeys(m for rows in parts for group in rows.values() for m in per_user_metrics(group)))
    if metric is not None and metric not in there:
        known = ", ".join(there) or "none"
        raise ConfigError(f"--metric {metric}: has no value per user here; there are {known}")


def _named(rows: Rows, reference: str) -> str | None:
    """The row of a name, or of the folder of a config's runs."""
    if reference in rows:
        return reference
    folder = Path(reference).resolve()
    return next((name for name, group in rows.items() if row_key(group[0])[1] == folder), None)


def _protocol(title: str, rows: Rows, reference: str | None, metric: str | None) -> Protocol:
    measured = {name: per_user_metrics(group) for name, group in rows.items()}
    asked = list(dict.fromkeys(one for group in rows.values() for one in group[0].result.metrics))
    there = [one for one in asked if any(one in metrics for metrics in measured.values())]
    if not there:
        return Protocol(title, rows)
    if metric not in there:
        shared = (one for one in there if all(one in group[0].result.metrics for group in rows.values()))
        metric = next(shared, there[0])
    able = {name: group for name, group in rows.items() if metric in measured[name]}
    named = None if reference is None else _named(rows, reference)
    if named is not None and named not in able:
        raise ConfigError(f"--reference {reference}: has no {metric} of each user; name another, or another --metric")
    first = named or _best_baseline(able, metric)
    apart = {}
    for name, group in rows.items():
        if name != first and (why := _why_apart(name, group, first, rows[first], metric)):
            apart[name] = why
    return Protocol(title, rows, metric, first, apart)


def _best_baseline(rows: Rows, metric: str) -> str:
    means: dict[str, float] = {}
    for name, group in rows.items():
        found = summary([run.result for run in group], metric)
        if found is not None and is_baseline(group[0].result):
            means[name] = found["mean"]
    higher = higher_is_better(metric)
    if not means or higher is None:
        return next(iter(means or rows))
    return max(means, key=lambda name: means[name] if higher else -means[name])


def _why_apart(name: str, group: list[Run], first: str, reference: list[Run], metric: str) -> str:
    if metric not in group[0].result.metrics:
        return f"{name} was not measured by {metric}; it has {', '.join(group[0].result.metrics)}"
    if metric not in per_user_metrics(group):
        return f"{name} has no {metric}: it cannot score these users"
    try:
        difference(name, group, first, reference, metric)
    except ConfigError as error:
        return str(error)
    return ""
