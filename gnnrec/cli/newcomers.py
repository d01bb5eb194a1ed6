"""What the commands that read a file of new users share: options, a progress bar, a report."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from gnnrec.cli.arguments import each
from gnnrec.cli.cluster import on_cluster
from gnnrec.cli.console import err, line
from gnnrec.errors import InputError

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a finished run, or of a saved model.")]
UsersFile = Annotated[
    Path | None,
    typer.Option(
        help="File of new users, .csv, .tsv or .parquet: a row each, columns named as in training; or a folder of such."
    ),
]
HistoryFile = Annotated[
    Path | None,
    typer.Option(help="File of their known items: a row for each user and item; of a folder of users, a folder, too."),
]
UserColumn = Annotated[
    str | None,
    typer.Option(help="Column of user ids; left out, that of training, or else the first."),
]

At = Annotated[
    str | None,
    typer.Option(help="The moment of the request, a number or a date; left out, now. What is known is of before it."),
]


WriteFile = Callable[[Path, Path, Path | None, Path, Mapping[str, Any], bool], Any]
"""(model, users, history, out, options, whether to show how far it is) -> what was written."""


def write(
    write_file: WriteFile,
    model: Path,
    users: Path,
    history: Path | None,
    to: Path,
    options: Mapping[str, Any],
    ray: str | None,
    as_json: bool,
) -> None:
    """Writes lists or vectors for a file of users, or for each file of a folder; one that is there is not made again.

    Args:
        write_file: writes them for one file; of a module, so that a worker knows it.
        model: folder of the model.
        users: file, or folder.
        history: file, or folder with files of the names that the users' files have; None for none.
        to: file, or folder.
        options: for `write_file`.
        ray: address of a cluster, on which each file of a folder is one task; None for none.
        as_json: print for a program.
    """
    from gnnrec.serving.many import Written

    if not users.is_dir():
        if ray is not None:
            raise InputError(f"--ray: deals out the files of a folder, and {users} is none; write --users FOLDER")
        report(write_file(model, users, history, to, options, True), to, as_json)
        return
    every = parts(users, history, to)
    left = [part for part in every if not part[2].exists()]
    if len(left) < len(every):
        line(f"{to}: {len(every) - len(left):,} of {len(every):,} files are there already")
    jobs = [(model.resolve(), *(one and one.resolve() for one in part), options, False) for part in left]
    names = [str(part[0]) for part in left]
    if ray is None:
        done, all_done = each(
            zip(names, jobs, strict=True), lambda one: (one[0], write_file(*one[1])), lambda one: one[0]
        )
    else:
        numbered, all_done = on_cluster(ray, write_file, jobs, names)
        done = [(names[number], found) for number, found in numbered]
    users_done, rows = (sum(getattr(found, what) for _, found in done) for what in ("users", "rows"))
    report(
        Written(users_done, rows, [f"{name}: {text}" for name, found in done for text in found.warnings]), to, as_json
    )
    if not all_done:
        raise typer.Exit(2)


def parts(users: Path, history: Path | None, to: Path) -> list[tuple[Path, Path | None, Path]]:
    """(File of users, their history, what to write) for each file of a folder.

    Raises:
        InputError: the folder has no file of users, what is written is to be one file, or histories are one file.
    """
    files = sorted(path for path in users.iterdir() if path.suffix in (".parquet", ".csv", ".tsv"))
    if not files:
        raise InputError(f"--users: {users} is a folder without a .parquet, .csv or .tsv file")
    if to.suffix in (".parquet", ".csv") or (to.exists() and not to.is_dir()):
        raise InputError(f"--out: {to}: of a folder of users a folder is written; name one, for example lists")
    if history is not None and not history.is_dir():
        raise InputError(f"--history: {history} must be a folder with files named as those of {users}")
    own = {} if history is None else {path.stem: path for path in sorted(history.iterdir())}
    stems = [path.stem for path in files]
    if len(set(stems)) < len(stems):
        raise InputError(f"--users: two files of {users} are called {max(stems, key=stems.count)}; rename one")
    return [(path, own.get(path.stem), to / f"{path.stem}.parquet") for path in files]


@contextmanager
def progress(total: int, what: str, show: bool = True) -> Iterator[Callable[[int], object]]:
    """A bar on standard error, if that is a terminal; yields what is called with the number of users done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err.console, transient=True, disable=not (show and err.is_terminal)) as bar:
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
