"""What every command prints with: consoles, and options that several commands share."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

PIPE = 200
"""Columns of text where standard output is no terminal; a table with more columns of its own takes what it needs."""

out, err = Console(width=None if sys.stdout.isatty() else PIPE), Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def show(table: Table) -> None:
    """Prints a table; in a pipe, with as much width as its widest row needs, so that no name is cut."""
    wide = Console(width=10_000)
    (out if out.is_terminal else Console(width=max(PIPE, wide.measure(table).maximum))).print(table)


def line(text: str) -> None:
    """Prints one line on standard error, as it is."""
    err.print(text, markup=False, highlight=False, soft_wrap=True)
