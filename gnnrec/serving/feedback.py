"""Interactions of after the fit: kept beside a model and read at the next request, without any training."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from gnnrec.data.times import NO_TIME, are_numbers, read_times
from gnnrec.errors import ConfigError, DataError
from gnnrec.runtime.files import replace_file, writing_to
from gnnrec.serving.known import Source
from gnnrec.serving.moment import FUTURE, in_the_future, latest
from gnnrec.serving.vocabulary import NO_KIND, PREDICTED, Kinds, Vocabulary, places
from gnnrec.views import ITEM

FOLDER = "feedback"
EVENT = "event_id"
"""Column that tells events apart."""
COLUMNS = (EVENT, "user", "item", "kind", "value", "time", "fraction")
NO_TIME_AT_ALL = np.iinfo(np.int64).min
FILES, RECENT = 64, 1000
"""Files of a folder, and rows, from which on the recorded events are put together."""
KINDS: dict[str, Any] = dict(zip(COLUMNS, (object, object, object, object, float, np.int64, float), strict=True))
EMPTY = pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in KINDS.items()})


class Feedback:
    """Events of users, each counted once, however often it is given.

    Args:
        frame: with `COLUMNS`: ids and kind as text ("" for the kind that is predicted), value and fraction float64 (nan
            for none), time int64 (the least number for none).
    """

    def __init__(self, frame: pd.DataFrame | None = None) -> None:
        self._old = EMPTY if frame is None else frame
        self._new = EMPTY
        self._known = pd.Index(self._old[EVENT])  # keeps its table of hashes
        self._sources: list[Source | None] = [None, None]

    def __len__(self) -> int:
        return len(self._old) + len(self._new)

    @property
    def frame(self) -> pd.DataFrame:
        """All events, in the order in which they were recorded."""
        return pd.concat([self._old, self._new], ignore_index=True) if len(self._new) else self._old

    def add(self, events: pd.DataFrame) -> pd.DataFrame:
        """Records events, as `read_events` gives them; those that were recorded before change nothing.

        Returns:
            Those that are new.
        """
        name = events[EVENT]
        known = (self._known.get_indexer(name) >= 0) | (pd.Index(self._new[EVENT]).get_indexer(name) >= 0)
        fresh: pd.DataFrame = events[~known & ~name.duplicated()]
        self._new = pd.concat([self._new, fresh], ignore_index=True) if len(self._new) else fresh
        self._sources[1] = None
        if len(self._new) > RECENT:
            self._old, self._new, self._sources = self.frame, EMPTY, [None, None]
            self._known = pd.Index(self._old[EVENT])
        return fresh

    def sources(self, vocabulary: Vocabulary) -> list[Source]:
        """The events whose items a model knows, of the kinds that it tells apart."""
        for place, frame in enumerate((self._old, self._new)):
            if self._sources[place] is None:
                self._sources[place] = _source(frame, vocabulary)
        return [one for one in self._sources if one is not None]

    def write(self, folder: Path, fresh: pd.DataFrame | None = None) -> None:
        """Writes events beside a model, in a file of their own, whole or not at all.

        Args:
            folder: of the model.
            fresh: what `add` returned; None for all, in the place of what is there.
        """
        place = folder / FOLDER
        with writing_to(folder):
            place.mkdir(parents=True, exist_ok=True)
            there = sorted(place.glob("*.parquet"))
            number = int(there[-1].stem) + 1 if there else 1
            together = fresh is None or len(there) >= FILES
            content = io.BytesIO()
            (self.frame if fresh is None or together else fresh).to_parquet(content, index=False)
            replace_file(place / f"{number:08d}.parquet", content.getvalue())
            for old in there if together else ():
                old.unlink(missing_ok=True)


def read_feedback(folder: Path) -> Feedback:
    """What was written beside a model; nothing where there is no such folder.

    Raises:
        ConfigError: a file is damaged.
    """
    frames = [EMPTY]
    for path in sorted((folder / FOLDER).glob("*.parquet")):
        try:
            frame = pd.read_parquet(path)
            frame = frame if "kind" in frame else frame.assign(kind="")  # written before there were kinds
            frames.append(frame[list(COLUMNS)].astype(KINDS))
        except (pa.ArrowException, OSError, LookupError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"{path}: cannot be read ({reason}); delete it and tell of its events again") from error
    every = pd.concat(frames, ignore_index=True)
    return Feedback(every[~every[EVENT].duplicated()].reset_index(drop=True))


def read_events(
    columns: Mapping[str, "pd.Series"],
    vocabulary: Vocabulary,
    where: Callable[[int], str],
    called: Mapping[str, str | None],
    at: int | str | None = None,
    hint: str = "--at",
) -> pd.DataFrame:
    """Events as feedback has them, from columns of text.

    Args:
        columns: user and item; kind, value, time and `event_id` where there are any. [R] text each.
        vocabulary: of the model.
        where: number of a row, from 0 -> what it is called in messages.
        called: name of each column there.
        at: the moment of the call, see `gnnrec.serving.moment.latest`.
        hint: what names that moment.

    Raises:
        DataError: an id is missing, a value is no number, a kind is none of training, or a time is none, or is of
            after the moment.
    """
    limit = latest(vocabulary, at)

    def refuse(wrong: np.ndarray, name: str, why: str) -> None:
        if wrong.any():
            row = int(wrong.argmax())
            cell = repr(str(columns[name].iloc[row]))
            raise DataError(f"{where(row)}, column {called.get(name)!r}: {why.replace('{cell}', cell)}")

    size = len(columns["user"])
    for name in ("user", "item", EVENT):
        if name in columns:
            refuse((columns[name] == "").to_numpy(), name, "the cell is empty; an id is needed")
    found: dict[str, Any] = {"user": columns["user"], "item": columns["item"]}
    found |= {
        "kind": np.full(size, ""),
        "value": np.full(size, np.nan),
        "time": np.full(size, NO_TIME_AT_ALL),
        "fraction": np.zeros(size),
    }
    if "value" in columns:
        found["value"] = pd.to_numeric(columns["value"].to_numpy(object), errors="coerce").astype(float)
        refuse(~np.isfinite(found["value"]), "value", "{cell} is not a number")
    if "kind" in columns:
        kinds = vocabulary.kinds
        found["kind"] = columns["kind"].to_numpy(object)
        refuse((kinds.of(found["kind"], None, None) == NO_KIND) | (found["kind"] == ""), "kind", no_kind(kinds))
    elif vocabulary.kinds.predicted is not None:
        column = vocabulary.columns.history_event
        raise DataError(f"{where(0)}: there is no column {column!r}, which says of what kind a row is")
    if "time" in columns:
        whole, part, fits = read_times(columns["time"], are_numbers(columns["time"]))
        refuse(~fits, "time", NO_TIME)
        refuse(in_the_future(whole, limit), "time", "{cell} " + FUTURE.format(limit=limit, at=hint))
        found["time"], found["fraction"] = whole, part
    frame = pd.DataFrame({name: np.asarray(one, dtype=KINDS[name]) for name, one in found.items()})
    frame.insert(0, EVENT, columns[EVENT].to_numpy(object) if EVENT in columns else _named(frame))
    return frame


def no_kind(kinds: Kinds) -> str:
    """What is wrong with a cell that names no kind of event."""
    return f"{{cell}} is no kind of event of training; there are {', '.join([str(kinds.predicted), *kinds.weights])}"


def _named(frame: pd.DataFrame) -> np.ndarray:
    """[R] a name for each event that has none: 128 bits of user, item, time, value and kind."""
    own = frame[["user", "item", "time", "fraction", "value"]]
    if (frame["kind"] != "").any():
        own = own.assign(kind=frame["kind"])
    halves = [
        pd.util.hash_pandas_object(own, index=False, hash_key=key) for key in ("gnnrec feedback1", "gnnrec feedback2")
    ]
    first, second = (half.map("{:016x}".format) for half in halves)
    return (first + second).to_numpy(object)


def _source(frame: pd.DataFrame, vocabulary: Vocabulary) -> Source:
    code, distinct = pd.factorize(frame["item"])
    item = places(vocabulary.texts[ITEM], np.asarray(distinct, dtype=object))[code] if len(frame) else np.empty(0, int)
    value, time = frame["value"].to_numpy(float), frame["time"].to_numpy(np.int64)
    text = None if vocabulary.kinds.predicted is None else frame["kind"].to_numpy(object)
    kind = vocabulary.kinds.of(text, value, vocabulary.min_value)
    kept = (item >= 0) & (kind >= PREDICTED)
    owner, users = pd.factorize(frame["user"][kept])
    valued = vocabulary.mean_value is not None
    timed = bool((time[kept] != NO_TIME_AT_ALL).any())
    return Source(
        pd.Index(users, dtype=object),
        owner.astype(np.int64),
        item[kept].astype(np.int64),
        value[kept] if valued else None,
        (time[kept], frame["fraction"].to_numpy(float)[kept]) if timed else None,
        kind[kept],
    )


def unknown_items(frame: pd.DataFrame, vocabulary: Vocabulary) -> Sequence[str]:
    """The items of events that a model does not know, each once."""
    distinct = pd.unique(frame["item"])
    found = places(vocabulary.texts[ITEM], np.asarray(distinct, dtype=object)) if len(distinct) else np.empty(0, int)
    return list(distinct[found < 0])
