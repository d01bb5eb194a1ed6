"""Lists and vectors from the command line: one user, a file of users, a model without its training data."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command_line import refused
from synthetic_table import write_shop

QUICK = ["model.finetune.epochs=6", "model.pretrain=null", "model.choose_on=0"]
PROFILE = '{"age": 25, "interests": ["tea", "chess"], "has": {"cooking": 3}, "friend": "u-003"}'


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with a finished run of each of some models."""
    from gnnrec.experiment.config import read_config
    from gnnrec.experiment.run import run

    folder = tmp_path_factory.mktemp("shop")
    config = write_shop(folder)
    run(read_config(config, QUICK), folder / "runs" / "shop" / "0")
    for name in ("SegmentPopularity", "NeighbourPopularity"):
        run(read_config(config, [f"model={{class: {name}}}"]), folder / "runs" / name / "0")
    return folder


@pytest.fixture
def runs(shop: Path, tmp_path: Path) -> Path:
    """A copy of the runs, elsewhere, without any data beside it."""
    return Path(shutil.copytree(shop / "runs", tmp_path / "copied"))


def in_fresh_process(*arguments: str | Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)}
    command = [sys.executable, "-m", "gnnrec", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return done.stdout


def test_a_run_recommends_when_its_data_are_gone(gnnrec: Any, shop: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(shop, moved)
    before = gnnrec("recommend", moved / "runs" / "shop" / "0", "--user", PROFILE, "--items", "sku/3", "--json")
    assert before.code == 0, before.err
    for path in moved.iterdir():
        if path.is_file():
            path.unlink()
    (moved / "runs" / "shop" / "0" / "model").rename(tmp_path / "model")  # the saved model alone, elsewhere
    after = in_fresh_process("recommend", tmp_path / "model", "--user", PROFILE, "--items", "sku/3", "--json")
    assert after == before.out  # every digit of every score
    assert len(json.loads(after)["items"]) == 10


def test_a_file_of_users_gets_what_each_of_them_gets(gnnrec: Any, shop: Path, runs: Path, tmp_path: Path) -> None:
    users = pd.read_csv(shop / "users.csv", dtype=str).head(12).assign(user_id=[f"n{i}" for i in range(12)])
    users.to_csv(tmp_path / "new.csv", index=False)
    clicks = pd.DataFrame({"user_id": ["n2", "n0", "n2"], "item_id": ["sku/7", "sku/1", "sku/8"], "rating": [5, 5, 1]})
    clicks.to_csv(tmp_path / "clicks.csv", index=False)
    model, known = runs / "shop" / "0", {"n0": "sku/1", "n2": "sku/7"}
    answer = gnnrec("recommend", model, "--users", "new.csv", "--history", "clicks.csv", "--out", "lists.csv", "-k", 4)
    assert answer.code == 0, answer.err
    assert answer.out == ""
    assert "lists.csv: 48 rows for 12 users" in answer.err
    assert "warning: history: 1 rows ignored, whose value is below 4" in answer.err
    lists = pd.read_csv(tmp_path / "lists.csv")
    assert list(lists.columns) == ["user", "item", "rank", "score", "title"]
    for _, user in users.iterrows():
        profile: dict[str, Any] = {
            "gender": None if pd.isna(user["gender"]) else user["gender"],
            "age": None if pd.isna(user["age"]) else user["age"],
            "interests": [] if pd.isna(user["interests"]) else user["interests"].split("|"),
        }
        items = known.get(user["user_id"], "")
        alone = gnnrec("recommend", model, "--user", json.dumps(profile), "--items", items, "-k", 4, "--json")
        expected = json.loads(alone.out)["items"]
        mine = lists[lists["user"] == user["user_id"]]
        assert mine["item"].tolist() == [row["item"] for row in expected]
        assert mine["title"].tolist() == [row["title"] for row in expected]
        assert mine["score"].tolist() == pytest.approx([row["score"] for row in expected], abs=1e-4)


def test_json_tells_what_was_written_and_ignored(gnnrec: Any, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("name,age,interests,email\nA,30,tea|golf,a@b\nB,old,,\n")
    answer = gnnrec("recommend", runs / "SegmentPopularity" / "0", "--users", "new.csv", "--out", "l.parquet", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert {key: told[key] for key in ("users", "rows", "out")} == {"users": 2, "rows": 20, "out": "l.parquet"}
    known = "beer, chess, football, hiking, music, tea, wine"
    assert told["warnings"] == [
        f"interests: 1 values ignored, each a value that training has not seen, for example 'golf'; known: {known}",
        "age: 1 values ignored, each no number, for example 'old'",
        "unknown attribute 'email' is ignored. Known: gender, interests, friend, has, age",
    ]
    assert pd.read_parquet(tmp_path / "l.parquet")["user"].tolist() == ["A"] * 10 + ["B"] * 10


def test_only_and_exclude_hold_for_one_user_too(gnnrec: Any, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "items.txt").write_text("sku/1\nsku/2\nsku/3\n")
    model = runs / "shop" / "0"
    answer = gnnrec("recommend", model, "--only", "items.txt", "--exclude", "sku/2,sku/99", "--json")
    assert {row["item"] for row in json.loads(answer.out)["items"]} == {"sku/1", "sku/3"}
    assert "warning: --exclude: 1 ids ignored that are no item of the data, for example 'sku/99'" in answer.err
    refused(gnnrec("recommend", model, "--only", "sku/1", "--exclude", "sku/1"), "no item is left to recommend")


def test_embed_writes_vectors(gnnrec: Any, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "new.tsv").write_text("age\tkey\n30\t5\n\t6\n")
    answer = gnnrec("embed", runs / "shop" / "0", "--users", "new.tsv", "--out", "v.parquet", "--user-column", "key")
    assert answer.code == 0, answer.err
    found = pd.read_parquet(tmp_path / "v.parquet")
    assert found["user"].tolist() == ["5", "6"]
    assert [len(vector) for vector in found["vector"]] == [16, 16]
    answer = gnnrec("embed", runs / "SegmentPopularity" / "0", "--users", "new.tsv", "--out", "v.csv")
    refused(answer, "SegmentPopularity has no vectors of users")


def test_what_does_not_go_together_is_refused(gnnrec: Any, runs: Path, tmp_path: Path) -> None:
    model = runs / "shop" / "0"
    (tmp_path / "new.csv").write_text("id\na\n")
    refused(gnnrec("recommend", model, "--users", "new.csv"), "--users: name the file of lists")
    refused(gnnrec("recommend", model, "--users", "new.csv", "--out", "l.csv", "--items", "sku/1"), "--items: ")
    refused(gnnrec("recommend", model, "--users", "new.csv", "--out", "l.csv", "--user", "{}"), "--user: ")
    refused(gnnrec("recommend", model, "--out", "l.csv"), "--out: needs --users FILE")
    refused(gnnrec("recommend", model, "--history", "new.csv"), "--history: needs --users FILE")
    refused(gnnrec("recommend", model, "--users", "new.csv", "--out", "l.txt"), "must end in .parquet or .csv")
    refused(gnnrec("recommend", model, "--users", "none.csv", "--out", "l.csv"), "none.csv: no such file")


def test_a_model_of_another_run_is_refused(gnnrec: Any, runs: Path) -> None:
    shutil.rmtree(runs / "shop" / "0" / "model")
    shutil.copytree(runs / "SegmentPopularity" / "0" / "model", runs / "shop" / "0" / "model")
    refused(gnnrec("recommend", runs / "shop" / "0"), "is not the model of this run")
    assert gnnrec("recommend", runs / "SegmentPopularity" / "0").code == 0


@pytest.mark.parametrize("name", ["artifact.json", "model.json", "arrays.safetensors", "nodes-0.parquet"])
def test_a_changed_bit_of_a_run_is_one_line(gnnrec: Any, runs: Path, name: str) -> None:
    path = runs / "shop" / "0" / "model" / name
    content = path.read_bytes()
    path.write_bytes(content[:-20] + bytes([content[-20] ^ 4]) + content[-19:])
    refused(gnnrec("recommend", runs / "shop" / "0"), str(runs / "shop" / "0"))


def test_folders_without_a_model_say_what_to_do(gnnrec: Any, runs: Path, tmp_path: Path) -> None:
    refused(gnnrec("recommend", tmp_path / "none"), "no such run folder")
    refused(gnnrec("recommend", runs), "holds runs and is none itself; name one of them, for example")
    (runs / "shop" / "0" / "model" / "artifact.json").unlink()
    refused(gnnrec("recommend", runs / "shop" / "0"), "artifact.json: no such file; run the config again")
    (runs / "shop" / "0" / "result.json").write_text("{}")
    refused(gnnrec("recommend", runs / "shop" / "0"), "result.json: cannot be read")
    (runs / "shop" / "0" / "result.json").unlink()
    refused(gnnrec("recommend", runs / "shop" / "0"), "not finished (no result.json)")


def test_what_a_model_holds_stands_in_its_folder(runs: Path) -> None:
    held = {path.parts[-4]: json.loads(path.read_text())["holds"] for path in runs.glob("*/0/model/artifact.json")}
    ids = "ids of training users"
    assert held == {"shop": [ids], "SegmentPopularity": [ids], "NeighbourPopularity": ["training interactions", ids]}


def test_explain_tells_what_is_behind_each_item(gnnrec: Any, runs: Path, tmp_path: Path) -> None:
    model = runs / "SegmentPopularity" / "0"
    answer = gnnrec("recommend", model, "--user", '{"has": "cooking"}', "--explain", "--json", "-k", "3")
    for row in json.loads(answer.out)["items"]:
        (reason,) = row["why"]
        assert (reason["relation"], reason["value"]) == ("has", "cooking")
        assert reason["weight"] > 0
    assert "has cooking +" in gnnrec("recommend", model, "--user", '{"has": "cooking"}', "--explain").out
    plain = json.loads(gnnrec("recommend", model, "--json").out)["items"]
    assert all(set(row) == {"rank", "item", "title", "score"} for row in plain)
    (tmp_path / "new.csv").write_text("id,has\na,cooking\nb,\n")
    gnnrec("recommend", model, "--users", "new.csv", "--out", "l.csv", "--explain", "-k", "3")
    lists = pd.read_csv("l.csv")
    told = [[row["why"] for row in json.loads(answer.out)["items"]], [[]] * 3]
    assert [[json.loads(cell) for cell in rows["why"]] for _, rows in lists.groupby("user")] == told
