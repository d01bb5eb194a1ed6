"""Results side by side: means over seeds, paired differences to a reference, and expected numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rich.table
from rich.text import Text

from gnnrec.config import Expected
from gnnrec.errors import ConfigError
from gnnrec.results import Result, Run, find_runs, read_run
from gnnrec.statistics import Difference, holm, paired_bootstrap

RESAMPLES = 10_000
LOWER_IS_BETTER = ("rmse", "mae")
SUMS: Mapping[str, tuple[str, str]] = {"rmse": ("squared_error", "ratings"), "mae": ("absolute_error", "ratings")}
"""Metrics over ratings -> the columns with each user's sum and number."""
DASH = "-"
REFERENCE = ("reference", "", "", "", "")


@dataclass(frozen=True)
class Table:
    """A table in text, and the numbers behind it.

    Attributes:
        header: name of each column.
        cells: text of each row.
        bold: (row, column) of the best values.
        caption: what the numbers are over.
        rows: a dictionary for each row, ready for JSON.
    """

    header: tuple[str, ...]
    cells: list[tuple[str, ...]]
    bold: set[tuple[int, int]]
    caption: str
    rows: list[dict[str, Any]] = field(repr=False)

    def rich(self) -> rich.table.Table:
        """For a terminal."""
        table = rich.table.Table(caption=Text(self.caption), caption_justify="left")
        for place, name in enumerate(self.header):
            table.add_column(Text(name), justify="right" if place else "left")
        for row, cells in enumerate(self.cells):
            texts = [Text(text, "bold" if (row, place) in self.bold else "") for place, text in enumerate(cells)]
            table.add_row(*texts)
        return table

    def markdown(self) -> str:
        """For a text file or a notebook."""
        lines = ["| " + " | ".join(self.header) + " |", "|---" + "|---:" * (len(self.header) - 1) + "|"]
        for row, cells in enumerate(self.cells):
            texts = [f"**{text}**" if (row, place) in self.bold else text for place, text in enumerate(cells)]
            lines.append("| " + " | ".join(texts) + " |")
        return "\n".join([*lines, "", self.caption, ""])


def metrics_table(results: Sequence[Result]) -> Table:
    """One row for each config name: mean over seeds, and the standard deviation beside it where there are several.

    A dash stands where a model cannot score the users, nothing where the metric was not asked for. The best mean of a
    column is bold (not of coverage, of which more is not better).

    Raises:
        ConfigError: a config name and seed stand twice.
    """
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.name, []).append(result)
        if [r.seed for r in groups[result.name]].count(result.seed) > 1:
            raise ConfigError(f"two runs are called {result.name} and have seed {result.seed}; show one of them")
    metrics = list(dict.fromkeys(metric for result in results for metric in result.metrics))
    summaries = [{m: _summary(group, m) for m in metrics if m in group[0].metrics} for group in groups.values()]
    return Table(
        header=("model", *metrics),
        cells=[(n, *(_mean_text(s, m) for m in metrics)) for n, s in zip(groups, summaries, strict=True)],
        bold={(row, 1 + column) for column, metric in enumerate(metrics) for row in _best(summaries, metric)},
        caption=_caption(results),
        rows=[
            {
                "name": name,
                "seeds": [result.seed for result in group],
                "users": [result.users for result in group],
                "users_without_target": [result.users_without_target for result in group],
                "metrics": summary,
            }
            for (name, group), summary in zip(groups.items(), summaries, strict=True)
        ],
    )


def compare(
    runs: Sequence[Run | Path | str], reference: Path | str | None = None, metric: str | None = None, seed: int = 0
) -> Table:
    """Each config's runs against those of a reference, user by user.

    Per row: the mean, the difference to the reference with its 95 % interval, the two-sided p-value, the p-value
    corrected for the number of comparisons (Holm), and the effect size. See `gnnrec.statistics`.

    Args:
        runs: finished runs, or folders that hold some; those of one folder (or, not written, of one name) form a row.
        reference: name of one of the rows, or a folder that holds its runs; left out, the first row.
        metric: what to compare by, with a value per user; left out, the first metric of the reference.
        seed: of the bootstrap.

    Raises:
        ConfigError: there is nothing to compare; seeds, splits or evaluated users differ; or the metric is not there.
    """
    groups, first = _with_reference(runs, reference)
    if len(groups) < 2:
        raise ConfigError(f"only {first} is given; compare needs the runs of two models or more")
    metric = _metric(groups[first], metric)
    for name, group in groups.items():
        if any(metric not in run.result.metrics for run in group):
            raise ConfigError(f"{name} was not measured by {metric}; it has {', '.join(group[0].result.metrics)}")
    summaries = {name: {metric: _summary([run.result for run in group], metric)} for name, group in groups.items()}
    differences = {
        name: _difference(name, group, first, groups[first], metric, seed)
        for name, group in groups.items()
        if name != first and summaries[name][metric] is not None
    }
    corrected = dict(zip(differences, holm([d.p_value for d in differences.values()]), strict=True))
    users = len({user for run in groups[first] for user in run.per_user["user"]})
    return Table(
        header=("model", metric, "difference", "95 % interval", "p", "p (Holm)", "effect size"),
        cells=[
            (
                name,
                _mean_text(summaries[name], metric),
                *(_difference_text(differences.get(name), corrected.get(name)) if name != first else REFERENCE),
            )
            for name in groups
        ],
        bold={(row, 1) for row in _best(list(summaries.values()), metric)},
        caption=(
            f"Differences to {first} on {users} users in {_count(len(groups[first]), 'run')}: paired bootstrap over "
            f"users, {RESAMPLES:,} draws; Holm's correction for {_count(len(differences), 'comparison')}. "
            + _caption([run.result for group in groups.values() for run in group])
        ),
        rows=[
            {
                "name": name,
                "seeds": [run.result.seed for run in group],
                "metrics": summaries[name],
                "reference": first,
                "difference": {**asdict(differences[name]), "p_value_holm": corrected[name]}
                if name in differences
                else None,
            }
            for name, group in groups.items()
        ],
    )


@dataclass(frozen=True)
class ExpectedRow:
    """Whether one metric of one config is where it is expected.

    Attributes:
        text: one line for people.
        met: whether the mean over the seeds at hand lies within the bounds.
    """

    text: str
    met: bool


def expected_rows(runs: Iterable[Run], expected: Mapping[str, Mapping[str, Expected]]) -> list[ExpectedRow]:
    """The expected numbers of configs beside the mean over the runs.

    Args:
        runs: finished runs.
        expected: config name -> metric -> what is expected.
    """
    results = [run.result for run in runs]
    rows = []
    for name, numbers in expected.items():
        group = [result for result in results if result.name == name]
        for metric, number in numbers.items():
            found = _summary(group, metric) if group else None
            met = found is not None and abs(found["mean"] - number.mean) <= number.within
            value = DASH if found is None else f"{found['mean']:.4f}"
            wanted = f"expected {number.mean:.4f} within {number.within:.4f}"
            seeds = _count(len(group), "run")
            rows.append(ExpectedRow(f"{'met' if met else 'MISSED'}: {name} {metric} {value} ({seeds}), {wanted}", met))
    return rows


def _with_reference(runs: Sequence[Run | Path | str], reference: Path | str | None) -> tuple[dict[str, list[Run]], str]:
    """The rows, and which of them is the reference; a folder that is not among the runs becomes a row."""
    groups = _groups(runs)
    if reference is None:
        return groups, next(iter(groups))
    if str(reference) in groups:
        return groups, str(reference)
    if not Path(reference).is_dir():
        raise ConfigError(f"--reference {reference}: no such model or folder; there are {', '.join(groups)}")
    own = _groups([reference])
    if len(own) > 1:
        raise ConfigError(f"--reference {reference}: holds several models: {', '.join(own)}; name one")
    key = _row(next(iter(own.values()))[0])
    groups = _groups([*runs, reference])
    return groups, next(name for name, group in groups.items() if _row(group[0]) == key)


def _row(run: Run) -> tuple[str, Path | None]:
    """What the runs of one row have in common: name and folder of the config."""
    return run.result.name, None if run.folder is None else run.folder.resolve().parent


def _groups(runs: Sequence[Run | Path | str]) -> dict[str, list[Run]]:
    """Runs of one config, sorted by seed, under its name; under its folder where two folders have one name."""
    every: dict[tuple[str, Path | None], dict[int, Run]] = {}
    for given in runs:
        for run in [given] if isinstance(given, Run) else map(read_run, find_runs([Path(given)])):
            group, seed = every.setdefault(_row(run), {}), run.result.seed
            same = group.get(seed, run)
            if same is not run and not (run.folder and same.folder and run.folder.samefile(same.folder)):
                raise ConfigError(f"two runs are called {run.result.name} and have seed {seed}; give one of them")
            group[seed] = run
    names = [name for name, _ in every]
    return {
        name if names.count(name) == 1 else str(folder or name): [group[seed] for seed in sorted(group)]
        for (name, folder), group in every.items()
    }


def _metric(reference: list[Run], metric: str | None) -> str:
    """The metric to compare by, checked: it must have a value for each user."""
    run = reference[0]
    there = [name for name in run.result.metrics if SUMS.get(name, (name,))[0] in run.per_user]
    if not there and run.result.users:
        raise ConfigError(f"{run.result.name}: no metric has a value per user; add one, such as ndcg, to its config")
    if run.result.users == 0:
        raise ConfigError(f"{run.result.name} cannot score these users, so it cannot be the reference; choose another")
    if metric is None:
        return there[0]
    if metric not in there:
        raise ConfigError(f"--metric {metric}: has no value per user here; there are {', '.join(there)}")
    return metric


def _difference(
    name: str, group: list[Run], reference_name: str, reference: list[Run], metric: str, seed: int
) -> Difference:
    _check_alike(name, group, reference_name, reference)
    column, number = SUMS.get(metric, (metric, ""))

    def values(runs: list[Run], column: str) -> pd.DataFrame:
        """[U, R], missing where the user is not in the run."""
        columns = [run.per_user.set_index("user")[column] for run in runs]
        frame: pd.DataFrame = pd.concat(columns, axis=1).sort_index()
        return frame

    first, second = values(group, column), values(reference, column)
    weight = values(group, number) if number else first.notna()
    arrays = [frame.fillna(0).to_numpy(dtype=np.float64) for frame in (first, second, weight)]
    return paired_bootstrap(*arrays, root=metric == "rmse", resamples=RESAMPLES, seed=seed)


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


def _summary(results: Sequence[Result], metric: str) -> dict[str, Any] | None:
    """Mean and spread over seeds; None where a run has no number."""
    values = [result.metrics.get(metric) for result in results]
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return None
    spread = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
    return {"mean": float(np.mean(numbers)), "std": spread}


def _mean_text(summary: Mapping[str, dict[str, Any] | None], metric: str) -> str:
    if metric not in summary:
        return ""
    found = summary[metric]
    if found is None:
        return DASH
    return f"{found['mean']:.4f}" if found["std"] is None else f"{found['mean']:.4f} ± {found['std']:.4f}"


def _difference_text(difference: Difference | None, corrected: float | None) -> tuple[str, ...]:
    if difference is None or corrected is None:
        return (DASH,) * len(REFERENCE)
    d, effect = difference, difference.effect_size
    interval = f"{d.low:+.4f} to {d.high:+.4f}"
    return (
        f"{d.mean:+.4f}",
        interval,
        f"{d.p_value:.4f}",
        f"{corrected:.4f}",
        DASH if effect is None else f"{effect:+.2f}",
    )


def _best(summaries: Sequence[Mapping[str, dict[str, Any] | None]], metric: str) -> list[int]:
    """Rows with the best mean, as far as four digits tell."""
    means = {row: round(found["mean"], 4) for row, s in enumerate(summaries) if (found := s.get(metric)) is not None}
    if not means or metric.startswith("coverage"):
        return []
    best = min(means.values()) if metric in LOWER_IS_BETTER else max(means.values())
    return [row for row, mean in means.items() if mean == best]


def _caption(results: Sequence[Result]) -> str:
    """How many users the numbers are over, and a warning where rows of other data stand in one table."""
    scored = [result for result in results if result.users] or results

    def span(numbers: list[int]) -> str:
        low, high = min(numbers, default=0), max(numbers, default=0)
        return f"{low}" if low == high else f"{low} to {high}"

    text = (
        f"Users per run: {span([r.users for r in scored])}; left out without a target: "
        f"{span([r.users_without_target for r in scored])}."
    )
    if any(result.metrics.get(metric, 0) is None for result in results for metric in result.metrics):
        text += f" {DASH}: the model cannot score an unseen user."
    asked: dict[int, set[str | None]] = {}
    for result in results:
        asked.setdefault(result.seed, set()).add(result.checksums.get("evaluation", result.checksums.get("split")))
    if any(len(checksums) > 1 for checksums in asked.values()):
        text += " The runs are of different data or splits: do not compare the rows."
    return text


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
