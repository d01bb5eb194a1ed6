"""`gnnrec attack`: a table or JSON, a folder, and one line for what is wrong."""

import json
from pathlib import Path
from typing import Any

from command_line import refused
from synthetic_table import write_shop


def test_attack_prints_a_table_and_goes_on_where_it_was(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    model = "model={class: Popularity}"
    answer = gnnrec("attack", config, model, "--shadows", "5", "--seeds", "2,3")
    assert answer.code == 0, answer.err
    assert "lira_online" in answer.out
    assert "AUC" in answer.out
    assert "shadow model 5 of 5" in answer.err
    for seed in ("2", "3"):
        names = {path.name for path in (tmp_path / "attacks" / "shop" / seed).iterdir()}
        assert {"attack.json", "per_user.parquet", "shadows"} <= names
    again = gnnrec("attack", config, model, "--shadows", "5", "--seeds", "2,3", "--json")
    assert again.code == 0
    assert again.err == ""
    first, second = json.loads(again.out)
    assert (first["seed"], second["seed"]) == (2, 3)
    assert 0 <= first["attacks"]["rank"]["threshold"]["auc"] <= 1
    assert first["shadows"] == 5


def test_what_is_wrong_with_an_attack_is_one_line(gnnrec: Any, tmp_path: Path) -> None:
    config = write_shop(tmp_path)
    refused(gnnrec("attack", config, "--shadows", "2"), "--shadows: must be at least 4, got 2")
    refused(gnnrec("attack", config, "--seeds", "x"), "--seeds")
