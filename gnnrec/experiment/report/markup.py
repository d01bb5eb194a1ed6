"""HTML elements: text is escaped unless it is markup that was made here."""

import html
from collections.abc import Iterable

from gnnrec.errors import visible

VOID = ("meta", "br")
"""Elements that have no content and no end."""


class Html(str):
    """Markup, which is not escaped again. Any operation of `str` gives plain text, which is escaped."""


def text(content: str) -> Html:
    r"""Escaped text; control characters are written out.

    Example:
        >>> text("<b> & \x1b"), text(element("b", "x"))
        ('&lt;b&gt; &amp; \\x1b', '<b>x</b>')
    """
    return content if isinstance(content, Html) else Html(html.escape(visible(content)))


def attribute(value: str) -> str:
    """The value of an attribute, escaped."""
    return html.escape(visible(value))


def element(tag: str, *content: str, **attributes: str) -> Html:
    """One element.

    Args:
        tag: its name.
        content: what is in it: elements, or text, which is escaped.
        attributes: name -> value, which is escaped; `_` in a name stands for `-`, at its end for nothing.

    Example:
        >>> element("p", "1 < 2", element("br"), class_="note", aria_label='"x"')
        '<p class="note" aria-label="&quot;x&quot;">1 &lt; 2<br></p>'
    """
    named = {name.removesuffix("_").replace("_", "-"): value for name, value in attributes.items()}
    told = "".join(f' {name}="{attribute(value)}"' for name, value in named.items())
    inside = "".join(map(text, content))
    return Html(f"<{tag}{told}>" if tag in VOID else f"<{tag}{told}>{inside}</{tag}>")


def together(parts: Iterable[str]) -> Html:
    """Several elements or texts, each on a line of its own."""
    return Html("\n".join(map(text, parts)))


def table(
    caption: str,
    header: Iterable[str],
    rows: Iterable[Iterable[str]],
    bold: Iterable[tuple[int, int]] = (),
) -> Html:
    """A table with a caption, which scrolls in a box of its own where the window is narrow.

    Args:
        caption: what is in it.
        header: name of each column; the first column names the rows.
        rows: cells.
        bold: (row, column) of the cells to mark.
    """
    marked = set(bold)
    head = element("tr", *(element("th", name, scope="col") for name in header))
    body = []
    for row, cells in enumerate(rows):
        shown = [element("strong", cell) if (row, column) in marked else cell for column, cell in enumerate(cells)]
        first, *others = shown
        body.append(element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in others)))
    content = (element("caption", element("span", caption)), element("thead", head), element("tbody", together(body)))
    return element("div", element("table", *content), class_="wide", role="region", tabindex="0", aria_label=caption)


def details(summary: str, *content: str, open_: bool = False) -> Html:
    """What is shown when it is asked for, and when it is printed."""
    inside = (element("summary", summary), *content)
    return element("details", *inside, open="") if open_ else element("details", *inside)


def definitions(entries: Iterable[tuple[str, str]]) -> Html:
    """Names with what belongs to each."""
    return element("dl", *(element("div", element("dt", name), element("dd", value)) for name, value in entries))
