"""The statistics of a protocol's table, computed from values per user when its results are kept."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from experiments.protocols import Protocol
from gnnrec.evaluation.metrics import higher_is_better
from gnnrec.evaluation.statistics import Difference, holm
from gnnrec.experiment.paired import change, difference, has_values_per_user, mean_with_interval, summary
from gnnrec.experiment.results import Result, Run

Rows = Mapping[str, list[Run]]
DIGITS = 6


def is_ours(result: Result) -> bool:
    """Whether the model is a graph model, or a blend with one; everything else is a baseline."""
    model = result.config["model"]
    parts = [model, *model.get("components", {}).values()]
    return any(str(part["class"]).startswith(("Graph", "PrivateGraph")) for part in parts)


def is_blend(result: Result) -> bool:
    """Whether the model mixes others: blends are compared with blends."""
    return str(result.config["model"]["class"]) == "Blend"


def is_control(result: Result) -> bool:
    """Whether attributes were shuffled: such a row is no competitor."""
    return bool(result.config.get("shuffle_attributes"))


def _asks_for_next(result: Result) -> bool:
    """Whether each number of shown items is asked for another item, so that its values are of other questions."""
    return bool(result.config.get("split", {}).get("target") == "next")


def comparisons(rows: Rows, protocol: Protocol) -> dict[str, Any]:
    """Metric -> what its column holds.

    For each column: the rows' means with their spread; the best row, and how far each other row is from it (Holm over
    the rows that are not best). For the metric that models are compared by, further: each mean's 95 % interval, the
    best single baseline or the protocol's reference, the best blend without a graph model, and each row's difference to
    the one of its kind (Holm over the rows that are neither) and to the plain row; with a number of items shown, what a
    row gains by them where what is asked for stays the same. Where the protocol names rivals,
    each column has the best of them and each row's difference to it.

    Args:
        rows: finished runs of each config, sorted by seed; all rows have the same seeds.
        protocol: whose table it is.
    """
    return {metric: _column(rows, metric, protocol) for metric in protocol.columns}


def _column(rows: Rows, metric: str, protocol: Protocol) -> dict[str, Any]:
    measured = {name: [run.result for run in g] for name, g in rows.items() if metric in g[0].result.metrics}
    found = {name: summary(results, metric) for name, results in measured.items()}
    means = {name: numbers["mean"] for name, numbers in found.items() if numbers is not None}
    column: dict[str, Any] = {"rows": {name: None if n is None else _rounded(n) for name, n in found.items()}}
    competitors = [name for name in means if not is_control(rows[name][0].result)]
    baselines = [name for name in competitors if not is_ours(rows[name][0].result)]
    if not competitors or higher_is_better(metric) is None:
        return column
    column["best"] = _best(means, competitors, metric)
    if metric == protocol.main and (baselines or protocol.reference):
        blends = [name for name in baselines if is_blend(rows[name][0].result)]
        singles = [name for name in baselines if name not in blends]
        column["floor"] = protocol.reference or _best(means, singles or baselines, metric)
        if blends and singles and not protocol.reference:
            column["blend_floor"] = _best(means, blends, metric)
    if not all(has_values_per_user(run, metric) for name in means for run in rows[name]):
        return column
    paired = {name: rows[name] for name in means}
    if rivals := [name for name in protocol.rivals if name in means]:
        column["rival"] = _best(means, rivals, metric)
        column["to_rival"] = _differences(paired, dict.fromkeys(paired, column["rival"]), metric)
    column["to_best"] = _differences(paired, dict.fromkeys(paired, column["best"]), metric)
    if metric == protocol.main:
        column["intervals"] = {name: _rounded(asdict(mean_with_interval(g, metric))) for name, g in paired.items()}
        if "floor" in column:
            of_kind = {
                name: column.get("blend_floor", column["floor"]) if is_blend(group[0].result) else column["floor"]
                for name, group in paired.items()
            }
            column["to_floor"] = _differences(paired, of_kind, metric)
        shots, _, plain = metric.rpartition("/")
        none = f"k0/{plain}"
        if shots not in ("", "k0") and none in protocol.columns:
            same = {n: g for n, g in paired.items() if none in g[0].per_user and not _asks_for_next(g[0].result)}
            column["gained"] = {name: _rounded(asdict(change(g, metric, none))) for name, g in same.items()}
        if protocol.plain in paired:
            column["to_plain"] = _differences(paired, dict.fromkeys(paired, protocol.plain), metric)
    elif protocol.main.partition("/")[2] == metric.partition("/")[2] != "":  # another number of shots: a curve
        column["intervals"] = {name: _rounded(asdict(mean_with_interval(g, metric))) for name, g in paired.items()}
    return column


def _best(means: Mapping[str, float], names: list[str], metric: str) -> str:
    """The name with the best mean; the first of several."""
    higher = higher_is_better(metric)
    return min(sorted(names), key=lambda name: -means[name] if higher else means[name])


def _differences(rows: Rows, reference: Mapping[str, str], metric: str) -> dict[str, Any]:
    """Each row's difference to its reference, with Holm's correction over the rows that are not their own."""
    found: dict[str, Difference] = {
        name: difference(name, group, reference[name], rows[reference[name]], metric)
        for name, group in rows.items()
        if name != reference[name]
    }
    corrected = holm([d.p_value for d in found.values()])
    return {
        name: _rounded({**asdict(d), "p_value_holm": p}) for (name, d), p in zip(found.items(), corrected, strict=True)
    }


def _rounded(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {k: round(v, DIGITS) if isinstance(v, float) else v for k, v in numbers.items()}
