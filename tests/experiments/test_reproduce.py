"""The whole way on a synthetic shop: run, keep, compare, plant leaks, render; broken off and gone on."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from synthetic_table import write_shop
from typer.testing import CliRunner

from experiments import reproduce as module
from experiments.canary import LEAKS, planted
from experiments.groups import attribute_of
from experiments.keep import keep
from experiments.protocols import Protocol
from experiments.quick import quick_overrides
from experiments.render import protocol_table
from gnnrec.audit.training import audit
from gnnrec.data import load
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError, InputError
from gnnrec.experiment.config import read_config
from gnnrec.splits import Temporal, UnseenItems, UnseenUsers, make_split
from gnnrec.splits.parts import TRAIN

SHOP = Protocol("shop", "A synthetic shop", ("ndcg@10", "recall@10"), seeds=(0, 1), groups=("gender", "age"))
MANY = {"test": 0.4, "validation": 0.1, "train_share": 1.0}
"""Test users enough for groups; a real smoke run has fewer."""
MODELS = {
    "graphsage": "{class: GraphSAGE, encoder: {channels: 8}, pretrain: null, finetune: {epochs: 5}}",
    "popularity": "{class: Popularity}",
    "segment-popularity": "{class: SegmentPopularity}",
}


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs") / "shop"
    folder.mkdir()
    text = write_shop(folder).read_text()
    head, tail = text[: text.index("model:")], text[text.index("evaluate:") :]
    (folder / "shop.yaml").unlink()
    for name, model in MODELS.items():
        (folder / f"{name}.yaml").write_text(f"{head}model: {model}\n{tail}")
    shuffled = head.replace("seed: 0", "seed: 0\nshuffle_attributes: true")
    (folder / "graphsage-shuffled.yaml").write_text(f"{shuffled}model: {MODELS['graphsage']}\n{tail}")
    return folder.parent


@pytest.fixture(scope="module")
def done(configs, tmp_path_factory):
    """Folder with runs, results and tables of the shop."""
    folder = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CONFIGS", configs)
        patch.setattr(Protocol, "configs", lambda self, _=None: sorted((configs / self.name).glob("*.yaml")))
        patch.setattr("experiments.quick.SHARES", MANY)
        module.reproduce([SHOP], folder / "runs", folder / "results", quick=True)
    return folder


@pytest.fixture
def kept(done):
    return json.loads((done / "results" / "shop.json").read_text())


def test_every_config_and_seed_is_kept(kept):
    assert {(run["name"], run["seed"]) for run in kept["runs"]} == {
        (name, seed) for name in [*MODELS, "graphsage-shuffled"] for seed in (0, 1)
    }
    assert kept["openings"]["times"] == 8
    assert kept["columns"]["ndcg@10"]["floor"] == "segment-popularity"
    table = protocol_table(SHOP, kept)
    assert len(table.cells) == 4
    assert "the test part was opened 8 times" in table.caption


def test_quick_runs_make_one_epoch(kept):
    graphsage = next(run for run in kept["runs"] if run["name"] == "graphsage")
    assert graphsage["config"]["model"]["finetune"]["epochs"] == 1


def test_planted_leaks_were_caught(kept):
    assert kept["canaries"] == {leak.__name__: True for leak in LEAKS}


def test_gains_by_group(kept):
    assert set(kept["groups"]) == {"activity", "gender", "age"}
    by_gender = kept["groups"]["gender"]
    assert {gain["group"] for gain in by_gender} <= {"F", "M", "X"}
    every = [gain for gains in kept["groups"].values() for gain in gains]
    assert every
    for gain in every:
        assert 20 <= gain["users"] <= 120  # two runs of 60 test users, some of them the same
        assert set(gain["gains"]) == {"graphsage"}
        assert (
            gain["gains"]["graphsage"]["low"]
            <= gain["gains"]["graphsage"]["mean"]
            <= gain["gains"]["graphsage"]["high"]
        )


def test_learning_curves(kept):
    stages = kept["curves"]["graphsage"]
    assert {"choose/finetune", "final/finetune"} & set(stages)
    for stage in stages.values():
        assert [epoch for epoch, _ in stage["loss"]] == list(range(1, len(stage["loss"]) + 1))


def test_finished_runs_are_not_run_again(done, configs, monkeypatch):
    monkeypatch.setattr("experiments.quick.SHARES", MANY)
    monkeypatch.setattr(module, "CONFIGS", configs)
    monkeypatch.setattr(Protocol, "configs", lambda self, _=None: sorted((configs / self.name).glob("*.yaml")))
    times = {path: path.stat().st_mtime_ns for path in done.glob("runs/shop/*/*/result.json")}
    assert len(times) == 8
    shutil.rmtree(done / "runs" / "shop" / "popularity" / "1")
    module.reproduce([SHOP], done / "runs", done / "again", quick=True)
    for path, time in times.items():
        assert (path.stat().st_mtime_ns == time) == (path.parts[-3:-1] != ("popularity", "1"))


def test_an_audit_that_misses_a_leak_stops_the_table(done, monkeypatch, tmp_path):
    monkeypatch.setattr("experiments.canary.LEAKS", (*LEAKS, lambda split: audit(split, split.train)))
    with pytest.raises(ConfigError, match="the audit did not catch a planted leak"):
        keep(SHOP, done / "runs" / "shop", tmp_path / "shop.json")
    assert not (tmp_path / "shop.json").exists()


@pytest.mark.parametrize(
    "kind",
    [UnseenUsers(test=0.2, validation=0.1, support=2), Temporal(test=0.3, validation=0.3), UnseenItems(test=0.2)],
    ids=lambda k: k.kind,
)
def test_leaks_are_planted_in_any_kind_of_split(kind):
    """By time, training users have interactions after the moment, and are no held-out users for that."""
    data = synthetic(seed=0)
    own = data.interactions
    time = 10 * own.user + 80 * (9 - torch.arange(len(own)) % 10)  # users come one after the other, and stay
    split = make_split(replace(data, interactions=replace(own, time=time)), kind, seed=0)
    if kind.kind == "temporal":
        assert (split.user_part[own.user[split.edge_part != TRAIN]] == TRAIN).any()
    caught = planted(split)
    assert all(caught.values())
    assert len(caught) == (5 if kind.kind == "unseen_items" else 6)  # nobody is held out there


def test_models_with_other_seeds_are_cut_to_the_common_ones(done, tmp_path):
    runs = done / "fewer" / "shop"  # as deep as before: paths in a run's config are relative
    shutil.copytree(done / "runs" / "shop", runs)
    shutil.rmtree(runs / "graphsage" / "1")
    content = keep(SHOP, runs, tmp_path / "shop.json")
    assert {run["seed"] for run in content["runs"]} == {0}
    shutil.rmtree(runs / "popularity" / "0")
    with pytest.raises(ConfigError, match="the models have no seed in common"):
        keep(SHOP, runs, tmp_path / "shop.json")


def test_attribute_of_a_user(configs):
    config = read_config(configs / "shop" / "popularity.yaml")
    dataset = load(config.config.data, config.folder)
    assert set(attribute_of(dataset, "gender")) == {"F", "M", "X"}
    assert len(set(attribute_of(dataset, "age"))) == 4
    with pytest.raises(ConfigError, match="no user attribute 'size'"):
        attribute_of(dataset, "size")


def test_quick_overrides(configs):
    path = configs / "shop" / "graphsage.yaml"
    rounds = [o for o in quick_overrides(read_config(path, ["model.pretrain={epochs: 3}"])) if o.startswith("model.")]
    assert sorted(rounds) == [
        "model.choose_on=1",
        "model.finetune.epochs=1",
        "model.finetune.queries=32",
        "model.pretrain.epochs=1",
    ]
    quick = read_config(path, quick_overrides(read_config(path, ["split.folds=5", "split.test=null"]))).config
    assert (quick.split.folds, quick.split.test, quick.split.train_share) == (None, 0.01, 0.05)
    items = read_config(configs / "shop" / "popularity.yaml", ["split={kind: unseen_items}"])
    assert quick_overrides(items) == []


def test_a_protocol_that_does_not_exist():
    result = CliRunner().invoke(module.app, ["ml-100k", "nothing"])
    assert isinstance(result.exception, InputError)
    assert "no protocol is called 'nothing'; there are ml-100k-agnn" in str(result.exception)


def test_a_protocol_without_configs_or_data_is_skipped(monkeypatch, tmp_path, capsys):
    module.reproduce([Protocol("no-configs", "", ("ndcg@10",))], tmp_path, tmp_path)
    assert "no-configs: skipped, no configs" in capsys.readouterr().err
    monkeypatch.setattr(module, "find", lambda name: {})
    ml100k = next(p for p in module.PROTOCOLS if p.name == "ml-100k")
    module.reproduce([ml100k], tmp_path, tmp_path, quick=True)
    assert "ml-100k: skipped, no data ml-100k on this machine" in capsys.readouterr().err
