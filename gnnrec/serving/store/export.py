"""What a service was told, as files that training and `gnnrec update` read."""

import io
from pathlib import Path
from typing import Any

import pandas as pd

from gnnrec.errors import InputError
from gnnrec.runtime.files import replace_file, writing_to
from gnnrec.serving.feedback import EVENT
from gnnrec.serving.store.store import Store
from gnnrec.serving.vocabulary import SEPARATOR, Vocabulary
from gnnrec.views import ITEM

ENDINGS = (".csv", ".tsv", ".parquet")


def export_events(store: Store, to: Path, vocabulary: Vocabulary | None = None, after: int = 0) -> tuple[int, int]:
    """Writes the events, in the order in which they came.

    Args:
        store: of the service.
        to: .csv, .tsv or .parquet.
        vocabulary: whose training's columns the file is to have; None for user, item, kind, value and time.
        after: number of the last event that was exported before; 0 for all.

    Returns:
        How many there are, and the number of the last one.

    Raises:
        InputError: the file cannot be written.
    """
    rows = list(store.every_event(after))
    names = {"user": "user", "item": "item", "kind": "kind", "value": "value", "time": "time"}
    if vocabulary is not None:
        own = vocabulary.columns
        names |= {"user": own.history_user or own.user or "user", "item": own.history_item or "item"}
        told = {"kind": own.history_event, "value": own.history_value, "time": own.history_time}
        names |= {role: name for role, name in told.items() if name is not None}
    every: dict[str, list[Any]] = {EVENT: [one.id for _, one in rows]}
    for role, name in names.items():
        every[name] = [getattr(one, role) for _, one in rows]
    frame = pd.DataFrame(every)
    if vocabulary is not None and vocabulary.kinds.predicted is not None:
        frame[names["kind"]] = frame[names["kind"]].replace("", vocabulary.kinds.predicted)
    frame["request_id"] = [one.request for _, one in rows]
    for role in ("time", "value"):
        frame[names[role]] = frame[names[role]].astype("Int64" if role == "time" else "Float64")
    _write(frame, to)
    return len(rows), rows[-1][0] if rows else after


def export_users(store: Store, to: Path, vocabulary: Vocabulary | None = None) -> int:
    """Writes the users, a row each; several values of an attribute stand in one cell, with a separator between them.

    Args:
        store: of the service.
        to: .csv, .tsv or .parquet.
        vocabulary: whose attributes of training the file is to have; None for those that users have.

    Returns:
        How many there are.

    Raises:
        InputError: the file cannot be written.
    """
    rows = list(store.every_user())
    column, separators = "user", {}
    names = list(dict.fromkeys(name for _, attributes in rows for name in attributes))
    if vocabulary is not None:
        column, separators = vocabulary.columns.user or column, dict(vocabulary.separators)
        names = [t[1] for t in vocabulary.relations if t[2] != ITEM] + [one.name for one in vocabulary.features]
        separators |= {one.name: " " for one in vocabulary.features}
    cells = {name: [_cell(given.get(name), separators.get(name, SEPARATOR)) for _, given in rows] for name in names}
    _write(pd.DataFrame({column: [user for user, _ in rows], **cells}), to)
    return len(rows)


def _cell(value: Any, separator: str) -> Any:
    """A value as a cell of a file has it."""
    if isinstance(value, list | dict):
        return separator.join(str(one) for one in value if one is not None)
    return str(value).lower() if isinstance(value, bool) else value


def _write(frame: pd.DataFrame, to: Path) -> None:
    if to.suffix not in ENDINGS:
        raise InputError(f"{to}: must end in {', '.join(ENDINGS)}")
    content = io.BytesIO()
    if to.suffix == ".parquet":
        frame.astype({name: "str" for name in frame if frame[name].dtype == object}).to_parquet(content, index=False)
    else:
        frame.to_csv(content, index=False, sep="\t" if to.suffix == ".tsv" else ",")
    with writing_to(to):
        replace_file(to, content.getvalue())
