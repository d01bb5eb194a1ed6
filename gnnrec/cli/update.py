"""`gnnrec update`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from gnnrec.cli.console import AsJson, line
from gnnrec.cli.newcomers import At, Model, UserColumn
from gnnrec.errors import InputError


def update(
    model: Model,
    interactions: Annotated[
        Path | None,
        typer.Option(
            help="File of new interactions, .csv, .tsv or .parquet: a row each, columns named as in training."
        ),
    ] = None,
    user_column: UserColumn = None,
    at: At = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of training on what was recorded; needs --out.")
    ] = None,
    to: Annotated[Path | None, typer.Option("--out", help="Folder of the model that has learned.")] = None,
    users: Annotated[Path | None, typer.Option(help="With --steps: users who stand in no file of the run.")] = None,
    items: Annotated[Path | None, typer.Option(help="With --steps: items that stand in no file of the run.")] = None,
    as_json: AsJson = False,
) -> None:
    """Records new interactions beside a saved model: the next list of each user takes them in.

    Two rows are one interaction if they have the same `event_id`, or, where there is no such column, the same user,
    item, time and value: the same file may be given twice. Nothing is trained, unless --steps asks for it: then the
    model of a run on files of your own learns from what was recorded, with a replay of what it was trained on, and the
    new model is written to --out; new users, items and values of attributes come with --users and --items.
    """
    if interactions is None and steps is None:
        raise InputError("give --interactions FILE, or --steps N to learn from what is recorded")
    if (steps is None) != (to is None):
        raise InputError("--steps and --out go together: the model that has learned gets a folder of its own")
    if steps is None and (users is not None or items is not None):
        raise InputError("--users and --items are for training: they need --steps")
    if to is not None:
        from gnnrec.experiment.learn import ready

        ready(model, to)  # before anything is recorded
    facts: dict[str, Any] = {}
    if interactions is not None:
        from gnnrec.serving.record import record_file

        rows, fresh, notes = record_file(model, interactions, user_column, at)
        facts = {"rows": rows, "new": fresh, "warnings": notes}
        for note in notes:
            line(f"warning: {note}")
        if not as_json:
            line(f"{model}: {fresh:,} of {rows:,} interactions are new")
    if steps is not None and to is not None:
        from gnnrec.experiment.learn import learn

        learned = learn(model, to, steps, users, items)
        facts |= {"learned": asdict(learned), "out": str(to)}
        if not as_json:
            line(
                f"{to}: learned from {learned.interactions:,} interactions of {learned.users:,} users "
                f"({learned.new_users:,} new), {learned.new_items:,} new items, in {steps:,} steps"
            )
    if as_json:
        typer.echo(json.dumps(facts))
