"""Kept results -> the table in Markdown and LaTeX. Nothing here trains, or looks at a value per user."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.protocols import Protocol, ReferenceScore
from gnnrec.evaluation.metrics import higher_is_better
from gnnrec.experiment.tables import DASH, dash_told, mean_text
from gnnrec.experiment.text_table import Table, latex_text

LEVEL = 0.05
NOT_MEASURED: Mapping[str, Any] = {"rows": {}}
"""A column that the protocol shows since after the results were kept."""
BASELINE, BLEND = "best baseline", "best blend without a graph model"
SINGLE = "graphsage"
"""The row that the text is about."""
PUBLISHED, SUSPECT = " †", " ‡"


def read_kept(path: Path) -> dict[str, Any]:
    """A result file, as `experiments.keep` wrote it."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def render(protocol: Protocol, kept: Mapping[str, Any], folder: Path) -> dict[Path, str]:
    """The files of a protocol's table: path -> text.

    Args:
        protocol: which one.
        kept: its results.
        folder: where the table belongs.
    """
    table = protocol_table(protocol, kept)
    return {
        folder / f"{protocol.name}.md": table.markdown(),
        folder / f"{protocol.name}.tex": table.latex(),
        folder / f"{protocol.name}-caption.tex": latex_text(table.caption) + "\n",
    }


def protocol_table(protocol: Protocol, kept: Mapping[str, Any]) -> Table:
    """Our rows and published ones, the best first: best in bold, what is not significantly worse underlined."""
    columns = {metric: kept["columns"].get(metric, NOT_MEASURED) for metric in protocol.columns}
    names = list(dict.fromkeys(run["name"] for run in kept["runs"]))
    published = {row.name + PUBLISHED: row.values for row in protocol.published}
    lower = higher_is_better(protocol.columns[0]) is False

    def mean(name: str, metric: str) -> float:
        if name in published:
            value = published[name].get(metric)
        else:
            value = (columns[metric]["rows"].get(name) or {}).get("mean")
        return float("inf") if value is None else value if lower else -value

    def place(name: str) -> tuple[float, float, str]:
        """By the first column; models that have no number there, because they need first choices, come last."""
        return mean(name, protocol.columns[0]), mean(name, protocol.main), name

    ordered = sorted([*names, *published], key=place)
    cells = [
        _published_cells(name, published[name], protocol)
        if name in published
        else _cells(name, columns, protocol, kept)
        for name in ordered
    ]
    marks = {
        (row, 1 + c): mark
        for c, metric in enumerate(protocol.columns)
        for row, name in enumerate(ordered)
        if name not in published and (mark := _mark(name, columns[metric]))
    }
    return Table(
        header=("model", *protocol.columns, f"{protocol.main} vs {protocol.reference or BASELINE}"),
        cells=cells,
        bold={where for where, mark in marks.items() if mark == "best"},
        caption=_caption(protocol, kept),
        rows=[],
        underlined={where for where, mark in marks.items() if mark == "not worse"},
    )


def reference_lines(protocol: Protocol, kept: Mapping[str, Any]) -> list[tuple[bool, str]]:
    """Each reference score of the protocol that has results: whether it is met, and a line for people."""
    lines = []
    for score in protocol.reference_scores:
        found = kept["columns"].get(score.metric, NOT_MEASURED)["rows"].get(score.model)
        if found is not None:
            met = abs(found["mean"] - score.value) <= score.within
            lines.append((met, f"{'met' if met else 'MISSED'}: {_reference_text(protocol, score, found['mean'])}"))
    return lines


def controls(protocol: Protocol, kept: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows with shuffled attributes: name -> difference to the plain row."""
    shuffled = dict.fromkeys(run["name"] for run in kept["runs"] if run["config"].get("shuffle_attributes"))
    to_plain = kept["columns"][protocol.main].get("to_plain", {})
    return {name: to_plain[name] for name in shuffled if name in to_plain}


def suspects(protocol: Protocol, kept: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The controls with shuffled attributes whose difference to the plain row is not noise: name -> difference."""
    found = controls(protocol, kept)
    return {name: d for name, d in found.items() if d["low"] > 0 or d["high"] < 0}


def _cells(name: str, columns: Mapping[str, Any], protocol: Protocol, kept: Mapping[str, Any]) -> tuple[str, ...]:
    shown = name + (SUSPECT if name in suspects(protocol, kept) else "")
    main = columns[protocol.main]
    found = [columns[metric]["rows"] for metric in protocol.columns]
    gap = "reference" if name == protocol.reference else _gap(name, main)
    return (shown, *(mean_text(rows[name]) if name in rows else "" for rows in found), gap)


def _gap(name: str, column: Mapping[str, Any]) -> str:
    """Difference to the best baseline or the reference, with its interval and corrected p-value."""
    if name == column.get("floor"):
        return BASELINE
    if name == column.get("blend_floor"):
        return BLEND
    d = column.get("to_floor", {}).get(name)
    if d is None:
        return DASH
    return f"{d['mean']:+.4f} ({d['low']:+.4f} to {d['high']:+.4f}), p {d['p_value_holm']:.4f}"


def _published_cells(name: str, values: Mapping[str, float], protocol: Protocol) -> tuple[str, ...]:
    return (name, *(f"{values[m]:.4f}" if m in values else "" for m in protocol.columns), "")


def _mark(name: str, column: Mapping[str, Any]) -> str:
    best, own = column["rows"].get(column.get("best")), column["rows"].get(name)
    if best is not None and own is not None and f"{own['mean']:.4f}" == f"{best['mean']:.4f}":
        return "best"
    d = column.get("to_best", {}).get(name)
    return "" if d is None or d["p_value_holm"] < LEVEL else "not worse"


def _caption(protocol: Protocol, kept: Mapping[str, Any]) -> str:
    """All that a reader needs to know of the numbers, on one line."""
    runs, main = kept["runs"], kept["columns"][protocol.main]
    scored = [run for run in runs if run["users"]] or runs
    seeds = sorted({run["seed"] for run in runs})
    seconds = sum(sum(run["seconds"].values()) for run in runs)
    users = (main.get("intervals") or {}).get(main.get("best"), {}).get("users")
    parts = [
        f"{protocol.title}. Mean ± standard deviation over seeds {', '.join(map(str, seeds))}.",
        f"Users per run: {span([run['users'] for run in scored])}"
        + (f", {users} different ones" if users else "")
        + f"; left out without a target: {span([run['users_without_target'] for run in scored])}.",
        "Bold: best; underlined: not significantly worse (paired bootstrap over users within folds, Holm, 5 %).",
        f"Last column: difference to {_compared(protocol, main)}, 95 % interval, p after Holm's "
        "correction over the rows.",
    ]
    missing = [name for name, column in kept["columns"].items() if None in column["rows"].values()]
    if missing:
        parts.append(dash_told(missing).strip())
    parts += [f"† {text}." for text in dict.fromkeys(f"published: {row.source}" for row in protocol.published)]
    if d := main.get("gained", {}).get(SINGLE):
        shown = protocol.main.partition("/")[0].removeprefix("k")
        parts.append(
            f"With {shown} items shown instead of none {SINGLE} gains {d['mean']:+.4f} ({d['low']:+.4f} to "
            f"{d['high']:+.4f}), the items that are asked for being the same."
        )
    if shown_from := _smallest_shown(main):
        parts.append(shown_from)
    for name, d in controls(protocol, kept).items():
        gap = f"{d['mean']:+.4f} ({d['low']:+.4f} to {d['high']:+.4f})"
        verdict = "not noise: read the table with care" if name in suspects(protocol, kept) else "within noise"
        mark = "‡ " if name in suspects(protocol, kept) else ""
        parts.append(f"{mark}Control {name} against {protocol.plain}: {gap}, {verdict}.")
    caught = kept["canaries"]
    parts.append(f"Planted leaks that the audit caught: {sum(caught.values())} of {len(caught)}.")
    parts.append(_openings(kept, len(runs)))
    parts.append(f"{_duration(seconds)} in all.")
    return " ".join(parts)


def _compared(protocol: Protocol, main: Mapping[str, Any]) -> str:
    if protocol.reference:
        return protocol.reference
    return f"the {BASELINE}" + (f", of a blend to the {BLEND}" if "blend_floor" in main else "")


def smallest_shown(low: float, high: float) -> float:
    """The smallest true difference that a test at 5 % shows four times in five, from a 95 % interval of the difference.

    Source: Cohen, Statistical Power Analysis for the Behavioral Sciences (1988), section 2.4: for a power of 80 % the
    standard error, here the interval's width over 2 * 1.96, times 1.96 + 0.84. No correction is made for other rows.

    Example:
        >>> round(smallest_shown(-0.001, 0.009), 5)
        0.00714
    """
    error = (high - low) / (2 * 1.959964)
    return error * (1.959964 + 0.841621)


def _smallest_shown(main: Mapping[str, Any]) -> str:
    """What can be seen of a row of ours, or of the one that is nearest to what rows are compared with."""
    found = {name: d for name, d in main.get("to_floor", {}).items() if d["low"] < d["high"]}  # not the same lists
    ours = [name for name in (SINGLE, f"{SINGLE}-default") if name in found]
    name = (ours or sorted(found, key=lambda one: abs(found[one]["mean"])) or [""])[0]
    if not name:
        return ""
    least = smallest_shown(found[name]["low"], found[name]["high"])
    return (
        f"Between {name} and {main['floor']} these users and seeds show a difference of {least:.4f} or more four times "
        "in five (a test at 5 %, without correction)."
    )


def _openings(kept: Mapping[str, Any], runs: int) -> str:
    times = kept["openings"]["times"]
    if not times:
        return f"{runs} runs; there is no test-access log."
    return f"{runs} runs; the test part was opened {times} times."


def _reference_text(protocol: Protocol, score: ReferenceScore, mean: float) -> str:
    return f"{protocol.name}: {score.model} {score.metric} {mean:.4f}, expected {score.value:.4f} ± {score.within:.4f}"


def span(numbers: list[int]) -> str:
    """The least and the most, or the one number."""
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
