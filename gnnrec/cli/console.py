"""What every command prints with: consoles, and options that several commands share."""

import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from gnnrec.errors import visible

PIPE = 10_000
"""Columns of text where standard output is no terminal: a table takes what it needs, so that no name is cut."""


class _AsItIs(Console):
    """Text is no markup, and control characters in it are shown, not obeyed."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **{**options, "markup": False, "emoji": False, "highlight": False})


out, err = _AsItIs(width=None if sys.stdout.isatty() else PIPE), _AsItIs(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def line(text: str) -> None:
    """Prints one line on standard error, as it is."""
    err.print(text.replace("\n", "\\n"), soft_wrap=True)
