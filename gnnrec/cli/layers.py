"""`gnnrec layers` and `gnnrec check-layer`."""

import json
from typing import Annotated

import typer

from gnnrec.cli.console import AsJson, out


def layers(as_json: AsJson = False) -> None:
    """Lists the layers that a config can name."""
    from gnnrec.options.resolve import available_layers

    rows = available_layers()
    if as_json:
        typer.echo(json.dumps([row._asdict() for row in rows]))
        return
    from rich.table import Table

    table = Table("layer", "what it is")
    for row in rows:
        table.add_row(row.name, row.summary)
    out.print(table)


def check_layer(
    name: Annotated[str, typer.Argument(help="A layer, for example my_package.my_file.MyConv.")],
    options: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE...]", help="Options of the layer.")] = None,
    as_json: AsJson = False,
) -> None:
    """Checks that a layer keeps the contract; exit code 1 when a check fails."""
    from omegaconf import OmegaConf

    import gnnrec.nn.conv
    from gnnrec.options.resolve import resolve
    from gnnrec.testing import check_layer as check

    layer = resolve(name, gnnrec.nn.conv)
    plain = OmegaConf.to_container(OmegaConf.from_dotlist(options or []))
    assert isinstance(plain, dict)
    checks = check(layer, {str(key): value for key, value in plain.items()})
    if as_json:
        typer.echo(json.dumps([c._asdict() if hasattr(c, "_asdict") else vars(c) for c in checks]))
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table("check", "result", "what was found")
        for one in checks:
            table.add_row(one.name, "passed" if one.passed else Text("FAILED", "bold red"), one.message)
        out.print(table)
    if not all(one.passed for one in checks):
        raise typer.Exit(1)
