import pandas as pd
import pytest

from gnnrec.data import load
from gnnrec.data.config import NamedData
from gnnrec.data.datasets import renttherunway
from gnnrec.errors import ConfigError


def test_counts_are_the_published_ones(real):
    data = real("renttherunway")
    assert (data.num_users, data.num_items, len(data.interactions)) == (105_571, 5850, 192_278)
    assert {r.type for r in data.relations} == {
        ("user", "body_type", "body_type"),
        ("user", "bust_size_letter", "bust_size_letter"),
        ("item", "category", "category"),
    }
    assert [(a.name, a.bins) for a in data.numeric] == [
        ("age", 7),
        ("height_in", 7),
        ("weight_lbs", 7),
        ("bust_size_num", 7),
    ]


def test_what_belongs_to_the_transaction_is_not_offered(real):
    data = real("renttherunway")
    offered = {*data.ids, *(r.name for r in data.relations), *(a.name for a in data.numeric)}
    assert not offered & {"size", "fit", "rented_for"}
    with pytest.raises(ConfigError, match=r"no relation or attribute 'size'; there are .*body_type"):
        load(NamedData(source="renttherunway", use=("size",)))


def test_a_user_with_several_reviews_has_the_first_value_that_is_given(real, real_files):
    data = real("renttherunway")
    reviews = pd.read_parquet(real_files("renttherunway")["reviews"]).sort_values(
        ["review_date", "user_id", "item_id"], kind="stable"
    )
    count = reviews["user_id"].value_counts()
    several = count[count > 4].index[:40]
    weight = next(a for a in data.numeric if a.name == "weight_lbs")
    body = next(r for r in data.relations if r.name == "body_type")
    for user in several:
        rows = reviews[reviews["user_id"] == user]
        row = data.ids["user"].get_loc(str(user))
        told = [value for value in rows["weight_lbs"] if value == value][:1]
        assert weight.number[weight.node == row].tolist() == told
        told = [value for value in rows["body_type"] if isinstance(value, str)][:1]
        nodes = body.edge_index[1][body.edge_index[0] == row]
        assert [data.ids["body_type"][int(node)] for node in nodes] == told


def test_reader_on_three_users(tmp_path):
    reviews = pd.DataFrame(
        {
            "user_id": [5, 40, 5, 5],
            "item_id": [2, 2, 2, 1],
            "review_date": pd.to_datetime(["1970-01-04", "1970-01-02", "1970-01-03", "1970-01-09"]),
            "category": ["gown", "gown", "gown", "top"],
            "body_type": ["pear", None, None, "apple"],
            "bust_size_letter": [None, "b", "c", "d"],
            "age": [30.0, None, 29.0, 28.0],
            "height_in": [1.0, 2.0, 3.0, 4.0],
            "weight_lbs": [None, None, None, None],
            "bust_size_num": [1.0, 1.0, 1.0, 1.0],
            "size": [1, 2, 3, 4],
            "fit": ["fit", "small", "large", "fit"],
        }
    ).astype({"weight_lbs": float})
    reviews.to_parquet(tmp_path / "reviews.parquet")
    data = renttherunway.read({"reviews": tmp_path / "reviews.parquet"})
    assert list(data.ids["user"]) == ["5", "40"]
    # Two rentals of user 5 are of one garment: once, at the time of the earlier one (day 2).
    assert data.interactions.user.tolist() == [0, 0, 1]
    assert data.interactions.item.tolist() == [0, 1, 1]
    assert data.interactions.time.tolist() == [8, 2, 1]
    assert data.interactions.value is None
    # The earlier review of user 5 has no body type, and 29 as the age.
    assert data.relations[0].edge_index.tolist() == [[0], [0]]
    assert list(data.ids["body_type"]) == ["pear"]
    age, _, weight, _ = data.numeric
    assert (age.node.tolist(), age.number.tolist()) == ([0], [29.0])
    assert len(weight.node) == 0
