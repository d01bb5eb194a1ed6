import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from gnnrec.data.columns import attribute, each_value, node_ids, positions, sorted_interactions

ids = st.text("ab019 é", min_size=1, max_size=4)


def test_ids_are_sorted_by_number_only_where_all_are_numbers():
    assert list(node_ids(["10", "9", "100", "9"])) == ["9", "10", "100"]
    assert list(node_ids(["10", "9", "100", "9x"])) == ["10", "100", "9", "9x"]
    assert list(node_ids(["01", "1", "0"])) == ["0", "01", "1"]  # 01 and 1 are two ids


def test_ids_beyond_64_bits_are_sorted_by_number():
    assert list(node_ids(["99999999999999999999", "100000000000000000000"])) == [
        "99999999999999999999",
        "100000000000000000000",
    ]


@given(st.lists(ids, min_size=1), st.lists(ids, min_size=1))
def test_positions_find_each_id_and_no_other(known, asked):
    index = node_ids(known)
    expected = [list(index).index(cell) if cell in known else -1 for cell in asked]
    assert positions(index, pd.Series(asked, dtype="str")).tolist() == expected


def test_positions_of_missing_cells_are_none():
    assert positions(pd.Index(["a"]), pd.Series(["a", None], dtype="str")).tolist() == [0, -1]


@given(st.lists(st.one_of(st.none(), st.text("ab| ", max_size=6))))
def test_each_value_is_what_a_loop_finds(cells):
    row, value = each_value(pd.Series(cells, dtype="str"), "|")
    expected = []
    for number, cell in enumerate(cells):
        for part in dict.fromkeys(part.strip() for part in (cell or "").split("|")):
            if part:
                expected.append((number, part))
    assert list(zip(row.tolist(), value, strict=True)) == expected


def test_an_attribute_is_an_edge_per_owner_and_value():
    # Owner 3 has b twice and a once, owner 1 has a, owner 2 has no value.
    node, cells = np.array([3, 3, 1, 2]), pd.Series(["b|a", "b", "a", None], dtype="str")
    relation, values = attribute("user", "likes", node, cells, "|")
    assert relation.type == ("user", "likes", "likes")
    assert list(values) == ["a", "b"]
    assert relation.edge_index.tolist() == [[1, 3, 3], [0, 0, 1]]


def test_interactions_do_not_depend_on_the_order_of_the_rows():
    user, item = np.array([1, 0, 1, 0]), np.array([0, 1, 2, 0])
    value, time = pd.Series([10.0, 1.0, 12.0, 0.0]), pd.Series([5, 6, 7, 8])
    got = sorted_interactions(user, item, value, time)
    assert got.user.tolist() == [0, 0, 1, 1]
    assert got.item.tolist() == [0, 1, 0, 2]
    assert got.value.tolist() == [0.0, 1.0, 10.0, 12.0]
    assert got.time.tolist() == [8, 6, 5, 7]
