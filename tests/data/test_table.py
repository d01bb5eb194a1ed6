import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from gnnrec.data import load
from gnnrec.data.config import DataConfig
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import DataError
from gnnrec.splits import UnseenUsers, make_split

FILES = {
    "ratings.csv": (
        "user_id,item_id,rating,timestamp\n"
        "u2,10,4,2024-03-01\n"
        "u1,9,5,2024-03-02\n"
        "u1,9,3,2024-03-01\n"  # an earlier rating of the same item further down
        "u3,10,1.5,2024-03-05\n"
    ),
    "users.csv": 'user_id,gender,age,interests\nu1,f,20,a|b\nu2,,31,"b| c|b"\nu3,m,,\nu4,m,50,c\n',
    "items.csv": "item_id,category,price,name\n9,x,1.5,Nine\n10,y,,\n11,x,3,Eleven\n",
    "friends.csv": "a,b\nu1,u2\nu2,u1\nu3,u3\nu4,u1\n",
    "skills.csv": "user_id,skill,count\nu1,1,1\nu1,2,2\nu1,1,5\n",
}


def config(**changes):
    """The config of the design, over FILES."""
    return {
        "source": "table",
        "interactions": {
            "path": "ratings.csv",
            "user": "user_id",
            "item": "item_id",
            "value": "rating",
            "time": "timestamp",
        },
        "users": {
            "path": "users.csv",
            "id": "user_id",
            "attributes": {"gender": {}, "age": {"bins": 7}, "interests": {"split": "|"}},
        },
        "items": {
            "path": "items.csv",
            "id": "item_id",
            "attributes": {"category": {}, "price": {"bounds": [2]}},
            "title": "name",
        },
        "relations": [
            {
                "path": "friends.csv",
                "source": {"type": "user", "column": "a"},
                "target": {"type": "user", "column": "b"},
                "name": "friend",
            },
            {
                "path": "skills.csv",
                "source": {"type": "user", "column": "user_id"},
                "target": {"type": "skill", "column": "skill"},
                "name": "has",
                "weight": "count",
            },
        ],
    } | changes


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def read(folder, **changes):
    return load(TypeAdapter(DataConfig).validate_python(config(**changes)), folder)


def change(folder, name, old, new):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def edges(dataset, name):
    """The edges of a relation by ids, with weights where there are any."""
    found = next(r for r in dataset.relations if r.name == name)
    source, target = dataset.ids[found.source], dataset.ids[found.target]
    pairs = [(source[int(a)], target[int(b)]) for a, b in found.edge_index.T]
    return pairs if found.weight is None else dict(zip(pairs, found.weight.tolist(), strict=True))


def test_everything_the_design_names_in_one_config(folder):
    data = read(folder)
    assert list(data.ids["user"]) == ["u1", "u2", "u3", "u4"]  # u4 has no interaction
    assert list(data.ids["item"]) == ["9", "10", "11"]
    assert set(data.ids) == {"user", "item", "gender", "interests", "category", "skill"}
    # The pair (u1, 9) stands twice: the later rating counts, though it stands first.
    assert data.interactions.user.tolist() == [0, 1, 2]
    assert data.interactions.item.tolist() == [0, 1, 1]
    assert data.interactions.value.tolist() == [5.0, 4.0, 1.5]
    assert data.interactions.time.tolist() == [1709337600, 1709251200, 1709596800]  # midnights, UTC
    assert edges(data, "gender") == [("u1", "f"), ("u3", "m"), ("u4", "m")]
    assert edges(data, "interests") == [("u1", "a"), ("u1", "b"), ("u2", "b"), ("u2", "c"), ("u4", "c")]
    assert edges(data, "category") == [("9", "x"), ("10", "y"), ("11", "x")]
    assert edges(data, "friend") == [("u1", "u2"), ("u1", "u4"), ("u2", "u1"), ("u4", "u1")]
    assert edges(data, "has") == {("u1", "1"): 6.0, ("u1", "2"): 2.0}
    age, price = data.numeric
    assert (age.node_type, age.bins, age.node.tolist(), age.number.tolist()) == ("user", 7, [0, 1, 3], [20, 31, 50])
    assert (price.node_type, price.bounds, price.number.tolist()) == ("item", (2.0,), [1.5, 3.0])
    assert data.titles == ("Nine", "10", "Eleven")  # an item without a title is shown by its id
    assert data.skipped_rows == 0


def test_nothing_but_interactions(folder):
    data = read(folder, users=None, items=None, relations=[], positive={"min_value": 4})
    assert list(data.ids["user"]) == ["u1", "u2", "u3"]
    assert list(data.ids["item"]) == ["9", "10"]
    assert data.interactions.user.tolist() == [0, 1]  # u3's 1.5 is not positive, but u3 stays a user
    assert data.titles == ()


def test_without_a_users_file_relations_name_users_too(folder):
    data = read(folder, users=None)
    assert list(data.ids["user"]) == ["u1", "u2", "u3", "u4"]


def test_without_time_the_last_row_of_a_pair_counts(folder):
    data = read(folder, interactions={"path": "ratings.csv", "user": "user_id", "item": "item_id", "value": "rating"})
    assert data.interactions.value.tolist() == [3.0, 4.0, 1.5]
    assert data.interactions.time is None


def test_order_of_rows_does_not_matter(folder):
    before = read(folder)
    for name in FILES:
        header, *lines = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n".join([header, *reversed(lines)]) + "\n")
    after = read(folder)
    assert after.checksum == before.checksum
    assert after.titles == before.titles


def test_kind_of_file_and_type_of_ids_do_not_matter(folder):
    before = read(folder).checksum
    relations = config()["relations"]
    pd.read_csv(folder / "skills.csv").to_parquet(folder / "skills.parquet")  # whole numbers
    pd.read_csv(folder / "friends.csv").to_csv(folder / "friends.tsv", sep="\t", index=False)
    items = pd.read_csv(folder / "items.csv").astype({"item_id": float})
    items.to_parquet(folder / "items.parquet")
    relations[0]["path"], relations[1]["path"] = "friends.tsv", "skills.parquet"
    assert read(folder, relations=relations, items=config()["items"] | {"path": "items.parquet"}).checksum == before


def test_relations_that_end_at_a_user_are_turned_round(folder):
    (folder / "r.csv").write_text("tutor,user_id\nt1,u2\nt1,u3\n")
    relation = {
        "path": "r.csv",
        "source": {"type": "tutor", "column": "tutor"},
        "target": {"type": "user", "column": "user_id"},
        "name": "teaches",
    }
    data = read(folder, relations=[relation])
    assert edges(data, "teaches") == [("u2", "t1"), ("u3", "t1")]
    assert next(r.type for r in data.relations if r.name == "teaches") == ("user", "teaches", "tutor")


def test_relations_between_other_nodes_stay_as_they_are(folder):
    (folder / "r.csv").write_text("child,parent\nx,all\ny,all\nz,all\n")
    relation = {
        "path": "r.csv",
        "source": {"type": "category", "column": "child"},
        "target": {"type": "area", "column": "parent"},
        "name": "part of",
    }
    data = read(folder, relations=[relation])
    # `category` is the items' attribute: both share their nodes, and z is one more.
    assert list(data.ids["category"]) == ["x", "y", "z"]
    assert edges(data, "part of") == [("x", "all"), ("y", "all"), ("z", "all")]
    assert edges(data, "category") == [("9", "x"), ("10", "y"), ("11", "x")]


def test_weights_of_friends_are_added_in_one_direction_and_the_largest_counts_between_the_two(folder):
    (folder / "r.csv").write_text("a,b,w\nu1,u2,1\nu1,u2,2\nu2,u1,2\nu3,u1,0\n")
    relation = config()["relations"][0] | {"path": "r.csv", "weight": "w"}
    # u1 -> u2 has 1 + 2 = 3, u2 -> u1 has 2: 3 in both directions.
    assert edges(read(folder, relations=[relation]), "friend") == {
        ("u1", "u2"): 3.0,
        ("u1", "u3"): 0.0,
        ("u2", "u1"): 3.0,
        ("u3", "u1"): 0.0,
    }


def test_users_and_items_may_have_attributes_of_one_name(folder):
    change(folder, "users.csv", "gender", "category")
    change(folder, "items.csv", "price", "item")
    users = {"path": "users.csv", "id": "user_id", "attributes": {"category": {}}}
    items = {"path": "items.csv", "id": "item_id", "attributes": {"category": {}, "item": {}}}
    data = read(folder, users=users, items=items)
    assert edges(data, "category") == [("u1", "f"), ("u3", "m"), ("u4", "m")]
    assert [r.type for r in data.relations if r.source == "item"] == [
        ("item", "category", "item_category"),
        ("item", "item", "item_item"),
    ]
    assert list(data.ids["category"]) == ["f", "m"]
    assert list(data.ids["item_category"]) == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("ratings.csv", "u3,10", "u9,10", r"ratings\.csv: line 5, column 'user_id': 'u9' is not among .*users\.csv"),
        ("ratings.csv", "u3,10", "u3,12", r"ratings\.csv: line 5, column 'item_id': '12' is not among .*items\.csv"),
        ("ratings.csv", "u3,10", ",10", r"ratings\.csv: line 5, column 'user_id': the cell is empty"),
        ("ratings.csv", "1.5", "good", r"ratings\.csv: line 5, column 'rating': 'good' is not a number"),
        ("ratings.csv", "1.5", "", r"ratings\.csv: line 5, column 'rating': '' is not a number"),
        ("ratings.csv", "2024-03-05", "5.3.24", r"ratings\.csv: line 5, column 'timestamp': '5\.3\.24' is neither"),
        ("users.csv", "u3,m", "u1,m", r"users\.csv: line 4, column 'user_id': user 'u1' is in an earlier row already"),
        ("users.csv", "u3,m", ",m", r"users\.csv: line 4, column 'user_id': the cell is empty"),
        (
            "friends.csv",
            "u3,u3",
            "u3,u9",
            r"friends\.csv: line 4, column 'b': 'u9' is not among .*users\.csv",
        ),
        ("skills.csv", "u1,2,2", "u1,2,-1", r"skills\.csv: line 3, column 'count': '-1' is below 0"),
        ("skills.csv", "u1,2,2", "u1,,2", r"skills\.csv: line 3, column 'skill': the cell is empty"),
    ],
)
def test_a_bad_row_is_named_or_skipped(folder, name, old, new, message):
    change(folder, name, old, new)
    with pytest.raises(DataError, match=message) as error:
        read(folder)
    assert "\n" not in str(error.value)
    if name == "users.csv":  # u3 is gone as a user, and its other rows with it
        change(folder, "ratings.csv", "u3,10,1.5,2024-03-05\n", "")
        change(folder, "friends.csv", "u3,u3\n", "")
    assert read(folder, on_bad_row="skip").skipped_rows == 1


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        (
            "interactions",
            "user",
            "userid",
            r"no column 'userid' \(data\.interactions\.user\); did you mean 'user_id'",
        ),
        ("users", "attributes", {"sex": {}}, r"no column 'sex' \(data\.users\.attributes\.sex\)"),
        ("items", "path", "item.csv", r"item\.csv: no such file \(data\.items\.path\)"),
    ],
)
def test_a_wrong_name_in_the_config_is_named(folder, part, key, value, message):
    with pytest.raises(DataError, match=message):
        read(folder, **{part: config()[part] | {key: value}})


def test_a_wrong_column_of_a_relation_is_named(folder):
    relations = config()["relations"]
    relations[1]["target"] = {"type": "skill", "column": "skil"}
    with pytest.raises(DataError, match=r"no column 'skil' \(data\.relations\[1\]\.target\.column\); did you mean"):
        read(folder, relations=relations)


def test_attributes_that_are_all_missing_are_left_out_with_a_warning(folder):
    (folder / "users.csv").write_text("user_id,gender,age,interests\nu1,,,\nu2,,,|\nu3,,, \nu4,,,\n")
    with pytest.warns(UserWarning, match="every value is missing") as warned:
        data = read(folder)
    told = [str(warning.message) for warning in warned]
    for column in ("gender", "age", "interests"):
        assert sum(f"column {column!r}: every value is missing" in message for message in told) == 1
    assert all("\n" not in message for message in told)
    assert [a.name for a in data.numeric] == ["price"]
    assert not {"gender", "interests"} & set(data.ids)
    assert len(data.interactions) == 3


def test_a_relation_without_any_edge_is_left_out_with_a_warning(folder):
    (folder / "friends.csv").write_text("a,b\nu3,u3\n")
    with pytest.warns(UserWarning, match=r"friends\.csv: relation 'friend' has no edge"):
        data = read(folder)
    assert [r.name for r in data.relations if r.target == "user"] == []


def test_skipping_every_row_says_that_nothing_is_left(folder):
    (folder / "ratings.csv").write_text("user_id,item_id,rating,timestamp\nu1,9,x,1\n")
    with pytest.raises(DataError, match="ratings: no interaction is left"):
        read(folder, on_bad_row="skip")


def test_data_that_went_through_files_are_the_same_data(tmp_path):
    """Synthetic data, written as tables and read again, has the edges it had."""
    data = synthetic(5)
    users, items = data.ids["user"], data.ids["item"]
    i = data.interactions
    pd.DataFrame({"u": users[i.user.numpy()], "i": items[i.item.numpy()], "v": i.value, "t": i.time}).to_csv(
        tmp_path / "interactions.csv", index=False
    )
    club, colour, friend, category = data.relations

    def column(relation, size):
        values = np.full(size, "", dtype=object)
        values[relation.edge_index[0].numpy()] = data.ids[relation.target][relation.edge_index[1].numpy()]
        return values

    table = pd.DataFrame({"id": users, "club": column(club, 60), "colour": column(colour, 60)})
    table["age"] = pd.Series(data.numeric[0].number.numpy(), index=data.numeric[0].node.numpy())
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "users.csv", index=False)
    pd.DataFrame({"id": items, "category": column(category, 40)}).to_csv(tmp_path / "items.csv", index=False)
    one, other = friend.edge_index.numpy()
    pd.DataFrame({"a": users[one[one < other]], "b": users[other[one < other]]}).to_csv(
        tmp_path / "friends.csv", index=False
    )
    attributes = {"club": {}, "colour": {}, "age": {"bins": 4}}
    again = load(
        TypeAdapter(DataConfig).validate_python(
            {
                "source": "table",
                "interactions": {"path": "interactions.csv", "user": "u", "item": "i", "value": "v", "time": "t"},
                "users": {"path": "users.csv", "id": "id", "attributes": attributes},
                "items": {"path": "items.csv", "id": "id", "attributes": {"category": {}}},
                "relations": config()["relations"][:1],
            }
        ),
        tmp_path,
    )

    def named(dataset):
        return {
            (r.type, dataset.ids[r.source][int(a)], dataset.ids[r.target][int(b)])
            for r in dataset.relations
            for a, b in r.edge_index.T
        }

    def interactions(dataset):
        i = dataset.interactions
        rows = zip(i.user.tolist(), i.item.tolist(), i.value.tolist(), i.time.tolist(), strict=True)
        return {(dataset.ids["user"][u], dataset.ids["item"][item], v, t) for u, item, v, t in rows}

    def numbers(dataset):
        (age,) = dataset.numeric
        return {(dataset.ids["user"][n], v) for n, v in zip(age.node.tolist(), age.number.tolist(), strict=True)}

    assert named(again) == named(data)
    assert interactions(again) == interactions(data)
    assert numbers(again) == numbers(data)


def test_a_table_can_be_split(folder):
    seed = next(s for s in range(9) if 3 in np.random.RandomState(s).permutation(4)[2:])  # u4 chose nothing: train
    split = make_split(read(folder), UnseenUsers(test=0.25, validation=0.25), seed)
    assert split.train.num_users == 2
    assert torch.equal(split.train.candidates, split.train.popularity > 0)


def test_paths_are_relative_to_the_base(folder, monkeypatch):
    monkeypatch.chdir(Path("/"))
    assert len(read(folder).interactions) == 3


@pytest.mark.slow
def test_a_million_rows_load_in_seconds(tmp_path):
    import time

    random = np.random.default_rng(0)
    pd.DataFrame(
        {"u": random.integers(50_000, size=1_000_000), "i": random.integers(20_000, size=1_000_000), "v": 1.5}
    ).to_csv(tmp_path / "big.csv", index=False)
    begin = time.perf_counter()
    data = load(
        TypeAdapter(DataConfig).validate_python(
            {"source": "table", "interactions": {"path": "big.csv", "user": "u", "item": "i", "value": "v"}}
        ),
        tmp_path,
    )
    assert time.perf_counter() - begin < 20  # about 2 on an idle core
    assert data.num_users == 50_000


def test_of_two_events_within_a_second_the_later_one_counts(folder):
    for late, early in (("2024-03-02T10:00:00.9", "2024-03-02T10:00:00.1"), ("1600000000.9", "1600000000.1")):
        text = f"user_id,item_id,rating,timestamp\nu1,9,5,{late}\nu1,9,2,{early}\n"
        (folder / "ratings.csv").write_text(text)
        assert read(folder).interactions.value.tolist() == [5]


@pytest.mark.parametrize(
    ("repeated", "values"),
    # u1 rated item 9 twice, 5 on March 2nd and 3 on March 1st.
    [("last", [5, 4, 1.5]), ("first", [3, 4, 1.5]), ("sum", [8, 4, 1.5]), ("mean", [4, 4, 1.5]), ("count", [2, 1, 1])],
)
def test_repeated_interactions(folder, repeated, values):
    data = read(folder, interactions=config()["interactions"] | {"repeated": repeated})
    assert data.interactions.value.tolist() == values
    assert data.interactions.time.tolist()[0] == 1709337600 - 86_400 * (repeated == "first")  # March 2nd


def test_repeated_interactions_without_values_can_be_counted_alone(folder):
    plain = {"path": "ratings.csv", "user": "user_id", "item": "item_id"}
    assert read(folder, interactions=plain | {"repeated": "count"}).interactions.value.tolist() == [2, 1, 1]
    for repeated in ("sum", "mean"):
        with pytest.raises(ValidationError, match=f"repeated: {repeated} needs a value column"):
            read(folder, interactions=plain | {"repeated": repeated})


def test_missing_markers_are_no_values_of_attributes(folder):
    change(folder, "users.csv", "u1,f,20,a|b", "u1,NA,n/a,a|NULL")
    change(folder, "items.csv", "Nine", "NA")
    data = read(folder)
    assert edges(data, "gender") == [("u3", "m"), ("u4", "m")]
    assert edges(data, "interests") == [("u1", "a"), ("u2", "b"), ("u2", "c"), ("u4", "c")]
    assert data.numeric[0].number.tolist() == [31, 50]
    assert data.titles[0] == "NA"
    kept = read(folder, missing=["n/a"])
    assert ("u1", "NA") in edges(kept, "gender")
    assert ("u1", "NULL") in edges(kept, "interests")


def test_one_unreadable_number_drops_neither_its_user_nor_the_interactions(folder):
    change(folder, "users.csv", "u1,f,20", "u1,f,twenty")
    with pytest.raises(DataError, match="line 2, column 'age': 'twenty' is not a number"):
        read(folder)
    data = read(folder, on_bad_row="skip")
    assert (data.num_users, len(data.interactions)) == (4, 3)
    assert (data.skipped_rows, data.skipped_values) == (0, 1)
    assert data.skipped == f"1 value, for example {folder}/users.csv: line 2, column 'age': 'twenty' is not a number"
    assert data.numeric[0].number.tolist() == [31, 50]


def test_rows_and_values_that_were_left_out_are_counted_with_three_examples(folder):
    change(folder, "ratings.csv", "u3,10,1.5", "u3,10,x")
    change(folder, "friends.csv", "u3,u3\nu4,u1\n", "u9,u3\nu4,u8\nu1,u2,u3\n")
    change(folder, "users.csv", "u1,f,20", "u1,f,twenty")
    data = read(folder, on_bad_row="skip")
    assert (data.skipped_rows, data.skipped_values, len(data.skipped_examples)) == (4, 1, 3)
    assert data.skipped.startswith("4 rows and 1 value, for example ")


def test_each_file_may_be_written_in_its_own_way(folder):
    before = read(folder).checksum
    (folder / "ratings.csv").write_text((folder / "ratings.csv").read_text().replace(",", ";"), encoding="utf-16")
    header, *rows = (folder / "users.csv").read_text().splitlines()
    (folder / "users.csv").write_text("\n".join(rows) + "\n")
    ratings = config()["interactions"] | {"separator": ";"}
    users = config()["users"] | {"header": header.split(",")}
    assert read(folder, interactions=ratings, users=users).checksum == before


@pytest.mark.parametrize("values", ["0,-1,0,-1", "0,1,1,0", "True,False,True,True", "-2,-3,-1,0"])
def test_values_that_are_no_choices_are_warned_of_unless_positives_are_named(folder, values):
    one, two, three, four = values.split(",")
    (folder / "ratings.csv").write_text(
        f"user_id,item_id,rating\nu1,9,{one}\nu1,10,{two}\nu2,9,{three}\nu2,10,{four}\n"
    )
    interactions = {"path": "ratings.csv", "user": "user_id", "item": "item_id", "value": "rating"}
    with pytest.warns(UserWarning, match=r"of 4 interactions have a value of 0 or less, and count as choices"):
        read(folder, interactions=interactions)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(folder, interactions=interactions, positive={"min_value": -1})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("values", ["1,1,1,1", "0,5,3,4", "-10,10,3,0"])
def test_values_that_are_ratings_are_not(folder, values):
    one, two, three, four = values.split(",")
    (folder / "ratings.csv").write_text(
        f"user_id,item_id,rating\nu1,9,{one}\nu1,10,{two}\nu2,9,{three}\nu2,10,{four}\n"
    )
    read(folder, interactions={"path": "ratings.csv", "user": "user_id", "item": "item_id", "value": "rating"})
