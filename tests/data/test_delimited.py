"""Text files of every kind: separators, encodings, line ends, packing, headers, and quotation marks gone astray."""

import codecs
import gzip

import pytest
from pydantic import ValidationError

from gnnrec.data.delimited import Format
from gnnrec.data.textfile import TextFile
from gnnrec.errors import DataError

TEXT = "user,note\nå1,x\nb,y\n"


def read(path, skip=False, columns=("user", "note"), **form):
    return TextFile(path, "data.toy", {name: name for name in columns}, skip, Format(**form))


def rows(path, **form):
    frame = read(path, **form).frame
    return list(zip(*(frame[name] for name in frame), strict=True))


def written(path, content, encoding="utf-8"):
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


RIGHT = [("å1", "x"), ("b", "y")]


@pytest.mark.parametrize("name", ["t.csv", "t.CSV", "t.Csv.GZ", "t.csv.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_endings_line_ends_and_marks(tmp_path, name, end, mark):
    content = mark + TEXT.replace("\n", end).encode()
    path = written(tmp_path / name, gzip.compress(content) if name.lower().endswith("gz") else content)
    assert rows(path) == RIGHT


def test_a_packed_file_may_have_any_name(tmp_path):
    assert rows(written(tmp_path / "t.csv", gzip.compress(TEXT.encode()))) == RIGHT


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_mark_at_the_beginning_says_the_encoding(tmp_path, encoding):
    assert rows(written(tmp_path / "t.csv", TEXT, encoding)) == RIGHT


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16-le", "utf-8"])
def test_an_encoding_that_the_config_names(tmp_path, encoding):
    assert rows(written(tmp_path / "t.csv", TEXT, encoding), encoding=encoding) == RIGHT
    packed = written(tmp_path / "u.csv.gz", gzip.compress(TEXT.encode(encoding)))
    assert rows(packed, encoding=encoding) == RIGHT


def test_bytes_of_another_encoding_are_named_with_their_line(tmp_path):
    path = written(tmp_path / "t.csv", "user,note\na,x\nå,y\n", "latin-1")
    with pytest.raises(DataError, match=r"t\.csv: cannot be read as text in UTF-8 \(line 3: .*`encoding`"):
        read(path)
    with pytest.raises(DataError, match=r"cannot be read as text in UTF-16 \(line 1: truncated data\)"):
        read(written(tmp_path / "u.csv", codecs.BOM_UTF16_LE + b"u\0s"))


@pytest.mark.parametrize(("separator", "name"), [(";", "t.csv"), ("|", "t.dat"), (" ", "t"), ("\t", "t.txt.gz")])
def test_a_separator_that_the_config_names(tmp_path, separator, name):
    content = TEXT.replace(",", separator).encode()
    path = written(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
    assert rows(path, separator=separator) == RIGHT


def test_a_file_without_a_header(tmp_path):
    path = written(tmp_path / "t.csv", "å1,x,0\nb,y,0\n")
    assert rows(path, header=("user", "note", "rest")) == RIGHT
    with pytest.raises(DataError, match=r"line 1: 3 cells, but `header` names 2 columns"):
        read(path, header=("user", "note"))
    bad = written(tmp_path / "u.csv", "a,x\n\nb\n")
    with pytest.raises(DataError, match=r"line 3: 1 cells"):
        read(bad, header=("user", "note"))


@pytest.mark.parametrize("first", ["", "\n\n", "\r\n"])
def test_blank_lines_before_the_header_and_between_rows(tmp_path, first):
    path = written(tmp_path / "t.csv", f"{first} user , note\n\nå1,x\n\nb,y\n\n")
    assert rows(path) == RIGHT


def test_separators_behind_the_last_cell(tmp_path):
    assert rows(written(tmp_path / "a.csv", "user,note\nå1,x,\nb,y,,\n")) == RIGHT
    assert rows(written(tmp_path / "b.csv", "user,note\nå1,x\nb,y,\n")) == RIGHT
    assert rows(written(tmp_path / "c.csv", "user,note,\nå1,x,\nb,y,\n")) == RIGHT
    assert rows(written(tmp_path / "d.csv", "user,note,\nå1,x\nb,y\n")) == RIGHT
    with pytest.raises(DataError, match="line 3: 4 cells, but the header has 2"):
        read(written(tmp_path / "e.csv", "user,note\nå1,x,\nb,y,,z\n"))


def test_one_name_twice_is_refused_where_it_is_read(tmp_path):
    path = written(tmp_path / "t.csv", "user,note,note\na,x,y\n")
    with pytest.raises(DataError, match=r"two columns are called 'note' \(data\.toy\.note\)"):
        read(path)
    assert rows(path, columns=("user",)) == [("a",)]


def test_a_quotation_mark_is_text_where_the_config_says_so(tmp_path):
    path = written(tmp_path / "t.csv", 'user,note\n"a,x"\nb,5" nail\n')
    assert rows(path, quotes=False) == [('"a', 'x"'), ("b", '5" nail')]


MANY = "".join(f"g{i},good\n" for i in range(20))


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize(
    ("stray", "line"),
    [
        ('"a,x\n' + MANY, 22),  # open until the end of the file
        ('a,"x\n' + MANY, 22),
        ('"a,x\n' + MANY + 'b",y\n', 22),  # closed: one row, whose id spans lines
        ('"a,x\n' + MANY + 'b"c,y\n', 22),  # text behind the closing mark
        ('a,"x\nb,y",z\n', 22),  # too many cells, on two lines
    ],
)
def test_good_rows_within_a_stray_quotation_mark_are_never_lost(tmp_path, skip, stray, line):
    path = written(tmp_path / "t.csv", "user,note\n" + MANY + stray)
    said = rf"t\.csv: line {line}[:,].*close its quotation mark.*`quotes: false`"
    with pytest.raises(DataError, match=said) as error:
        read(path, skip=skip).require_text("user")
    assert "\n" not in str(error.value)


def test_rows_within_a_cell_that_is_not_read(tmp_path):
    path = written(tmp_path / "t.csv", 'user,rest\na,"x\nb,y\nc,z"\nd,e\n')
    with pytest.warns(UserWarning, match=r"line 2: a quoted cell spans 3 lines that look like rows"):
        assert rows(path, columns=("user",)) == [("a",), ("d",)]
    with pytest.raises(DataError, match="line 2: a quoted cell spans 3 lines that look like rows"):
        read(path, skip=True, columns=("user",))


def test_text_of_several_lines_is_text(tmp_path):
    path = written(tmp_path / "t.csv", 'user,note\na,"two\nlines, ""quoted"", long"\nb,y\n')
    for skip in (True, False):
        assert read(path, skip).frame["note"].tolist() == ['two\nlines, "quoted", long', "y"]


def test_rows_are_told_by_their_lines_though_others_were_left_out(tmp_path):
    path = written(tmp_path / "t.csv", 'user,note\na,1,1\n\nb,2\n"c\nc",3\nd,four\ne\nf,6\n')
    file = read(path, skip=True)
    file.parse_numbers("note")
    assert file.frame["user"].tolist() == ["b", "c\nc", "f"]
    assert file.skipped == 3
    assert [example.partition("t.csv: ")[2] for example in file.examples] == [
        "line 2: 3 cells, but the header has 2",
        "line 8: 1 cells, but the header has 2",
        "line 7, column 'note': 'four' is not a number",
    ]


def test_three_examples_of_many_rows(tmp_path):
    file = read(written(tmp_path / "t.csv", "user,note\n" + "a,x\n" * 9 + "b,1\n"), skip=True)
    file.parse_numbers("note")
    assert (file.skipped, len(file.examples)) == (9, 3)


def test_lines_of_ten_megabytes(tmp_path):
    long = "x" * 10_000_000
    with pytest.raises(DataError, match=r"t\.csv: line 3: field larger than field limit") as error:
        read(written(tmp_path / "t.csv", f"user,note\na,x\nb,{long}\n"))
    assert len(str(error.value)) < 400
    with pytest.raises(DataError, match="line 1: field larger"):
        read(written(tmp_path / "u.csv", long))


@pytest.mark.parametrize("cut", [1, 9, 30])
def test_a_damaged_packed_file(tmp_path, cut):
    whole = gzip.compress(("user,note\n" + MANY).encode())
    with pytest.raises(DataError, match=r"t\.csv\.gz: cannot be read"):
        read(written(tmp_path / "t.csv.gz", whole[:-cut]))
    turned = bytearray(whole)
    turned[len(whole) // 2] ^= 0xFF
    with pytest.raises(DataError, match="cannot be read"):
        read(written(tmp_path / "u.csv.gz", bytes(turned)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"separator": ""},
        {"separator": "::"},
        {"separator": '"'},
        {"separator": "\n"},
        {"separator": "é"},
        {"encoding": "utf-9"},
        {"encoding": "rot13"},
        {"encoding": "a\0b"},
        {"header": ()},
        {"header": ("a", "b", "a")},
        {"quote": True},
    ],
)
def test_what_is_no_format_is_refused(wrong):
    with pytest.raises(ValidationError):
        Format(**wrong)
