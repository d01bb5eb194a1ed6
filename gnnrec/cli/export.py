"""`gnnrec export`."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from gnnrec.cli.console import AsJson, line


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a run, or of a saved model.")],
    to: Annotated[Path, typer.Option("--out", help="File of the model, ending in .onnx.")],
    form: Annotated[Literal["onnx"], typer.Option("--format", help="For ONNX runtimes.")] = "onnx",
    weights: Annotated[
        Literal["float32", "float16", "int8"],
        typer.Option(help="How the tables are kept: in four bytes a number, in two, or in one."),
    ] = "float32",
    k: Annotated[int, typer.Option("-k", min=1, help="Length of the lists.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Writes the path from what is known of a user to its vector, scores and list, for runtimes without torch.

    Beside the file of the model, one of the same name that ends in .json says what its numbers stand for.
    """
    from gnnrec.serving.artifact import load
    from gnnrec.serving.portable import write

    told = write(load(model), to, weights, k)
    if as_json:
        typer.echo(json.dumps(told))
        return
    line(
        f"{to}: {told['bytes'] / 1e6:.2f} MB, tables in {weights}; scores of drawn users differ from the model's by at "
        f"most {told['difference']:.2g}"
    )
