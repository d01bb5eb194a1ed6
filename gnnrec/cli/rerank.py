"""`gnnrec rerank`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gnnrec.cli.console import AsJson, err, out
from gnnrec.errors import InputError


def rerank(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders of one model, or folders that hold some.")
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="mmr, dpp, calibrated, fair, less_popular or plackett_luce; may be repeated. Left out, all that the "
            "data allow."
        ),
    ] = None,
    strengths: Annotated[
        str, typer.Option(help="Strengths from 0 to 1, separated by commas.")
    ] = "0.02,0.05,0.1,0.2,0.3,0.5",
    to: Annotated[
        Path | None, typer.Option("--out", help="Folder for tradeoff.json and the picture; left out, nothing is kept.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Shows what the lists of finished runs lose and gain when they are put into another order. Nothing is trained.

    The users are the runs' test users: to choose a strength, write `rerank: {method: ...}` into the config, which
    chooses on validation users.
    """
    from gnnrec.cli.newcomers import progress
    from gnnrec.experiment.results import find_runs
    from gnnrec.experiment.tables import metrics_table
    from gnnrec.experiment.tradeoff import METHODS, lines, tradeoff

    if to is not None and to.exists() and not to.is_dir():
        raise InputError(f"--out: {to}: is a file; name a folder")
    numbers = [_number(part) for part in strengths.split(",") if part.strip()]
    total = len(find_runs(runs)) * (1 + len(method or METHODS) * len(numbers))
    with progress(total, "lists", show=not as_json) as advance:
        found = tradeoff(runs, method or (), numbers, lambda text: advance(1))
    table = metrics_table([run.result for run in found])
    if to is not None:
        from gnnrec.experiment.plots import save, tradeoffs
        from gnnrec.runtime.files import replace_file

        files = save(tradeoffs(*lines(found)), to, "tradeoff")
        replace_file(to / "tradeoff.json", (json.dumps(table.rows, indent=1) + "\n").encode())
        err.print(f"written: {to / 'tradeoff.json'}, {', '.join(str(path) for path in files)}")
    if as_json:
        typer.echo(json.dumps(table.rows))
    else:
        out.print(table.rich())


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--strengths: {text.strip()!r} is no number; write for example --strengths 0.1,0.3") from None
