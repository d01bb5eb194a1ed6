"""Files of new interactions, recorded beside a saved model."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from gnnrec.runtime.files import claimed
from gnnrec.serving.artifact import load, place_of
from gnnrec.serving.feedback import EVENT, FOLDER, read_events, read_feedback, unknown_items
from gnnrec.serving.rows import Rows, texts
from gnnrec.serving.vocabulary import Vocabulary

READ = 65_536
"""Rows that are read at once."""


def record_file(
    folder: Path, path: Path, user_column: str | None = None, at: int | str | None = None
) -> tuple[int, int, list[str]]:
    """Writes the interactions of a file beside a saved model, which knows them from the next request on.

    All of the file is recorded or nothing; what was recorded before changes nothing. Several processes wait for each
    other.

    Args:
        folder: of a run, or of a saved model.
        path: of the file, with a row for each interaction; columns as `History` finds them, and `event_id`.
        user_column: name of the column of users, where it is not that of training.
        at: the moment of the call, see `gnnrec.serving.moment.latest`.

    Returns:
        How many rows the file has, how many of them are new, and warnings.

    Raises:
        DataError: the file or a row cannot be read.
        ConfigError: there is no saved model.
    """
    vocabulary = load(folder).vocabulary
    events = _read(path, vocabulary, user_column, at)
    place = place_of(folder)
    with claimed(place / FOLDER, wait=True):
        feedback = read_feedback(place)
        fresh = feedback.add(events)
        if len(fresh):
            feedback.write(place, fresh)
    unknown = unknown_items(fresh, vocabulary)
    some = ", ".join(map(repr, unknown[:3]))
    notes = [f"{len(unknown):,} items are kept that the model does not know, for example {some}"] if unknown else []
    return len(events), len(fresh), notes


def _read(path: Path, vocabulary: Vocabulary, user_column: str | None, at: int | str | None) -> pd.DataFrame:
    names = vocabulary.columns
    rows = Rows(path, vocabulary.history_form, (user_column, names.history_user, names.user, names.history_item))
    user = rows.column(user_column, names.history_user, names.user, what="users")
    item = rows.column(None, names.history_item, what="items", place=0 if [user] == rows.columns[1:2] else 1)
    called: dict[str, str | None] = {"user": user, "item": item}
    others = {
        "value": (names.history_value,),
        "time": (names.history_time, "time"),
        "kind": (names.history_event,),
        EVENT: (EVENT,),
    }
    for role, wanted in others.items():
        called[role] = next((one for one in wanted if one in rows.columns and one not in (user, item)), None)
    given = {role: name for role, name in called.items() if name is not None}
    parts: dict[str, list[pa.Array]] = {role: [pa.array([], pa.string())] for role in given}
    for table in rows.batches(list(given.values()), READ):
        for role, name in given.items():
            missing = vocabulary.missing if role in ("user", "item") else ()
            parts[role].append(texts(table[name], str(path), name, missing))
    columns = {role: pd.concat([p.to_pandas() for p in part], ignore_index=True) for role, part in parts.items()}
    return read_events(columns, vocabulary, rows.where, called, at)
