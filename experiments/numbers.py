r"""Every number that the paper's text may quote, as a LaTeX macro: `\num{ml-100k/graphsage/ndcg@10}`."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.protocols import Protocol

HEAD = r"""% Written by experiments.reproduce from experiments/results; do not edit.
\makeatletter
\newcommand{\num}[1]{\@ifundefined{n:#1}{\PackageError{numbers}{no number is called #1}{}}{\csname n:#1\endcsname}}
\newcommand{\@number}[2]{\expandafter\gdef\csname n:#1\endcsname{#2}}
"""


def numbers(every: Sequence[tuple[Protocol, Mapping[str, Any]]]) -> dict[str, str]:
    """Key -> text of each number.

    Keys are `<protocol>/<model>/<metric>` for a mean, with `/floor` or `/plain` behind it for the difference to the
    best baseline or to the plain row (its ends with `/low` and `/high`, its corrected p with `/p` behind that);
    `<protocol>/floor` for the best baseline's name, and `<protocol>/runs`, `/users`, `/openings`, `/minutes`.

    Args:
        every: protocols with their kept results.
    """
    found: dict[str, str] = {}
    for protocol, kept in every:
        name = protocol.name
        for metric, column in kept["columns"].items():
            for model, row in column["rows"].items():
                found[f"{name}/{model}/{metric}"] = "--" if row is None else f"{row['mean']:.3f}"
            for kind in ("floor", "plain"):
                for model, d in column.get(f"to_{kind}", {}).items():
                    at = f"{name}/{model}/{metric}/{kind}"
                    found |= {
                        at: f"{d['mean']:+.3f}",
                        f"{at}/low": f"{d['low']:+.3f}",
                        f"{at}/high": f"{d['high']:+.3f}",
                    }
                    p = d["p_value_holm"]
                    found[f"{at}/p"] = f"{p:.3f}" if p >= 0.001 else "< .001"
                    found[f"{at}/effect"] = "--" if d["effect_size"] is None else f"{d['effect_size']:+.2f}"
        main = kept["columns"][protocol.main]
        if "floor" in main:
            found[f"{name}/floor"] = main["floor"]
        scored = [run["users"] for run in kept["runs"] if run["users"]]
        seconds = sum(sum(run["seconds"].values()) for run in kept["runs"])
        found |= {
            f"{name}/runs": str(len(kept["runs"])),
            f"{name}/seeds": str(len({run["seed"] for run in kept["runs"]})),
            f"{name}/users": str(max(scored, default=0)),
            f"{name}/openings": str(kept["openings"]["times"]),
            f"{name}/minutes": f"{seconds / 60:.0f}",
        }
    return found


def numbers_tex(every: Sequence[tuple[Protocol, Mapping[str, Any]]]) -> str:
    """The macros as a LaTeX file."""
    lines = [
        f"\\@number{{{key}}}{{{text.replace('_', chr(92) + '_')}}}" for key, text in sorted(numbers(every).items())
    ]
    return HEAD + "\n".join([*lines, r"\makeatother", ""])
