"""`gnnrec embed`."""

from pathlib import Path
from typing import Annotated

import typer

from gnnrec.cli.console import AsJson
from gnnrec.cli.newcomers import At, HistoryFile, Model, UserColumn, progress, report


def embed(
    model: Model,
    users: Annotated[
        Path, typer.Option(help="File of new users, .csv, .tsv or .parquet: a row each, columns named as in training.")
    ],
    to: Annotated[Path, typer.Option("--out", help="File of vectors, .parquet or .csv.")],
    history: HistoryFile = None,
    user_column: UserColumn = None,
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Writes the vectors of a file of new users."""
    from gnnrec.serving.artifact import load
    from gnnrec.serving.many import embed_file, embedder
    from gnnrec.serving.newcomers import History, Newcomers, RecordedItems

    artifact = load(model)
    embedder(artifact)  # said before any file is read
    recorded = artifact.feedback.sources(artifact.vocabulary)
    known = RecordedItems(artifact.vocabulary, recorded)
    if history is not None:
        known = History(history, artifact.vocabulary, user_column, at, recorded)
    newcomers = Newcomers(users, artifact.vocabulary, user_column, known)
    with progress(newcomers.count, "embed") as advance:
        written = embed_file(artifact, newcomers, to, advance)
    report(written, to, as_json)
