"""`gnnrec report`."""

from pathlib import Path
from typing import Annotated

import typer

from gnnrec.cli.console import out


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, or folders that hold some.")],
    to: Annotated[Path, typer.Option("--out", help="The page; its name ends in .html.")] = Path("report.html"),
    reference: Annotated[
        str | None, typer.Option(help="Name of the model to compare with; left out, the best baseline.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Metric to compare by; left out, the first one.")] = None,
) -> None:
    """Writes one HTML page about finished runs: tables, curves, who gains, example users, where numbers come from.

    It needs nothing else, no network either. Runs of other data or of another split stand in parts of their own.
    """
    from gnnrec.experiment.report.page import write_report

    for protocol in write_report(runs, to, reference, metric):
        reference_told = f", compared with {protocol.reference} by {protocol.metric}" if protocol.metric else ""
        out.print(f"{protocol.title}: {', '.join(protocol.rows)}{reference_told}")
    out.print(f"written: {to}")
