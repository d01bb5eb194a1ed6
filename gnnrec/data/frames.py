"""Data frames in memory as a data set, by the same rules as files."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pydantic import ValidationError

from gnnrec.data import table
from gnnrec.data.config import TableData
from gnnrec.data.dataset import Dataset
from gnnrec.data.features import with_features, with_value_words
from gnnrec.data.parquet import ArrowRows
from gnnrec.errors import ConfigError, DataError
from gnnrec.options.messages import one_line
from gnnrec.views import USER


def from_frames(frames: Mapping[str, pd.DataFrame], **config: Any) -> Dataset:
    """Builds a data set from data frames.

    Args:
        frames: name -> data frame.
        config: the keys of `data` for `source: table` in a config, with the frames' names as paths, for example
            `interactions={"path": "ratings", "user": "user_id", "item": "item_id"}`.

    Raises:
        ConfigError: the config does not fit, or names a frame that is not there.
        DataError: a row cannot be read; the message names frame, row (the first is row 1) and column.
    """
    try:
        checked = TableData.model_validate({"source": "table", **config})
    except ValidationError as error:
        raise ConfigError(one_line(error, "from_frames", TableData)) from None
    files = [checked.interactions, checked.users, checked.items, *checked.relations]
    for name in (str(file.path) for file in files if file is not None):
        if name not in frames:
            raise ConfigError(f"from_frames: there is no frame {name!r}; there are {', '.join(frames)}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = table.read(checked, lambda path, place, form: frame_rows(str(path), frames[str(path)]))
    for warning in caught:
        warnings.warn(warning.message, stacklevel=2)  # where this function is called
    dataset = replace(dataset, name=str(checked.interactions.path))
    dataset = with_features(dataset, checked.features, Path())
    dataset = with_features(dataset, checked.user_features, Path(), node_type=USER)
    dataset = with_value_words(dataset, checked.values)
    if checked.positive is not None:
        return dataset.positives(checked.positive.min_value, checked.positive.kinds)
    table.warn_of_no_choices(dataset)
    return dataset


def frame_rows(name: str, frame: pd.DataFrame) -> ArrowRows:
    """The rows of a frame. A named index is a column, too."""
    levels = [level for level in frame.index.names if level is not None and level not in frame.columns]
    frame = frame.reset_index(levels) if levels else frame
    names = list(map(str, frame.columns))

    def load(wanted: list[str]) -> dict[str, Any]:
        return {column: as_array(name, frame.iloc[:, names.index(column)]) for column in wanted}

    return ArrowRows(f"frame {name!r}", names, load)


def as_array(name: str, column: "pd.Series") -> Any:
    """The cells as Arrow has them; what it has no plain type for (UUIDs, a mixture of types) is written as text."""
    try:
        found = pa.array(column, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        found = None
    if found is not None and not isinstance(found, pa.ExtensionArray | pa.FixedSizeBinaryArray | pa.BinaryArray):
        return found
    nested = [isinstance(cell, list | tuple | set | dict) for cell in column]
    if any(nested):
        row = nested.index(True)
        raise DataError(
            f"frame {name!r}: row {row + 1}, column {column.name!r}: {column.iloc[row]!r} "
            "is neither text nor number; write several values as one text with a separator"
        )
    missing = column.isna().to_numpy(bool)
    texts = [None if gone else _as_text(cell) for cell, gone in zip(column, missing, strict=True)]
    return pa.array(texts, pa.string())


def _as_text(cell: Any) -> str:
    """One cell of a mixture: whole numbers without `.0`, truth values as Arrow writes them."""
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "replace")
    if isinstance(cell, bool):
        return str(cell).lower()
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
