"""`gnnrec data list`, `gnnrec data fetch`, `gnnrec data describe`, `gnnrec data match`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gnnrec.cli.console import AsJson, err, out


def list_(as_json: AsJson = False) -> None:
    """Lists the data sources, their size, licence and origin."""
    from gnnrec.data.describe import list_sources

    rows = list_sources()
    if as_json:
        typer.echo(json.dumps(rows))
        return
    columns = ("name", "title", "size", "terms", "from", "here")
    from rich.table import Table  # slow to import

    table = Table(*columns)
    for row in rows:
        shown = {**row, "from": row["from"] or "-", "here": "yes" if row["here"] else "no"}
        table.add_row(*(str(shown[column]) for column in columns))
    out.print(table)


def fetch_(name: Annotated[str, typer.Argument(help="A source of `gnnrec data list`.")]) -> None:
    """Fetches a data set's files and checks their checksums."""
    from gnnrec.data.sources import fetch

    for file, path in fetch(name, progress=err.is_terminal).items():
        typer.echo(f"{file}: {path}")


def describe_(
    name: Annotated[str, typer.Argument(help="A source of `gnnrec data list`, or a config whose data to describe.")],
    as_json: AsJson = False,
) -> None:
    """Shows counts, attributes, degrees, licence, and how far popularity alone goes."""
    from gnnrec.data import load
    from gnnrec.data.config import NamedData
    from gnnrec.data.datasets import source_named
    from gnnrec.data.describe import describe, describe_text
    from gnnrec.experiment.config import read_config

    if Path(name).suffix in (".yaml", ".yml"):
        config = read_config(Path(name))
        dataset = load(config.config.data, config.folder)
    else:
        dataset = load(NamedData(source=source_named(name).name))
    facts = describe(dataset)
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        out.print(describe_text(facts))


def match_(
    name: Annotated[str, typer.Argument(help="A config, or a source of `gnnrec data list`: the new platform.")],
    other: Annotated[str, typer.Argument(help="Likewise, or a folder of `gnnrec pretrain`: where to look.")],
    examples: Annotated[int, typer.Option(min=0, help="Nodes of each kind that are named.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Shows what of a platform is found on another one, before anything is trained.

    The model of the config may say by `match` which attributes belong together.
    """
    from gnnrec.experiment.matched import matched, matched_text

    facts = matched(name, other, examples)
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        out.print(matched_text(facts))
