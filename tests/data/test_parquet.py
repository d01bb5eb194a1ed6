"""Columns of Parquet files as text: each type of column, large whole numbers, and damaged files."""

import datetime
import decimal
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from gnnrec.data.textfile import TextFile
from gnnrec.errors import DataError

ONE, TWO = uuid.UUID(int=1), uuid.UUID(int=2)


def cells(tmp_path, column):
    pa.parquet.write_table(pa.table({"a": column}), tmp_path / "t.parquet")
    return TextFile(tmp_path / "t.parquet", "data.toy", {"a": "a"}, skip=False).frame["a"].tolist()


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([True, False, None]), ["true", "false", ""]),
        (pa.array([2**64 - 1, 1], pa.uint64()), ["18446744073709551615", "1"]),
        (pa.array([1.0, None]).dictionary_encode(), ["1", ""]),
        (pa.array([1.0, 2.0], pa.float16()), ["1", "2"]),
        (pa.array([decimal.Decimal("5.00"), decimal.Decimal("-6.00")]), ["5", "-6"]),
        (pa.array([decimal.Decimal("5.50"), decimal.Decimal("6.00")]), ["5.50", "6.00"]),
        (pa.array([decimal.Decimal(10**37), None]), ["1" + "0" * 37, ""]),
        (pa.array([b"a", b"b"]), ["a", "b"]),
        (pa.array([b"\xff\x00", None], pa.binary(2)), ["ff00", ""]),
        (pa.array([" a ", "NULL"], pa.string_view()), ["a", ""]),
        (pa.array([datetime.date(2024, 3, 1), None]), ["2024-03-01", ""]),
        (pa.nulls(2), ["", ""]),
        (
            pa.ExtensionArray.from_storage(pa.uuid(), pa.array([ONE.bytes, TWO.bytes], pa.binary(16))),
            [str(ONE), str(TWO)],
        ),
    ],
)
def test_each_type_of_column(tmp_path, column, expected):
    assert cells(tmp_path, column) == expected


def test_floats_that_have_lost_their_last_digits_are_warned_of(tmp_path):
    with pytest.warns(UserWarning, match=r"t\.parquet: column 'a' holds whole numbers as floats of 64 bits"):
        assert cells(tmp_path, pa.array([2.0**60, None, 1e20])) == [str(2**60), "", "1" + "0" * 20]
    with pytest.warns(UserWarning, match="floats of 32 bits"):
        cells(tmp_path, pa.array(np.array([2.0**25], dtype=np.float32)))


@pytest.mark.filterwarnings("error")
def test_floats_that_hold_every_digit_are_not(tmp_path):
    assert cells(tmp_path, pa.array([2.0**53, -1.0])) == [str(2**53), "-1"]
    assert cells(tmp_path, pa.array([2.0**60, 0.5]))[1] == "0.5"


@pytest.mark.parametrize("column", [pa.array([[1], [2]]), pa.array([{"x": 1}]), pa.array([b"\xff", b"a"])])
def test_what_is_neither_text_nor_number(tmp_path, column):
    with pytest.raises(DataError, match=r"column 'a' holds .*, which is neither text nor number"):
        cells(tmp_path, column)


def test_a_damaged_page_and_a_damaged_end(tmp_path):
    path = tmp_path / "t.parquet"
    random = np.random.default_rng(7)
    table = pa.table({"a": random.integers(1 << 40, size=5000)})
    pa.parquet.write_table(table, path, write_page_checksum=True, use_dictionary=False, compression="none")
    whole = path.read_bytes()
    page = bytearray(whole)
    page[20_000] ^= 1  # without the checksum, another number
    for content, said in ((page, "damaged"), (whole[:-20], "not a Parquet file"), (whole[200:], "damaged|not a Parq")):
        path.write_bytes(bytes(content))
        with pytest.raises(DataError, match=rf"t\.parquet: ({said})") as error:
            TextFile(path, "data.toy", {"a": "a"}, skip=False)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["t.PARQUET", "t.pq"])
def test_other_names_of_such_files(tmp_path, name):
    pa.parquet.write_table(pa.table({"a": [1]}), tmp_path / name)
    assert TextFile(tmp_path / name, "data.toy", {"a": "a"}, skip=False).frame["a"].tolist() == ["1"]


def test_a_name_of_a_column_that_is_no_text(tmp_path):
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(pa.table({"user": [1]}), path)
    path.write_bytes(path.read_bytes().replace(b"user", b"\xafser"))
    with pytest.raises(DataError, match=r"t\.parquet: (damaged|not a Parquet file)"):
        TextFile(path, "data.toy", {"a": "user"}, skip=False)
