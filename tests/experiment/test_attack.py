"""Attacks on models of which it is known what they keep of their users; broken off and gone on with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.experiment import attack as module
from gnnrec.experiment.attack import attack, known_by_attributes
from gnnrec.experiment.config import NamedConfig, read_config
from gnnrec.experiment.run import load_split
from gnnrec.views import USER, Edges, TestSet, TrainingData, UserBatch


class Memorizes:
    """Places a training user's own items first, whom it knows by its number in the data."""

    supports_cold_users = True
    predicts_ratings = False
    fitted = 0

    def __init__(self, *, epochs: int = 3) -> None:
        self.best_params: dict[str, Any] = {}
        self.epochs = epochs
        self.chooses_on_validation = True

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        self._train = train
        Memorizes.fitted += 1
        self.best_params = {} if validation is None else {"epochs": 2}

    def score(self, users: UserBatch) -> Tensor:
        assert not len(users.items)
        same = users.index[:, None] == self._train.users.index
        return same.float() @ self._train.users.history(self._train.num_items).float()


class PublicList:
    """The same order for everybody, whoever it is fitted on."""

    supports_cold_users = True
    predicts_ratings = False

    def __init__(self) -> None:
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        self._num_items = train.num_items

    def score(self, users: UserBatch) -> Tensor:
        return (torch.arange(self._num_items) * 7.0 % self._num_items).repeat(len(users), 1)


def config_of(folder: Path, model: str, seed: int = 5) -> NamedConfig:
    random = np.random.default_rng(3)
    user, item = np.repeat(np.arange(90), 5), random.integers(0, 30, 450)
    friend = np.stack([np.arange(90), (np.arange(90) + 1) % 90])
    pd.DataFrame({"u": user, "i": item}).to_csv(folder / "clicks.csv", index=False)
    pd.DataFrame({"u": range(90), "club": np.arange(90) % 4}).to_csv(folder / "users.csv", index=False)
    pd.DataFrame({"a": friend[0], "b": friend[1]}).to_csv(folder / "friends.csv", index=False)
    a, b = ({"type": "user", "column": column} for column in "ab")
    said = {
        "seed": seed,
        "data": {
            "source": "table",
            "interactions": {"path": "clicks.csv", "user": "u", "item": "i", "repeated": "first"},
            "users": {"path": "users.csv", "id": "u", "attributes": {"club": {}}},
            "relations": [{"path": "friends.csv", "source": a, "target": b, "name": "friend"}],
        },
        "split": {"kind": "unseen_users", "test": 0.2, "validation": 0.2},
        "model": {"class": model},
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(said))
    return read_config(folder / "toy.yaml")


def test_a_model_that_memorizes_is_caught_and_a_public_list_is_not(tmp_path: Path) -> None:
    caught = attack(config_of(tmp_path, f"{__name__}.Memorizes"), tmp_path / "caught", 8)
    assert caught.facts["users"] == 54
    assert all(quality.auc > 0.99 for quality in caught.quality["rank"].values())
    assert caught.quality["rank"]["lira_online"].balanced_accuracy > 0.99
    assert (caught.per_user["statistic_with"] > caught.per_user["statistic_without"]).all()
    clean = attack(config_of(tmp_path, f"{__name__}.PublicList"), tmp_path / "clean", 8)
    assert clean.quality["rank"]["lira_online"].auc == clean.quality["rank"]["lira_offline"].auc == 0.5
    assert clean.quality["rank"]["threshold"].auc == pytest.approx(0.5, abs=0.1)  # two standard errors: .06


def test_options_are_chosen_once_and_kept_to_the_letter(tmp_path: Path) -> None:
    Memorizes.fitted = 0
    found = attack(config_of(tmp_path, f"{__name__}.Memorizes"), tmp_path / "out", 4)
    assert found.facts["chosen"] == {"epochs": 2}
    assert Memorizes.fitted == 1 + 4


def test_a_killed_attack_goes_on_with_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(tmp_path, f"{__name__}.Memorizes")
    whole = attack(config, tmp_path / "whole", 6)

    class KilledError(Exception):
        pass

    def kill(line: str) -> None:
        if "shadow model 3 of" in line:
            raise KilledError

    with pytest.raises(KilledError):
        attack(config, tmp_path / "again", 6, report=kill)
    assert not (tmp_path / "again" / module.ATTACK).exists()
    fitted: list[str] = []
    found = attack(config, tmp_path / "again", 6, report=fitted.append)
    assert [line.split(",")[0] for line in fitted] == [f"toy seed 5: shadow model {n} of 6" for n in (4, 5, 6)]
    assert found.quality == whole.quality
    pd.testing.assert_frame_equal(found.per_user, whole.per_user)
    written = json.loads((tmp_path / "again" / module.ATTACK).read_text())
    assert written["attacks"]["rank"]["lira_online"]["auc"] == whole.quality["rank"]["lira_online"].auc
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "again" / module.PER_USER), whole.per_user)


def test_more_shadow_models_keep_those_that_are_there(tmp_path: Path) -> None:
    config, told = config_of(tmp_path, "Popularity"), []
    attack(config, tmp_path / "out", 4)
    attack(config, tmp_path / "out", 6, report=told.append)
    assert len(told) == 2


def test_every_user_is_in_about_half_of_the_models_by_coins(tmp_path: Path) -> None:
    per_user = attack(config_of(tmp_path, "Popularity"), tmp_path / "out", 16).per_user
    assert (per_user["models_with"] + per_user["models_without"] == 16).all()
    assert per_user["models_with"].mean() == pytest.approx(8, abs=0.9)  # 54 users: a standard error is .27
    assert per_user["models_with"].nunique() > 3
    assert len(set(per_user["user"])) == 54


def test_queries_hold_attributes_and_friends_of_the_half_alone(tmp_path: Path) -> None:
    train = load_split(config_of(tmp_path, "Popularity")).train
    kept = torch.rand(train.num_users, generator=torch.Generator().manual_seed(4)) < 0.5
    part, out = train.hold_out((~kept).nonzero().flatten())
    users = known_by_attributes(train, part, kept)
    assert len(users) == train.num_users
    assert len(users.items) == 0
    friend = (USER, "friend", USER)

    def pairs(edges: Edges, index: Tensor) -> set[tuple[int, int]]:
        named = part.users.index[edges.node]
        return set(zip(index[edges.row].tolist(), named.tolist(), strict=True))

    raw = train.users.relations[friend]
    every = set(zip(train.users.index[raw.row].tolist(), train.users.index[raw.node].tolist(), strict=True))
    members = set(part.users.index.tolist())
    assert pairs(users.relations[friend], users.index) == {(a, b) for a, b in every if b in members}
    assert pairs(out.users.relations[friend], out.users.index) <= pairs(users.relations[friend], users.index)
    for edge_type, edges in users.relations.items():
        if edge_type[2] != USER:
            assert torch.equal(edges.node.sort().values, train.users.relations[edge_type].node.sort().values)


def test_graphsage_leaks_more_the_longer_it_is_trained(tmp_path: Path) -> None:
    def auc(epochs: int) -> float:
        config = config_of(tmp_path, "Popularity")
        said = yaml.safe_load((tmp_path / "toy.yaml").read_text())
        finetune = {"epochs": epochs, "learning_rate": 0.05, "weight_decay": 0.0}
        said["model"] = {
            "class": "GraphSAGE",
            "encoder": {"channels": 16, "layers": 2, "regression": 0, "init": "random"},
            "finetune": finetune,
            "choose_on": 0,
        }
        (tmp_path / "toy.yaml").write_text(yaml.safe_dump(said))
        config = read_config(tmp_path / "toy.yaml", [])
        part = tmp_path / str(epochs)
        part.mkdir()
        (part / module.CHOSEN).write_text("{}")  # epochs as given
        found = attack(config, part, 8)
        assert list(found.quality) == ["log_probability", "rank"]
        return found.quality["log_probability"]["lira_online"].auc

    assert auc(0) < auc(60) - 0.02


def test_what_cannot_be_attacked_says_so(tmp_path: Path) -> None:
    config = config_of(tmp_path, "Popularity")
    with pytest.raises(ConfigError, match="--shadows: must be at least 4, got 3"):
        attack(config, tmp_path / "out", 3)
    few = read_config(tmp_path / "toy.yaml", ["split.train_share=0.2"])
    with pytest.raises(ConfigError, match="11 training users have a history"):
        attack(few, tmp_path / "few", 4)
    attack(config, tmp_path / "out", 4)
    with pytest.raises(ConfigError, match="another config or on other data"):
        attack(config.with_seed(6), tmp_path / "out", 4)


def test_a_model_that_needs_a_history_warns(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="gives all users without items the same scores"):
        found = attack(config_of(tmp_path, "EASE"), tmp_path / "out", 4)
    assert set(found.quality) == {"rank"}
