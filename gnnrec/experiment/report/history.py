"""What runs have told while they trained: the loss and the metrics of each epoch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gnnrec.experiment.results import Run

HISTORY = "history.json"
Points = list[tuple[float, float]]
PHASES = {"choose": "model selection", "final": "final fit"}


@dataclass(frozen=True)
class Panel:
    """One value of one stage of training.

    Attributes:
        title: stage and phase.
        value: what is shown for each epoch.
        lines: label -> lines, one for each seed and restart.
    """

    title: str
    value: str
    lines: dict[str, list[Points]] = field(default_factory=dict)


def panels(rows: Mapping[str, Sequence[Run]]) -> tuple[list[Panel], list[str]]:
    """All panels that the runs have points for, and a note for each run whose history cannot be read.

    A stage is called PREFIX/.../NAME: a prefix that is a number is one of several restarts, any other text the part of
    a model that was trained.
    """
    found: dict[tuple[str, str, str], Panel] = {}
    notes = []
    for name, group in rows.items():
        for run in group:
            try:
                series = _series(run)
            except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
                reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
                notes.append(f"{name}, seed {run.result.seed}: {HISTORY} cannot be read ({reason})")
                continue
            for (stage, value), points in series.items():
                phase, *between, last = stage.split("/") if "/" in stage else ("", stage)
                key = (phase, last, value)
                title = f"{last}, {PHASES.get(phase, phase)}" if phase else last
                label = " / ".join([name, *(part for part in between if not part.isdecimal())])
                found.setdefault(key, Panel(title, value)).lines.setdefault(label, []).append(points)
    return list(found.values()), notes


def _series(run: Run) -> dict[tuple[str, str], Points]:
    """(stage, name of the value) -> (epoch, value) in the order of epochs."""
    assert run.folder is not None
    found: dict[tuple[str, str], Points] = {}
    for record in json.loads((run.folder / HISTORY).read_text(encoding="utf-8")):
        for name, value in record.items():
            if name not in ("stage", "epoch") and value is not None:
                points = found.setdefault((str(record["stage"]), str(name)), [])
                points.append((float(record["epoch"]), float(value)))
    return found
