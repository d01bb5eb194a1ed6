"""`gnnrec update`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gnnrec.cli.console import AsJson, line
from gnnrec.cli.newcomers import At, Model, UserColumn


def update(
    model: Model,
    interactions: Annotated[
        Path,
        typer.Option(
            help="File of new interactions, .csv, .tsv or .parquet: a row each, columns named as in training."
        ),
    ],
    user_column: UserColumn = None,
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Records new interactions beside a saved model: the next list of each user takes them in. Nothing is trained.

    Two rows are one interaction if they have the same `event_id`, or, where there is no such column, the same user,
    item, time and value: the same file may be given twice.
    """
    from gnnrec.serving.record import record_file

    rows, fresh, notes = record_file(model, interactions, user_column, at)
    for note in notes:
        line(f"warning: {note}")
    if as_json:
        typer.echo(json.dumps({"rows": rows, "new": fresh, "warnings": notes}))
    else:
        line(f"{model}: {fresh:,} of {rows:,} interactions are new")
