"""`gnnrec export-graph`."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from gnnrec.cli.console import AsJson, line


def export_graph(
    source: Annotated[Path, typer.Argument(metavar="CONFIG|RUN", help="A config, or the folder of a finished run.")],
    to: Annotated[Path, typer.Option("--out", help="Folder of the graph.")],
    form: Annotated[
        Literal["pyg", "parquet"],
        typer.Option("--format", help="For torch_geometric, or tables of nodes and edges for any framework."),
    ] = "pyg",
    test: Annotated[bool, typer.Option("--test", help="Test users too; of a run they always are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Writes graph, features and held-out users of a config for other frameworks.

    Of a run, also the vectors of its model for users and items, where scores are their inner products.
    """
    from gnnrec.experiment.config import read_config
    from gnnrec.experiment.export_graph import export_graph as export
    from gnnrec.experiment.results import CONFIG, read_run
    from gnnrec.serving.artifact import MODEL, load

    model, path = None, source
    if source.is_dir():
        read_run(source)
        path, test, model = source / CONFIG, True, load(source / MODEL).model
    facts = export(read_config(path), to, form, test=test, model=model)
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, part in facts["parts"].items():
        users, edges = part["nodes"].get("newcomer", part["nodes"]["user"]), sum(part["edges"].values())
        line(f"{to / name}: {users:,} users, {edges:,} edges")
    if not test:
        line("the test users stay sealed; --test writes them, too")
