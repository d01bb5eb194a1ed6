"""A table in text: for a terminal, as Markdown, as LaTeX."""

from dataclasses import dataclass, field
from typing import Any

import rich.table
from rich.text import Text

from gnnrec.errors import visible


@dataclass(frozen=True)
class Table:
    """A table in text, and the numbers behind it.

    Attributes:
        header: name of each column.
        cells: text of each row.
        bold: (row, column) of the best values.
        caption: what the numbers are over.
        rows: a dictionary for each row, ready for JSON.
        underlined: (row, column) of the values that are not significantly worse than the best.
    """

    header: tuple[str, ...]
    cells: list[tuple[str, ...]]
    bold: set[tuple[int, int]]
    caption: str
    rows: list[dict[str, Any]] = field(repr=False)
    underlined: set[tuple[int, int]] = field(default_factory=set)

    def rich(self) -> rich.table.Table:
        """For a terminal."""
        table = rich.table.Table(caption=Text(visible(self.caption)), caption_justify="left")
        for place, name in enumerate(self.header):
            table.add_column(
                Text(visible(name)), justify="right" if place else "left", overflow="fold"
            )  # a cut name is no name
        for row, cells in enumerate(self.cells):
            texts = [
                Text(visible(text), "bold" if (row, place) in self.bold else "") for place, text in enumerate(cells)
            ]
            table.add_row(*texts)
        return table

    def markdown(self) -> str:
        """For a text file or a notebook."""
        lines = ["| " + " | ".join(self.header) + " |", "|---" + "|---:" * (len(self.header) - 1) + "|"]
        for row, cells in enumerate(self.cells):
            texts = [self._marked(text, (row, place), "**%s**", "<ins>%s</ins>") for place, text in enumerate(cells)]
            lines.append("| " + " | ".join(texts) + " |")
        return "\n".join([*lines, "", self.caption, ""])

    def latex(self) -> str:
        """A booktabs tabular for a paper, without the caption."""
        rows = [
            [
                self._marked(latex_text(text), (row, place), r"\textbf{%s}", r"\underline{%s}")
                for place, text in enumerate(cells)
            ]
            for row, cells in enumerate(self.cells)
        ]
        head, *lines = [" & ".join(texts) + r" \\" for texts in [[latex_text(name) for name in self.header], *rows]]
        body = "\n".join([r"\toprule", head, r"\midrule", *lines, r"\bottomrule"])
        return f"\\begin{{tabular}}{{l{'r' * (len(self.header) - 1)}}}\n{body}\n\\end{{tabular}}\n"

    def _marked(self, text: str, place: tuple[int, int], bold: str, underlined: str) -> str:
        if place in self.bold:
            return bold % text
        return underlined % text if place in self.underlined else text


def latex_text(text: str) -> str:
    r"""Text with the characters that LaTeX reads as commands written as such.

    Example:
        >>> latex_text("a_b ± 5 %")
        'a\\_b $\\pm$ 5 \\%'
    """
    written = {**{c: f"\\{c}" for c in "_%&#$"}, "±": r"$\pm$", "†": r"$^\dagger$", "‡": r"$^\ddagger$"}
    return "".join(written.get(c, c) for c in text)
