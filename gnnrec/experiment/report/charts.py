"""Charts as inline SVG: text is text, colours are those of the page, same numbers, same bytes."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from gnnrec.errors import visible
from gnnrec.experiment.plots import COLOURS, MARKERS, STYLE, Interval
from gnnrec.experiment.report.history import Points
from gnnrec.experiment.report.markup import Html, attribute, element

import matplotlib  # isort: skip  (plots says in one line where it is missing)
from matplotlib.figure import Figure  # isort: skip
from matplotlib.ticker import MaxNLocator  # isort: skip

Forest = Sequence[tuple[str, int, Mapping[str, Interval]]]
"""(group, number of users, model -> mean with interval), from the top."""
Places = Mapping[str, int]
"""Label of a line -> its number, which stands for a colour and a marker, the same in all charts of a part."""
LONGEST = 24
"""Characters of a name in a chart."""
WIDE, SMALL = 4.0, 3.0
"""Width in inches: of a chart that stands alone, and of one of several side by side."""
PAGE: Any = {**STYLE, "font.size": 9, "text.parse_math": False, "text.usetex": False}
"""Names are no mathematical formulas."""


def shot_curve(lines: Mapping[str, Mapping[float, Interval]], y: str, places: Places, name: str, title: str) -> Html:
    """Quality by the number of known items; every number that occurs has the same room.

    Args:
        lines: model -> number of known items -> mean with interval.
        y: label of the axis.
        places: of the models.
        name: of the chart, unique in the page.
        title: what a screen reader says instead of the chart.
    """
    every = sorted({x for line in lines.values() for x in line})
    with _chart(WIDE, 2.4, lines) as (figure, axes):
        handles = []
        for model, line in lines.items():
            at = [every.index(x) for x in sorted(line)]
            mean, low, high = zip(*(line[x] for x in sorted(line)), strict=True)
            colour, marker = _look(places[model])
            handles += axes.plot(at, mean, color=colour, marker=marker, markersize=4)
            axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_xticks(range(len(every)), [f"{x:g}" for x in every])
        axes.set(xlabel="known items of a user", ylabel=y)
        _legend(figure, handles, lines)
        return _svg(figure, name, title)


def learning_curves(lines: Mapping[str, Sequence[Points]], y: str, places: Places, name: str, title: str) -> Html:
    """A value for each epoch; the lines of one label (seeds, restarts) look alike.

    Args:
        lines: label -> lines, each of (epoch, value) pairs.
        y: label of the axis.
        places: of the labels.
        name: of the chart, unique in the page.
        title: what a screen reader says instead of the chart.
    """
    with _chart(SMALL, 2.0, lines) as (figure, axes):
        handles = []
        for label, several in lines.items():
            colour, marker = _look(places[label])
            for points in several:
                epoch, value = zip(*points, strict=True)
                (handle,) = axes.plot(epoch, value, color=colour, marker=marker, markersize=2.5, linewidth=1)
            handles.append(handle)
        axes.set(xlabel="epoch", ylabel=y)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        _legend(figure, handles, lines)
        return _svg(figure, name, title)


def forest(groups: Forest, x: str, places: Places, name: str, title: str) -> Html:
    """Differences with intervals: a row for each group of users, in it a mark for each model.

    Args:
        groups: from the top.
        x: label of the axis.
        places: of the models.
        name: of the chart, unique in the page.
        title: what a screen reader says instead of the chart.
    """
    models = dict.fromkeys(model for *_, found in groups for model in found)
    height = 0.6 + len(groups) * max(0.24, 0.13 * len(models))
    with _chart(WIDE, height, models) as (figure, axes):
        axes.axvline(0, color=COLOURS[7], linewidth=0.8)
        handles = []
        for number, model in enumerate(models):
            shift = 0.7 * ((number + 0.5) / len(models) - 0.5)
            at = [place + shift for place, (*_, found) in enumerate(groups) if model in found]
            mean, low, high = zip(*(found[model] for *_, found in groups if model in found), strict=True)
            ends = [[m - b for m, b in zip(mean, low, strict=True)], [t - m for m, t in zip(mean, high, strict=True)]]
            colour, marker = _look(places[model])
            handles.append(axes.errorbar(mean, at, xerr=ends, fmt=marker, color=colour, markersize=4, linewidth=1))
        axes.set_yticks(range(len(groups)), [f"{short(group)} ({users})" for group, users, _ in groups])
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.set(xlabel=x, ylim=(len(groups) - 0.5, -0.5))
        _legend(figure, handles, models)
        return _svg(figure, name, title)


def short(name: str) -> str:
    """A name for a chart: in one line, its middle left out where it is long.

    Example:
        >>> short("a" * 20 + "b" * 20)
        'aaaaaaaaaaa…bbbbbbbbbbbb'
    """
    name = visible(" ".join(name.split()))
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2 - 1]}…{name[-LONGEST // 2 :]}"


@contextmanager
def _chart(width: float, height: float, names: Mapping[str, Any]) -> Iterator[tuple[Figure, Any]]:
    """A figure with room for the legend above its axes; a letter that the font lacks is the browser's matter."""
    with matplotlib.rc_context(PAGE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        lines = -(-len(names) // 2) if len(names) > 1 else 0
        figure = Figure(figsize=(width, height + 0.19 * lines), layout="constrained")
        yield figure, figure.subplots()


def _legend(figure: Figure, handles: Sequence[Any], names: Mapping[str, Any]) -> None:
    if len(names) > 1:
        labels = [f"\u200b{short(name)}" for name in names]  # a label that begins with _ is left out of legends
        figure.legend(handles, labels, loc="outside upper left", ncols=2, borderaxespad=0.2, handlelength=1.5)


def _look(number: int) -> tuple[str, str]:
    """Colour and marker: of the same colour, each line has another marker."""
    return COLOURS[number % len(COLOURS)], MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]


def _svg(figure: Figure, name: str, title: str) -> Html:
    """The figure as an element of a page: no outside address, no name that the page has twice."""
    drawn = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    content = re.sub(r"<!--.*?-->|<(metadata|style)\b.*?</\1>", "", drawn.getvalue().decode(), flags=re.DOTALL)
    found = re.search(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>(.*)</svg>', content, re.DOTALL)
    assert found is not None
    box, inside = found[1], found[2].replace("\u200b", "").replace("xlink:href=", "href=")
    used = set(re.findall(r'(?:url\(|href=")#([\w-]+)', inside))
    inside = re.sub(r' id="([^"]*)"', lambda one: one[0] if one[1] in used else "", inside)
    inside = re.sub(r'(?<=style=")[^"]*', lambda one: _colours_of_page(one[0]), inside)
    inside = re.sub(r"\n\s*", "\n", inside)
    return Html(f'<svg {box} role="img" aria-label="{attribute(title)}">{element("title", title)}{inside}</svg>')


def _colours_of_page(style: str) -> str:
    for number, colour in enumerate(COLOURS, start=1):
        style = style.replace(colour, "currentColor" if colour == "#000000" else f"var(--series-{number})")
    return style
