"""What every command prints with: consoles, and options that several commands share."""

import sys
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnnrec.errors import visible

if TYPE_CHECKING:
    from rich.console import Console

PIPE = 10_000
"""Columns of text where standard output is no terminal: a table takes what it needs, so that no name is cut."""


class Stream:
    """A console on standard output or standard error that is made when something is printed: `--help` needs none.

    Args:
        stderr: whether it is standard error.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        self._stderr = stderr

    def print(self, *things: Any, soft_wrap: bool = False) -> None:
        """Prints text as it is, and tables."""
        self.console.print(*things, soft_wrap=soft_wrap)

    @property
    def is_terminal(self) -> bool:
        """Whether somebody may be looking on."""
        return self.console.is_terminal

    @cached_property
    def console(self) -> "Console":
        """The console."""
        from rich.console import Console
        from rich.text import Text

        class AsItIs(Console):
            """Text is no markup, and control characters in it are shown, not obeyed."""

            def render_str(self, text: str, **options: Any) -> Text:
                plain = {**options, "markup": False, "emoji": False, "highlight": False}
                return super().render_str(visible(text), **plain)

        if self._stderr:
            return AsItIs(stderr=True)
        return AsItIs(width=None if sys.stdout.isatty() else PIPE)


out, err = Stream(), Stream(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def line(text: str) -> None:
    """Prints one line on standard error, as it is."""
    err.print(text.replace("\n", "\\n"), soft_wrap=True)
