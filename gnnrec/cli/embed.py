"""`gnnrec embed`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gnnrec.cli.cluster import OnRay
from gnnrec.cli.console import AsJson
from gnnrec.cli.newcomers import At, HistoryFile, Model, UserColumn, progress, write


def embed(
    model: Model,
    users: Annotated[
        Path,
        typer.Option(
            help="File of new users, .csv, .tsv or .parquet: a row each, columns named as in training; or a folder of "
            "such."
        ),
    ],
    to: Annotated[Path, typer.Option("--out", help="File of vectors, .parquet or .csv; of a folder, a folder.")],
    history: HistoryFile = None,
    user_column: UserColumn = None,
    at: At = None,
    ray: OnRay = None,
    as_json: AsJson = False,
) -> None:
    """Writes the vectors of a file of new users.

    Of a folder of users, each file is written by itself, with --ray on a cluster; one that is there is not made again.
    """
    write(_write_vectors, model, users, history, to, {"user_column": user_column, "at": at}, ray, as_json)


def _write_vectors(
    model: Path, users: Path, history: Path | None, to: Path, given: Mapping[str, Any], show: bool
) -> Any:
    """The vectors of one file of users."""
    from gnnrec.serving.artifact import load
    from gnnrec.serving.many import embed_file, embedder
    from gnnrec.serving.newcomers import newcomers_in

    artifact = load(model)
    embedder(artifact)  # said before any file is read
    newcomers = newcomers_in(users, artifact, history, given["user_column"], given["at"])
    with progress(newcomers.count, "embed", show) as advance:
        return embed_file(artifact, newcomers, to, advance)
