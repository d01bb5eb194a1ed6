"""What the commands that read a file of new users share: options, a progress bar, a report."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from gnnrec.cli.console import err, line

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a finished run, or of a saved model.")]
UsersFile = Annotated[
    Path | None,
    typer.Option(help="File of new users, .csv, .tsv or .parquet: a row each, columns named as in training."),
]
HistoryFile = Annotated[Path | None, typer.Option(help="File of their known items: a row for each user and item.")]
UserColumn = Annotated[
    str | None,
    typer.Option(help="Column of user ids; left out, that of training, or else the first."),
]

At = Annotated[
    str | None,
    typer.Option(help="The moment of the request, a number or a date; left out, now. What is known is of before it."),
]


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[int], object]]:
    """A bar on standard error, if that is a terminal; yields what is called with the number of users done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda users: bar.advance(task, users)


def report(written: Any, to: Path, as_json: bool) -> None:
    """Prints what was written, and what was left out."""
    for warning in written.warnings:
        line(f"warning: {warning}")
    if as_json:
        facts = {"users": written.users, "rows": written.rows, "out": str(to), "warnings": written.warnings}
        typer.echo(json.dumps(facts, allow_nan=False))
    else:
        line(f"{to}: {written.rows:,} rows for {written.users:,} users")
