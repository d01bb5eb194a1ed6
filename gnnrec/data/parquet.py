"""Columns of a Parquet file, or of Arrow arrays in memory, as text."""

import uuid
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from gnnrec.errors import DataError

DIGITS = {16: 11, 32: 24, 64: 53}
"""Bits of a float -> bits of the largest whole numbers of which it holds every one."""
DAMAGED = (pa.ArrowException, OSError, ValueError, LookupError)
"""What reading a damaged file raises, a name of a column that is no text among it."""


@dataclass(frozen=True)
class ArrowRows:
    """Rows whose columns Arrow has: of a Parquet file, or in memory.

    Attributes:
        name: of the file or the data frame, for messages.
        names: of the columns.
        load: names of columns -> their cells by name, [R] each.
        unit: what a row is told by.
        broken: no row is.
    """

    name: str
    names: list[str]
    load: Callable[[list[str]], Any]
    unit: Literal["line", "row"] = "row"
    broken: Sequence[tuple[int, str]] = ()

    def read(self, wanted: Sequence[str], skip: bool = False) -> dict[str, pa.Array]:
        """The wanted columns as text, see `as_text`.

        Raises:
            DataError: a column holds neither text nor numbers, or cannot be loaded.
        """
        cells = self.load(list(wanted))
        return {column: as_text(self.name, column, cells[column]) for column in wanted}

    def line(self, row: int) -> int:
        """The number of a row, from 1."""
        return row + 1


def open_parquet(path: Path) -> ArrowRows:
    """The rows of a Parquet file.

    Raises:
        DataError: the file is no Parquet file, or its end is damaged; when it is read, a page is damaged.
    """

    def load(wanted: list[str]) -> pa.Table:
        try:
            return pa.parquet.read_table(path, columns=wanted, page_checksum_verification=True)
        except DAMAGED as error:
            raise DataError(f"{path}: damaged, a part of it cannot be read ({_reason(error)})") from None

    try:
        return ArrowRows(str(path), list(pa.parquet.read_schema(path).names), load)
    except DAMAGED as error:
        raise DataError(f"{path}: not a Parquet file ({_reason(error)})") from None


def as_text(name: str, column: str, values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Cells as text, null where one is missing or not a number (NaN).

    Whole numbers are written without `.0`, also where pandas made floats of them, UUIDs as such, and times with three
    digits of a second at least, since Parquet files have no others.

    Args:
        name: of the file or the data frame, for messages.
        column: its name.
        values: [R] cells.

    Raises:
        DataError: the cells are neither text nor numbers.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if values.type == pa.time32("s") or (pa.types.is_timestamp(values.type) and values.type.unit == "s"):
        values = values.cast(pa.time32("ms") if pa.types.is_time(values.type) else pa.timestamp("ms", values.type.tz))
    if isinstance(values, pa.ExtensionArray):
        is_uuid = values.type.extension_name == "arrow.uuid"
        values = values.storage
        if is_uuid:
            texts = [None if one is None else str(uuid.UUID(bytes=one)) for one in values.to_pylist()]
            return pa.array(texts, pa.string())
    if pa.types.is_fixed_size_binary(values.type):
        return pa.array([None if one is None else one.hex() for one in values.to_pylist()], pa.string())
    if pa.types.is_floating(values.type):  # also whole numbers that pandas wrote next to missing ones
        values = _whole(name, column, pc.if_else(pc.is_nan(values), None, values))
    if pa.types.is_decimal(values.type) and not pc.any(pc.not_equal(values, pc.floor(values))).as_py():
        values = pc.cast(pc.floor(values), pa.decimal256(76, 0), safe=False)
    try:
        return pc.cast(values, pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        raise DataError(
            f"{name}: column {column!r} holds {values.type}, which is neither text nor number; "
            "write several values as one text with a separator"
        ) from None


def _whole(name: str, column: str, values: pa.Array) -> pa.Array:
    """Floats as whole numbers where all are, which keeps large ids from being written with an exponent."""
    numbers = values.drop_null().to_numpy().astype(np.float64)
    if not (np.isfinite(numbers).all() and np.array_equal(numbers, np.floor(numbers))):
        return values
    largest = np.abs(numbers).max(initial=0)
    if largest > 2.0 ** DIGITS[values.type.bit_width]:
        warnings.warn(
            f"{name}: column {column!r} holds whole numbers as floats of {values.type.bit_width} bits, which have lost "
            f"their last digits (the largest is {largest:g}); write them as integers or text",
            stacklevel=6,
        )
    if largest < 2.0**63:
        return pc.cast(pc.cast(values, pa.float64()), pa.int64(), safe=False)
    return pa.array([None if one is None else str(int(one)) for one in values.to_pylist()], pa.string())


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())
