"""`gnnrec recommend`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gnnrec.cli.console import AsJson, err, line, out


def recommend(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    user: Annotated[str, typer.Option(help='The user as JSON, for example \'{"age": 25, "gender": "F"}\'.')] = "{}",
    items: Annotated[str, typer.Option(help="Ids of items the user has chosen already, for example 50,181.")] = "",
    number: Annotated[int, typer.Option("-k", min=1, help="Length of the list.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Recommends items to a user who stands in no file."""
    from gnnrec.serving.artifact import load
    from gnnrec.serving.lists import RECALL_AT, RECALL_OF, recommend_to, serve
    from gnnrec.serving.profile import parse

    profile = parse(user)
    served = serve(load(run_folder))
    chosen = [item.strip() for item in items.split(",") if item.strip()]
    rows, notes = recommend_to(served, profile, chosen, number)
    for note in notes:
        line(f"warning: {note}")
    if served.index is not None:
        found = f"it finds {served.index.recall:.0%} of the best {RECALL_AT} for {RECALL_OF} drawn users"
        err.print(f"an index of {len(served.index.items)} items was searched; {found}", highlight=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps({"items": rows, "warnings": notes}, allow_nan=False))
        return
    table = Table("rank", "item", "title", "score")
    for row in rows:
        table.add_row(str(row["rank"]), str(row["item"]), row["title"], f"{row['score']:.3f}")
    out.print(table)
