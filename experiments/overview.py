"""The overview in experiments/README.md: each protocol's configs, time, and how often its test part was opened."""

from collections.abc import Mapping
from typing import Any

from experiments.protocols import PROTOCOLS, Protocol

HEAD = "| protocol | table | configs | seeds | runs | opened | minutes |\n|---|---|---:|---|---:|---:|---:|\n"


def overview(kept: Mapping[str, Mapping[str, Any]]) -> str:
    """The table in Markdown: a row for each protocol that has results.

    Args:
        kept: protocol -> its results.
    """
    return HEAD + "".join(_row(p, kept[p.name]) for p in PROTOCOLS if p.name in kept)


def replaced(text: str, kept: Mapping[str, Mapping[str, Any]]) -> str:
    """The README with the overview brought up to date: what stands between its first row and the next empty line."""
    start = text.index(HEAD.partition("\n")[0])
    end = text.index("\n\n", start) + 1
    return text[:start] + overview(kept) + text[end:]


def _row(protocol: Protocol, content: Mapping[str, Any]) -> str:
    runs = content["runs"]
    configs = len({run["name"] for run in runs})
    seeds = ", ".join(str(seed) for seed in sorted({run["seed"] for run in runs}))
    minutes = sum(sum(run["seconds"].values()) for run in runs) / 60
    table = f"[{protocol.name}](../paper/tables/{protocol.name}.md)"
    opened = content["openings"]["times"] or "not logged"
    return f"| {protocol.title} | {table} | {configs} | {seeds} | {len(runs)} | {opened} | {minutes:.0f} |\n"
