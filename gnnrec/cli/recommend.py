"""`gnnrec recommend`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gnnrec.cli.cluster import OnRay
from gnnrec.cli.console import AsJson, err, line, out
from gnnrec.cli.newcomers import At, HistoryFile, Model, UserColumn, UsersFile, progress, write
from gnnrec.errors import InputError

Items = Annotated[str | None, typer.Option(metavar="FILE|IDS", help="Items that are in no list: ids, or a file.")]


def recommend(
    model: Model,
    user: Annotated[
        str | None, typer.Option(help='One user as JSON, for example \'{"age": 25, "gender": "F"}\'.')
    ] = None,
    items: Annotated[str, typer.Option(help="Ids of items this user has chosen already, for example 50,181.")] = "",
    users: UsersFile = None,
    history: HistoryFile = None,
    user_column: UserColumn = None,
    to: Annotated[
        Path | None, typer.Option("--out", help="File of lists, .parquet or .csv, for --users; of a folder, a folder.")
    ] = None,
    exclude: Items = None,
    only: Annotated[
        str | None, typer.Option(metavar="FILE|IDS", help="Items that lists are chosen from: ids, or a file.")
    ] = None,
    number: Annotated[int, typer.Option("-k", min=1, help="Length of the list.")] = 10,
    why: Annotated[bool, typer.Option("--explain", help="Tell what of the user is behind each item.")] = False,
    at: At = None,
    ray: OnRay = None,
    as_json: AsJson = False,
) -> None:
    """Recommends items to a user who stands in no file, or to a file of users.

    Of a folder of users, each file is written by itself, with --ray on a cluster; one that is there is not made again.
    """
    from gnnrec.serving.artifact import load
    from gnnrec.serving.explain import with_reasons
    from gnnrec.serving.lists import recommend_to
    from gnnrec.serving.profile import parse

    if users is None:
        of_many = {"--history": history, "--user-column": user_column, "--out": to, "--at": at, "--ray": ray}
        _refuse("needs --users FILE", of_many)
        profile = parse("{}" if user is None else user)
    else:
        of_one = {"--user": user, "--items": items or None}
        _refuse("is for one user; leave it out with --users", of_one)
        if to is None:
            raise InputError("--users: name the file of lists, for example --out lists.parquet")
        given = {"user_column": user_column, "at": at, "number": number, "why": why, "only": only, "exclude": exclude}
        write(_write_lists, model, users, history, to, given, ray, as_json)
        return
    served = _served(load(model), only, exclude)
    chosen = [item.strip() for item in items.split(",") if item.strip()]
    rows, notes = recommend_to(served, profile, chosen, number)
    if why:
        rows = with_reasons(served, profile, chosen, rows)
    for note in notes:
        line(f"warning: {note}")
    if as_json:
        typer.echo(json.dumps({"items": rows, "warnings": notes}, allow_nan=False))
        return
    from rich.table import Table

    table = Table("rank", "item", "title", "score", *(["why"] if why else []))
    for row in rows:
        reasons = ", ".join(f"{one['relation']} {one['value']} +{one['weight']:.3f}" for one in row.get("why", []))
        cells = [str(row["rank"]), str(row["item"]), row["title"], f"{row['score']:.3f}", reasons]
        table.add_row(*cells[: len(table.columns)])
    out.print(table)


def _write_lists(model: Path, users: Path, history: Path | None, to: Path, given: Mapping[str, Any], show: bool) -> Any:
    """The lists of one file of users."""
    from gnnrec.serving.artifact import load
    from gnnrec.serving.many import recommend_file
    from gnnrec.serving.newcomers import newcomers_in

    artifact = load(model)
    served = _served(artifact, given["only"], given["exclude"])
    newcomers = newcomers_in(users, artifact, history, given["user_column"], given["at"])
    with progress(newcomers.count, "recommend", show) as advance:
        return recommend_file(served, newcomers, given["number"], to, advance, why=given["why"])


def _served(artifact: Any, only: str | None, exclude: str | None) -> Any:
    """The model with the items that may be in a list."""
    from gnnrec.serving.lists import RECALL_AT, RECALL_OF, serve
    from gnnrec.serving.newcomers import read_items

    masks = {}
    for option, given in {"--only": only, "--exclude": exclude}.items():
        if given is not None:
            masks[option], notes = read_items(given, artifact.vocabulary, option)
            for note in notes:
                line(f"warning: {note}")
    served = serve(artifact, masks.get("--only"), masks.get("--exclude"))
    if served.index is not None:
        found = f"it finds {served.index.recall:.0%} of the best {RECALL_AT} for {RECALL_OF} drawn users"
        err.print(f"an index of {len(served.index.items)} items was searched; {found}", soft_wrap=True)
    return served


def _refuse(why: str, given: dict[str, Any]) -> None:
    for option, value in given.items():
        if value is not None:
            raise InputError(f"{option}: {why}")
