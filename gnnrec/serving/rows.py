"""Rows of a CSV, TSV or Parquet file that may be larger than memory, some at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from gnnrec.data.delimited import SEPARATORS
from gnnrec.errors import DataError

ENDINGS = (*SEPARATORS, ".parquet")


class Rows:
    """The rows of a file with a header.

    Attributes:
        path: the file.
        columns: names of its columns, in their order.
    """

    def __init__(self, path: Path) -> None:
        """Reads the names of the columns.

        Args:
            path: ends in .csv or .tsv (also with .gz behind), or in .parquet.

        Raises:
            DataError: the file is missing, empty, cannot be read, or two columns have one name.
        """
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        self.path = path
        suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
        if suffix not in ENDINGS or (suffix == ".parquet" and path.suffix == ".gz"):
            raise DataError(f"{path}: the name must end in .csv, .tsv (also with .gz) or .parquet")
        self._separator = SEPARATORS.get(suffix)
        self.columns: list[str] = []
        if self._separator is None:
            self.columns = self._guarded(lambda: list(pa.parquet.read_schema(path).names))
        else:
            self.columns = self._guarded(lambda: list(self._open(None).schema.names))
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
        if self._separator is None:
            file = self._guarded(lambda: pa.parquet.ParquetFile(self.path))
            found = file.iter_batches(batch_size=size, columns=list(columns))
        else:
            found = self._guarded(lambda: self._open(columns))
        while (one := self._guarded(lambda: next(found, None))) is not None:
            for start in range(0, one.num_rows, size):
                yield pa.Table.from_batches([one.slice(start, size)]).select(list(columns))

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

    def _open(self, columns: Sequence[str] | None) -> Any:
        compression = "gzip" if self.path.suffix == ".gz" else None
        return pa.csv.open_csv(
            pa.input_stream(str(self.path), compression=compression),
            parse_options=pa.csv.ParseOptions(delimiter=self._separator, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                include_columns=list(columns or []), column_types=dict.fromkeys(columns or [], pa.string())
            ),
        )

    def _guarded(self, read: Any) -> Any:
        try:
            return read()
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.path}: cannot be read ({' '.join(str(error).split())})") from error


def texts(column: Any, path: Path, name: str) -> Any:
    """The cells as text without blanks around them, "" for a missing one; whole numbers without `.0`.

    Args:
        column: [R] Arrow array.
        path: of the file, for messages.
        name: of the column.

    Raises:
        DataError: the cells are neither text nor numbers.
    """
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
        numbers = values.drop_null().to_numpy()
        if np.all((np.abs(numbers) < 2.0**63) & (numbers == np.floor(numbers))):
            values = pc.cast(values, pa.int64(), safe=False)
    try:
        return pc.fill_null(pc.utf8_trim_whitespace(pc.cast(values, pa.string())), "")
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: column {name!r} holds {values.type}, which is neither text nor number") from error
