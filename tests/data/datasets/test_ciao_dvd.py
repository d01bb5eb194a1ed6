import csv
import gzip
from pathlib import Path

from gnnrec.data.datasets import ciao_dvd


def test_made_up_files(tmp_path: Path) -> None:
    """User 9 reviews film 5 twice; 30 has rated nothing; trust of 10 in 9 and of 9 in 10 is one relation."""
    ratings = [(9, 5, 1, 1, 2, "2001-01-02"), (9, 5, 1, 2, 4, "2000-12-31"), (10, 40, 2, 3, 5, "1970-01-02")]
    trust = [(10, 9, 1), (9, 10, 1), (30, 9, 1)]
    for name, header, rows in (
        ("ratings", "user,movie,genre,review,rating,date", ratings),
        ("trust", "trustor,trustee,value", trust),
    ):
        (tmp_path / name).write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    data = ciao_dvd.read({name: tmp_path / name for name in ("ratings", "trust")})
    assert (list(data.ids["user"]), list(data.ids["item"])) == (["9", "10"], ["5", "40"])
    own = data.interactions
    assert (own.user.tolist(), own.item.tolist(), own.value.tolist()) == ([0, 1], [0, 1], [4, 5])
    assert own.time.tolist() == [11_322, 1]  # 31 years of 365 days with 8 leap days before 2001-01-01, less a day
    trusted, genre = data.relations
    assert trusted.type == ("user", "trust", "user")
    assert trusted.edge_index.tolist() == [[0, 1], [1, 0]]
    assert genre.edge_index.tolist() == [[0, 1], [0, 1]]


def lines(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return list(csv.DictReader(file))


def test_counts_are_what_a_second_count_finds(real, real_files):
    data, files = real("ciao-dvd"), real_files("ciao-dvd")
    rows = lines(files["ratings"])
    assert len({(row["user"], row["movie"]) for row in rows}) == len(data.interactions) == 72_345
    assert {row["user"] for row in rows} == {*data.ids["user"]}
    pairs = {frozenset((row["trustor"], row["trustee"])) for row in lines(files["trust"])}
    rated = {row["user"] for row in rows}
    trust = data.relations[0].edge_index
    assert 2 * sum(pair <= rated for pair in pairs) == trust.shape[1]
    assert len(trust[0].unique()) == len({user for pair in pairs if pair <= rated for user in pair}) == 2_433
