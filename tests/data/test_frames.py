"""Data frames: ids of any type, columns that are not read, and messages that name the frame."""

import datetime
import tempfile
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from gnnrec.data import load
from gnnrec.data.config import TableData
from gnnrec.data.frames import from_frames
from gnnrec.errors import DataError

CONFIG = {"interactions": {"path": "r", "user": "user", "item": "item"}}


def ids_of(**columns):
    frame = pd.DataFrame({"user": [1, 2, 3], "item": ["x", "y", "x"]}).assign(**columns)
    return list(from_frames({"r": frame}, **CONFIG).ids["user"])


def test_ids_of_any_type():
    one, two = uuid.UUID(int=1), uuid.UUID(int=2)
    assert ids_of(user=[one, two, one]) == [str(one), str(two)]
    assert ids_of(user=[1, "a", 2.5]) == ["1", "2.5", "a"]
    assert ids_of(user=[1, 1.0, "a"]) == ["1", "a"]
    assert ids_of(user=[True, "a", b"b"]) == ["a", "b", "true"]
    assert ids_of(user=[True, False, True]) == ["false", "true"]
    assert ids_of(user=[2**70, 1, 1]) == ["1", str(2**70)]
    assert ids_of(user=[31415926535.0, 1.0, 1.0]) == ["1", "31415926535"]
    assert ids_of(user=pd.Categorical([3, 4, 3])) == ["3", "4"]
    assert ids_of(user=[b"a", b"b", b"a"]) == ["a", "b"]


def test_what_is_not_read_may_hold_anything():
    ids_of(note=[1, "x", [2]])
    frame = pd.DataFrame({"user": [1, 2], "item": [1, 1]})
    odd = pd.DataFrame({0: [object(), {}]})
    data = from_frames({"r": frame, "odd/name": odd}, **CONFIG)
    assert (data.name, data.num_users) == ("r", 2)


def test_a_named_index_is_a_column():
    frame = pd.DataFrame({"item": ["x", "y"]}, index=pd.Index(["a", "b"], name="user"))
    assert list(from_frames({"r": frame}, **CONFIG).ids["user"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user": [[1], "a", 2]}, r"frame 'r': row 1, column 'user': \[1\] is neither text nor number"),
        ({"user": [[1], [1], [2]]}, r"frame 'r': column 'user' holds list<"),
        ({"user": ["a", "", "b"]}, r"frame 'r': row 2, column 'user': the cell is empty"),
    ],
)
def test_messages_name_the_frame(columns, message):
    with pytest.raises(DataError, match=message) as error:
        ids_of(**columns)
    assert "parquet" not in str(error.value)


def test_two_columns_of_one_name():
    frame = pd.DataFrame([[1, 2, 3]], columns=["user", "item", "user"])
    with pytest.raises(DataError, match="frame 'r': two columns are called 'user'"):
        from_frames({"r": frame}, **CONFIG)


def test_warnings_name_the_frame():
    frames = {
        "r": pd.DataFrame({"user": [1, 2], "item": [1, 1]}),
        "u": pd.DataFrame({"id": [1, 2], "age": [None, None]}),
    }
    with pytest.warns(UserWarning, match="frame 'u': column 'age': every value is missing"):
        from_frames(frames, **CONFIG, users={"path": "u", "id": "id", "attributes": {"age": {}}})


def test_rows_that_were_left_out_name_the_frame():
    frame = pd.DataFrame({"user": [1, None, 2], "item": ["x", "y", "x"]})
    data = from_frames({"r": frame}, **CONFIG, on_bad_row="skip")
    assert data.skipped.startswith("1 row, for example frame 'r': row 2, column 'user': the cell is empty")


def test_nothing_is_written(monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    for place, name in ((tempfile, "mkdtemp"), (tempfile, "mkstemp"), (pa.parquet, "ParquetWriter"), (Path, "mkdir")):
        monkeypatch.setattr(place, name, refuse)
    assert ids_of() == ["1", "2", "3"]


@pytest.mark.parametrize(
    "column",
    [
        np.array([0, 86_400, 5], dtype="datetime64[s]"),
        np.array([0, 86_400_000_000_005, 5], dtype="datetime64[ns]"),
        pd.Series(np.array([0, 86_400, 5], dtype="datetime64[s]")).dt.tz_localize("Europe/Berlin"),
        pd.Categorical(np.array([0, 86_400, 5], dtype="datetime64[s]")),
        pd.Categorical([1.0, None, 2.0]),
        pd.array([None, 2, 1], dtype="Int64"),
        pd.array([True, None, False], dtype="boolean"),
        np.array([2**64 - 1, 1, 2], dtype="uint64"),
        np.array([0.5, np.nan, 2], dtype="float16"),
        pd.array(["x", None, "y"], dtype=pd.ArrowDtype(pa.large_string())),
        [datetime.time(1), None, datetime.time(2)],
    ],
    ids=lambda column: str(getattr(column, "dtype", type(column[0]).__name__)),
)
def test_a_frame_has_the_ids_of_its_parquet_file(tmp_path, column):
    frame = pd.DataFrame({"user": column, "item": ["x", "y", "x"]})
    frame.to_parquet(tmp_path / "r.parquet")
    in_file = {"source": "table", "on_bad_row": "skip", "interactions": {**CONFIG["interactions"], "path": "r.parquet"}}
    expected = load(TableData.model_validate(in_file), tmp_path)
    found = from_frames({"r": frame}, **CONFIG, on_bad_row="skip")
    assert list(found.ids["user"]) == list(expected.ids["user"])
    assert found.checksum == expected.checksum
