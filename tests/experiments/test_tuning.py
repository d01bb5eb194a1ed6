"""Searches of a protocol's models: which are searched, and how the best options get into their configs."""

import json
from dataclasses import replace

import pytest

from experiments import tuning
from experiments.protocols import CONFIGS, PROTOCOLS, TUNING, protocol_named
from experiments.tuning import adopted, is_searched, log_of, tune_protocol
from gnnrec.experiment.config import TuningConfig, read_config
from gnnrec.options.search_space import value_of

MODELINE = "# yaml-language-server: $schema=../schema.json\n"
HEAD = f"{MODELINE}# A model.\n# All else is made up.\n# Options chosen on validation users.\n"
BASE = (
    "seed: 0\ndata: {source: ml-100k}\nsplit: {kind: unseen_users, test: 0.2, validation: 0.1}\n"
    "evaluate: {metrics: [ndcg], at: [10]}\n"
)
BODY = "extends: _base.yaml\nmodel: {class: GraphSAGE, pretrain: {}}\n"
TUNED_CONFIGS = [
    (path, log)
    for protocol in PROTOCOLS
    for path in protocol.configs()
    if is_searched(path) and (log := log_of(path, protocol)).is_file()
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Two graph models, and a log of a search whose trial 1 is the best."""
    monkeypatch.setattr(tuning, "ROOT", tmp_path)
    monkeypatch.setattr(tuning, "TUNING", tmp_path / "tuning")
    protocol = replace(protocol_named("ml-100k"), name="toy")
    (tmp_path / "configs" / "toy").mkdir(parents=True)
    monkeypatch.setattr(type(protocol), "configs", lambda self: sorted((tmp_path / "configs" / "toy").glob("g*.yaml")))
    (tmp_path / "configs" / "toy" / "_base.yaml").write_text(BASE)
    (tmp_path / "configs" / "toy" / "graphsage.yaml").write_text(HEAD + BODY)
    row = "extends: graphsage.yaml\nmodel: {pretrain: null}\n"
    (tmp_path / "configs" / "toy" / "graphsage-no-pretraining.yaml").write_text(HEAD + row)
    found = {
        "best": 1,
        "metric": "ndcg@10",
        "seed": 0,
        "trials": [
            {"number": 0, "value": 0.1, "options": {"finetune.learning_rate": 0.5}},
            {"number": 1, "value": 0.25, "options": {"finetune.learning_rate": 0.01, "pretrain.learning_rate": 0.02}},
        ],
    }
    log = tmp_path / "tuning" / "toy" / "graphsage.json"
    log.parent.mkdir(parents=True)
    log.write_text(json.dumps(found))
    return tmp_path, protocol, log


def test_a_config_takes_the_best_options_and_says_where_from(place):
    folder, _, log = place
    path = folder / "configs" / "toy" / "graphsage.yaml"
    path.write_text(adopted(path, log))
    assert path.read_text().splitlines() == [
        MODELINE.strip(),
        "# A model.",
        "# All else is made up.",
        "# Tuned on the validation users of seed 0: ndcg@10 0.2500 in trial 1 of 2, see tuning/toy/graphsage.json.",
        "extends: _base.yaml",
        "model: {class: GraphSAGE, pretrain: {learning_rate: 0.02}, finetune: {learning_rate: 0.01}}",
    ]
    assert read_config(path).said["evaluate"] == {"metrics": ["ndcg"], "at": [10]}
    assert adopted(path, log) == path.read_text()


def test_options_of_a_model_that_a_base_has_go_into_the_config_itself(place):
    folder, _, log = place
    base = folder / "configs" / "toy" / "_base.yaml"
    base.write_text(BASE + "model: {class: GraphSAGE, pretrain: null, finetune: {epochs: 9}}\n")
    path = folder / "configs" / "toy" / "graphsage-no-pretraining.yaml"
    path.write_text("extends: _base.yaml\n")
    path.write_text(adopted(path, log))
    assert path.read_text().endswith("extends: _base.yaml\nmodel: {finetune: {learning_rate: 0.01}}\n")
    finetune = read_config(path).config.model["finetune"]
    assert (finetune["epochs"], finetune["learning_rate"]) == (9, 0.01)
    assert base.read_text().startswith(BASE)


def test_a_row_that_extends_another_has_its_options_and_is_not_searched(place, monkeypatch):
    folder, protocol, _ = place
    monkeypatch.setattr(tuning, "tune", lambda *a, **k: pytest.fail("searched again"))
    before = (folder / "configs" / "toy" / "graphsage-no-pretraining.yaml").read_text()
    tune_protocol(protocol, folder / "runs", TuningConfig())
    path = folder / "configs" / "toy" / "graphsage-no-pretraining.yaml"
    assert path.read_text() == before
    model = read_config(path).config.model
    assert (model["pretrain"], model["finetune"]["learning_rate"]) == (None, 0.01)
    assert not is_searched(path)
    assert is_searched(path.with_stem("graphsage"))


def test_a_blend_is_not_searched(place):
    folder, _, _ = place
    path = folder / "configs" / "toy" / "blend.yaml"
    path.write_text("extends: _base.yaml\nmodel: {class: Blend, components: {graphsage: {extends: graphsage.yaml}}}\n")
    assert not is_searched(path)


def test_options_from_another_protocol_come_first(place):
    folder, protocol, log = place
    path = folder / "configs" / "toy" / "graphsage.yaml"
    other = replace(protocol, name="few", options_from="toy")
    assert log_of(path, other) == log
    assert log_of(path.with_stem("ease"), other) == folder / "tuning" / "few" / "ease.json"


@pytest.mark.parametrize(("path", "log"), TUNED_CONFIGS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_committed_configs_have_the_options_that_their_logs_found_best(path, log):
    found = json.loads(log.read_text())
    best = next(trial for trial in found["trials"] if trial["number"] == found["best"])
    sign = -1 if found["direction"] == "minimize" else 1
    assert best["value"] == sign * max(sign * t["value"] for t in found["trials"] if t["value"] is not None)
    model = read_config(path).config.model
    for name, value in best["options"].items():
        held = value_of(model, name)
        assert held == value, name
    assert f"see {log.relative_to(TUNING.parents[1])}." in path.read_text()


@pytest.mark.parametrize("protocol", [p for p in PROTOCOLS if (TUNING / p.name).is_dir()], ids=lambda p: p.name)
def test_models_of_a_protocol_were_searched_with_one_budget(protocol):
    logs = [json.loads(path.read_text()) for path in sorted((TUNING / protocol.name).glob("*.json"))]
    logs = [log for log in logs if log["space"]]
    assert len({json.dumps({k: log["budget"][k] for k in ("trials", "minutes")}) for log in logs}) == 1
    known: dict[str, set[tuple[str, ...]]] = {}  # what rows know of items may differ
    for log in logs:
        data = read_config(CONFIGS / protocol.name / f"{log['config']}.yaml").own.get("data", {})
        checksums = (str(log["seed"]), log["metric"], log["checksums"]["data"], log["checksums"]["split"])
        known.setdefault(json.dumps(data, sort_keys=True), set()).add(checksums)
    assert all(len(one) == 1 for one in known.values())
    assert len({one[:2] for of_data in known.values() for one in of_data}) == 1
    for log in logs:
        minutes = sum(trial["seconds"] for trial in log["trials"][:-1]) / 60
        assert len(log["trials"]) <= log["budget"]["trials"]
        assert minutes < log["budget"]["minutes"]  # the last trial that was begun is finished
        full = len(log["trials"]) == log["budget"]["trials"] or log["seconds"] >= 60 * log["budget"]["minutes"]
        assert full, log["config"]
