"""Delimited text files: from bytes, packed or not and in any encoding, to cells, with the line of each row."""

import codecs
import csv
import gzip
import io
import itertools
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
BLOCK, PIECE = 1 << 20, 10_000
"""Bytes, and rows where they are read one by one, of a batch."""
ODD = (pa.ArrowException, OSError, EOFError, zlib.error, UnicodeError)
"""What the fast way raises where the exact way says what is wrong, and on which line."""
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


@dataclass(frozen=True)
class Advice:
    """What to do about a file that cannot be read: the ends of messages."""

    quotes: str = CLOSE
    encoding: str = "give the file an `encoding`, for example latin-1 or utf-16"
    separator: str = "of another text file, the config names the `separator`"
    row: str = "mend the file, or set data.on_bad_row to skip"


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

    def __init__(self, path: Path, form: Format, advice: Advice = Advice()) -> None:
        """Reads the header.

        Raises:
            DataError: the ending is unknown, or the beginning of the file cannot be read.
        """
        self.path, self.name, self._form, self._advice = path, str(path), form, advice
        self.broken: list[tuple[int, str]] = []
        self._lines: list[int] | None = None
        self._looked = False
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
        if table is None:
            return self._read_exactly(place, skip)
        self._look(len(table), skip)
        return {name: table[str(at)].combine_chunks() for name, at in place.items()}

    def batches(self, wanted: Sequence[str], block: int = BLOCK) -> Iterator[pa.Table]:
        """The wanted columns as text, some rows at a time, of a file that may be larger than memory.

        The rows are those of `read` without `skip`. A stray quotation mark is told behind the last batch.

        Args:
            wanted: names of columns, each once in the header.
            block: bytes that are read at once.

        Raises:
            DataError: see `read`.
        """
        place = {name: self.names.index(name) for name in wanted}
        done, odd = 0, not self._width
        try:
            if not odd:
                with self._bytes() as file, pa.csv.open_csv(file, **self._options(place, block)) as reader:
                    for batch in reader:
                        done += batch.num_rows
                        yield pa.table({name: batch.column(str(at)) for name, at in place.items()})
        except ODD:
            odd = True
        if odd:
            rest = itertools.islice(self._complete(skip=False), done, None)
            while piece := list(itertools.islice(rest, PIECE)):
                cells = {name: [row[at] for _, row in piece] for name, at in place.items()}
                yield pa.table({name: pa.array(column, pa.string()) for name, column in cells.items()})
        elif not self._looked:
            self._look(done, skip=False)
        self._looked = True

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
                f"{self.path}: the name must end in .csv, .tsv (also with .gz) or .parquet; {self._advice.separator}"
            )
        return separator

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        records = self.records()
        if not self._form.header:
            next(records, None)
        return records

    def _read_fast(self, place: dict[str, int]) -> pa.Table | None:
        """The columns, by their places; None where a row has too few or too many cells, or something else is odd."""
        try:
            with self._bytes() as file:
                return pa.csv.read_csv(file, **self._options(place, BLOCK))
        except ODD:
            return None

    def _options(self, place: dict[str, int], block: int) -> dict[str, Any]:
        """How Arrow reads the columns, which are called by their places."""
        wanted = [str(at) for at in dict.fromkeys(place.values())]
        return {
            "read_options": pa.csv.ReadOptions(
                column_names=[str(at) for at in range(self._width)],
                skip_rows_after_names=self._skip_lines,
                block_size=block,
            ),
            "parse_options": pa.csv.ParseOptions(
                delimiter=self._separator, newlines_in_values=True, quote_char='"' if self._form.quotes else False
            ),
            "convert_options": pa.csv.ConvertOptions(
                include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())
            ),
        }

    def _look(self, rows: int, skip: bool) -> None:
        """Looks at each record where there are more lines than rows, and marks that may hold lines together."""
        if not self._form.quotes or not any(b'"' in block for block in self._blocks()):
            return
        ends, returns, last = 0, 0, b""
        for block in self._blocks():
            ends, returns, last = ends + block.count(b"\n"), returns + block.count(b"\r"), block[-1:]
        if max(ends, returns) + (last not in b"\r\n") > rows + self._skip_lines:
            for _ in self._looked_at(skip):
                pass

    def _blocks(self) -> Iterator[bytes]:
        with self._bytes() as file:
            yield from iter(lambda: file.read(BLOCK), b"")

    def _read_exactly(self, place: dict[str, int], skip: bool) -> dict[str, pa.Array]:
        """The columns row by row, and the line of each row."""
        columns: dict[str, list[str]] = {name: [] for name in place}
        self._lines = []
        for line, cells in self._complete(skip):
            self._lines.append(line)
            for name, at in place.items():
                columns[name].append(cells[at])
        return {name: pa.array(cells, pa.string()) for name, cells in columns.items()}

    def _complete(self, skip: bool) -> Iterator[tuple[int, list[str]]]:
        """Line and cells of each row with as many cells as the header; others are broken."""
        for line, cells, written in self._looked_at(skip):
            if len(cells) == len(self.names):
                yield line, cells
                continue
            problem = f"{written} cells, but the header has {len(self.names)}"
            if not skip:
                raise DataError(f"{self.path}: line {line}: {problem}; {self._advice.row}")
            self.broken.append((line, problem))

    def _looked_at(self, skip: bool) -> Iterator[tuple[int, list[str], int]]:
        """Line, cells without empty ones behind the last column, and number of cells as written, of each row."""
        width = len(self.names)
        records = self._records()
        if not self._form.header:
            next(records, None)
        for line, cells, raw in records:
            kept = cells[:width] if not any(cells[width:]) else cells
            if len(raw) > 1:
                self._look_at_lines(line, kept, raw, skip)
            yield line, kept, len(cells)

    def _look_at_lines(self, line: int, cells: list[str], raw: list[str], skip: bool) -> None:
        """A record of several lines: an error where a stray quotation mark has made it of several rows."""
        longest = max(cell.count("\n") + cell.count("\r") - cell.count("\r\n") for cell in cells) + 1
        if longest > MOST_LINES:
            raise DataError(f"{self.path}: line {line}: a cell spans {longest:,} lines; {self._advice.quotes}")
        try:
            for _ in csv.reader(raw, delimiter=self._separator, strict=True):
                pass
        except csv.Error as error:
            raise DataError(
                f"{self.path}: line {line}: a cell spans {longest} lines ({error}); {self._advice.quotes}"
            ) from None
        if len(cells) != len(self.names):
            raise DataError(
                f"{self.path}: line {line}: {len(cells)} cells on {len(raw)} lines, but the header has "
                f"{len(self.names)}; {self._advice.quotes}"
            )
        if len(cells) > 1 and all(text.count(self._separator) == len(cells) - 1 for text in raw):
            said = f"{self.path}: line {line}: a quoted cell spans {longest} lines that look like rows"
            if skip:
                raise DataError(f"{said}; {self._advice.quotes}")
            warnings.warn(f"{said}; if they are, {self._advice.quotes}", stacklevel=6)

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
            raise DataError(f"{self.path}: line {begin}: {error}; {self._advice.quotes}") from None
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise DataError(
                f"{self.path}: cannot be read as text in {self._form.encoding.upper()} ({' '.join(reason.split())})"
            ) from None
        except UnicodeError as error:
            raise DataError(
                f"{self.path}: cannot be read as text in {self._encoding_name()} (line {self._undecodable()}: "
                f"{getattr(error, 'reason', error)}); {self._advice.encoding}"
            ) from None

    def _packed(self) -> bool:
        with self.path.open("rb") as file:
            return self.path.suffix.lower() == ".gz" or file.read(2) == b"\x1f\x8b"

    def _raw(self) -> Any:
        """The file, unpacked."""
        return gzip.open(self.path) if self._packed() else self.path.open("rb")

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
        """The text in UTF-8, unpacked and read on the way."""
        encoding, file = self._encoding(), pa.PythonFile(self.path.open("rb"), "r")
        if self._packed():
            file = pa.CompressedInputStream(file, "gzip")
        return file if encoding == UTF8 else pa.transcoding_input_stream(file, encoding, "utf-8")

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
