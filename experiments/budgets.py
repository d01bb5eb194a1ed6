"""What the searches of options cost: rows for each protocol, from the logs of `experiments.tuning`."""

import json
from pathlib import Path
from typing import Any

from experiments.protocols import PROTOCOLS, TUNING, Protocol
from experiments.render import span
from gnnrec.experiment.text_table import Table, latex_text

HEADER = ("protocol", "model", "trials", "minutes", "chosen by", "first options", "best options")
GRAPH = "graphsage"


def render_budgets(folder: Path, logs: Path = TUNING) -> dict[Path, str]:
    """The files of the table: path -> text; none before the first search.

    Args:
        folder: where tables belong.
        logs: of the searches, `<logs>/<protocol>/<config>.json`.
    """
    table = budgets(logs)
    if not table.cells:
        return {}
    return {
        folder / "budgets.md": table.markdown(),
        folder / "budgets.tex": table.latex(),
        folder / "budgets-caption.tex": latex_text(table.caption) + "\n",
    }


def budgets(logs: Path = TUNING) -> Table:
    """Each graph model's search, and the baselines' of the same protocol together."""
    cells: list[tuple[str, ...]] = []
    allowed: set[str] = set()
    for protocol in PROTOCOLS:
        found = [json.loads(path.read_text()) for path in sorted((logs / protocol.name).glob("*.json"))]
        found = [log for log in found if log["space"]]
        allowed |= {f"{log['budget']['trials']} trials or {log['budget']['minutes']:g} minutes" for log in found}
        graph = [log for log in found if log["config"].startswith(GRAPH)]
        others = [log for log in found if log not in graph]
        cells += [_row(protocol, log["config"], [log]) for log in graph]
        if others:
            cells.append(_row(protocol, f"{len(others)} baselines, each", others))
    return Table(HEADER, cells, set(), _caption(allowed), [])


def _row(protocol: Protocol, name: str, logs: list[dict[str, Any]]) -> tuple[str, ...]:
    trials = span([len(log["trials"]) for log in logs])
    minutes = [log["seconds"] / 60 for log in logs]
    took = f"{min(minutes):.1f}" if len(logs) == 1 else f"{min(minutes):.1f} to {max(minutes):.1f}"
    first, best = "", ""
    if len(logs) == 1:
        by_number = {trial["number"]: trial["value"] for trial in logs[0]["trials"]}
        own = next((t["value"] for t in logs[0]["trials"] if t["own"]), None)
        first, best = "" if own is None else f"{own:.4f}", f"{by_number[logs[0]['best']]:.4f}"
    return protocol.title, name, trials, took, logs[0]["metric"], first, best


def _caption(allowed: set[str]) -> str:
    return (
        f"Searches of options on the validation users of the first seed, with the budget of every model: "
        f"{'; '.join(sorted(allowed))} of trials, each on one core, whichever ends first. A trial that has begun is "
        "finished. The first options are those chosen before by hand on validation users. Variants of the graph model "
        "take its options; protocols that are not listed take those of the protocol on the same data, or theirs as "
        "they come."
    )
