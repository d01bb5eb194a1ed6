"""`gnnrec export-events`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gnnrec.cli.console import AsJson, line
from gnnrec.errors import ConfigError


def export_events(
    store: Annotated[str, typer.Option(metavar="URL", help="Database of the service, as of gnnrec serve.")],
    to: Annotated[Path, typer.Option("--out", help="File of events, .csv, .tsv or .parquet.")],
    model: Annotated[Path | None, typer.Option(help="Run or saved model, whose training's columns files have.")] = None,
    users: Annotated[Path | None, typer.Option(help="Also a file of the users with their profiles.")] = None,
    after: Annotated[int, typer.Option(min=0, help="Number of the last event that was exported before.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Writes what a service was told as files that `gnnrec update` and training read.

    It prints the number of the last event, for --after of the next time. A database of SQLite that a service has open
    can be read, too.
    """
    try:
        from gnnrec.serving.store import Store
        from gnnrec.serving.store.export import export_events as export
        from gnnrec.serving.store.export import export_users
    except ImportError as error:
        raise ConfigError(f"export-events: {error.name} is not installed; pip install 'gnnrec[serve]'") from None
    vocabulary = None
    if model is not None:
        from gnnrec.serving.artifact import load

        vocabulary = load(model).vocabulary
    opened = Store(store, read_only=True)
    try:
        count, last = export(opened, to, vocabulary, after)
        facts: dict[str, Any] = {"events": count, "last": last, "out": str(to)}
        if users is not None:
            facts["users"] = export_users(opened, users, vocabulary)
    finally:
        opened.close()
    if as_json:
        typer.echo(json.dumps(facts))
        return
    line(f"{to}: {count:,} events; the last one has the number {last}")
    if users is not None:
        line(f"{users}: {facts['users']:,} users")
