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
from gnnrec.data.times import NO_TIME, are_numbers, read_times
from gnnrec.errors import ConfigError, DataError
from gnnrec.serving.encode import known_items
from gnnrec.serving.moment import FUTURE, in_the_future, latest
from gnnrec.serving.rows import texts
from gnnrec.serving.vocabulary import Vocabulary, places
from gnnrec.views import ITEM, Edges

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


def history_edges(
    history: pd.DataFrame, vocabulary: Vocabulary, user: str, item: str, ids: pd.Index, at: Any = None
) -> Edges:
    """The known items of users, user after user, in the order of time; what cannot be used is warned of.

    Args:
        history: one row for each user and item.
        vocabulary: of the model; values below its least positive one are left out.
        user: column of ids of users.
        item: column of ids of items.
        ids: [B] of the users.
        at: the moment of the request, see `gnnrec.serving.moment.latest`; a datetime, too.

    Raises:
        DataError: there is no such column, or a row is of after that moment.
        ConfigError: the moment is neither a number nor a date.
    """
    limit = latest(vocabulary, at.isoformat() if isinstance(at, datetime) else at)
    value, time = vocabulary.columns.history_value, vocabulary.columns.history_time
    for column in (user, item):
        if column not in history:
            raise DataError(f"history: there is no column {column!r}; there are {', '.join(map(str, history.columns))}")
    place_of = pd.Index(id_texts("users", pd.Series(ids, name=user)))
    row = place_of.get_indexer(pd.Index(id_texts("history", history[user])))
    code, distinct = pd.factorize(id_texts("history", history[item]))
    node = places(vocabulary.texts[ITEM], distinct)[code]
    number = None
    kept = (row >= 0) & (node >= 0)
    if value is not None and value in history:
        number = pd.to_numeric(history[value], errors="coerce").to_numpy(float)
        if vocabulary.min_value is not None:
            kept &= number >= vocabulary.min_value
        kept &= np.isfinite(number)
        number = number[kept]
    when = None
    if time is not None and time in history:
        cells = pd.Series(id_texts("history", history[time]), dtype="str")
        whole, fraction, fits = read_times(cells, are_numbers(cells))
        for wrong, why in (
            (~fits, NO_TIME),
            (in_the_future(whole, limit), "{cell} " + FUTURE.format(limit=limit, at="at=")),
        ):
            if wrong.any():
                place = int(wrong.argmax())
                said = why.replace("{cell}", repr(cells[place]))
                raise DataError(f"history: row {place + 1}, column {time!r}: {said}")
        when = (whole[kept], fraction[kept])
    for ignored, why in ((row < 0, "user is not among the users"), (node < 0, "item the model does not know")):
        if ignored.any():
            warnings.warn(f"history: {int(ignored.sum()):,} rows ignored, whose {why}", stacklevel=5)
    return known_items(vocabulary, row[kept].astype(np.int64), node[kept], number, when)[0]


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
