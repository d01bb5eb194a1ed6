"""Rows of a file about new users, which may be larger than memory, some at a time."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet

from gnnrec.data.delimited import Advice, Delimited, Format
from gnnrec.data.files import Cells, open_file
from gnnrec.data.parquet import DAMAGED, as_text
from gnnrec.data.textfile import trimmed
from gnnrec.errors import DataError

ADVICE = Advice(
    quotes="close its quotation mark, or double the mark where it is part of the text",
    encoding="write it in UTF-8, or in UTF-16 with a byte order mark",
    separator="other text files are read where training named the `separator` of its own",
    row="mend the file",
)
ENDING = Format()
"""A text file as its ending says."""
T = TypeVar("T")


class Rows:
    """The rows of a file.

    A text file is written as that of training was (`form`), if this makes known columns of it, and else as its ending
    says.

    Attributes:
        path: the file.
        columns: names of its columns, in their order.
        is_text: whether all its cells are text, and rows have lines.
    """

    def __init__(self, path: Path, form: Format = ENDING, known: Collection[str | None] = ()) -> None:
        """Reads the names of the columns.

        Args:
            path: ends in .csv or .tsv (also with .gz behind), or in .parquet; in anything where `form` has a separator.
            form: how the file that training read was written.
            known: names of columns that are looked for.

        Raises:
            DataError: the file is missing, empty, cannot be read, or two columns have one name.
        """
        self.path = path
        self._file = _opened(path, form, known)
        self.columns, self.is_text = self._file.names, isinstance(self._file, Delimited)
        twice = next((name for name in self.columns if self.columns.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"{path}: two columns are called {twice!r}; rename one of them")

    def batches(self, columns: Sequence[str], size: int) -> Iterator[pa.Table]:
        """The rows in their order, at most `size` at a time.

        Args:
            columns: names of those to read. Cells of a text file are text, those of a Parquet file have its types.
            size: at least 1.

        Raises:
            DataError: a row cannot be read.
        """
        text = self._file
        found = text.batches(columns) if isinstance(text, Delimited) else self._of_parquet(columns, size)
        for table in found:
            for start in range(0, table.num_rows, size):
                yield table.slice(start, size).select(list(columns))

    def column(self, name: str | None, *others: str | None, what: str, place: int = 0) -> str:
        """The column to take: the one that is named, else the first of others that there is, else that at a place.

        Raises:
            DataError: there is no column of that name, or none at that place.
        """
        if name is not None and name not in self.columns:
            raise DataError(f"{self.path}: there is no column {name!r} for {what}; there are {', '.join(self.columns)}")
        found = next((one for one in (name, *others) if one in self.columns), None)
        if found is not None:
            return found
        if place >= len(self.columns):
            raise DataError(f"{self.path}: there is no column for {what}; there are {', '.join(self.columns)}")
        return self.columns[place]

    def where(self, row: int) -> str:
        """The file and the line of a row, or its number in a Parquet file."""
        return f"{self.path}: {self._file.unit} {self._file.line(row)}"

    def _of_parquet(self, columns: Sequence[str], size: int) -> Iterator[pa.Table]:
        with self._guarded(lambda: pa.parquet.ParquetFile(self.path, page_checksum_verification=True)) as file:
            found = file.iter_batches(batch_size=size, columns=list(columns))
            while (one := self._guarded(lambda: next(found, None))) is not None:
                yield pa.Table.from_batches([one])

    def _guarded(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except DAMAGED as error:
            raise DataError(f"{self.path}: cannot be read ({' '.join(str(error).split())})") from error


def _opened(path: Path, form: Format, known: Collection[str | None]) -> Cells:
    found, failed = None, None
    for one in dict.fromkeys((form, ENDING)):
        try:
            opened = open_file(path, "", one, ADVICE)
        except DataError as error:
            failed = failed or error
            continue
        if not set(known).isdisjoint(opened.names):
            return opened
        found = opened
    if failed is not None and (found is None or form.header):
        raise failed
    assert found is not None
    return found


def texts(column: Any, name: str, of: str, missing: Sequence[str] = ()) -> Any:
    """The cells as text without blanks around them, "" for a missing one; whole numbers without `.0`.

    Args:
        column: [R] Arrow array.
        name: of the file or the data frame, for messages.
        of: name of the column.
        missing: cells that are taken for empty ones.

    Raises:
        DataError: the cells are neither text nor numbers.
    """
    return trimmed(as_text(name, of, column), pa.array(list(missing), pa.string()))
