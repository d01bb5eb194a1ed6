"""Figures from plain numbers: curves and bars with intervals, learning curves, the paths of one recommendation."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from gnnrec.errors import ConfigError
from gnnrec.runtime.files import replace_file

try:
    import matplotlib
    from matplotlib.figure import Figure
except ModuleNotFoundError:
    raise ConfigError("figures: the package matplotlib is missing; pip install 'gnnrec[plots]'") from None

STYLE: Any = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""
MARKERS = "osD^vPXd"

Interval = tuple[float, float, float]
"""Mean, lower end, upper end."""


@matplotlib.rc_context(STYLE)
def curves(
    lines: Mapping[str, Mapping[float, Interval]], x_label: str, y_label: str, *, logarithmic: bool = False
) -> Figure:
    """A line with 95 % intervals for each model.

    Args:
        lines: name -> x -> mean with interval; a name may lack some x.
        x_label: of the axis.
        y_label: of the axis.
        logarithmic: whether x grows by factors; else every x that occurs has the same room.
    """
    figure, (axes,) = _figure(width=4.8)
    every = sorted({x for line in lines.values() for x in line})
    place = {x: x if logarithmic else float(i) for i, x in enumerate(every)}
    for number, (name, line) in enumerate(lines.items()):
        x = [place[value] for value in sorted(line)]
        mean, low, high = zip(*(line[value] for value in sorted(line)), strict=True)
        axes.plot(x, mean, color=_colour(number), marker=MARKERS[number % len(MARKERS)], markersize=4, label=name)
        axes.fill_between(x, low, high, color=_colour(number), alpha=0.15, linewidth=0)
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xticks([place[value] for value in every], [f"{value:g}" for value in every])
    axes.minorticks_off()
    axes.set(xlabel=x_label, ylabel=y_label)
    figure.legend(loc="outside right upper")  # inside, it would lie on some of many lines
    return figure


@matplotlib.rc_context(STYLE)
def gains(groups: Mapping[str, Sequence[tuple[str, int, Mapping[str, Interval]]]], y_label: str) -> Figure:
    """Differences with 95 % intervals, one panel for each way of grouping users.

    Args:
        groups: what the users are grouped by -> (group, number of users, name -> difference with interval) in order.
        y_label: of the axis.
    """
    figure, panels = _figure(len(groups), width=2.6)
    for axes, (by, members) in zip(panels, groups.items(), strict=True):
        names = list(dict.fromkeys(name for _, _, found in members for name in found))
        for number, name in enumerate(names):
            shift = 0.16 * (number - (len(names) - 1) / 2)
            at = [place + shift for place, (_, _, found) in enumerate(members) if name in found]
            mean, low, high = np.array([found[name] for _, _, found in members if name in found]).T
            ends = np.stack([mean - low, high - mean])
            axes.errorbar(at, mean, ends, fmt=MARKERS[number], color=_colour(number), markersize=4, label=name)
        axes.axhline(0, color="0.6", linewidth=0.8)
        axes.set_xticks(range(len(members)), [f"{group}\n({users})" for group, users, _ in members])
        axes.tick_params("x", labelsize=5)
        axes.set(xlabel=by, ylabel=y_label if axes is panels[0] else "", xlim=(-0.5, len(members) - 0.5))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


@matplotlib.rc_context(STYLE)
def learning_curves(lines: Mapping[str, Sequence[tuple[float, float]]], y_label: str) -> Figure:
    """A value for each epoch.

    Args:
        lines: name -> (epoch, value) pairs.
        y_label: of the axis.
    """
    figure, (axes,) = _figure()
    for number, (name, points) in enumerate(lines.items()):
        epoch, value = zip(*points, strict=True)
        axes.plot(epoch, value, color=_colour(number), marker=MARKERS[number % len(MARKERS)], markersize=3, label=name)
    axes.set(xlabel="epoch", ylabel=y_label)
    axes.legend()
    return figure


@matplotlib.rc_context(STYLE)
def tradeoffs(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], start: Mapping[str, tuple[float, float]], x: str
) -> Figure:
    """What one value costs of another: a panel for each value that is bought, a line for each way to buy it.

    Args:
        panels: name of the value -> name of the way -> points from the start on, (x, y) each.
        start: name of the value -> the point at which all lines begin.
        x: name of what is paid with.
    """
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(2.2 * columns, 2.2 * rows + 0.6), layout="constrained")
    every = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in every[len(panels) :]:
        axes.set_axis_off()
    for axes, (y, lines) in zip(every, panels.items(), strict=False):
        for number, (name, points) in enumerate(lines.items()):
            marker = MARKERS[number % len(MARKERS)]
            at = list(zip(*[start[y], *points], strict=True))
            axes.plot(*at, color=_colour(number), marker=marker, markersize=3, linewidth=1, label=name)
        axes.plot(*start[y], color="black", marker="*", markersize=8, linestyle="none")
        axes.set(xlabel=x, title=y)
        axes.tick_params(labelsize=6)
    figure.legend(*every[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure


@matplotlib.rc_context(STYLE)
def paths(graph: "nx.Graph[str]", user: str, items: Sequence[str]) -> Figure:
    """The ways from one user to what it is recommended: the user on the left, the items on the right.

    Args:
        graph: nodes have a `label` and a `layer` (0 for the user, growing to the right); edges a `weight`, at least 0.
        user: the node of the user.
        items: the nodes of the recommended items.

    Raises:
        ConfigError: an item cannot be reached from the user.
    """
    for item in items:
        if not nx.has_path(graph, user, item):
            raise ConfigError(f"paths: there is no way from {user} to {item}")
    figure, (axes,) = _figure(width=6.4, height=3.6)
    place = _spread(graph)
    heaviest = max((weight for *_, weight in graph.edges(data="weight", default=1.0)), default=1.0)
    width = [0.2 + 0.8 * weight / heaviest for *_, weight in graph.edges(data="weight", default=1.0)]
    colour = [COLOURS[1] if n == user else COLOURS[0] if n in items else "0.8" for n in graph]
    nx.draw_networkx_edges(graph, place, ax=axes, width=width, edge_color="0.7")
    nx.draw_networkx_nodes(graph, place, ax=axes, node_color=colour, node_size=60)
    for node, (x, y) in place.items():
        right = node in items
        axes.annotate(
            graph.nodes[node].get("label", node),
            (x, y),
            xytext=(6 if right else 0, 0 if right else 5),
            textcoords="offset points",
            ha="left" if right else "center",
            va="center" if right else "bottom",
            fontsize=6,
        )
    axes.set_axis_off()
    axes.margins(x=0.2)
    return figure


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Writes a figure as PDF for the paper and PNG for the screen; same figure, same bytes.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pdf, png = folder / f"{name}.pdf", folder / f"{name}.png"
    drawn = {pdf: io.BytesIO(), png: io.BytesIO()}
    with matplotlib.rc_context({"pdf.fonttype": 42}):  # fonts that journals accept
        figure.savefig(drawn[pdf], format="pdf", metadata={"CreationDate": None})
    figure.savefig(drawn[png], format="png", dpi=160, metadata={"Software": None})
    for path, content in drawn.items():
        replace_file(path, content.getvalue())
    return [pdf, png]


def _figure(panels: int = 1, width: float = 3.4, height: float = 2.6) -> tuple[Figure, Any]:
    """A figure, and the axes of its panels side by side."""
    figure = Figure(figsize=(width * panels, height), layout="constrained")
    return figure, figure.subplots(1, panels, sharey=True, squeeze=False)[0]


def _spread(graph: "nx.Graph[str]") -> dict[str, tuple[float, float]]:
    """Layers from left to right, each from top to bottom in the order of the nodes, a single node in the middle."""
    layers: dict[int, list[str]] = {}
    for node, layer in graph.nodes(data="layer"):
        layers.setdefault(layer, []).append(node)
    return {
        node: (float(layer), 1 - 2 * number / (len(nodes) + 1))
        for layer, nodes in layers.items()
        for number, node in enumerate(nodes, start=1)
    }


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
