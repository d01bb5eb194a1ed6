import csv
from pathlib import Path

from gnnrec.data.datasets import german_credit


def test_made_up_files(tmp_path: Path) -> None:
    columns = [*german_credit.VALUES, *german_credit.NUMBERS, "creditability"]
    rows = [["v"] * 17 + ["6", "1169", "67", "good"], ["w"] * 17 + ["48", "5951", "22", "bad"]]
    with (tmp_path / "applicants").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    data = german_credit.read({"applicants": tmp_path / "applicants"})
    assert list(data.ids["item"]) == ["bad", "good"]
    assert data.interactions.item.tolist() == [1, 0]
    assert [one.name for one in data.numeric] == ["duration", "amount", "age"]
    assert data.numeric[1].number.tolist() == [1169, 5951]
    assert len(data.relations) == 17
    assert list(data.ids["job"]) == ["v", "w"]


def test_counts_are_what_a_second_count_finds(real, real_files):
    data, files = real("german-credit"), real_files("german-credit")
    with files["applicants"].open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == data.num_users == 1_000
    assert sum(row["creditability"] == "bad" for row in rows) == int((data.interactions.item == 0).sum()) == 300
    for relation in data.relations:
        column = next(column for column, name in german_credit.VALUES.items() if name == relation.name)
        user, value = relation.edge_index[:, 123].tolist()
        assert rows[user][column].strip() == data.ids[relation.name][value]
