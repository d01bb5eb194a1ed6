"""Data frames in memory as a data set, by the same rules as files."""

import tempfile
import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from pydantic import ValidationError

from gnnrec.data import table
from gnnrec.data.config import TableData
from gnnrec.data.dataset import Dataset
from gnnrec.errors import ConfigError, DataError
from gnnrec.options.messages import one_line


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
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{place}.parquet" for place, name in enumerate(frames)}
        plain = checked.model_dump()
        for part in (plain["interactions"], plain["users"], plain["items"], *plain["relations"]):
            if part is not None:
                part["path"] = paths[str(part["path"])]
        for name, columns in _columns(checked).items():
            pa.parquet.write_table(_as_table(name, frames[name], columns), paths[name])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                dataset = table.read(TableData.model_validate(plain), Path(folder))
            except DataError as error:
                raise DataError(_named(str(error), paths)) from None
        for warning in caught:
            warnings.warn(_named(str(warning.message), paths), warning.category, stacklevel=2)
    examples = tuple(_named(example, paths) for example in dataset.skipped_examples)
    dataset = replace(dataset, name=str(checked.interactions.path), skipped_examples=examples)
    if checked.positive is not None:
        return dataset.positives(checked.positive.min_value)
    table.warn_of_no_choices(dataset)
    return dataset


def _columns(config: TableData) -> dict[str, set[str]]:
    """Frame -> the columns of it that are read."""
    found: dict[str, set[str]] = {}

    def add(path: Path, *columns: str | None) -> None:
        found.setdefault(str(path), set()).update(column for column in columns if column is not None)

    own = config.interactions
    add(own.path, own.user, own.item, own.value, own.time)
    for nodes in (config.users, config.items):
        if nodes is not None:
            add(nodes.path, nodes.id, *nodes.attributes, getattr(nodes, "title", None))
    for relation in config.relations:
        add(relation.path, relation.source.column, relation.target.column, relation.weight)
    return found


def _as_table(name: str, frame: pd.DataFrame, columns: Collection[str]) -> pa.Table:
    """The frame with all its columns, of which those that are not read are empty. A named index is a column, too."""
    made: dict[str, Any] = {}
    levels = [level for level in frame.index.names if level is not None and level not in frame.columns]
    if levels:
        frame = frame.reset_index(levels)
    for place, column in enumerate(map(str, frame.columns)):
        if column in columns and column in made:
            raise DataError(f"frame {name!r}: two columns are called {column!r}; rename one of them")
        made[column] = as_array(name, frame.iloc[:, place]) if column in columns else pa.nulls(len(frame))
    return pa.table(made)


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


def _named(text: str, paths: Mapping[str, Path]) -> str:
    """A message that names frames, where it named the files that they were written to."""
    for name, path in paths.items():
        text = text.replace(str(path), f"frame {name!r}")
    return text
