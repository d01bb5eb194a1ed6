import csv
import gzip
from pathlib import Path

from gnnrec.data.datasets import banking77


def test_made_up_files(tmp_path: Path) -> None:
    """Eleven messages of the training part: ids are sorted as text, words and intents stay with their message."""
    lines = "".join(f"word {row},{'card_lost' if row % 2 else 'a_fee'}\n" for row in range(11))
    (tmp_path / "train").write_text("text,category\n" + lines)
    (tmp_path / "test").write_text('text,category\n"is it, NA",card_lost\nNA,a_fee\n')
    data = banking77.read({name: tmp_path / name for name in ("train", "test")})
    assert list(data.ids["user"][:3]) == ["test-00000", "test-00001", "train-00000"]
    assert list(data.ids["item"]) == ["a_fee", "card_lost"]
    assert data.titles == ("a fee", "card lost")
    assert data.user_cells["text"][:4] == ("is it, NA", "NA", "word 0", "word 1")
    own = data.interactions
    assert own.user.tolist() == list(range(13))
    assert own.item.tolist()[:4] == [1, 0, 0, 1]


def test_counts_are_what_a_second_count_finds(real, real_files):
    data, files = real("banking77"), real_files("banking77")

    def lines(name: str) -> list[dict[str, str]]:
        with gzip.open(files[name], "rt") if files[name].suffix == ".gz" else files[name].open() as file:
            return list(csv.DictReader(file))

    rows = {f"{part}-{number:05}": row for part in ("train", "test") for number, row in enumerate(lines(part))}
    assert len(rows) == data.num_users == len(data.interactions) == 13_083
    assert data.num_items == 77
    ids, items = data.ids["user"], data.ids["item"]
    for user, item in zip(
        data.interactions.user[::1000].tolist(), data.interactions.item[::1000].tolist(), strict=True
    ):
        assert rows[ids[user]] == {"text": data.user_cells["text"][user], "category": items[item]}
