"""A file of rows, opened by its ending: delimited text or Parquet."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from gnnrec.data.delimited import Advice, Delimited, Format
from gnnrec.data.parquet import open_parquet
from gnnrec.errors import DataError

PARQUET = (".parquet", ".pq")


class Cells(Protocol):
    """Rows with named columns, in a file or in memory."""

    @property
    def name(self) -> str:
        """Of the file or the data frame, for messages."""

    @property
    def unit(self) -> Literal["line", "row"]:
        """What a row is told by."""

    @property
    def names(self) -> list[str]:
        """Of the columns."""

    @property
    def broken(self) -> Sequence[tuple[int, str]]:
        """(line, what is wrong) of each row that `read` left out."""

    def read(self, wanted: Sequence[str], skip: bool) -> dict[str, Any]:
        """The wanted columns as Arrow arrays of text, null where a cell is missing; `skip` leaves out broken rows."""

    def line(self, row: int) -> int:
        """The line on which a row begins, or its number, from 1."""


Opener: TypeAlias = Callable[[Path, str, Format], Cells]
"""From a path of a config, its key there and how the file is written, to its rows."""


def open_file(path: Path, place: str, form: Format, advice: Advice = Advice()) -> Cells:  # noqa: B008  (frozen)
    """The rows of a file, which is text or Parquet by its ending.

    Args:
        path: ends in .csv or .tsv (also with .gz behind), or in .parquet; in anything where `form` has a separator.
        place: key of the file in the config, for messages; empty for a file that no config names.
        form: how a text file is written.
        advice: what to do about a file that cannot be read.

    Raises:
        DataError: the file is missing or empty, or its beginning cannot be read.
    """
    _check_file(path, place)
    return open_parquet(path) if path.suffix.lower() in PARQUET else Delimited(path, form, advice)


def in_folder(base: Path) -> Opener:
    """Files by their paths relative to a folder."""
    return lambda path, place, form: open_file(base / path, place, form)


def _check_file(path: Path, place: str) -> None:
    named, relative = (f" ({place}.path)", "; paths are relative to the config file") if place else ("", "")
    try:
        if path.is_dir():
            raise DataError(f"{path}: is a folder{named}; name a file")
        if not path.is_file():
            raise DataError(f"{path}: no such file{named}{relative}")
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty{named}")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:  # no permission; a name that no file can have
        raise DataError(f"{path}: cannot be read{named}: {getattr(error, 'strerror', None) or error}") from None
