r"""Every number that the paper's text may quote, as a LaTeX macro: `\num{ml-100k/graphsage/ndcg@10}`."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.protocols import Protocol
from experiments.render import LEVEL, controls
from gnnrec.evaluation.metrics import higher_is_better
from gnnrec.experiment.text_table import latex_text

HEAD = r"""% Written by experiments.reproduce from experiments/results; do not edit.
\makeatletter
\newcommand{\num}[1]{\@ifundefined{n:#1}{\PackageError{numbers}{no number is called #1}{}}{\csname n:#1\endcsname}}
\newcommand{\ifresults}[3]{\@ifundefined{n:#1}{#3}{#2}}
\newcommand{\@n}[2]{\expandafter\gdef\csname n:#1\endcsname{#2}}
\newcommand{\@same}{not significantly different from}
"""

OURS = "graphsage"
"""The row that the text is about, whichever of its variants comes out best."""
ROLES = ("ours", "baseline", "best-blend", "control", "blend")
"""What a row may be called besides its model."""
SAME = "not significantly different from"
"""The verdict of a difference that is not significant."""
Kept = Sequence[tuple[Protocol, Mapping[str, Any]]]
"""Protocols with their kept results."""


def numbers(every: Kept) -> dict[str, str]:
    """Key -> text of each number.

    - `<protocol>/<model>/<metric>`: a mean. Behind it, `/floor` is the difference to the best baseline and, of graph
      models and roles, `/plain` that to the plain row; behind these, `/low` and `/high` are the ends of the interval,
      `/p` is the corrected p-value, `/verdict` better than, worse than or not significantly different from; behind
      `/floor`, `/effect` is the effect size, and behind `/plain`, `/noise` is within or outside.
    - Instead of a model, `ours` is the graph model, `baseline` the best single baseline, `best-blend` the best blend
      without a graph model, `control` the model with shuffled attributes; `<protocol>/ours`, `/baseline`,
      `/best-blend` and `/control` are their names.
    - `<protocol>/runs`, `/seeds`, `/users` (most per run), `/openings` and `/minutes`; `<protocol>` says that there are
      results.

    Args:
        every: protocols with their kept results.
    """
    found: dict[str, str] = {}
    for protocol, kept in every:
        models = {run["name"]: run["name"] for run in kept["runs"]} | _roles(protocol, kept)
        found |= {f"{protocol.name}/{key}": text for key, text in _of_columns(protocol, kept, models).items()}
        found |= {f"{protocol.name}/{key}": text for key, text in _of_runs(kept).items()}
        found |= {f"{protocol.name}/{role}": models[role] for role in _roles(protocol, kept)}
        found[protocol.name] = protocol.title
    return found


def numbers_tex(every: Kept) -> str:
    """The macros as a LaTeX file."""
    lines = [f"\\@n{{{key}}}{{{_short(text)}}}" for key, text in sorted(numbers(every).items())]
    return HEAD + "\n".join([*lines, r"\makeatother", ""])


def _short(text: str) -> str:
    """The text in LaTeX; the verdict that most differences have is a command, which halves what it takes."""
    return r"\@same" if text == SAME else latex_text(text)


def _roles(protocol: Protocol, kept: Mapping[str, Any]) -> dict[str, str]:
    """Role -> model that has it."""
    main, shuffled = kept["columns"][protocol.main], controls(protocol, kept)
    roles = {"ours": OURS} if OURS in main["rows"] else {}
    if "floor" in main:
        roles["baseline"] = main["floor"]
    if "blend_floor" in main:
        roles["best-blend"] = main["blend_floor"]
    if shuffled:
        roles["control"] = min(shuffled)
    return roles


def _of_columns(protocol: Protocol, kept: Mapping[str, Any], models: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for metric, column in kept["columns"].items():
        for key, model in models.items():
            if model in column["rows"]:
                row = column["rows"][model]
                found[f"{key}/{metric}"] = "--" if row is None else f"{row['mean']:.3f}"
            for kind in ("floor", "plain"):
                d = column.get(f"to_{kind}", {}).get(model)
                if d is not None and (kind == "floor" or key in ROLES or key.startswith(OURS)):
                    at = f"{key}/{metric}/{kind}"
                    found |= _of_difference(at, d, higher_is_better(metric) is False)
                    if kind == "floor":
                        found[f"{at}/effect"] = "--" if d["effect_size"] is None else f"{d['effect_size']:+.2f}"
                    else:
                        found[f"{at}/noise"] = "within" if d["low"] <= 0 <= d["high"] else "outside"
        for row in protocol.published:
            if metric in row.values:
                found[f"{row.name}/{metric}"] = f"{row.values[metric]:.3f}"
    return found


def _of_difference(key: str, d: Mapping[str, Any], lower: bool) -> dict[str, str]:
    p = d["p_value_holm"]
    better = (d["mean"] < 0) if lower else (d["mean"] > 0)
    verdict = SAME if p >= LEVEL else "better than" if better else "worse than"
    return {
        key: f"{d['mean']:+.3f}",
        f"{key}/low": f"{d['low']:+.3f}",
        f"{key}/high": f"{d['high']:+.3f}",
        f"{key}/p": f"{p:.3f}" if p >= 0.001 else "below .001",
        f"{key}/verdict": verdict,
    }


def _of_runs(kept: Mapping[str, Any]) -> dict[str, str]:
    seconds = sum(sum(run["seconds"].values()) for run in kept["runs"])
    return {
        "runs": str(len(kept["runs"])),
        "seeds": str(len({run["seed"] for run in kept["runs"]})),
        "users": str(max((run["users"] for run in kept["runs"]), default=0)),
        "openings": str(kept["openings"]["times"]),
        "minutes": f"{seconds / 60:.0f}",
    }
