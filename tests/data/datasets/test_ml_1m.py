import pandas as pd
import pytest
import torch

from gnnrec.data.datasets import ml_1m


def test_has_the_counts_of_the_copy(real, values_of):
    data = real("ml-1m")
    # 1,000,209 rows, of which four repeat a pair since two movies are merged with two others.
    assert (data.num_users, data.num_items, len(data.interactions)) == (6040, 3881, 1_000_205)
    assert len(torch.unique(data.interactions.item)) == 3704
    assert [len(data.ids[name]) for name in ("gender", "occupation", "genre")] == [2, 21, 18]
    assert sorted(set(data.numeric[0].number.tolist())) == [1, 18, 25, 35, 45, 50, 56]
    assert values_of(data, "occupation", "1") == {"K-12 student"}  # user 1: F, under 18, code 10
    assert data.titles[0] == "Toy Story (1995)"


def test_both_forms_load_as_the_same_data(tmp_path, real_files):
    files = real_files("ml-1m")
    if files["interactions"].suffix != ".parquet":
        pytest.skip("ratings.parquet is not here")
    ratings = pd.read_parquet(files["interactions"])
    ratings = ratings[ratings["user"].isin([1, 2, 3, 195, 1267, 2860, 4169])].sample(frac=1, random_state=0)
    ratings.to_parquet(tmp_path / "ratings.parquet")
    lines = sorted(zip(ratings["user"].tolist(), ratings["item"].tolist(), ratings["rating"].tolist(), strict=True))
    (tmp_path / "ratings.dat").write_text("".join(f"{u}::{i}::{r}\n" for u, i, r in lines))
    other = ml_1m.read(files | {"interactions": tmp_path / "ratings.dat"})
    one = ml_1m.read(files | {"interactions": tmp_path / "ratings.parquet"})
    assert one.checksum == other.checksum
    user, item = one.ids["user"].get_loc("2860"), one.ids["item"].get_loc("811")
    pair = (one.interactions.user == user) & (one.interactions.item == item)
    assert one.interactions.value[pair].tolist() == [4.0]  # the higher of 3 and 4
    assert len(one.interactions) == len(lines) - 4  # the four repeated pairs are those of the last four users


def test_official_ratings_become_the_known_form():
    official = b"2::860::3::978300760\n1::1795::5::978302109\n1::48::4::978302109\n"
    assert ml_1m._merged_ratings(official) == b"1::48::4\n1::1741::5\n2::811::3\n"
    bewegte, miserables = "811::Bewegte Mann, Der (1994)::Comedy\n", "73::Mis\xe9rables::Drama\n"
    official = f"{bewegte}860::Maybe (1994)::Comedy\n{miserables}".encode("latin-1")
    assert ml_1m._merged_movies(official).decode() == bewegte + miserables.replace("\xe9", "\ufffd")


def test_a_page_instead_of_the_ratings_is_refused_not_a_crash():
    file = next(f for f in ml_1m.SOURCE.files if f.name == "ratings.dat")
    assert file.checked(b"<html>moved</html>") is None
