"""Results side by side: means over seeds, paired differences to a reference, and expected numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gnnrec.errors import ConfigError
from gnnrec.evaluation.metrics import find, higher_is_better
from gnnrec.evaluation.statistics import Difference, holm
from gnnrec.experiment.config import Expected
from gnnrec.experiment.paired import (
    RESAMPLES,
    difference,
    has_values_per_user,
    row_key,
    rows_of,
    summary,
)
from gnnrec.experiment.results import Result, Run
from gnnrec.experiment.text_table import Table

DASH = "-"
REFERENCE = ("reference", "", "", "", "", "")


def metrics_table(results: Sequence[Result]) -> Table:
    """One row for each config name: mean over seeds, and the standard deviation beside it where there are several.

    A dash stands where a model cannot score the users, nothing where the metric was not asked for. The best mean of a
    column is bold (not of a metric of which neither more nor less is better).

    Raises:
        ConfigError: a config name and seed stand twice.
    """
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.name, []).append(result)
        if [r.seed for r in groups[result.name]].count(result.seed) > 1:
            raise ConfigError(f"two runs are called {result.name} and have seed {result.seed}; show one of them")
    metrics = list(dict.fromkeys(metric for result in results for metric in result.metrics))
    summaries = [{m: summary(group, m) for m in metrics if m in group[0].metrics} for group in groups.values()]
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
                "metrics": numbers,
            }
            for (name, group), numbers in zip(groups.items(), summaries, strict=True)
        ],
    )


def compare(
    runs: Sequence[Run | Path | str], reference: Path | str | None = None, metric: str | None = None, seed: int = 0
) -> Table:
    """Each config's runs against those of a reference, user by user.

    Per row: the mean, the difference to the reference with its 95 % interval, the two-sided p-value, the p-value
    corrected for the number of comparisons (Holm), and the effect size. See `gnnrec.evaluation.statistics`.

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
    summaries = {name: {metric: summary([run.result for run in group], metric)} for name, group in groups.items()}
    differences = {
        name: difference(name, group, first, groups[first], metric, seed)
        for name, group in groups.items()
        if name != first and summaries[name][metric] is not None
    }
    corrected = dict(zip(differences, holm([d.p_value for d in differences.values()]), strict=True))
    users = len({user for run in groups[first] for user in run.per_user["user"]})
    return Table(
        header=("model", metric, "difference", "95 % interval", "p", "p (Holm)", "effect size", "its interval"),
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
            found = summary(group, metric) if group else None
            met = found is not None and abs(found["mean"] - number.mean) <= number.within
            value = DASH if found is None else f"{found['mean']:.4f}"
            wanted = f"expected {number.mean:.4f} within {number.within:.4f}"
            seeds = _count(len(group), "run")
            rows.append(ExpectedRow(f"{'met' if met else 'MISSED'}: {name} {metric} {value} ({seeds}), {wanted}", met))
    return rows


def _with_reference(runs: Sequence[Run | Path | str], reference: Path | str | None) -> tuple[dict[str, list[Run]], str]:
    """The rows, and which of them is the reference; a folder that is not among the runs becomes a row."""
    groups = rows_of(runs)
    if reference is None:
        return groups, next(iter(groups))
    if str(reference) in groups:
        return groups, str(reference)
    if not Path(reference).is_dir():
        raise ConfigError(f"--reference {reference}: no such model or folder; there are {', '.join(groups)}")
    own = rows_of([reference])
    if len(own) > 1:
        raise ConfigError(f"--reference {reference}: holds several models: {', '.join(own)}; name one")
    key = row_key(next(iter(own.values()))[0])
    groups = rows_of([*runs, reference])
    return groups, next(name for name, group in groups.items() if row_key(group[0]) == key)


def _metric(reference: list[Run], metric: str | None) -> str:
    """The metric to compare by, checked: it must have a value for each user."""
    run = reference[0]
    there = [name for name in run.result.metrics if has_values_per_user(run, name)]
    if not there and run.result.users:
        raise ConfigError(f"{run.result.name}: no metric has a value per user; add one, such as ndcg, to its config")
    if run.result.users == 0:
        raise ConfigError(f"{run.result.name} cannot score these users, so it cannot be the reference; choose another")
    if metric is None:
        return there[0]
    if metric not in there:
        raise ConfigError(f"--metric {metric}: has no value per user here; there are {', '.join(there)}")
    return metric


def _mean_text(numbers: Mapping[str, dict[str, Any] | None], metric: str) -> str:
    return mean_text(numbers[metric]) if metric in numbers else ""


def mean_text(found: Mapping[str, Any] | None) -> str:
    """A mean with its spread over seeds, as the cell of a table; a dash where there is none.

    Example:
        >>> mean_text({"mean": 0.41234, "std": 0.01}), mean_text(None)
        ('0.4123 ± 0.0100', '-')
    """
    if found is None:
        return DASH
    return f"{found['mean']:.4f}" if found["std"] is None else f"{found['mean']:.4f} ± {found['std']:.4f}"


def _difference_text(d: Difference | None, corrected: float | None) -> tuple[str, ...]:
    if d is None or corrected is None:
        return (DASH,) * len(REFERENCE)
    ends = [DASH if end is None else f"{end:+.2f}" for end in (d.effect_size, d.effect_low, d.effect_high)]
    interval = f"{d.low:+.4f} to {d.high:+.4f}"
    return f"{d.mean:+.4f}", interval, f"{d.p_value:.4f}", f"{corrected:.4f}", ends[0], f"{ends[1]} to {ends[2]}"


def _best(summaries: Sequence[Mapping[str, dict[str, Any] | None]], metric: str) -> list[int]:
    """Rows with the best mean, as far as four digits tell; none where the metric has no better direction."""
    means = {row: round(found["mean"], 4) for row, s in enumerate(summaries) if (found := s.get(metric)) is not None}
    higher = higher_is_better(metric)
    if not means or higher is None:
        return []
    best = max(means.values()) if higher else min(means.values())
    return [row for row, mean in means.items() if mean == best]


def dash_told(missing: Sequence[str]) -> str:
    """What a dash in a table says, with a blank before it; nothing where there is none.

    Args:
        missing: the metrics that some model has no value of.
    """
    of_probability = [name for name in missing if (one := find(name)) is not None and "probability" in one.needs]
    reasons = ["cannot score an unseen user"] if len(of_probability) < len(missing) else []
    reasons += ["has no probabilities"] if of_probability else []
    return f" {DASH}: the model {' or '.join(reasons)}." if missing else ""


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
    text += dash_told([name for result in results for name, value in result.metrics.items() if value is None])
    asked: dict[int, set[str | None]] = {}
    for result in results:
        asked.setdefault(result.seed, set()).add(result.checksums.get("evaluation", result.checksums.get("split")))
    if any(len(checksums) > 1 for checksums in asked.values()):
        text += " The runs are of different data or splits: do not compare the rows."
    return text


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
