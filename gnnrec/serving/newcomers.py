"""Files about new users: the users, their known items, and items that lists are limited to."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from gnnrec.data.delimited import SEPARATORS, Format
from gnnrec.data.files import PARQUET
from gnnrec.data.times import NO_TIME, are_numbers, read_times
from gnnrec.errors import DataError, InputError
from gnnrec.serving.artifact import Artifact
from gnnrec.serving.encode import Known, Notes, encode_frame
from gnnrec.serving.feedback import no_kind
from gnnrec.serving.known import Source, known_of
from gnnrec.serving.moment import FUTURE, in_the_future, latest
from gnnrec.serving.rows import ADVICE, Rows, texts
from gnnrec.serving.vocabulary import IGNORED, NO_KIND, PREDICTED, Vocabulary, places
from gnnrec.views import ITEM, UserBatch

ONE_COLUMN = Format(separator="\x1f", header=(ITEM,), quotes=False)
"""One id a line: nothing separates two cells, a sign that no id holds."""
READ = 65_536
"""Rows that are read at once where only a column or two are kept."""


class RecordedItems:
    """Known items of users, from the interactions recorded beside a model.

    Args:
        vocabulary: of the model.
        sources: of its feedback.
    """

    def __init__(self, vocabulary: Vocabulary, sources: Sequence[Source]) -> None:
        self._vocabulary = vocabulary
        self._sources = sources

    def of(self, ids: pd.Index) -> Known:
        """What is known of B users, named by their ids as text."""
        return known_of(self._vocabulary, self._sources, ids)

    def notes(self) -> list[str]:
        """Nothing: users who are not asked for are no fault here."""
        return []


class History(RecordedItems):
    """Known items of new users, from a file with one row for each user and item.

    Rows whose value is below that of a positive interaction in training are left out, unless training took them for
    another kind of event; so are their kinds read where training read some. Of several rows of one user with one item,
    of one kind, the last one counts, or the first where training said so. A user's items are in the order of time,
    where the file has times, else in that of the rows. Ids of users and a few numbers of each row are in memory, the
    file is not.

    Args:
        path: of the file.
        vocabulary: of the model. The columns are those that training read, where the file has them; else the first
            column has the users, the next the items, and there are no values.
        user_column: name of the column of users, where the file has it.
        at: the moment of the request, see `gnnrec.serving.moment.latest`.
        recorded: interactions recorded beside the model.

    Raises:
        DataError: the file or a row cannot be read, or a row is of after that moment; the message names it.
        ConfigError: the moment is neither a number nor a date.
    """

    def __init__(
        self,
        path: Path,
        vocabulary: Vocabulary,
        user_column: str | None = None,
        at: int | str | None = None,
        recorded: Sequence[Source] = (),
    ) -> None:
        limit = latest(vocabulary, at)
        names, missing = vocabulary.columns, vocabulary.missing
        rows = Rows(path, vocabulary.history_form, (user_column, names.history_user, names.user, names.history_item))
        user = rows.column(None, user_column, names.history_user, names.user, what="users")
        item = rows.column(None, names.history_item, what="items", place=0 if [user] == rows.columns[1:2] else 1)
        value = names.history_value if names.history_value in rows.columns else None
        event = names.history_event
        if event is not None and event not in rows.columns:
            there = ", ".join(rows.columns)
            raise DataError(
                f"{path}: there is no column {event!r}, which says of what kind a row is; there are {there}"
            )
        self._unknown: dict[str, None] = {}
        self._num_unknown = self._num_low = 0
        time = next((name for name in (names.history_time, "time") if name in rows.columns[1:]), None)
        users, items, values = [pa.array([], pa.string()).dictionary_encode()], [np.empty(0, np.int64)], [np.empty(0)]
        whole, fraction, kinds = [np.empty(0, np.int64)], [np.empty(0)], [np.empty(0, np.int64)]
        row, numeric = 0, None
        for table in rows.batches([name for name in (user, item, value, time, event) if name is not None], READ):
            of_user, of_item = (texts(table[name], str(path), name, missing) for name in (user, item))
            for cells, name in ((of_user, user), (of_item, item)):
                _refuse_no_id(cells, rows, name, row)
            code, distinct = pd.factorize(of_item.to_numpy(zero_copy_only=False))
            place = places(vocabulary.texts[ITEM], distinct)
            self._num_unknown += int((place[code] < 0).sum())
            self._unknown |= dict.fromkeys(distinct[place < 0][:3])
            kept = place[code] >= 0
            if value is not None:
                cells = texts(table[value], str(path), value).to_pandas()
                number = pd.to_numeric(cells, errors="coerce").to_numpy(float)
                _refuse(~np.isfinite(number), rows, value, row, "is not a number")
            kind = np.full(table.num_rows, PREDICTED)
            if event is not None or value is not None:
                text = None if event is None else texts(table[event], str(path), event).to_pandas().to_numpy(object)
                kind = vocabulary.kinds.of(text, None if value is None else number, vocabulary.min_value)
                if event is not None:
                    wrong = no_kind(vocabulary.kinds)
                    assert text is not None
                    _refuse((kind == NO_KIND) | (text == ""), rows, event, row, wrong, text)
            self._num_low += int((kept & (kind == IGNORED)).sum())
            kept &= kind >= PREDICTED
            kinds.append(kind[kept])
            if value is not None:
                values.append(number[kept])
            if time is not None:
                cells = texts(table[time], str(path), time).to_pandas()
                numeric = are_numbers(cells) if numeric is None else numeric
                when, part, fits = read_times(cells, numeric)
                _refuse(~fits, rows, time, row, NO_TIME, cells.to_numpy(object))
                late = "{cell} " + FUTURE.format(limit=limit, at="--at")
                _refuse(in_the_future(when, limit), rows, time, row, late, cells.to_numpy(object))
                whole.append(when[kept])
                fraction.append(part[kept])
            users.append(of_user.filter(pa.array(kept)).dictionary_encode())
            items.append(place[code][kept])
            row += table.num_rows
        merged = pa.chunked_array(users).unify_dictionaries().combine_chunks()
        self._source = Source(
            pd.Index(merged.dictionary.to_pandas(), dtype="str"),
            merged.indices.to_numpy(zero_copy_only=False).astype(np.int64),
            np.concatenate(items),
            None if value is None else np.concatenate(values),
            None if time is None else (np.concatenate(whole), np.concatenate(fraction)),
            np.concatenate(kinds),
        )
        super().__init__(vocabulary, [*recorded, self._source])

    @property
    def _least(self) -> float:
        """The least value of an interaction or event of training."""
        assert self._vocabulary.min_value is not None
        return min([self._vocabulary.min_value, *self._vocabulary.kinds.least.values()])

    def notes(self) -> list[str]:
        """What was ignored, once all users have been asked about."""
        notes = []
        if self._num_unknown:
            some = ", ".join(repr(item) for item in list(self._unknown)[:3])
            notes.append(f"history: {self._num_unknown:,} rows ignored, whose item training does not have: {some}")
        if self._num_low:
            what = "an event" if self._vocabulary.kinds.least else "a positive interaction"
            notes.append(
                f"history: {self._num_low:,} rows ignored, whose value is below {self._least:g}, the least of {what} "
                "in training"
            )
        strange = self._source.strangers()
        if len(strange):
            some = ", ".join(repr(user) for user in strange[:3])
            notes.append(f"history: {len(strange):,} users are not among the users, for example {some}")
        return notes


class Newcomers:
    """New users, from a file with one row for each.

    Args:
        path: of the file.
        vocabulary: of the model; columns are named as relations and attributes of training are.
        user_column: name of the column of ids; None for that of training, if there is one, else the first column.
        history: their known items; None for none.

    Attributes:
        count: number of users.
        id_type: Arrow type of their ids.
        notes: what was ignored so far.

    Raises:
        DataError: the file cannot be read, a user has no id, or two rows.
    """

    def __init__(
        self, path: Path, vocabulary: Vocabulary, user_column: str | None = None, history: RecordedItems | None = None
    ) -> None:
        known = {user_column, vocabulary.columns.user, *(name for edge in vocabulary.relations for name in edge[1:])}
        known |= set(vocabulary.feature_names)
        self._rows, self._vocabulary, self._history = Rows(path, vocabulary.users_form, known), vocabulary, history
        self._id = self._rows.column(user_column, vocabulary.columns.user, what="users")
        given = [name for name in self._rows.columns if name != self._id]
        named = {*vocabulary.names(given).values(), *vocabulary.feature_names}
        self._columns = [name for name in given if name in named]
        self._notes = Notes(vocabulary)
        for name in given:
            if name not in named:
                self._notes.unknown(name)
        self.count, self.id_type = self._once()

    def _once(self) -> tuple[int, Any]:
        """Counts the users, each of whom must be there once; eight bytes for each are in memory."""
        hashes, kind, row = [np.empty(0, np.uint64)], pa.string(), 0
        for table in self._rows.batches([self._id], READ):
            kind = table.schema.types[0]
            ids = self._texts(table[self._id])
            _refuse_no_id(ids, self._rows, self._id, row)
            hashes.append(pd.util.hash_array(ids.to_numpy(zero_copy_only=False), categorize=False))
            row += table.num_rows
        every = pd.Series(np.concatenate(hashes))
        again = every.duplicated().to_numpy(bool)
        if again.any():
            where = self._rows.where(int(again.argmax()))
            raise DataError(f"{where}: the user is in an earlier row already; give each user one row")
        return row, kind

    def batches(self, size: int) -> Iterator[tuple[Any, UserBatch]]:
        """The users in their order: [B] ids as they are in the file, and what is known of them."""
        for table in self._rows.batches([self._id, *self._columns], size):
            ids = table[self._id].combine_chunks()
            frame = _decoded(table.select(self._columns))
            known = None
            if self._history is not None:
                known = self._history.of(pd.Index(self._texts(ids).to_pandas(), dtype="str"))
            yield ids, encode_frame(self._vocabulary, frame, known, self._notes)

    def _texts(self, ids: Any) -> Any:
        return texts(ids, str(self._rows.path), self._id, self._vocabulary.missing)

    def notes(self) -> list[str]:
        """What was ignored of them and their known items, once all have been read."""
        return [*self._notes.texts(), *(self._history.notes() if self._history is not None else [])]


def newcomers_in(
    users: Path,
    artifact: Artifact,
    history: Path | None = None,
    user_column: str | None = None,
    at: int | str | None = None,
) -> Newcomers:
    """The users of a file, with what is known of them from a file of their history and from what was recorded.

    Args:
        users: their file.
        artifact: a loaded model.
        history: file of their known items; None for none beside what was recorded.
        user_column: name of the column of ids in both.
        at: the moment of the request, see `gnnrec.serving.moment.latest`.
    """
    vocabulary = artifact.vocabulary
    recorded = artifact.feedback.sources(vocabulary)
    known = RecordedItems(vocabulary, recorded)
    if history is not None:
        known = History(history, vocabulary, user_column, at, recorded)
    return Newcomers(users, vocabulary, user_column, known)


def _decoded(table: pa.Table) -> pd.DataFrame:
    """A row of the frame for each row of the table, also where that has no columns."""
    found: pd.DataFrame = table.to_pandas()
    return found if len(table.column_names) else pd.DataFrame(index=range(table.num_rows))


def _refuse_no_id(cells: Any, rows: Rows, column: str, before: int) -> None:
    empty = pc.equal(cells, "").to_numpy(zero_copy_only=False)
    _refuse(empty, rows, column, before, "the cell is empty or stands for a missing one; an id is needed")
    if rows.is_text:
        spans = pc.or_(pc.match_substring(cells, "\n"), pc.match_substring(cells, "\r"))
        _refuse(spans.to_numpy(zero_copy_only=False), rows, column, before, f"the id spans lines; {ADVICE.quotes}")


def _refuse(wrong: np.ndarray, rows: Rows, column: str, before: int, why: str, cells: np.ndarray | None = None) -> None:
    """Raises for the first row that is wrong; `{cell}` stands for its cell."""
    if wrong.any():
        row = int(wrong.argmax())
        cell = "the cell" if cells is None else repr(str(cells[row]))
        raise DataError(f"{rows.where(before + row)}, column {column!r}: {why.replace('{cell}', cell)}")


def read_items(given: str, vocabulary: Vocabulary, option: str) -> tuple[Tensor, list[str]]:
    """Items that are named by their ids, or by a file of ids.

    Args:
        given: ids with commas between them; or a file: CSV, TSV or Parquet with a column that is called as the items'
            column of training, or else the first one, or any other file with one id per line.
        vocabulary: of the model.
        option: name of the option, for messages.

    Returns:
        [I] bool, and a warning where some ids are unknown.

    Raises:
        InputError: the file cannot be read, or no id is known.
    """
    path, of_training = Path(given), vocabulary.columns.history_item
    rows = None
    if given.lower().removesuffix(".gz").endswith((*SEPARATORS, *PARQUET)):
        rows = Rows(path, vocabulary.history_form, (of_training, ITEM))
    elif os.path.isfile(given):  # Path.is_file raises where a list of ids is too long for a name
        rows = Rows(path, ONE_COLUMN, (ITEM,))
    named = pd.Index(given.split(","), dtype="str").str.strip()
    if rows is not None:
        column = rows.column(None, of_training, ITEM, what="items")
        found = [texts(table[column], given, column).to_pandas() for table in rows.batches([column], READ)]
        named = pd.Index(pd.concat(found) if found else [], dtype="str")
    named = named[named != ""].unique()
    place = places(vocabulary.texts[ITEM], named.to_numpy(object))
    unknown = named[place < 0]
    some = ", ".join(repr(item) for item in unknown[:3])
    if not (place >= 0).any():
        raise InputError(f"{option}: {given}: none of {len(named)} ids is an item of the data{some and f': {some}'}")
    mask = torch.zeros(vocabulary.num_items, dtype=torch.bool)
    mask[place[place >= 0]] = True
    more = f"{option}: {len(unknown):,} ids ignored that are no item of the data, for example {some}"
    return mask, [more] if len(unknown) else []
