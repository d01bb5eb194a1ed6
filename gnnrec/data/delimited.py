"""Delimited text files: from bytes, packed or not and in any encoding, to cells, with the line of each row."""

import codecs
import csv
import gzip
import io
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.csv
from pydantic import BaseModel, ConfigDict, Field, field_validator

from gnnrec.errors import DataError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
MOST_LINES = 100
"""Lines of one quoted cell; one that has more is taken for a quotation mark that was never closed."""
CLOSE = "close its quotation mark, double the mark where it is part of the text, or set `quotes: false` for the file"
UTF8 = "utf-8-sig"
"""UTF-8, where a byte order mark at the beginning is no part of the text."""
MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class Format(BaseModel):
    """How a text file is written, where its ending does not say it. A Parquet file has no use for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    separator: str | None = Field(None, min_length=1, max_length=1)
    """Between two cells; left out, a comma in .csv and a tab in .tsv files. With it, the name may end in anything."""
    encoding: str = "utf-8"
    """Name that Python knows, for example latin-1. A file that begins with a byte order mark needs none."""
    header: tuple[str, ...] | None = Field(None, min_length=1)
    """Names of the columns, for a file whose first line is a row already."""
    quotes: bool = True
    """Whether double quotes hold a cell together; if not, they are text like any other."""

    @field_validator("separator")
    @classmethod
    def _is_separator(cls, value: str | None) -> str | None:
        if value is not None and (value in '"\r\n' or len(value.encode("utf-8", "replace")) > 1):
            raise ValueError(f"must be one ASCII character, neither a quotation mark nor a line end, got {value!r}")
        return value

    @field_validator("encoding")
    @classmethod
    def _is_encoding(cls, value: str) -> str:
        try:
            "a".encode(value)
        except (LookupError, ValueError, UnicodeError):
            raise ValueError(
                f"{value!r} is no encoding of text that Python knows; try utf-8, latin-1 or utf-16"
            ) from None
        return value

    @field_validator("header")
    @classmethod
    def _names_once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError(f"each name must stand there once, got {', '.join(value)}")
        return value


class Delimited:
    """One delimited file.

    Attributes:
        path: the file.
        name: of it, for messages.
        unit: what a row is told by.
        names: of the columns.
        broken: (line, what is wrong) of each row with too few or too many cells; known after `read`.
    """

    unit: Literal["line", "row"] = "line"

    def __init__(self, path: Path, form: Format) -> None:
        """Reads the header.

        Raises:
            DataError: the ending is unknown, or the beginning of the file cannot be read.
        """
        self.path, self.name, self._form = path, str(path), form
        self.broken: list[tuple[int, str]] = []
        self._lines: list[int] | None = None
        self._separator = form.separator or self._separator_of_ending()
        line, first = next(self.records(), (1, []))
        self._skip_lines = 0 if form.header else line
        self._width = len(first)
        self.names = list(form.header) if form.header else _without_empty_end([name.strip() for name in first])
        if form.header and first and len(_without_empty_end(first)) > len(self.names):
            raise DataError(
                f"{path}: line {line}: {len(first)} cells, but `header` names {len(self.names)} columns; name them all"
            )

    def read(self, wanted: Sequence[str], skip: bool) -> dict[str, pa.Array]:
        """The wanted columns as text.

        Rows may have empty cells behind the last column. A row with fewer or more cells is broken.

        Args:
            wanted: names of columns, each once in the header.
            skip: leave out broken rows, and keep them in `broken`, instead of raising.

        Raises:
            DataError: a row is broken, a quotation mark is not closed, or bytes are no text in the file's encoding.
        """
        place = {name: self.names.index(name) for name in wanted}
        table = self._read_fast(place) if self._width else None
        if table is not None and not self._may_lose_lines(len(table)):
            return {name: table[str(at)].combine_chunks() for name, at in place.items()}
        exact = self._read_exactly(place, skip, keep=table is None)
        if table is None:
            return exact
        return {name: table[str(at)].combine_chunks() for name, at in place.items()}

    def line(self, row: int) -> int:
        """The line on which a row begins."""
        if self._lines is not None:
            return self._lines[row]
        for number, (line, _) in enumerate(self._rows()):
            if number == row:
                return line
        raise IndexError(row)

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """The line on which each record begins (a quoted cell may span lines), and its cells; blank lines left out."""
        for line, cells, _ in self._records():
            yield line, cells

    def _separator_of_ending(self) -> str:
        suffixes = [suffix.lower() for suffix in self.path.suffixes if suffix.lower() != ".gz"]
        separator = SEPARATORS.get(suffixes[-1]) if suffixes else None
        if separator is None:
            raise DataError(
                f"{self.path}: the name must end in .csv, .tsv (also with .gz) or .parquet; of another text file, the "
                "config names the `separator`"
            )
        return separator

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        records = self.records()
        if not self._form.header:
            next(records, None)
        return records

    def _read_fast(self, place: dict[str, int]) -> pa.Table | None:
        """The columns, by their places; None where a row has too few or too many cells, or something else is odd."""
        names = [str(at) for at in range(self._width)]
        wanted = [str(at) for at in dict.fromkeys(place.values())]
        quote = '"' if self._form.quotes else False
        try:
            with self._bytes() as file:
                return pa.csv.read_csv(
                    file,
                    read_options=pa.csv.ReadOptions(column_names=names, skip_rows_after_names=self._skip_lines),
                    parse_options=pa.csv.ParseOptions(
                        delimiter=self._separator, newlines_in_values=True, quote_char=quote
                    ),
                    convert_options=pa.csv.ConvertOptions(
                        include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())
                    ),
                )
        except (pa.ArrowException, OSError, EOFError, zlib.error, UnicodeError):
            return None  # the exact way says what is wrong, and where

    def _may_lose_lines(self, rows: int) -> bool:
        """Whether there are more lines than rows, and quotation marks that may hold lines together."""
        if not self._form.quotes:
            return False
        ends = returns = marks = 0
        with self._bytes() as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                ends, returns = ends + block.count(b"\n"), returns + block.count(b"\r")
                marks += block.count(b'"')
        return marks > 0 and max(ends, returns) > rows + self._skip_lines - (0 if self._form.header else 1)

    def _read_exactly(self, place: dict[str, int], skip: bool, keep: bool) -> dict[str, pa.Array]:
        """The columns row by row, and the line of each row; with `keep` False, rows are only looked at."""
        columns: dict[str, list[str]] = {name: [] for name in place}
        lines, width = [], len(self.names)
        records = self._records()
        if not self._form.header:
            next(records, None)
        for line, cells, raw in records:
            kept = cells[:width] if not any(cells[width:]) else cells
            if len(raw) > 1:
                self._look_at_lines(line, kept, raw, skip)
            if not keep:
                continue
            if len(kept) != width:
                problem = f"{len(cells)} cells, but the header has {width}"
                if not skip:
                    raise DataError(
                        f"{self.path}: line {line}: {problem}; mend the file, or set data.on_bad_row to skip"
                    )
                self.broken.append((line, problem))
                continue
            lines.append(line)
            for name, at in place.items():
                columns[name].append(kept[at])
        if keep:
            self._lines = lines
        return {name: pa.array(cells, pa.string()) for name, cells in columns.items()}

    def _look_at_lines(self, line: int, cells: list[str], raw: list[str], skip: bool) -> None:
        """A record of several lines: an error where a stray quotation mark has made it of several rows."""
        longest = max(cell.count("\n") + cell.count("\r") - cell.count("\r\n") for cell in cells) + 1
        if longest > MOST_LINES:
            raise DataError(f"{self.path}: line {line}: a cell spans {longest:,} lines; {CLOSE}")
        try:
            for _ in csv.reader(raw, delimiter=self._separator, strict=True):
                pass
        except csv.Error as error:
            raise DataError(f"{self.path}: line {line}: a cell spans {longest} lines ({error}); {CLOSE}") from None
        if len(cells) != len(self.names):
            raise DataError(
                f"{self.path}: line {line}: {len(cells)} cells on {len(raw)} lines, but the header has "
                f"{len(self.names)}; {CLOSE}"
            )
        if len(cells) > 1 and all(text.count(self._separator) == len(cells) - 1 for text in raw):
            said = f"{self.path}: line {line}: a quoted cell spans {longest} lines that look like rows"
            if skip:
                raise DataError(f"{said}; {CLOSE}")
            warnings.warn(f"{said}; if they are, {CLOSE}", stacklevel=6)

    def _records(self) -> Iterator[tuple[int, list[str], list[str]]]:
        """Line, cells and the lines as written of each record that is not blank."""
        raw: list[str] = []

        def lines(file: IO[str]) -> Iterator[str]:
            for text in file:
                raw.append(text)
                yield text

        begin = 1
        try:
            with self._text() as file:
                written: Any = {} if self._form.quotes else {"quoting": csv.QUOTE_NONE}
                for cells in csv.reader(lines(file), delimiter=self._separator, **written):
                    if any(text.strip("\r\n") for text in raw):
                        yield begin, cells, list(raw)
                    begin += len(raw)
                    raw.clear()
        except csv.Error as error:  # a cell of more than 131,072 characters
            raise DataError(f"{self.path}: line {begin}: {error}; {CLOSE}") from None
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise DataError(
                f"{self.path}: cannot be read as text in {self._form.encoding.upper()} ({' '.join(reason.split())})"
            ) from None
        except UnicodeError as error:
            raise DataError(
                f"{self.path}: cannot be read as text in {self._encoding_name()} (line {self._undecodable()}: "
                f"{getattr(error, 'reason', error)}); give the file an `encoding`, for example latin-1 or utf-16"
            ) from None

    def _raw(self) -> Any:
        """The file, unpacked."""
        with self.path.open("rb") as file:
            packed = self.path.suffix.lower() == ".gz" or file.read(2) == b"\x1f\x8b"
        return gzip.open(self.path) if packed else self.path.open("rb")

    def _encoding(self) -> str:
        with self._raw() as file:
            begin = file.read(4)
        found = next((name for mark, name in MARKS.items() if begin.startswith(mark)), None)
        named = codecs.lookup(self._form.encoding).name
        return found or (UTF8 if named == "utf-8" else named)

    def _encoding_name(self) -> str:
        name = self._encoding()
        return "UTF-8" if name == UTF8 else name.upper()

    def _text(self) -> IO[str]:
        return io.TextIOWrapper(self._raw(), encoding=self._encoding(), newline="")

    def _bytes(self) -> Any:
        """The text in UTF-8, without a byte order mark."""
        if self._encoding() != UTF8:
            with self._text() as text:
                return io.BytesIO(text.read().encode())
        return self._raw()

    def _undecodable(self) -> int:
        """The first line that is no text in the file's encoding."""
        with self._raw() as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode(self._encoding())
                except UnicodeError:
                    return number
        return 1


def _without_empty_end(cells: list[str]) -> list[str]:
    while cells and not cells[-1].strip():
        cells = cells[:-1]
    return cells
