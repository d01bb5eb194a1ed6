"""Random files: rows that are read and left out add up, ids come back, and no error is more than one line.

`make fuzz` makes many more examples than the suite does.
"""

import csv
import gzip
import io
import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from many import answer, many

from gnnrec.data import table
from gnnrec.data.config import TableData
from gnnrec.data.files import in_folder
from gnnrec.data.frames import from_frames
from gnnrec.data.textfile import LARGEST, MISSING

SOME = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n\x1c\x1d\x1e\x1f\x85\u2028\u2029\x0b\x0c\0"), max_size=6
)
IDS = st.one_of(
    st.integers(-5, 30).map(str), st.sampled_from(["1.0", "2.0", "007", "NA", "", " x ", "a,b", '"q"']), SOME
)
NUMBERS = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["", "nan", "inf", "-1", "0", "four", "1,5", "1e39", "1e400", "True", "0x1", "5 ", "--1"]),
)
TIMES = st.one_of(
    st.integers(-(2**40), 2**40).map(str), st.sampled_from(["", "1.25", "1.75", "2024-03-01", "1e300", "soon"])
)
NOTES = st.text("ab\n\r\"' é", max_size=5)
FEW = st.sampled_from(["1", "2"])
ROWS = st.lists(
    st.one_of(st.tuples(IDS, IDS, NUMBERS, TIMES, NOTES), st.tuples(FEW, FEW, NUMBERS, TIMES, NOTES)),
    min_size=1,
    max_size=12,
)
"""Half of the rows are of two users and two items, so that some stand there several times."""


def read(folder: Path, name: str, **interactions):
    """The data set of one file of interactions, rows that cannot be read left out; or the error."""
    columns = {"path": name, "user": "u", "item": "i", "value": "v", "time": "t"} | interactions
    config = TableData.model_validate({"source": "table", "on_bad_row": "skip", "interactions": columns})
    return answer(lambda: table.read(config, in_folder(folder)))


def as_ids(cells):
    """The cells of a column as ids, one after the other."""
    cut = [cell.strip() for cell in cells]
    cut = ["" if cell in MISSING else cell for cell in cut]
    bodies = [cell.removeprefix("-").removesuffix(".0") for cell in cut if cell]
    whole = all(body and set(body) <= set("0123456789") for body in bodies)
    return [cell.removesuffix(".0") if whole else cell for cell in cut]


def is_float(cell):
    """Whether Python reads a number, an infinite one included."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def as_number(cell):
    """The number in a cell, None where there is none that float32 holds."""
    if any(c in cell for c in "x_") or cell.strip() in MISSING:
        return None
    number = float(cell) if is_float(cell) else math.nan
    return number if math.isfinite(number) and abs(number) <= LARGEST else None


def expected(rows):
    """(user, item) -> value, and the number of bad rows, by a loop; None where times are dates for the most part."""
    users, items = as_ids([row[0] for row in rows]), as_ids([row[1] for row in rows])
    good = []
    values = [as_number(row[2]) for row in rows]
    left = [place for place in range(len(rows)) if users[place] and items[place]]
    known = [rows[place][2].strip() for place in left if rows[place][2].strip() not in (*MISSING, "")]
    if not any(is_float(cell) for cell in known):
        values = [1.0 if row[2].strip() == "True" else None for row in rows]
    left = [place for place in left if values[place] is not None]
    numbers = [as_number(rows[place][3]) for place in left]
    told = [rows[place][3].strip() for place in left if rows[place][3].strip()]
    if 2 * sum(cell not in ("2024-03-01", "soon") for cell in told) < len(told):
        return None
    for place, number in zip(left, numbers, strict=True):
        if number is not None and abs(number) < 2.0**63:
            good.append((number, place))
    found = {}
    for _, place in sorted(good):
        found[users[place], items[place]] = values[place]
    return found, len(rows) - len(good)


@many(60)
@given(
    ROWS,
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.booleans(),
)
def test_rows_add_up_and_ids_come_back(tmp_path_factory, rows, separator, encoding, end, quoting, packed):
    folder, out = tmp_path_factory.mktemp("csv"), io.StringIO()
    header = ("u", "i", "v", "t", "n")
    if any({"\r", "\n"} & set(row[4]) for row in rows):
        quoting = csv.QUOTE_ALL  # Python's writer leaves other line ends than its own as they are
    csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting).writerows([header, *rows])
    content = out.getvalue().encode(encoding)
    (folder / "r.csv").write_bytes(gzip.compress(content) if packed else content)
    told = expected(rows)
    data, error = read(folder, "r.csv", separator=separator, encoding=encoding)
    note(error)
    if error:
        assert told is None or not told[0]  # nothing is left
        return
    if told is None:
        return
    found, bad = told
    users, items, i = data.ids["user"], data.ids["item"], data.interactions
    got = {
        (users[u], items[n]): value
        for u, n, value in zip(i.user.tolist(), i.item.tolist(), i.value.tolist(), strict=True)
    }
    assert got == {pair: pytest.approx(value, rel=1e-6) for pair, value in found.items()}
    assert data.skipped_rows == bad
    assert len(data.skipped_examples) == min(bad, 3)


@many(60)
@given(
    st.lists(st.one_of(st.none(), IDS, st.integers(), st.floats(), st.booleans(), st.uuids(), st.binary(max_size=3)))
)
def test_ids_of_frames_come_back(tmp_path_factory, ids):
    frame = pd.DataFrame({"u": pd.Series(ids, dtype=object), "i": "x"})
    columns = {"path": "r", "user": "u", "item": "i"}
    data, error = answer(lambda: from_frames({"r": frame}, interactions=columns, on_bad_row="skip"))
    if error:
        return
    assert len(data.interactions) == data.num_users
    assert data.num_users <= len(ids) - data.skipped_rows
    texts = {one.strip() for one in ids if isinstance(one, str)}
    if len(texts) == len(ids) and not data.skipped_rows:
        assert {user.removesuffix(".0") for user in data.ids["user"]} == {text.removesuffix(".0") for text in texts}


@many(80)
@given(st.binary(max_size=200), st.sampled_from(["r.csv", "r.tsv", "r.csv.gz", "r.parquet"]), st.booleans())
def test_any_bytes_are_data_or_one_line(tmp_path_factory, content, name, with_header):
    folder = tmp_path_factory.mktemp("bytes")
    (folder / name).write_bytes((b"u,i,v,t\n" if with_header else b"") + content)
    data, error = read(folder, name)
    assert error or (len(data.interactions) > 0)


@many(60)
@given(st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 400))
def test_a_damaged_parquet_file_is_data_or_one_line(tmp_path_factory, place, value, cut):
    folder = tmp_path_factory.mktemp("parquet")
    path = folder / "r.parquet"
    frame = pd.DataFrame({"u": range(50), "i": ["a", "b"] * 25, "v": 1.5, "t": range(50)})
    frame.to_parquet(path)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(bytes(content[: len(content) - cut]))
    data, error = read(folder, "r.parquet")
    assert error or (len(data.interactions) + data.skipped_rows <= 50)
