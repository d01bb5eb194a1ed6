"""The table of replays: shares by hand, what is committed, and what a small replay of a row keeps."""

import json
import re

import pandas as pd
import pytest

from experiments import replays
from experiments.protocols import CONFIGS, RESULTS, ROOT, TABLES
from experiments.replays import REPLAYS, kept, render, replay_table, share_of
from gnnrec.experiment.config import read_config

NAMES = [name for name in REPLAYS if (RESULTS / f"{name}.json").is_file()]


def test_a_share_is_of_sums_over_users():
    """User a has 3 of 6, user b 1 of 2 and 4 of 4: 8 of 12, and between half and all wherever users are drawn."""
    rows = [("steps", "a", 3.0), ("steps", "b", 1.0), ("steps", "b", 4.0)]
    rows += [("retrain", "a", 6.0), ("retrain", "b", 2.0), ("retrain", "b", 4.0), ("frozen", "a", 100.0)]
    share, low, high = share_of(pd.DataFrame(rows, columns=["policy", "user", "x"]), "steps", "retrain", "x")
    assert share == pytest.approx(8 / 12, abs=1e-4)
    assert (low, high) == pytest.approx((3 / 6, 5 / 6), abs=1e-4)


def test_a_small_replay_is_kept_and_rendered(tmp_path, monkeypatch):
    folder = tmp_path / "configs" / "toy"
    folder.mkdir(parents=True)
    (tmp_path / "clicks.csv").write_text(
        "user,item,at\n" + "".join(f"u{n % 40},i{(7 * n) % 11},{n + 100 * (n % 40)}\n" for n in range(400))
    )
    (folder / "_base.yaml").write_text(
        "data: {source: table, interactions: {path: ../../clicks.csv, user: user, item: item, time: at}}\n"
        "split: {kind: temporal, test: 0.3, validation: 0.3, target: next}\n"
        "evaluate: {metrics: [ndcg], at: [10]}\nreplay: {windows: 2, policies: [inductive, retrain]}\n"
    )
    for name, model in (("popularity", "Popularity"), ("item-knn", "ItemKNN")):
        (folder / f"{name}.yaml").write_text(f"extends: _base.yaml\nmodel: {{class: {model}}}\n")
    monkeypatch.setattr(replays, "CONFIGS", tmp_path / "configs")
    content = kept("toy", "Toy", tmp_path / "out")
    assert content == kept("toy", "Toy", tmp_path / "out") == json.loads(json.dumps(content))
    assert {(row["model"], row["policy"]) for row in content["rows"]} == {
        (model, policy) for model in ("popularity", "item-knn") for policy in ("inductive", "retrain")
    }
    table = replay_table(content)
    newcomers = table.header.index("newcomers")
    means = [float(cells[newcomers].split()[0]) for cells in table.cells]
    assert means == sorted(means, reverse=True)
    assert (0, newcomers) in table.bold
    assert "in 2 windows" in table.caption


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_table_is_that_of_the_committed_results(name):
    content = json.loads((RESULTS / f"{name}.json").read_text())
    for path, text in render(name, content, TABLES).items():
        assert path.read_text() == text
    assert rf"\resultstable{{{name}}}" in (ROOT / "paper" / "main.tex").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_of_a_config_as_it_is_now(name):
    content = json.loads((RESULTS / f"{name}.json").read_text())
    committed = {path.stem: read_config(path).config for path in (CONFIGS / name).glob("[!_]*.yaml")}
    assert {run["name"] for run in content["runs"]} == {row["model"] for row in content["rows"]} == set(committed)
    for run in content["runs"]:
        now = committed[run["name"]].model_dump(mode="json", exclude={"base"})
        assert run["checksum"] == replays.checksum_of(now)
        assert re.fullmatch(r"[\d.]+", run["versions"]["gnnrec"])
