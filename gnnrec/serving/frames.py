"""Data frames of any library: to pandas and back, columns as attributes, ids as text, histories as edges."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa

from gnnrec.data.frames import as_array
from gnnrec.errors import ConfigError, DataError
from gnnrec.serving.encode import Known
from gnnrec.serving.feedback import EVENT, Feedback, read_events, unknown_items
from gnnrec.serving.known import Source, known_of
from gnnrec.serving.rows import texts
from gnnrec.serving.vocabulary import Vocabulary

Frame: TypeAlias = Any
"""A data frame of pandas, or of any library that narwhals reads (polars, pyarrow ...)."""
Attributes: TypeAlias = Mapping[str, Mapping[str, Any]] | Collection[str]
"""Columns, or column -> options of the attribute, as in a config."""
MOST_VALUES, BINS = 20, 10
"""A column of numbers with more values than this is cut into so many bins of equally many users."""
SEVERAL = "\x1f"
"""Between the values of a cell that came as a list."""
LISTS = (list, tuple, set, np.ndarray)


def described(
    frame: pd.DataFrame,
    name: str,
    others: Collection[Any],
    wanted: Mapping[str, Mapping[str, Any]] | Collection[str] | None,
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """The frame with lists written as text, and column -> options of an attribute.

    Args:
        frame: of users or of items.
        name: of the frame, for messages.
        others: columns that are no attributes.
        wanted: columns to use, or column -> options; None for all.

    Raises:
        ConfigError: there is no such column.
    """
    columns = [column for column in frame.columns if column not in others] if wanted is None else list(wanted)
    missing = [column for column in columns if column not in frame]
    if missing:
        raise ConfigError(f"{name}: there is no column {missing[0]!r}; there are {', '.join(map(str, frame.columns))}")
    frame, found = frame.copy(), {}
    for column in columns:
        options = dict(wanted[column]) if isinstance(wanted, Mapping) else {}
        cells = frame[column]
        several = (
            cells.map(lambda cell: isinstance(cell, list | tuple | set | np.ndarray)) if cells.dtype == object else None
        )
        if several is not None and several.any():
            frame[column] = [
                SEVERAL.join(map(str, cell)) if many else cell for cell, many in zip(cells, several, strict=True)
            ]
            options.setdefault("split", SEVERAL)
        elif not options and pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
            options = {"bins": BINS} if cells.nunique() > MOST_VALUES else {}
        found[str(column)] = options
    return frame, found


def as_pandas(frame: Frame) -> pd.DataFrame:
    """The frame as one of pandas; other libraries' frames are read by narwhals.

    Raises:
        DataError: it is no data frame.
    """
    if isinstance(frame, pd.DataFrame):
        return frame
    try:
        found: pd.DataFrame = nw.from_native(frame, eager_only=True).to_pandas()
        return found
    except TypeError:
        raise DataError(f"a data frame is needed (of pandas, polars or pyarrow), got {type(frame).__name__}") from None


def like(given: Frame | Mapping[str, Any], made: pd.DataFrame) -> Frame:
    """The frame in the library of another one."""
    if isinstance(given, pd.DataFrame | Mapping):
        return made
    table = pa.Table.from_pandas(made.rename(columns=str), preserve_index=False)
    return nw.from_arrow(table, backend=nw.from_native(given, eager_only=True).implementation).to_native()


def id_texts(frame: str, column: "pd.Series") -> np.ndarray:
    """[R] ids as text, as cells of a file have them."""
    cells = texts(as_array(frame, column), frame, str(column.name))
    return np.asarray(cells.to_numpy(zero_copy_only=False), dtype=object)


def events_of(frame: pd.DataFrame, vocabulary: Vocabulary, user: str, item: str, where: str, at: Any) -> pd.DataFrame:
    """Interactions as feedback has them, see `gnnrec.serving.feedback.read_events`.

    Args:
        frame: one row for each; columns of values, times and events may be missing.
        vocabulary: of the model.
        user: column of ids of users.
        item: column of ids of items.
        where: name of the frame, for messages.
        at: the moment of the call; a datetime, too.

    Raises:
        DataError: there is no such column, or a row cannot be read.
    """
    for column in (user, item):
        if column not in frame:
            there = ", ".join(map(str, frame.columns))
            raise DataError(f"{where}: there is no column {column!r}; there are {there}")
    names = {"user": user, "item": item, "value": vocabulary.columns.history_value}
    names |= {"time": vocabulary.columns.history_time, "kind": vocabulary.columns.history_event, EVENT: EVENT}
    columns = {
        role: pd.Series(id_texts(where, frame[name]), dtype=object)
        for role, name in names.items()
        if name is not None and name in frame
    }
    told = at.isoformat() if isinstance(at, datetime) else at
    return read_events(columns, vocabulary, lambda row: f"{where}: row {row + 1}", names, told, "at=")


def known_events(
    vocabulary: Vocabulary, sources: Sequence[Source], history: pd.DataFrame | None, ids: pd.Index
) -> Known:
    """What is known of users, user after user, items in the order of time; what cannot be used is warned of.

    Args:
        vocabulary: of the model.
        sources: recorded interactions.
        history: as of `events_of`; None for none.
        ids: [B] of the users.
    """
    texts_of = pd.Index(id_texts("users", pd.Series(ids, name="user")), dtype=object)
    told = []
    if history is not None:
        given = Feedback(history)
        told = given.sources(vocabulary)
        ignored = (
            (int((~history["user"].isin(texts_of)).sum()), "user is not among the users"),
            (int(history["item"].isin(unknown_items(history, vocabulary)).sum()), "item the model does not know"),
        )
        for count, why in ignored:
            if count:
                warnings.warn(f"history: {count:,} rows ignored, whose {why}", stacklevel=5)
    return known_of(vocabulary, [*sources, *told], texts_of)


def own_ids(known: pd.Index, columns: Sequence["pd.Series"]) -> pd.Index:
    """Ids as they stood in frames, of those that were read as text.

    Args:
        known: [N] text.
        columns: ids of any type, among which all of them are.
    """
    every = pd.concat([column.dropna().drop_duplicates() for column in columns], ignore_index=True)
    text = pd.Index(id_texts("ids", every))
    first = ~text.duplicated()
    place = text[first].get_indexer(known)
    return pd.Index(every[first].iloc[place].reset_index(drop=True)) if (place >= 0).all() else known
