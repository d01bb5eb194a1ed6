"""`gnnrec compare`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gnnrec.cli.console import AsJson, out


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, or folders that hold some.")],
    reference: Annotated[
        str | None, typer.Option(help="Name of the model to compare with; left out, the first.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Metric to compare by; left out, the first one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Shows runs side by side, with paired confidence intervals and Holm-corrected p-values."""
    from gnnrec.experiment.results import find_runs, read_run
    from gnnrec.experiment.tables import compare as compare_runs

    table = compare_runs([read_run(folder) for folder in find_runs(runs)], reference=reference, metric=metric)
    if as_json:
        typer.echo(json.dumps(table.rows))
    else:
        out.print(table.rich())
