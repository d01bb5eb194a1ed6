"""Events of a request -> events of the store."""

import hashlib
import json
import time
import uuid
from collections.abc import Sequence

import numpy as np
import pandas as pd

from gnnrec.errors import InputError
from gnnrec.serving.feedback import NO_TIME_AT_ALL, read_events
from gnnrec.serving.http.bodies import EventBody
from gnnrec.serving.live import LiveModel
from gnnrec.serving.moment import latest
from gnnrec.serving.store import Event
from gnnrec.serving.vocabulary import Kinds, Vocabulary


def read(given: Sequence[EventBody], live: LiveModel, unknown: str) -> list[Event]:
    """The events of a request.

    Args:
        given: as they came.
        live: the model whose kinds and times they are read in.
        unknown: `refuse` for refusing items and kinds that the model does not know, else `accept`.

    Raises:
        InputError: one of them cannot be read; the message says which.
    """
    words = live.vocabulary
    for place, one in enumerate(given):
        if one.kind is not None and unknown == "refuse" and not _is_known(one.kind, words.kinds):
            there = ", ".join([str(words.kinds.predicted), *words.kinds.weights])
            raise InputError(f"event {place}: kind {one.kind!r} is none of training; there are {there}")
        if unknown == "refuse" and live.place(one.item) < 0:
            raise InputError(f"event {place}: item {one.item!r} is unknown; send it to PUT /v1/items first")
    now = str(int(time.time())) if latest(words, None) is not None else None
    when = [now if one.time is None else str(one.time) for one in given]
    found: dict[int, Event] = {}
    for places in _alike(when):
        found |= _read(places, given, [when[place] for place in places], words)
    return [found[place] for place in range(len(given))]


def _is_known(kind: str, kinds: Kinds) -> bool:
    return kinds.predicted is None or kind == kinds.predicted or kind in kinds.weights


def _alike(when: Sequence[str | None]) -> list[list[int]]:
    """Places of events without times, with numbers, and with dates: a column of times is of one sort."""
    sorts: dict[str, list[int]] = {}
    for place, text in enumerate(when):
        sorts.setdefault("" if text is None else "number" if _is_number(text) else "date", []).append(place)
    return list(sorts.values())


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _read(
    places: Sequence[int], given: Sequence[EventBody], when: Sequence[str | None], words: Vocabulary
) -> dict[int, Event]:
    some = [given[place] for place in places]
    columns = {"user": [one.user for one in some], "item": [one.item for one in some]}
    if when[0] is not None:
        columns["time"] = [str(text) for text in when]
    predicted = words.kinds.predicted
    kind = [one.kind or predicted or "" for one in some]
    if predicted is not None:
        columns["kind"] = [one if _is_known(one, words.kinds) else predicted for one in kind]
    frame = read_events(
        {name: pd.Series(cells, dtype=object) for name, cells in columns.items()},
        words,
        lambda row: f"event {places[row]}",
        {name: name for name in columns},
        hint="another clock",
    )
    whole, part = frame["time"].tolist(), frame["fraction"].tolist()
    rows = zip(places, some, kind, whole, part, strict=True)
    return {
        place: Event(
            _id(one) if one.id is None else one.id,
            one.user,
            one.item,
            own,
            one.value,
            None if time_of == NO_TIME_AT_ALL else time_of,
            fraction,
            one.request_id,
        )
        for place, one, own, time_of, fraction in rows
    }


def _id(one: EventBody) -> str:
    """A name for an event that has none: another one where it has no time, for then it is another event."""
    if one.time is None:
        return f"auto-{uuid.uuid4().hex}"
    content = json.dumps([one.user, one.item, one.kind, one.time, one.value])
    return f"auto-{hashlib.sha256(content.encode()).hexdigest()[:32]}"


def columns_of(events: Sequence[Event]) -> dict[str, np.ndarray]:
    """Stored events of one user as columns, see `gnnrec.serving.known.known_of_one`."""
    value = [np.nan if one.value is None else one.value for one in events]
    time = [NO_TIME_AT_ALL if one.time is None else one.time for one in events]
    return {
        "item": np.array([one.item for one in events], dtype=object),
        "kind": np.array([one.kind for one in events], dtype=object),
        "value": np.array(value, dtype=float),
        "time": np.array(time, dtype=np.int64),
        "fraction": np.array([one.fraction for one in events], dtype=float),
    }
