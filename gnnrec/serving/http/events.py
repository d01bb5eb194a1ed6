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
    limit = latest(words, None)
    now = None if limit is None else int(time.time())
    found = [_plain(one, now, limit, words.kinds) for one in given]
    others = [place for place, one in enumerate(found) if one is None]
    when = ["" if given[place].time is None else str(given[place].time) for place in others]
    for places in _alike(when):
        some = [others[place] for place in places]
        for place, read_one in _read(some, given, [when[place] for place in places], words).items():
            found[place] = read_one
    return [event for event in found if event is not None]


def _plain(one: EventBody, now: int | None, limit: int | None, kinds: Kinds) -> Event | None:
    """An event whose time is a whole number, or missing; None for others, which take longer to read."""
    when = now if one.time is None else one.time
    if not (when is None or isinstance(when, int)) or (when is not None and limit is not None and when > limit):
        return None
    if when is not None and abs(when) >= 2**63:
        return None
    own = _id(one) if one.id is None else one.id
    return Event(own, one.user, one.item, one.kind or kinds.predicted or "", one.value, when, 0.0, one.request_id)


def _is_known(kind: str, kinds: Kinds) -> bool:
    return kinds.predicted is None or kind == kinds.predicted or kind in kinds.weights


def _alike(when: Sequence[str]) -> list[list[int]]:
    """Places of events with numbers and with dates: a column of times is of one sort."""
    sorts: dict[bool, list[int]] = {}
    for place, text in enumerate(when):
        sorts.setdefault(_is_number(text), []).append(place)
    return list(sorts.values())


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _read(
    places: Sequence[int], given: Sequence[EventBody], when: Sequence[str], words: Vocabulary
) -> dict[int, Event]:
    some = [given[place] for place in places]
    columns = {"user": [one.user for one in some], "item": [one.item for one in some], "time": list(when)}
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
            time_of,
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
