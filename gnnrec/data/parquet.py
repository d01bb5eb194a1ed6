"""Columns of a Parquet file as text."""

import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from gnnrec.errors import DataError

DIGITS = {16: 11, 32: 24, 64: 53}
"""Bits of a float -> bits of the largest whole numbers of which it holds every one."""
DAMAGED = (pa.ArrowException, OSError, ValueError, LookupError)
"""What reading a damaged file raises, a name of a column that is no text among it."""


def names(path: Path) -> list[str]:
    """The names of the columns.

    Raises:
        DataError: the file is no Parquet file, or its end is damaged.
    """
    try:
        return list(pa.parquet.read_schema(path).names)
    except DAMAGED as error:
        raise DataError(f"{path}: not a Parquet file ({_reason(error)})") from None


def read(path: Path, wanted: Sequence[str]) -> dict[str, pa.Array]:
    """The wanted columns as text, null where a cell is missing or not a number (NaN).

    Whole numbers are written without `.0`, also where pandas made floats of them, and UUIDs as such.

    Raises:
        DataError: a page is damaged, or a column holds neither text nor numbers.
    """
    try:
        table = pa.parquet.read_table(path, columns=list(wanted), page_checksum_verification=True)
    except DAMAGED as error:
        raise DataError(f"{path}: damaged, a part of it cannot be read ({_reason(error)})") from None
    return {name: _text(path, name, table[name].combine_chunks()) for name in wanted}


def _text(path: Path, name: str, values: Any) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if isinstance(values, pa.ExtensionArray):
        is_uuid = values.type.extension_name == "arrow.uuid"
        values = values.storage
        if is_uuid:
            texts = [None if one is None else str(uuid.UUID(bytes=one)) for one in values.to_pylist()]
            return pa.array(texts, pa.string())
    if pa.types.is_fixed_size_binary(values.type):
        return pa.array([None if one is None else one.hex() for one in values.to_pylist()], pa.string())
    if pa.types.is_floating(values.type):  # also whole numbers that pandas wrote next to missing ones
        values = _whole(path, name, pc.if_else(pc.is_nan(values), None, values))
    if pa.types.is_decimal(values.type) and not pc.any(pc.not_equal(values, pc.floor(values))).as_py():
        values = pc.cast(pc.floor(values), pa.decimal256(76, 0), safe=False)
    try:
        return pc.cast(values, pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        raise DataError(
            f"{path}: column {name!r} holds {values.type}, which is neither text nor number; "
            "write several values as one text with a separator"
        ) from None


def _whole(path: Path, name: str, values: pa.Array) -> pa.Array:
    """Floats as whole numbers where all are, which keeps large ids from being written with an exponent."""
    numbers = values.drop_null().to_numpy().astype(np.float64)
    if not (np.isfinite(numbers).all() and np.array_equal(numbers, np.floor(numbers))):
        return values
    largest = np.abs(numbers).max(initial=0)
    if largest > 2.0 ** DIGITS[values.type.bit_width]:
        warnings.warn(
            f"{path}: column {name!r} holds whole numbers as floats of {values.type.bit_width} bits, which have lost "
            f"their last digits (the largest is {largest:g}); write them as integers or text",
            stacklevel=6,
        )
    if largest < 2.0**63:
        return pc.cast(pc.cast(values, pa.float64()), pa.int64(), safe=False)
    return pa.array([None if one is None else str(int(one)) for one in values.to_pylist()], pa.string())


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())
