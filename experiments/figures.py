"""All figures, each from kept results: a figure whose results are not there is not drawn."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import networkx as nx

from experiments.protocols import RESULTS, Protocol
from experiments.render import read_kept
from gnnrec.experiment import plots

Kept = Mapping[str, Mapping[str, Any]]
"""Protocol -> its results."""
SHOTS = (
    *("blend", "graphsage", "blend-without-graphsage", "graphsage-default", "graphsage-no-encoder"),
    *("popularity", "segment-popularity"),
    *("als", "bpr", "ease", "item-knn", "sasrec", "markov-chain", "graphsage-linear"),
)
TRAINED = ("graphsage", "graphsage-no-pretraining", "graphsage-pretraining")


def shots(kept: Kept) -> dict[str, Any]:
    """Quality by the number of first choices that a user shows."""
    found = {}
    for name in kept:
        columns = kept[name]["columns"]
        if next(iter(columns), "").startswith("k0/"):
            lines: dict[str, dict[float, plots.Interval]] = {}
            for metric, column in columns.items():
                for model in SHOTS:
                    if model in column.get("intervals", {}):
                        number = float(metric.partition("/")[0].removeprefix("k"))
                        lines.setdefault(model, {})[number] = _interval(column["intervals"][model])
            measured = next(iter(columns)).partition("/")[2]
            if len(lines) > 1 or max(map(len, lines.values()), default=0) > 2:  # two points are no curve
                found[name] = plots.curves(lines, "first choices shown", measured)
    return found


GROUPS = ("ml-100k", "hetrec-lastfm", "ml-1m")
"""Protocols whose gains by group the paper shows."""


def groups(kept: Kept) -> dict[str, Any]:
    """Gain over the plain row by activity and attributes."""
    found = {}
    for name in GROUPS:
        content = kept.get(name, {"groups": {}})
        if content["groups"]:
            panels = {
                by: [
                    (gain["group"], gain["users"], {model: _interval(d) for model, d in gain["gains"].items()})
                    for gain in gains
                ]
                for by, gains in content["groups"].items()
                if gains
            }
            if panels:
                found[f"{name}-groups"] = plots.gains(panels, "gain over popularity")
    return found


LEARNING = ("ml-100k", "hetrec-lastfm")
"""Protocols whose learning curves the paper shows."""


def learning(kept: Kept) -> dict[str, Any]:
    """The metric of the validation users, epoch by epoch, with and without pretraining."""
    found = {}
    for name in LEARNING:
        content = kept.get(name, {"curves": {}})
        lines, measured = {}, ""
        for model in TRAINED:
            stage = content["curves"].get(model, {}).get("choose/finetune", {})
            for metric in stage.keys() - {"loss"}:
                lines[model], measured = [tuple(point) for point in stage[metric]], metric
        if len(lines) > 1:
            found[f"{name}-learning"] = plots.learning_curves(lines, f"{measured}, validation users")
    return found


def pretraining(kept: Kept) -> dict[str, Any]:
    """What pretraining is worth when few users are known."""
    shares = {"hetrec-lastfm-1": 1.0, "hetrec-lastfm-10": 10.0, "hetrec-lastfm": 100.0}
    metric = "ndcg@10"
    lines: dict[str, dict[float, plots.Interval]] = {}
    for name, share in shares.items():
        intervals = kept.get(name, {}).get("columns", {}).get(metric, {}).get("intervals", {})
        for model in (*TRAINED, "attribute-linear", "popularity"):
            if model in intervals:
                lines.setdefault(model, {})[share] = _interval(intervals[model])
    if not lines or any(len(line) < len(shares) for line in lines.values()):
        return {}
    return {"pretraining": plots.curves(lines, "% of the training users", metric, logarithmic=True)}


def paths(kept: Kept) -> dict[str, Any]:
    """How recommendations reach one user who stands in no file."""
    found = {}
    for name, content in kept.items():
        if ways := content.get("paths"):
            graph: nx.Graph[str] = nx.Graph()
            graph.add_nodes_from((node["name"], node) for node in ways["nodes"])
            graph.add_weighted_edges_from(ways["edges"])
            found[f"{name}-paths"] = plots.paths(graph, ways["user"], ways["items"])
    return found


def tradeoffs(kept: Kept) -> dict[str, Any]:
    """What lists lose and gain in other orders."""
    found = {}
    for name in kept:
        if (path := RESULTS / "tradeoffs" / f"{name}.json").is_file():
            content = read_kept(path)
            found[f"{name}-tradeoffs"] = plots.tradeoffs(content["panels"], content["start"], content["paid"])
    return found


FIGURES: tuple[Callable[[Kept], dict[str, Any]], ...] = (shots, groups, learning, pretraining, paths, tradeoffs)


def draw(kept: list[tuple[Protocol, dict[str, Any]]], folder: Path) -> list[Path]:
    """Draws every figure that there are results for, as PDF and PNG.

    Returns:
        The files.
    """
    by_name = {protocol.name: content for protocol, content in kept}
    figures = {name: figure for make in FIGURES for name, figure in make(by_name).items()}
    return [path for name, figure in figures.items() for path in plots.save(figure, folder, name)]


def _interval(found: Mapping[str, float]) -> plots.Interval:
    return found["mean"], found["low"], found["high"]
