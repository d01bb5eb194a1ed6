import csv
import gzip
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnrec.data.textfile import TextFile
from gnnrec.errors import DataError

cells = st.text('ab,"\n\t é5', max_size=5)


def read(path, skip=False, **columns):
    return TextFile(path, "data.toy", columns or {"a": "a"}, skip)


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_cells_come_back_as_they_were_written(tmp_path_factory, rows):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    path = written(tmp_path_factory.mktemp("text") / "t.csv", out.getvalue())
    file = read(path, one="a", two="b")
    assert file.frame["one"].tolist() == [a.strip() for a, _ in rows]
    assert file.frame["two"].tolist() == [b.strip() for _, b in rows]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(cells, st.integers(0, 2)), max_size=6), st.integers(0, 2))
def test_the_line_of_a_bad_row_is_counted_past_quoted_line_ends_and_blank_lines(tmp_path_factory, rows, blank):
    text = "a,b\n"
    for cell, blanks in rows:
        text += f'"{cell.replace(chr(34), chr(34) * 2)}",1\n' + "\n" * blanks
    text += "\n" * blank
    line = text.count("\n") + 1
    path = written(tmp_path_factory.mktemp("line") / "t.csv", text + "x,nonsense\nx,worse\n")
    with pytest.raises(DataError, match=rf"line {line}, column 'b': 'nonsense' is not a number \(2 such"):
        read(path, value="b").parse_numbers("value")


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz", "parquet"])
def test_every_kind_of_file_gives_the_same_columns(tmp_path, ending):
    path = tmp_path / f"t.{ending}"
    table = pd.DataFrame({"a": ["x", None, "é"], "n": pd.array([5, None, 12], dtype="Int64"), "unread": [1, 2, 3]})
    if ending == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="\t" if ending == "tsv" else ",", index=False)
    frame = read(path, a="a", n="n").frame
    assert frame["a"].tolist() == ["x", "", "é"]
    assert frame["n"].tolist() == ["5", "", "12"]


def test_whole_numbers_next_to_missing_ones_stay_whole(tmp_path):
    pd.DataFrame({"a": [5.0, None, 12.0]}).to_parquet(tmp_path / "t.parquet")  # pandas made floats of them
    assert read(tmp_path / "t.parquet").frame["a"].tolist() == ["5", "", "12"]
    assert read(written(tmp_path / "t.csv", "a,b\n5.0,1\n,1\n12.0,1\n")).frame["a"].tolist() == ["5", "", "12"]
    assert read(written(tmp_path / "t.csv", "a,b\n5.0,1\n5.5,1\n")).frame["a"].tolist() == ["5.0", "5.5"]
    assert read(written(tmp_path / "t.csv", "a,b\n007,1\n1e3,1\n")).frame["a"].tolist() == ["007", "1e3"]


def test_what_is_not_a_number_in_a_parquet_file_is_missing(tmp_path):
    column = pa.array([1.5, float("nan"), None])  # pandas would write the second as the third
    pa.parquet.write_table(pa.table({"a": column}), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").frame["a"].tolist() == ["1.5", "", ""]


def test_line_ends_within_cells_of_a_long_file(tmp_path):
    # Long enough to be read in several pieces (of a mebibyte each).
    text = "".join(f'"line {i}\nand another of the same cell",{i}\n' for i in range(60_000))
    file = read(written(tmp_path / "t.csv", "a,b\n" + text), number="b")
    file.parse_numbers("number")
    np.testing.assert_array_equal(file.frame["number"], np.arange(60_000))


def test_large_numbers_keep_every_digit(tmp_path):
    pd.DataFrame({"a": [9007199254740993, 1]}).to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").frame["a"].tolist() == ["9007199254740993", "1"]


def test_a_mark_at_the_beginning_of_the_file_is_no_part_of_the_name(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    assert read(tmp_path / "t.csv").frame["a"].tolist() == ["1"]


def test_one_column_in_two_roles(tmp_path):
    file = read(written(tmp_path / "t.csv", "a,b\n5,2\n"), one="a", two="a")
    file.parse_numbers("two")
    assert file.frame["one"].tolist() == ["5"]
    assert file.frame["two"].tolist() == [5.0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.csv", None, r"none\.csv: no such file \(data\.toy\.path\)"),
        ("t.csv", "", r"t\.csv: the file is empty"),
        ("t.csv", "a,b\n", r"t\.csv: the file has a header but no row"),
        ("t.xlsx", "x", r"t\.xlsx: the name must end in \.csv, \.tsv \(also with \.gz\) or \.parquet"),
        ("t.csv", "aa,b\n1,2\n", r"no column 'a' \(data\.toy\.a\); did you mean 'aa'\? the columns are aa, b"),
        ("t.csv", "x;y\n1;2\n", r"no column 'a' \(data\.toy\.a\); the columns are x;y"),
        ("t.csv", "a,b\n1,2\n\n1,2,3\n", r"t\.csv: line 4: 3 cells, but the header has 2"),
        ("t.csv", "a,b\n1\n", r"t\.csv: line 2: 1 cells, but the header has 2"),
        ("t.parquet", "a,b\n1,2\n", r"t\.parquet: not a Parquet file"),
        ("t.csv.gz", "a,b\n1,2\n", r"t\.csv\.gz: cannot be read as text in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path, name, text, message):
    if text is not None:
        written(tmp_path / name, text)
    with pytest.raises(DataError, match=message) as error:
        read(tmp_path / name)
    assert "\n" not in str(error.value)


def test_text_that_is_not_utf_8(tmp_path):
    (tmp_path / "t.csv").write_bytes("a,b\né,2\n".encode("latin-1"))
    with pytest.raises(DataError, match="cannot be read as text in UTF-8"):
        read(tmp_path / "t.csv")


def test_half_a_compressed_file(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(
        gzip.compress(b"a,b\n" + np.random.default_rng(0).bytes(9999).hex().encode())[:-99]
    )
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "t.csv.gz")


def test_a_parquet_column_of_lists(tmp_path):
    pd.DataFrame({"a": [[1, 2], [3]]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"column 'a' holds list<.*separator"):
        read(tmp_path / "t.parquet")


def test_skipped_rows_are_counted_and_all_columns_stay_in_step(tmp_path):
    path = written(tmp_path / "t.csv", "a,b,c\n1,x,3\n2,x\n,x,5\n4,x,bad\n5,y,6\n6,x,-1\n7,x,8\n")
    file = read(path, skip=True, id="a", name="b", number="c")
    file.require_text("id")
    file.parse_numbers("number", minimum=0)
    file.parse_ids("name", pd.Index(["w", "x"]), "names.csv")
    assert file.skipped == 5  # two cells, no id, no number, y unknown, below 0
    assert file.frame["id"].tolist() == ["1", "7"]
    assert file.frame["number"].tolist() == [3.0, 8.0]
    assert file.frame["name"].tolist() == [1, 1]


def test_the_line_is_right_after_a_skipped_row(tmp_path):
    file = read(written(tmp_path / "t.csv", "a,b\n,1\n1,2\nx,3\n"))
    file.frame = file.frame[file.frame["a"] != ""]
    with pytest.raises(DataError, match="line 4, column 'a': 'x' is not a number"):
        file.parse_numbers("a")


@pytest.mark.parametrize("bad", ["four", "nan", "inf", "1,5", "0x10"])
def test_what_is_no_number(tmp_path, bad):
    with pytest.raises(DataError, match="is not a number"):
        read(written(tmp_path / "t.csv", f'a,b\n1,1\n"{bad}",1\n')).parse_numbers("a")


def test_a_missing_number_is_bad_only_where_it_is_needed(tmp_path):
    path = written(tmp_path / "t.csv", "a,b\n1.5,1\n,1\n")
    file = read(path)
    file.parse_numbers("a", optional=True)
    np.testing.assert_array_equal(file.frame["a"], [1.5, np.nan])
    with pytest.raises(DataError, match="line 3, column 'a': '' is not a number"):
        read(path).parse_numbers("a")


def test_a_row_of_a_parquet_file_is_named_by_its_number(tmp_path):
    pd.DataFrame({"a": ["1", "x"]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="row 2, column 'a': 'x'"):
        read(tmp_path / "t.parquet").parse_numbers("a")


@pytest.mark.parametrize(
    ("written_times", "expected"),
    [
        (["5", "-3"], [5, -3]),
        (["1700000000123456789", "1"], [1700000000123456789, 1]),  # more digits than a float64 has
        (["5.9", "7"], [5, 7]),
        # 1970-01-02 is one day, 86,400 seconds; noon is 43,200 more; 01:00 at +01:00 is midnight.
        (["1970-01-02", "1970-01-02 12:00:00", "1970-01-02T01:00:00+01:00"], [86400, 129600, 86400]),
    ],
)
def test_times(tmp_path, written_times, expected):
    file = read(written(tmp_path / "t.csv", "a,b\n" + "".join(f"{time},1\n" for time in written_times)))
    file.parse_times("a")
    assert file.frame["a"].tolist() == expected


@pytest.mark.parametrize("bad", ["31/12/2020", "soon", ""])
def test_what_is_no_time(tmp_path, bad):
    with pytest.raises(DataError, match=r"line 3, column 'a': .* is neither a number nor a date"):
        read(written(tmp_path / "t.csv", f"a,b\n2020-12-31,1\n{bad},1\n")).parse_times("a")


@pytest.mark.parametrize("first", [0, 1])
def test_a_missing_time_leaves_out_its_row_alone_wherever_it_stands(tmp_path, first):
    rows = ["a,1600000000", "b,1600000001", "c,1600000002"]
    rows.insert(first, "d,")
    file = read(written(tmp_path / "t.csv", "\n".join(["i,t", *rows]) + "\n"), skip=True, i="i", t="t")
    file.parse_times("t")
    assert file.frame["i"].tolist() == ["a", "b", "c"]
    assert file.skipped == 1


def test_times_within_a_second_and_far_in_the_future(tmp_path):
    file = read(written(tmp_path / "t.csv", "t,u\n9999-12-31,1.9\n2024-03-01T10:00:00.900,-1.25\n"), t="t", u="u")
    file.parse_times("t")
    file.parse_times("u")
    # 9999-12-31 is 2,932,896 days after 1970-01-01, 2024-03-01 19,783 days.
    assert file.frame["t"].tolist() == [2_932_896 * 86_400, 19_783 * 86_400 + 36_000]
    assert file.frame["t.fraction"].tolist() == [0, 0.9]
    assert file.frame["u"].tolist() == [1, -1]
    assert file.frame["u.fraction"].tolist() == pytest.approx([0.9, -0.25])


def test_a_time_that_no_integer_holds(tmp_path):
    file = read(written(tmp_path / "t.csv", "t,u\n1,1\n1e300,1\n"), t="t")
    with pytest.raises(DataError, match="line 3, column 't': '1e300' is out of range"):
        file.parse_times("t")


def test_large_whole_numbers_that_pandas_made_floats_are_written_out(tmp_path):
    column = [31415926535.0, None, 1e15, -0.0]
    pd.DataFrame({"a": column, "b": [0.5, 1e15, 2, 3]}).to_parquet(tmp_path / "t.parquet")
    frame = read(tmp_path / "t.parquet", a="a", b="b").frame
    assert frame["a"].tolist() == ["31415926535", "", "1000000000000000", "0"]
    assert frame["b"].iloc[0] == "0.5"


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("end", ["", '"'])
def test_a_quotation_mark_that_is_not_closed_is_an_error(tmp_path, skip, end):
    text = "a,b\n" + "x,1\n" * 5 + '"x,1\n' + "x,1\n" * 150 + f"x{end},1\n" + "x,1\n" * 3
    with pytest.raises(DataError, match=r"line 7: a cell spans 15\d lines; close its quotation mark") as error:
        read(written(tmp_path / "t.csv", text), skip=skip)
    assert "\n" not in str(error.value)


def test_a_cell_that_is_longer_than_any_text(tmp_path):
    path = written(tmp_path / "t.csv", 'a,b\nx,1\n"' + "x,1\n" * 50_000)
    with pytest.raises(DataError, match="line 3: field larger than field limit"):
        read(path, skip=True)


def column(tmp_path, cells, **more):
    return read(written(tmp_path / "t.csv", "a,b\n" + "".join(f'"{cell}",x\n' for cell in cells)), **more)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1.0", "1", "-2.0", ""], ["1", "1", "-2", ""]),  # one id, written in two ways
        (["1.0", "1", "1.5"], ["1.0", "1", "1.5"]),  # a version, perhaps
        (["007", "7.0"], ["007", "7"]),
        (["True", "false"], ["True", "false"]),
        ([" x ", "\u00a0y"], ["x", "y"]),
        (["NA", "NULL", "n/a", "nan", "None", "NAN"], ["", "", "", "", "", "NAN"]),
    ],
)
def test_ids_and_missing_markers(tmp_path, cells, expected):
    assert column(tmp_path, cells).frame["a"].tolist() == expected


def test_missing_markers_that_are_named(tmp_path):
    path = written(tmp_path / "t.csv", "a,b\nNA,-\n?,NA\n")
    file = TextFile(path, "data.toy", {"a": "a", "title": "b"}, False, missing=("?", "-"))
    assert file.frame["a"].tolist() == ["NA", ""]
    assert file.frame["title"].tolist() == ["-", "NA"]  # a title is text as it is
    with pytest.raises(DataError, match=r"line 3, column 'a': the cell is empty or stands for a missing one"):
        file.require_text("a")


def test_a_column_of_truth_values_is_one_of_numbers(tmp_path):
    file = column(tmp_path, ["True", "false", "TRUE", ""], skip=True)
    file.parse_numbers("a")
    assert file.frame["a"].tolist() == [1, 0, 1]
    with pytest.raises(DataError, match="line 3, column 'a': 'true' is not a number"):
        column(tmp_path, ["1", "true"]).parse_numbers("a")


def test_a_number_of_an_attribute_that_cannot_be_read_is_left_out_alone(tmp_path):
    file = column(tmp_path, ["1", "old", "", "1e300"], skip=True)
    file.parse_numbers("a", optional=True)
    np.testing.assert_array_equal(file.frame["a"], [1, np.nan, np.nan, np.nan])
    assert (file.skipped, file.skipped_values) == (0, 2)
    assert [example.partition("line ")[2] for example in file.examples] == [
        "3, column 'a': 'old' is not a number",
        "5, column 'a': '1e300' is not a number",
    ]


def test_a_number_that_float32_does_not_hold(tmp_path):
    with pytest.raises(DataError, match=r"line 3, column 'a': '-4e38' is beyond 3\.4e\+38"):
        column(tmp_path, ["3.4e38", "-4e38"]).parse_numbers("a")


@pytest.mark.parametrize(
    ("times", "whole", "fraction"),
    [
        # 0001-01-01 is 719,162 days before 1970-01-01, 9999-12-31 2,932,896 days after it.
        (["0001-01-01", "9999-12-31T23:59:59.999999999"], [-719_162 * 86400, 2_932_897 * 86400 - 1], [0, 0.999999999]),
        (["1970-01-01 00:00:00.000000001", "1970-01-01T00:00:00,25"], [0, 0], [1e-9, 0.25]),
        (["1969-12-31T23:59:59.75Z", "1970-01-01T01:00:00.5+01:00"], [-1, 0], [0.75, 0.5]),
        (["1700000000123456789", "1.5"], [1700000000123456789, 1], [0, 0.5]),  # a float64 would lose the last digits
        (["1600000000.900000001", "-0.5"], [1600000000, 0], [0.900000001, -0.5]),
        (["1.6e9", "+5"], [1600000000, 5], [0, 0]),
    ],
)
def test_times_to_the_last_digit(tmp_path, times, whole, fraction):
    file = column(tmp_path, times)
    file.parse_times("a")
    assert file.frame["a"].tolist() == whole
    assert file.frame["a.fraction"].tolist() == fraction


@pytest.mark.parametrize("bad", ["9223372036854775808", "-1e19", "99999999999999999999.5"])
def test_a_time_beyond_64_bits_is_a_bad_row(tmp_path, bad):
    with pytest.raises(DataError, match=r"line 3, column 'a': .* is out of range"):
        column(tmp_path, ["1", bad]).parse_times("a")
    file = column(tmp_path, ["1", bad, "9223372036854774783"], skip=True)
    file.parse_times("a")
    assert file.frame["a"].tolist() == [1, 2**63 - 1025]


@pytest.mark.parametrize("bad", ["10000-01-01", "2024-13-01", "2024-03-01T25:00"])
def test_a_date_that_there_is_not_leaves_out_its_row_alone(tmp_path, bad):
    file = column(tmp_path, ["2024-03-01", bad, "2024-03-02"], skip=True)
    file.parse_times("a")
    assert (len(file.frame), file.skipped) == (2, 1)


def test_a_folder_and_a_file_that_cannot_be_opened(tmp_path, monkeypatch):
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(DataError, match=r"t\.csv: is a folder \(data\.toy\.path\)"):
        read(tmp_path / "t.csv")
    path = written(tmp_path / "u.csv", "a,b\n1,2\n")
    opened = type(path).open

    def refuse(self, *arguments, **options):
        if self == path:
            raise PermissionError(13, "Permission denied")
        return opened(self, *arguments, **options)

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(DataError, match=r"u\.csv: cannot be read \(data\.toy\.path\): Permission denied"):
        read(path)


def test_an_id_that_spans_lines(tmp_path):
    file = read(written(tmp_path / "t.csv", 'a,b\n1,x\n"2\n3",y\n'), skip=True)
    with pytest.raises(DataError, match=r"line 3, column 'a': the id '2\\n3' spans lines; close its quotation mark"):
        file.require_text("a")
