"""Columns of a CSV, TSV or Parquet file as text, and a one-line error for a row that cannot be read."""

import csv
import difflib
import gzip
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from gnnrec.data.columns import positions
from gnnrec.errors import DataError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
MOST_LINES = 100
"""Lines of one quoted cell; one that has more is taken for a quotation mark that was never closed."""
CLOSE = "close its quotation mark, or double the mark where it is part of the text"


class TextFile:
    """The columns of one file of a config.

    Every cell is text without blanks around it, and a missing one is "". Whole numbers stay as they are written
    (`5` is never `5.0`, also next to missing cells); a column that has `.0` behind every number loses it. The parse
    methods turn columns into numbers and leave out bad rows, or raise, depending on `skip`.

    Attributes:
        path: the file.
        frame: role -> column. The roles are those of the config, for example `user` or `attributes.age`.
        skipped: number of unreadable rows that were left out.
    """

    def __init__(self, path: Path, place: str, columns: Mapping[str, str], skip: bool) -> None:
        """Reads a file.

        Args:
            path: a file that ends in .csv or .tsv (also with .gz behind), or in .parquet.
            place: key of the file in the config, for messages.
            columns: role -> name of the column in the file.
            skip: leave out bad rows and count them, instead of raising.

        Raises:
            DataError: the file is missing, empty, broken, or has no such column; or a row has more or fewer cells
                than the header.
        """
        if not path.is_file():
            raise DataError(f"{path}: no such file ({place}.path); paths are relative to the config file")
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty ({place}.path)")
        self.path = path
        self.skipped = 0
        self._skip = skip
        self._columns = dict(columns)
        self._parquet = path.suffix == ".parquet"
        self._header = self._read_header()
        for role, column in columns.items():
            if column not in self._header:
                near = difflib.get_close_matches(column, self._header, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise DataError(
                    f"{path}: no column {column!r} ({place}.{role}); {hint}the columns are {', '.join(self._header)}"
                )
        table = self._read_parquet() if self._parquet else self._read_text()
        self.frame = pd.DataFrame({role: self._text(table, column) for role, column in columns.items()})
        if not len(self.frame):
            raise DataError(f"{path}: the file has a header but no row ({place}.path)")

    def require(self, ok: np.ndarray, role: str, problem: str) -> None:
        """Leaves out the rows that are not `ok`, or raises for the first of them.

        Args:
            ok: [R] bool.
            role: the role of the column at fault.
            problem: what is wrong; `{cell}` is replaced by the text of the cell.
        """
        if ok.all():
            return
        if not self._skip:
            row = int(np.argmin(ok))
            cell = repr(str(self.frame[role].iloc[row]))
            number = int(self.frame.index[row])
            where = f"row {number + 1}" if self._parquet else f"line {self._line(number)}"
            raise DataError(
                f"{self.path}: {where}, column {self._columns[role]!r}: {problem.format(cell=cell)} "
                f"({len(ok) - int(ok.sum())} such rows); mend the file, or set data.on_bad_row to skip"
            )
        self.skipped += len(ok) - int(ok.sum())
        self.frame = self.frame[ok]

    def require_text(self, role: str) -> None:
        """No cell of the column may be empty."""
        self.require((self.frame[role] != "").to_numpy(bool), role, "the cell is empty, an id is needed")

    def parse_ids(self, role: str, ids: pd.Index, listed_in: str) -> None:
        """Replaces ids by their positions in `ids`; a row with another id is a bad row."""
        place = positions(ids, self.frame[role])
        self.require(place >= 0, role, f"{{cell}} is not among the ids of {listed_in}")
        self.frame = self.frame.assign(**{role: place[place >= 0]})

    def parse_numbers(self, role: str, *, optional: bool = False, minimum: float = -np.inf) -> None:
        """Replaces text by numbers (float64; NaN for a missing one, which is a bad row unless `optional`)."""
        text = self.frame[role]
        number = pd.to_numeric(text, errors="coerce").to_numpy(float)
        ok = np.isfinite(number) | (optional & (text == "").to_numpy(bool))
        self.require(ok, role, "{cell} is not a number")
        number = number[ok]
        large = ~(number < minimum)
        self.require(large, role, f"{{cell}} is below {minimum:g}")
        self.frame = self.frame.assign(**{role: number[large]})

    def parse_times(self, role: str) -> None:
        """Replaces times by int64: numbers as they are (whole part), dates as seconds since 1970 (UTC if no zone).

        Whether a column holds numbers or dates is what most of its cells are. What is cut off is kept in a further
        column, `<role>.fraction` (float64, of a second or of one), so that two times within a second keep their order.
        """
        number = pd.to_numeric(self.frame[role].to_numpy(object), errors="coerce")
        if 2 * np.isfinite(number).sum() >= (self.frame[role] != "").sum():
            self.require(np.isfinite(number), role, "{cell} is not a number")
            number = pd.to_numeric(self.frame[role].to_numpy(object))  # int64 where all are whole: every digit counts
            self.require(np.abs(number) < 2.0**63, role, "{cell} is out of range")
            time = pd.to_numeric(self.frame[role].to_numpy(object)).astype(np.int64)
            fraction = pd.to_numeric(self.frame[role].to_numpy(object)) - time
        else:
            # Microseconds reach beyond the year 9999; the nanoseconds that pandas takes by default end in 2262.
            date = pd.to_datetime(self.frame[role], errors="coerce", utc=True, format="ISO8601").dt.as_unit("us")
            ok = date.notna().to_numpy(bool)
            self.require(ok, role, "{cell} is neither a number nor a date such as 2024-03-01 or 2024-03-01 17:30:00")
            micro = date[ok].astype(np.int64).to_numpy()
            time, fraction = micro // 1_000_000, micro % 1_000_000 / 1e6
        self.frame = self.frame.assign(**{role: time, f"{role}.fraction": fraction.astype(float)})

    def _read_header(self) -> list[str]:
        if self._parquet:
            try:
                return list(pa.parquet.read_schema(self.path).names)
            except pa.ArrowInvalid as error:
                raise DataError(f"{self.path}: not a Parquet file ({error})") from error
        suffix = Path(self.path.stem).suffix if self.path.suffix == ".gz" else self.path.suffix
        if suffix not in SEPARATORS:
            raise DataError(f"{self.path}: the name must end in .csv, .tsv (also with .gz) or .parquet")
        self._separator = SEPARATORS[suffix]
        try:
            return next(self._records(), (0, []))[1]
        except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
            raise DataError(f"{self.path}: cannot be read as text in UTF-8 ({error})") from error

    def _read_text(self) -> pa.Table:
        broken = 0

        def on_broken(row: object) -> str:
            nonlocal broken
            broken += 1
            return "skip" if self._skip else "error"

        wanted = list(dict.fromkeys(self._columns.values()))
        try:
            table = pa.csv.read_csv(
                self.path,
                parse_options=pa.csv.ParseOptions(
                    delimiter=self._separator, newlines_in_values=True, invalid_row_handler=on_broken
                ),
                convert_options=pa.csv.ConvertOptions(
                    include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())
                ),
            )
        except (pa.ArrowInvalid, OSError) as error:
            if broken:
                self._refuse_long_cells(0)
                line, cells = next((n, c) for n, c in self._records() if len(c) != len(self._header))
                raise DataError(
                    f"{self.path}: line {line}: {len(cells)} cells, but the header has {len(self._header)}; mend the "
                    f"file, or set data.on_bad_row to skip"
                ) from error
            raise DataError(f"{self.path}: cannot be read as text in UTF-8 ({' '.join(str(error).split())})") from error
        self._refuse_long_cells(len(table))
        self.skipped += broken
        return table

    def _read_parquet(self) -> pa.Table:
        return pa.parquet.read_table(self.path, columns=list(dict.fromkeys(self._columns.values())))

    def _text(self, table: pa.Table, column: str) -> "pd.Series":
        values = table[column].combine_chunks()
        if pa.types.is_floating(values.type):  # also whole numbers that pandas wrote next to missing ones
            values = _whole(pc.if_else(pc.is_nan(values), None, values))
        try:
            text = pc.utf8_trim_whitespace(pc.cast(values, pa.string()))
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
            raise DataError(f"{self.path}: column {column!r} holds {values.type}, which is neither text nor number; "
                            f"write several values as one text with a separator") from error  # fmt: skip
        cells: pd.Series = pd.Series(pc.fill_null(text, "").to_numpy(zero_copy_only=False), dtype="str")
        whole = bool(cells.str.fullmatch(r"(?:-?\d+\.0)?").all())
        shorter: pd.Series = cells.str.removesuffix(".0")
        return shorter if whole else cells

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """The line on which each record begins (a quoted cell may span lines), and its cells; blank lines left out."""
        opened = gzip.open if self.path.suffix == ".gz" else open
        with opened(self.path, "rt", encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, delimiter=self._separator)
            begin = 1
            try:
                for cells in reader:
                    if cells:
                        yield begin, cells
                    begin = reader.line_num + 1
            except csv.Error as error:  # a cell of more than 131,072 characters
                raise DataError(f"{self.path}: line {begin}: {error}; {CLOSE}") from None

    def _refuse_long_cells(self, rows: int) -> None:
        """A cell of very many lines is one whose quotation mark is not closed: rows are lost in it without a word."""
        opened = gzip.open if self.path.suffix == ".gz" else open
        with opened(self.path, "rb") as file:
            lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        if lines - rows > MOST_LINES:
            for line, cells in self._records():
                longest = max(cell.count("\n") for cell in cells) + 1
                if longest > MOST_LINES:
                    raise DataError(f"{self.path}: line {line}: a cell spans {longest:,} lines; {CLOSE}")

    def _line(self, row: int) -> int:
        """The line of a row of the frame, for an error message."""
        return next(itertools.islice(self._records(), row + 1, None))[0]


def _whole(values: pa.Array) -> pa.Array:
    """Floats as whole numbers where all are, which keeps large ids from being written with an exponent."""
    numbers = values.drop_null().to_numpy()
    if np.all((np.abs(numbers) < 2.0**63) & (numbers == np.floor(numbers))):
        return pc.cast(values, pa.int64(), safe=False)
    return values
