"""What the demo shop shows: a table that fits the terminal, and a line for a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from gnnrec.errors import visible
from gnnrec.experiment.demo_shop.scores import LENGTH, Interval, Row

GAP, PIPE = 2, 1000
"""Blanks between columns; and the width from which on text stands on one line, for there is no terminal."""
LEGEND = f"""\
NDCG, hit  of {LENGTH} items: what the user chooses later is to be found, among all.
           The fewer are left to find, the lower both are: compare within a row.
           Who has nothing left to find, leaves.
popular    the items chosen most often, for the same users
by events  than the list from the profile alone: same users, same items to find
±, [ ]     95 % interval over users, each by itself; bold where 0 is outside
ms         median wait for a list"""


def _number(one: Interval) -> str:
    return f"{one.mean:.3f}" + ("" if one.low is None or one.high is None else f" ±{(one.high - one.low) / 2:.3f}")


def _share(one: Interval) -> Text:
    return Text(f"{one.mean:.0%}")


def _difference(one: Interval | None) -> Text:
    if one is None:
        return Text(f"{'-':<23}")
    interval = "" if one.low is None or one.high is None else f"[{one.low:+.3f}, {one.high:+.3f}]"
    return Text(f"{one.mean:+.3f} {interval:<16}", "bold" if one.sign else "")


@dataclass(frozen=True)
class _Column:
    """A column.

    Attributes:
        header: two lines.
        width: of it.
        needed: a narrow terminal does first without those that are needed least; 0 for one that stays.
        cell: of a row.
    """

    header: str
    width: int
    needed: int
    cell: Callable[[Row], Text]


COLUMNS = (
    _Column("events\nknown", 6, 0, lambda row: Text(str(row.events))),
    _Column("\nusers", 5, 0, lambda row: Text(f"{row.users:,}")),
    _Column("the list\nNDCG", 12, 0, lambda row: Text(_number(row.ndcg))),
    _Column("\nhit", 4, 2, lambda row: _share(row.hit)),
    _Column("popular\nNDCG", 12, 0, lambda row: Text(_number(row.popular_ndcg))),
    _Column("\nhit", 4, 4, lambda row: _share(row.popular_hit)),
    _Column("better than popular by ", 23, 0, lambda row: _difference(row.better)),
    _Column("better by events       ", 23, 1, lambda row: _difference(row.gain)),
    _Column(
        "\nms",
        4,
        3,
        lambda row: Text(f"{row.milliseconds:.0f}" if row.milliseconds >= 10 else f"{row.milliseconds:.1f}"),
    ),
)


def table(rows: Sequence[Row], width: int, title: str, caption: str) -> Table:
    """The table.

    Args:
        rows: a row for each number of events.
        width: columns of text that there are.
        title: above it.
        caption: below it.
    """
    shown = [one for one in COLUMNS if not one.needed]
    for column in sorted((one for one in COLUMNS if one.needed), key=lambda one: one.needed):
        if sum(one.width + GAP for one in [*shown, column]) <= width + GAP:
            shown.append(column)
    shown.sort(key=COLUMNS.index)
    found = Table(
        title=Text(visible(title)),
        caption=Text(visible(caption)),
        title_justify="left",
        caption_justify="left",
        title_style="",
        caption_style="",
        box=None,
        pad_edge=False,
        padding=(0, GAP, 0, 0),
        width=width if width < PIPE else max(map(len, f"{title}\n{caption}".splitlines())),
    )
    for column in shown:
        found.add_column(Text(column.header, "bold"), justify="right", min_width=column.width, vertical="bottom")
    for row in rows:
        found.add_row(*(column.cell(row) for column in shown))
    return found


def progress_line(rows: Sequence[Row], done: int, lists: int) -> str:
    """How far it is and what it looks like, in a line for a file."""
    shown = [
        f"NDCG {_number(row.ndcg)} with {row.events or 'no'} event{'s' * (row.events > 1)} known, "
        f"popular {_number(row.popular_ndcg)}, {row.users} users"
        for row in rows
        if row.events in (0, 5)
    ]
    return f"{done:,} of {lists:,} lists; {'; '.join(shown)}"
