import csv
import gzip
from pathlib import Path

from gnnrec.data.datasets import filmtrust


def test_made_up_files(tmp_path: Path) -> None:
    """User 9 rates film 5 twice; 30 has rated nothing; trust of 10 in 9 is one relation in both directions."""
    (tmp_path / "ratings").write_text("user,item,rating\n9,5,2\n9,5,4\n10,40,0.5\n")
    (tmp_path / "trust").write_text("trustor,trustee,value\n10,9,1\n30,9,1\n")
    data = filmtrust.read({name: tmp_path / name for name in ("ratings", "trust")})
    assert (list(data.ids["user"]), list(data.ids["item"])) == (["9", "10"], ["5", "40"])
    own = data.interactions
    assert (own.user.tolist(), own.item.tolist(), own.value.tolist()) == ([0, 1], [0, 1], [4, 0.5])
    (trust,) = data.relations
    assert trust.type == ("user", "trust", "user")
    assert trust.edge_index.tolist() == [[0, 1], [1, 0]]


def test_counts_are_what_a_second_count_finds(real, real_files):
    data, files = real("filmtrust"), real_files("filmtrust")

    def lines(name: str) -> list[dict[str, str]]:
        with gzip.open(files[name], "rt") if files[name].suffix == ".gz" else files[name].open() as file:
            return list(csv.DictReader(file))

    rows = lines("ratings")
    assert len({(row["user"], row["item"]) for row in rows}) == len(data.interactions) == 35_494
    rated = {row["user"] for row in rows}
    pairs = {frozenset((row["trustor"], row["trustee"])) for row in lines("trust")}
    known = {pair for pair in pairs if pair <= rated}
    assert 2 * len(known) == data.relations[0].edge_index.shape[1]
    assert len({user for pair in known for user in pair}) == 705
