"""What the graph model was meant to reach, and what it reached: rows from the kept results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.protocols import PROTOCOLS, Protocol, Target
from experiments.render import LEVEL, NOT_MEASURED, SINGLE
from gnnrec.evaluation.metrics import higher_is_better
from gnnrec.experiment.tables import DASH
from gnnrec.experiment.text_table import Table, latex_text

BLEND = "blend"
HEADER = (
    *("protocol", "metric", "to beat", "target", "best baseline", "best blend without", "graphsage", "blend"),
    *("graphsage, lead", "blend, lead", "met by"),
)


def render_targets(kept: Sequence[tuple[Protocol, Mapping[str, Any]]], folder: Path) -> dict[Path, str]:
    """The files of the table: path -> text.

    Args:
        kept: protocols with their results.
        folder: where tables belong.
    """
    table = targets(kept)
    return {
        folder / "targets.md": table.markdown(),
        folder / "targets.tex": table.latex(),
        folder / "targets-caption.tex": latex_text(table.caption) + "\n",
    }


def targets(kept: Sequence[tuple[Protocol, Mapping[str, Any]]]) -> Table:
    """A row for each target of a protocol that has results."""
    cells = [_row(target, protocol, content) for protocol, content in kept for target in protocol.targets]
    names = {protocol.name for protocol, _ in kept}
    return Table(HEADER, cells, set(), _caption([p.name for p in PROTOCOLS if p.targets and p.name not in names]), [])


def _row(target: Target, protocol: Protocol, kept: Mapping[str, Any]) -> tuple[str, ...]:
    rows = kept["columns"].get(target.metric, NOT_MEASURED)["rows"]
    means = {name: row["mean"] for name, row in rows.items() if row is not None}
    measured = target.metric if protocol.rivals else protocol.main
    column = kept["columns"][measured]
    kind = "rival" if protocol.rivals else "floor"
    to_best, best = column.get(f"to_{kind}", {}), means.get(column.get(kind, ""))
    aim = target.value if target.value is not None or best is None else best * (1 + target.over_best) + target.lead
    met = [
        name
        for name in (SINGLE, *(() if protocol.rivals else (BLEND,)), *target.also)
        if name in means and name in to_best and _reached(target.metric, means[name], aim)
        if _leads(measured, to_best[name])
    ]
    return (
        protocol.title,
        target.metric,
        _number(target.to_beat),
        _number(aim),
        _number(best),
        _number(means.get(column.get("blend_floor", ""))),
        _number(means.get(SINGLE)),
        _number(means.get(BLEND)),
        _lead(measured, to_best.get(SINGLE)),
        _lead(measured, None if protocol.rivals else to_best.get(BLEND)),  # rivals are single models
        " and ".join(met) or "none",
    )


def _lead(metric: str, d: Mapping[str, float] | None) -> str:
    """The difference to the row it is compared with; of an error, a smaller one leads."""
    if d is None:
        return DASH
    mean, low, high = d["mean"], d["low"], d["high"]
    if higher_is_better(metric) is False:
        mean, low, high = -mean, -high, -low
    return f"{mean:+.4f} ({low:+.4f} to {high:+.4f}), p {d['p_value_holm']:.4f}"


def _reached(metric: str, mean: float, aim: float | None) -> bool:
    if aim is None:
        return False
    return mean <= aim if higher_is_better(metric) is False else mean >= aim


def _leads(metric: str, difference: Mapping[str, float]) -> bool:
    """Whether a row is better than the one it is compared with, by more than noise."""
    return _reached(metric, difference["mean"], 0.0) and difference["p_value_holm"] < LEVEL


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.4f}"


def _caption(missing: list[str]) -> str:
    text = (
        "What was aimed at before the runs, and what was reached, as means over seeds. To beat: the best "
        "reference score or published number that was known. Best baseline, best blend without: the ones without "
        "a graph model with the best mean in the metric that models are compared by, searched with the same "
        "budget; of first interactions, the best of the baselines that the target is set by, at that number of "
        "them. Lead: of graphsage over the best single baseline, of the blend over the best blend without a graph"
        " model (of first interactions, of graphsage over that baseline; a blend is not compared with it), above "
        "0 where it is better, 95 % interval, p after Holm's correction over the rows of the protocol's table. A "
        "target counts as met where the number is reached and the row leads with p below "
        f"{LEVEL}."
    )
    waiting = f" Not run yet: {', '.join(missing)}."
    return text + (waiting if missing else "")
