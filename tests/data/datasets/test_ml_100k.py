import numpy as np
import torch

from gnnrec.data import load
from gnnrec.data.config import NamedData, Positive
from gnnrec.data.datasets import ml_100k


def test_has_the_published_counts(real):
    data = real("ml-100k")
    assert (data.num_users, data.num_items, len(data.interactions)) == (943, 1682, 100_000)
    assert {name: len(data.ids[name]) for name in ("gender", "occupation", "genre")} == {
        "gender": 2,
        "occupation": 21,
        "genre": 19,  # "unknown" is one of the published 19
    }
    assert list(data.ids["user"]) == [str(i) for i in range(1, 944)]
    # The published distribution of ratings: 6110, 11370, 27145, 34174, 21201.
    assert torch.bincount(data.interactions.value.long()).tolist() == [0, 6110, 11370, 27145, 34174, 21201]


def test_says_of_each_user_what_the_file_says(real, real_files, values_of):
    data = real("ml-100k")
    lines = real_files("ml-100k")["users"].read_text().splitlines()[1:]
    assert len(lines) == 943
    for line in lines[::50]:
        user, age, gender, occupation, _ = line.split("\t")
        assert values_of(data, "gender", user) == {gender}
        assert values_of(data, "occupation", user) == {occupation}
        (age_of_all,) = data.numeric
        row = data.ids["user"].get_loc(user)
        assert age_of_all.number[age_of_all.node == row].tolist() == [float(age)]


def test_keeps_each_rating_and_time(real, real_files):
    data = real("ml-100k")
    told = {
        tuple(line.split("\t")[:2]): tuple(map(float, line.split("\t")[2:]))
        for line in real_files("ml-100k")["interactions"].read_text().splitlines()[1:]
    }
    users, items = data.ids["user"], data.ids["item"]
    interactions = data.interactions
    for row in range(0, 100_000, 997):
        pair = (users[int(interactions.user[row])], items[int(interactions.item[row])])
        assert told[pair] == (float(interactions.value[row]), float(interactions.time[row]))


def test_has_titles_and_genres(real, values_of):
    data = real("ml-100k")
    assert data.titles[data.ids["item"].get_loc("1")] == "Toy Story (1995)"
    assert values_of(data, "genre", "1") == {"Animation", "Children's", "Comedy"}


def test_zip_codes_are_read_only_when_asked_for(real, values_of):
    assert "zip_code" not in real("ml-100k").ids
    data = load(NamedData(source="ml-100k", use=("zip_code",)))
    assert [r.name for r in data.relations] == ["zip_code"]
    assert set(data.ids) == {"user", "item", "zip_code"}
    assert values_of(data, "zip_code", "1") == {"85711"}
    assert data.numeric == ()


def test_ratings_of_4_and_5_are_the_positives(real):
    real("ml-100k")
    data = load(NamedData(source="ml-100k", positive=Positive(min_value=4)))
    assert len(data.interactions) == 34174 + 21201
    assert data.num_users == 943


def test_reader_on_two_users(tmp_path, values_of):
    (tmp_path / "i").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n10\t7\t3\t9\n9\t7\t5\t8\n"
    )
    (tmp_path / "u").write_text(
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
        "10\t56\tM\tnone\t1\n9\t17\tF\t\t2\n8\t20\tF\tother\t2\n"
    )
    (tmp_path / "m").write_text(
        'item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n7\tOne "Two\tV\tSci-Fi War\n'
    )
    data = ml_100k.read({"interactions": tmp_path / "i", "users": tmp_path / "u", "items": tmp_path / "m"})
    assert list(data.ids["user"]) == ["8", "9", "10"]  # by number, and 8 is a user without any rating
    assert data.interactions.user.tolist() == [1, 2]
    assert data.interactions.value.tolist() == [5.0, 3.0]
    assert data.titles == ('One "Two',)  # V is no year
    assert values_of(data, "occupation", "9") == set()  # a missing value is no edge
    assert values_of(data, "genre", "7") == {"Sci-Fi", "War"}
    np.testing.assert_array_equal(data.numeric[0].number, [20, 17, 56])
