"""Files about new users are read as those of training are: the same rows from the same odd files, or one line."""

import codecs
import csv
import gzip
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnrec.data.delimited import Delimited, Format
from gnnrec.data.textfile import TextFile
from gnnrec.errors import DataError
from gnnrec.serving.rows import Rows, texts

NAMES = ["id", "club"]
TEXT = "id,club\nå1,x\nb,y\n007, z \n"
RIGHT = [("å1", "x"), ("b", "y"), ("007", "z")]


def small(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Batches of so many bytes, and of two rows where they are read one by one."""
    batches = Delimited.batches
    monkeypatch.setattr(Delimited, "batches", lambda self, wanted: batches(self, wanted, block))
    monkeypatch.setattr("gnnrec.data.delimited.PIECE", 2)


def of_training(path: Path, form: Format = Format()) -> list[tuple[str, ...]]:  # noqa: B008  (frozen)
    file = TextFile(path, "data.users", {name: name for name in NAMES}, False, form, missing=())
    file.require_text("id")
    return list(zip(*(file.frame[name] for name in NAMES), strict=True))


def of_new_users(path: Path, form: Format = Format(), size: int = 2) -> list[tuple[str, ...]]:  # noqa: B008  (frozen)
    rows = Rows(path, form, NAMES)
    found = []
    for table in rows.batches(NAMES, size):
        assert 0 < table.num_rows <= size
        cells = [texts(table[name], str(path), name).to_pylist() for name in NAMES]
        found += list(zip(*cells, strict=True))
    return found


@pytest.mark.parametrize("block", [16, 40, 1 << 20])
@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.csv", codecs.BOM_UTF8 + TEXT.encode(), RIGHT),
        ("t.csv", TEXT.encode("utf-16"), RIGHT),
        ("t.csv", TEXT.encode("utf-32"), RIGHT),
        ("t.CSV", TEXT.encode(), RIGHT),
        ("t.Tsv", TEXT.replace(",", "\t").encode(), RIGHT),
        ("t.csv", gzip.compress(TEXT.encode(), mtime=0), RIGHT),
        ("t.csv.GZ", gzip.compress(TEXT.encode("utf-16"), mtime=0), RIGHT),
        ("t.csv", TEXT.replace("\n", "\r").encode(), RIGHT),
        ("t.csv", TEXT.replace("\n", "\r\n").encode(), RIGHT),
        ("t.csv", TEXT.replace("\n", "\n\n").encode(), RIGHT),
        ("t.csv", TEXT.replace("\n", ",\n").encode(), RIGHT),
        ("t.csv", TEXT.replace("z ", "z ,,").encode(), RIGHT),
        ("t.csv", b'id,club\na,"two\nlines, ""quoted"""\nb,"y"\n', [("a", 'two\nlines, "quoted"'), ("b", "y")]),
        ("t.csv", b"id,club\na,x\nid,club\nb,y\n", [("a", "x"), ("id", "club"), ("b", "y")]),  # the header again
        ("t.csv", b"id,club\na,x\n" + b"b" * 3000 + b",y\n", [("a", "x"), ("b" * 3000, "y")]),
    ],
)
def test_odd_files_have_the_rows_that_training_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, expected: Any, block: int
) -> None:
    small(monkeypatch, block)
    (tmp_path / name).write_bytes(content)
    assert of_training(tmp_path / name) == of_new_users(tmp_path / name) == expected


@pytest.mark.parametrize("block", [16, 1 << 20])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"id,club\na,x\nb,y\nc\n", "line 4: 1 cells, but the header has 2; mend the file"),
        (b"id,club\na,x\nb,y\nc,z,w\n", "line 4: 3 cells, but the header has 2; mend the file"),
        (b"id,club\na,x\n\n\xff,y\n", "cannot be read as text in UTF-8 (line 4: invalid start byte); "),
        (codecs.BOM_UTF16_LE + b"i\0d", "cannot be read as text in UTF-16 (line 1: truncated data); "),
        (b'id,club\na,x\nb,"y\nc,z\n', "line 3: a cell spans 3 lines (unexpected end of data); close its"),
        (b'id,club\na,"x\nb,y",z\n', "line 2: 3 cells on 2 lines, but the header has 2; close its"),
        (b"", "t.csv: the file is empty"),
        (None, "t.csv: is a folder"),
        (b"id,club,id\na,x,b\n", "two columns are called 'id'"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-9], "cannot be read as text in UTF-8 (Compressed file ended before"),
    ],
)
def test_files_that_cannot_be_read_are_one_line_in_both_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, said: str, block: int
) -> None:
    small(monkeypatch, block)
    path = tmp_path / "t.csv"
    path.mkdir() if content is None else path.write_bytes(content)
    for read in (of_training, of_new_users):
        with pytest.raises(DataError) as error:
            read(path)
        assert str(error.value).startswith(str(path))
        assert said in str(error.value)
        assert "\n" not in str(error.value)
    for key in ("`", "data."):  # nobody can set a key of a config here
        assert key not in str(error.value)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.text('ab,"\n é5', max_size=5), st.text("xy ", max_size=3)), min_size=1, max_size=12),
    st.integers(1, 5),
    st.integers(12, 60),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["utf-8", "utf-16"]),
    st.booleans(),
)
def test_rows_do_not_hang_on_the_batches(
    tmp_path_factory: pytest.TempPathFactory, rows: Any, size: int, block: int, quoting: Any, encoding: str, odd: bool
) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=quoting).writerows([NAMES, *rows, *([("a", "x", "")] if odd else [])])
    path = tmp_path_factory.mktemp("rows") / "t.csv"
    path.write_bytes(out.getvalue().encode(encoding))
    whole = [tuple(cell.strip() for cell in row) for row in [*rows, *([("a", "x")] if odd else [])]]
    with pytest.MonkeyPatch.context() as patch:
        small(patch, block)
        assert of_new_users(path, size=size) == whole


LATIN = Format(separator=";", encoding="latin-1")


def test_a_file_is_written_as_that_of_training_or_as_its_ending_says(tmp_path: Path) -> None:
    theirs = TEXT.replace(",", ";").encode("latin-1")
    for name in ("t.csv", "t.dat"):
        (tmp_path / name).write_bytes(theirs)
        assert of_training(tmp_path / name, LATIN) == of_new_users(tmp_path / name, LATIN) == RIGHT
    (tmp_path / "t.csv").write_bytes(TEXT.encode())  # commas, as the ending says
    assert of_new_users(tmp_path / "t.csv", LATIN) == RIGHT
    (tmp_path / "t.csv").write_bytes(TEXT.replace(",", ";").encode("utf-16"))  # a byte order mark says the encoding
    assert of_new_users(tmp_path / "t.csv", LATIN) == RIGHT
    (tmp_path / "t.dat").write_bytes(TEXT.encode())
    with pytest.raises(DataError, match=r"must end in \.csv.*read where training named the `separator` of its own"):
        Rows(tmp_path / "t.dat")


def test_a_file_without_a_header_has_the_columns_of_training(tmp_path: Path) -> None:
    form = Format(header=("id", "club"))
    (tmp_path / "t.csv").write_bytes(TEXT.partition("\n")[2].encode())
    assert of_new_users(tmp_path / "t.csv", form) == RIGHT
    (tmp_path / "t.csv").write_bytes(b"a,x,z\n")
    with pytest.raises(DataError, match="line 1: 3 cells, but `header` names 2 columns"):
        of_new_users(tmp_path / "t.csv", form)


def test_rows_are_told_by_their_lines(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('id,club\n\na,"x\nx"\nb,y\n')
    assert Rows(tmp_path / "t.csv").where(1) == f"{tmp_path / 't.csv'}: line 5"
    pd.DataFrame({"id": [1, 2]}).to_parquet(tmp_path / "t.PQ")
    rows = Rows(tmp_path / "t.PQ")
    assert rows.where(1) == f"{tmp_path / 't.PQ'}: row 2"
    assert [table["id"].to_pylist() for table in rows.batches(["id"], 1)] == [[1], [2]]


def test_the_whole_file_is_never_in_memory(tmp_path: Path) -> None:
    content = "id,club\n" + "".join(f'user {i},"å"\n' for i in range(200_000))
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "t.csv").write_bytes(content.encode(encoding))
        sizes = [len(table) for table in Rows(tmp_path / "t.csv").batches(NAMES, 10**6)]
        assert sum(sizes) == 200_000
        assert max(sizes) < 100_000  # batches of a mebibyte
