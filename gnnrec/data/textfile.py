"""Columns of a file or a data frame as text, and a one-line error for a row that cannot be read."""

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gnnrec.data.columns import positions
from gnnrec.data.delimited import CLOSE, Format
from gnnrec.data.files import Opener, open_file
from gnnrec.data.times import are_numbers, dates, numbers
from gnnrec.errors import DataError

MISSING = ("#N/A", "<NA>", "N/A", "NA", "NULL", "NaN", "NaT", "None", "\\N", "n/a", "nan", "null")
"""Cells that are taken for empty ones unless the config says otherwise."""
EXAMPLES = 3
"""Rows that were left out of which is told what was wrong."""
LARGEST = float(np.finfo(np.float32).max)
TITLE = "title"


class TextFile:
    """The columns of one file of a config.

    Every cell is text without blanks around it, and a missing one is "". Whole numbers stay as they are written
    (`5` is never `5.0`, also next to missing cells); a column of whole numbers alone loses each `.0` behind them. The
    parse methods turn columns into numbers and leave out bad rows, or raise, depending on `skip`.

    Attributes:
        name: of the file or the data frame, for messages.
        frame: role -> column. The roles are those of the config, for example `user` or `attributes.age`.
        skipped: number of unreadable rows that were left out.
        skipped_values: number of unreadable values that were left out while their rows stayed.
        examples: what was wrong with the first of both.
    """

    def __init__(
        self,
        path: Path,
        place: str,
        columns: Mapping[str, str],
        skip: bool,
        form: Format = Format(),  # noqa: B008  (frozen)
        missing: Collection[str] = MISSING,
        opened: Opener = open_file,
    ) -> None:
        """Reads a file.

        Args:
            path: see `open_file`.
            place: key of the file in the config, for messages.
            columns: role -> name of the column in the file.
            skip: leave out bad rows and count them, instead of raising.
            form: how a text file is written.
            missing: cells that are taken for empty ones; titles are text as it is.
            opened: from the path to the rows.

        Raises:
            DataError: the file is missing, empty, broken, or has no such column, or two; or a row has more or fewer
                cells than the header.
        """
        self._rows = opened(path, place, form)
        self.name = self._rows.name
        self.skipped = self.skipped_values = 0
        self.examples: list[str] = []
        self._skip = skip
        self._columns = dict(columns)
        self._check_header(self._rows.names, place)
        wanted = list(dict.fromkeys(columns.values()))
        read = self._rows.read(wanted, skip)
        none = pa.array([], pa.string())
        self.frame = pd.DataFrame(
            {
                role: _cells(read[column], none if role == TITLE else pa.array(list(missing), pa.string()))
                for role, column in columns.items()
            }
        )
        for line, problem in self._rows.broken:
            self.skipped += 1
            self._example(f"{self.name}: line {line}: {problem}")
        if not len(self.frame):
            raise DataError(f"{self.name}: the file has a header but no row ({place}.path)")

    def require(self, ok: np.ndarray, role: str, problem: str) -> None:
        """Leaves out the rows that are not `ok`, or raises for the first of them.

        Args:
            ok: [R] bool.
            role: the role of the column at fault.
            problem: what is wrong; `{cell}` is replaced by the text of the cell.
        """
        if ok.all():
            return
        bad = np.flatnonzero(~ok)
        if not self._skip:
            raise DataError(
                f"{self._says(bad[0], role, problem)} ({len(bad)} such rows); mend the file, or set data.on_bad_row to "
                "skip"
            )
        for row in bad[: EXAMPLES - len(self.examples)]:
            self._example(self._says(row, role, problem))
        self.skipped += len(bad)
        self.frame = self.frame[ok]

    def require_text(self, role: str) -> None:
        """No cell of the column may be empty, and none may span lines: a stray quotation mark has made such a one."""
        if self._rows.unit == "line":
            spans = self.frame[role].str.contains("[\\r\\n]").to_numpy(bool)
            if spans.any():
                raise DataError(f"{self._says(int(np.argmax(spans)), role, 'the id {cell} spans lines')}; {CLOSE}")
        problem = "the cell is empty or stands for a missing one (data.missing); an id is needed"
        self.require((self.frame[role] != "").to_numpy(bool), role, problem)

    def parse_ids(self, role: str, ids: pd.Index, listed_in: str) -> None:
        """Replaces ids by their positions in `ids`; a row with another id is a bad row."""
        place = positions(ids, self.frame[role])
        self.require(place >= 0, role, f"{{cell}} is not among the ids of {listed_in}")
        self.frame = self.frame.assign(**{role: place[place >= 0]})

    def parse_numbers(self, role: str, *, optional: bool = False, minimum: float = -np.inf) -> None:
        """Replaces text by numbers (float64); `true` and `false` are 1 and 0.

        Args:
            role: of the column.
            optional: a missing number is NaN instead of a bad row; so is an unreadable one where bad rows are left out,
                and it is counted.
            minimum: a smaller number is a bad row.
        """
        text = self.frame[role]
        number = pd.to_numeric(text, errors="coerce").to_numpy(float)
        known = (text != "").to_numpy(bool)
        if known.any() and np.isnan(number[known]).all():
            number = text.str.lower().map({"true": 1.0, "false": 0.0}).to_numpy(float)
        large = np.isfinite(number) & (np.abs(number) > LARGEST)
        ok = np.isfinite(number) & ~large
        if optional and self._skip:
            number = np.where(ok, number, np.nan)
            lost = np.flatnonzero(~ok & known)
            self.skipped_values += len(lost)
            for row in lost[: EXAMPLES - len(self.examples)]:
                self._example(self._says(row, role, "{cell} is not a number"))
            ok[:] = True
        self.require(ok | large | (optional & ~known), role, "{cell} is not a number")
        number = number[ok | large | (optional & ~known)]
        small = ~(np.abs(number) > LARGEST)
        self.require(small, role, f"{{cell}} is beyond {LARGEST:.1e}, the largest number that is taken")
        number = number[small]
        enough = ~(number < minimum)
        self.require(enough, role, f"{{cell}} is below {minimum:g}")
        self.frame = self.frame.assign(**{role: number[enough]})

    def parse_times(self, role: str) -> None:
        """Replaces times by int64: numbers as they are (whole part), dates as seconds since 1970 (UTC if no zone).

        Whether a column holds numbers or dates is what most of its cells are. What is cut off is kept in a further
        column, `<role>.fraction` (float64, of a second or of one), so that two times within a second keep their order.
        """
        if are_numbers(self.frame[role]):
            number = pd.to_numeric(self.frame[role].to_numpy(object), errors="coerce")
            self.require(np.isfinite(number), role, "{cell} is not a number")
            whole, fraction, inside = numbers(self.frame[role])
            self.require(inside, role, "{cell} is out of range")
        else:
            whole, fraction, inside = dates(self.frame[role])
            self.require(
                inside, role, "{cell} is neither a number nor a date such as 2024-03-01 or 2024-03-01 17:30:00"
            )
        self.frame = self.frame.assign(**{role: whole[inside], f"{role}.fraction": fraction[inside]})

    def line(self, row: int) -> int:
        """The line of a row of the file; of a Parquet file or a frame, its number, from 1."""
        return self._rows.line(row)

    def _check_header(self, names: list[str], place: str) -> None:
        for role, column in self._columns.items():
            if column not in names:
                near = difflib.get_close_matches(column, names, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise DataError(
                    f"{self.name}: no column {column!r} ({place}.{role}); {hint}the columns are {', '.join(names[:20])}"
                    + (f" and {len(names) - 20} more" if len(names) > 20 else "")
                )
            if names.count(column) > 1:
                raise DataError(f"{self.name}: two columns are called {column!r} ({place}.{role}); rename one of them")

    def _says(self, row: int, role: str, problem: str) -> str:
        """What is wrong with a row of the frame as it is now."""
        where = f"{self._rows.unit} {self.line(int(self.frame.index[row]))}"
        cell = repr(str(self.frame[role].iloc[row]))
        return f"{self.name}: {where}, column {self._columns[role]!r}: {problem.replace('{cell}', cell)}"

    def _example(self, text: str) -> None:
        if len(self.examples) < EXAMPLES:
            self.examples.append(text)


def trimmed(values: pa.Array, missing: pa.Array) -> pa.Array:
    """[R] text without blanks around it, "" for what is null or one of the missing markers."""
    text = pc.fill_null(pc.utf8_trim_whitespace(values), "")
    return pc.if_else(pc.is_in(text, value_set=missing), "", text) if len(missing) else text


def _cells(values: pa.Array, missing: pa.Array) -> "pd.Series":
    """Text as of `trimmed`; `.0` goes where all are whole numbers."""
    text = trimmed(values, missing)
    cells: pd.Series = pd.Series(text.to_numpy(zero_copy_only=False), dtype="str")
    shorter: pd.Series = cells.str.removesuffix(".0")
    return shorter if bool(cells.str.fullmatch(r"(?:-?\d+(?:\.0)?)?").all()) else cells
