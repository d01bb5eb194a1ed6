"""What the graph model was meant to reach, and what it reached: rows from the kept results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.protocols import PROTOCOLS, Protocol, Target
from experiments.render import LEVEL, NOT_MEASURED
from gnnrec.experiment.paired import LOWER_IS_BETTER
from gnnrec.experiment.tables import DASH
from gnnrec.experiment.text_table import Table, latex_text

DEFAULT = "graphsage-default"
HEADER = ("protocol", "metric", "to beat", "target", "best baseline", "searched", "default", "default, lead", "met by")


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
    there = {protocol.name for protocol, _ in kept}
    return Table(HEADER, cells, set(), _caption([p.name for p in PROTOCOLS if p.targets and p.name not in there]), [])


def _row(target: Target, protocol: Protocol, kept: Mapping[str, Any]) -> tuple[str, ...]:
    rows = kept["columns"].get(target.metric, NOT_MEASURED)["rows"]
    means = {name: row["mean"] for name, row in rows.items() if row is not None}
    measured = target.metric if protocol.rivals else protocol.main
    column = kept["columns"][measured]
    kind = "rival" if protocol.rivals else "floor"
    to_best, best = column[f"to_{kind}"], means.get(column[kind])
    aim = target.value if target.value is not None or best is None else best * (1 + target.over_best)
    lead = to_best[DEFAULT]
    met = [
        word
        for word, name in (("searched", target.searched), ("default", DEFAULT), *((name, name) for name in target.also))
        if name in means and _reached(target.metric, means[name], aim) and _leads(measured, to_best[name])
    ]
    return (
        protocol.title,
        target.metric,
        _number(target.to_beat),
        _number(aim),
        _number(best),
        _number(means.get(target.searched)),
        _number(means.get(DEFAULT)),
        f"{lead['mean']:+.4f} ({lead['low']:+.4f} to {lead['high']:+.4f}), p {lead['p_value_holm']:.4f}",
        " and ".join(met) or "none",
    )


def _reached(metric: str, mean: float, aim: float | None) -> bool:
    if aim is None:
        return False
    return mean <= aim if metric.rpartition("/")[2] in LOWER_IS_BETTER else mean >= aim


def _leads(metric: str, difference: Mapping[str, float]) -> bool:
    """Whether a row is better than the one it is compared with, by more than noise."""
    return _reached(metric, difference["mean"], 0.0) and difference["p_value_holm"] < LEVEL


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.4f}"


def _caption(missing: list[str]) -> str:
    text = (
        "What was aimed at before the runs, and what was reached, as means over seeds. To beat: the best floor or "
        "published number that was known. Best baseline: the one with the best mean in the metric that models are "
        "compared by, searched with the same budget; after first choices, the best of those that the target is set by, "
        "at that number of choices. Lead: of the default options over that baseline, 95 % interval, p after Holm's "
        "correction over the rows of the protocol's table. A target counts as met where the number is reached and the "
        f"row leads with p below {LEVEL}; a row that is neither the searched one nor the default is named."
    )
    return text + (f" Not run in full yet: {', '.join(missing)}." if missing else "")
