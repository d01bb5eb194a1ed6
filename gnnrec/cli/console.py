"""What every command prints with: consoles, and options that several commands share."""

import sys
from typing import Annotated

import typer
from rich.console import Console

out, err = Console(width=None if sys.stdout.isatty() else 200), Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def line(text: str) -> None:
    """Prints one line on standard error, as it is."""
    err.print(text, markup=False, highlight=False, soft_wrap=True)
