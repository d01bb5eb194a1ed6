"""`gnnrec schema`."""

from pathlib import Path
from typing import Annotated

import typer

from gnnrec.cli.console import line


def schema(
    to: Annotated[Path | None, typer.Option("--out", help="File to write; left out, the schema is printed.")] = None,
) -> None:
    """Prints a JSON schema of configs, for editors: with it they complete keys and mark mistakes.

    A config names it in its first line: `# yaml-language-server: $schema=schema.json`, relative to the config.
    """
    from gnnrec.experiment.schema import schema_text
    from gnnrec.runtime.files import replace_file

    if to is None:
        typer.echo(schema_text(), nl=False)
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    replace_file(to, schema_text().encode())
    line(f"{to}: written")
