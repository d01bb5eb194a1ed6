"""A replay predicts each event before it is recorded: by hand, against loops, and broken off at any window."""

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor

from gnnrec.data.config import TableData
from gnnrec.errors import AuditError, ConfigError
from gnnrec.evaluation.evaluator import EvaluateConfig
from gnnrec.experiment import replay as module
from gnnrec.experiment.config import NamedConfig, ReplayConfig, read_config
from gnnrec.experiment.replay import Stream, mean_of_users, replay
from gnnrec.experiment.run import load_split
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.options.resolve import build
from gnnrec.views import TrainingData, UserBatch

SMALL = {
    "class": "GraphSAGE",
    "encoder": {"channels": 8, "layers": 2},
    "pretrain": None,
    "decoder": {"name": "Linear"},
    "finetune": {"target": "next", "batch_users": 32, "epochs": 3},
    "choose_on": 0,
}


def config_of(folder: Path, model: dict[str, Any], seed: int = 3, **changes: Any) -> NamedConfig:
    """Eighty users who arrive one after the other and choose from twenty items, later ones from later items."""
    random = np.random.default_rng(seed)
    user = np.repeat(np.arange(80), 6)
    item = (user // 8 + random.integers(0, 12, len(user))) % 20
    time = user * 10 + random.integers(0, 200, len(user))
    folder.mkdir(exist_ok=True)
    pd.DataFrame({"u": user, "i": item, "t": time}).to_csv(folder / "clicks.csv", index=False)
    pd.DataFrame({"u": range(80), "club": np.arange(80) % 3}).to_csv(folder / "users.csv", index=False)
    said = {
        "data": {
            "source": "table",
            "interactions": {"path": "clicks.csv", "user": "u", "item": "i", "time": "t", "repeated": "first"},
            "users": {"path": "users.csv", "id": "u", "attributes": {"club": {}}},
        },
        "split": {"kind": "temporal", "test": 0.4, "target": "next", "support": 2},
        "evaluate": {"metrics": ["ndcg"], "at": [5], "shots": [0, 1, 2]},
        "replay": {"windows": 3, "steps": 2},
        "model": model,
        **changes,
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(said))
    return read_config(folder / "toy.yaml")


def stream_of(folder: Path, windows: int = 3) -> Stream:
    return Stream.of(load_split(config_of(folder, {"class": "Popularity"})), windows)


def test_each_event_after_the_moment_is_asked_for_once(tmp_path: Path) -> None:
    stream = stream_of(tmp_path)
    met = torch.cat([stream.window(w) for w in range(len(stream.ends) - 1)])
    assert sorted(met.tolist()) == (stream.time >= stream.ends[0]).nonzero().flatten().tolist()
    sizes = [len(stream.window(w)) for w in range(3)]
    assert max(sizes) - min(sizes) < 0.2 * sum(sizes)


def test_a_query_knows_what_came_before_and_nothing_else(tmp_path: Path) -> None:
    stream = stream_of(tmp_path)
    raw = pd.read_csv(tmp_path / "clicks.csv").sort_values("t", kind="stable").drop_duplicates(["u", "i"])
    ids = {t: stream.dataset.ids[t].tolist() for t in ("user", "item")}
    for window in range(3):
        train = stream.training(stream.ends[window])
        events = stream.window(window)
        for shown in (True, False):
            test = stream.queries(events, train, shown=shown)
            assert test.next_item
            for row, event in enumerate(events.tolist()):
                user = ids["user"][int(stream.user[event])]
                time, item = int(stream.time[event]), int(stream.histories.item[event])
                assert test.ground_truth.node[test.ground_truth.row == row].tolist() == [item]
                source = test.users.items if shown else test.masked
                assert source is not None
                found = source.node[source.row == row].tolist()
                mine = raw[raw["u"].astype(str) == str(user)]
                before = {ids["item"].index(str(i)) for i in mine.loc[mine["t"] < time, "i"]}
                level = {ids["item"].index(str(i)) for i in mine.loc[mine["t"] <= time, "i"]}
                assert before <= {*found} <= level - {item}
                assert len(found) == int(stream.histories.place[event])
            assert shown or not len(test.users.items)


def test_training_holds_all_that_is_past_and_nothing_more(tmp_path: Path) -> None:
    stream = stream_of(tmp_path)
    own = stream.dataset.interactions
    assert own.time is not None
    for end in stream.ends:
        train = stream.training(end)
        assert len(train.users.items) == int((own.time < end).sum())
        assert train.users.items.time is not None
        assert int(train.users.items.time.max()) < end
        assert train.candidates.sum() == own.item[own.time < end].unique().numel()
    fresh = stream.fresh(stream.training(stream.ends[1]), *stream.ends[:2])
    inside = own.user[(own.time >= stream.ends[0]) & (own.time < stream.ends[1])].unique()
    assert stream.training(stream.ends[1]).users.index[fresh].tolist() == inside.tolist()


def test_what_is_later_in_training_or_shown_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stream_of(tmp_path)
    real = module.training_data

    def leaky(*arguments: Any) -> TrainingData:
        data, users, before, *more = arguments
        assert data.interactions.time is not None
        return real(data, users, before | (data.interactions.time == data.interactions.time.max()), *more)

    monkeypatch.setattr(module, "training_data", leaky)
    with pytest.raises(AuditError, match="training holds 1 interactions of after the moment"):
        stream.training(int(stream.time.max()))
    monkeypatch.undo()
    train = stream.training(stream.ends[0])
    later = stream.histories.place.clone()
    event = int((stream.histories.place == 0).nonzero()[0])
    later[event] = 3  # its query is shown events that follow it
    monkeypatch.setattr(type(stream.histories), "place", property(lambda self: later))
    with pytest.raises(AuditError, match="come after the ground truth"):
        stream.queries(torch.tensor([event]), train, shown=True)


class Hears:
    """Scores by how often each item was met in training, and is told when it changes."""

    supports_cold_users = True
    predicts_ratings = False
    told: ClassVar[list[tuple[str, int]]] = []

    def __init__(self) -> None:
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: Any, seed: int) -> None:
        self.told.append(("fit", len(train.users.items)))
        self._count = train.popularity

    def update(self, train: TrainingData, *, fresh: Tensor, steps: int, **rest: Any) -> None:
        assert int(fresh.sum()) > 0
        self.told.append((f"{steps} steps", len(train.users.items)))
        self._count = train.popularity

    def score(self, users: UserBatch) -> Tensor:
        return self._count.repeat(len(users), 1)


def test_policies_change_the_model_as_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hears.told = []
    config = config_of(tmp_path, {"class": "Popularity"})
    monkeypatch.setattr(NamedConfig, "model", lambda self, replaced=None: Hears())
    found = replay(config, tmp_path / "out")
    stream = stream_of(tmp_path)
    past = [len(stream.training(end).users.items) for end in stream.ends]
    assert Hears.told == [
        ("fit", past[0]),
        *(("fit", count) for count in past[1:3]),
        *(("2 steps", count) for count in past[1:3]),
    ]
    assert set(found.summary) == {"frozen", "inductive", "steps", "retrain"}
    events = found.events
    assert len(events) == 4 * sum(len(stream.window(w)) for w in range(3))
    by = {policy: part["ndcg@5"].to_numpy() for policy, part in events.groupby("policy")}
    assert np.array_equal(by["steps"], by["retrain"])
    assert np.array_equal(by["frozen"], by["inductive"])  # popularity does not look at the user
    assert by["steps"].mean() > by["frozen"].mean()  # later users choose later items
    assert {*events["newcomer"].unique()} == {True, False}
    told = json.loads((tmp_path / "out" / "replay.json").read_text())
    assert told["summary"]["steps"]["newcomers"]["ndcg@5"] == list(found.summary["steps"]["newcomers"]["ndcg@5"])
    assert found.seconds["frozen"]["update"] == 0 < found.seconds["retrain"]["update"]


def test_against_popularity_by_hand(tmp_path: Path) -> None:
    """Each event's value, from counts over the raw rows; ties lie within a range."""
    found = replay(config_of(tmp_path, {"class": "Popularity"}), tmp_path / "out").events
    stream = stream_of(tmp_path)
    frozen = found[found["policy"] == "frozen"]["ndcg@5"].to_numpy()
    before = stream.training(stream.ends[0])
    count, place = before.popularity, 0
    for window in range(3):
        for event in stream.window(window).tolist():
            start = int(stream.histories.pointer[stream.user[event]])
            score = torch.where(before.candidates, count, -1.0)
            score[stream.histories.item[start:event]] = -1
            item = int(stream.histories.item[event])
            better = int((score > score[item]).sum())
            ties = int((score == score[item]).sum()) - 1
            ends = [1 / np.log2(2 + rank) if rank < 5 and score[item] > 0 else 0 for rank in (better, better + ties)]
            assert min(ends) - 1e-6 <= frozen[place] <= max(ends) + 1e-6
            place += 1


def test_broken_off_anywhere_it_goes_on_to_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(tmp_path, SMALL)
    whole = replay(config, tmp_path / "whole").events
    for stop in (1, 5, 8, 11):

        class StopError(Exception):
            pass

        count = 0

        def advance(what: str) -> None:
            nonlocal count
            count += 1
            if count == stop:  # noqa: B023
                raise StopError

        with pytest.raises(StopError):
            replay(config, tmp_path / "cut", advance=advance)
        later: list[str] = []
        again = replay(config, tmp_path / "cut", advance=later.append)
        assert len(later) == 12 - stop
        pd.testing.assert_frame_equal(again.events, whole)
        shutil.rmtree(tmp_path / "cut")


def test_another_config_is_refused_and_a_split_without_times(tmp_path: Path) -> None:
    replay(config_of(tmp_path, {"class": "Popularity"}), tmp_path / "out")
    with pytest.raises(ConfigError, match="holds a replay of another config"):
        replay(config_of(tmp_path, {"class": "Popularity"}, replay={"windows": 2}), tmp_path / "out")
    other = config_of(
        tmp_path, {"class": "Popularity"}, split={"kind": "unseen_users", "test": 0.3}, evaluate={"metrics": ["ndcg"]}
    )
    with pytest.raises(ConfigError, match="replay needs a split by time"):
        replay(other, tmp_path / "other")


def test_a_model_without_update_leaves_its_policy_out(tmp_path: Path) -> None:
    found = replay(config_of(tmp_path, {"class": "ItemKNN"}), tmp_path / "out")
    assert set(found.summary) == {"frozen", "inductive", "retrain"}
    assert found.summary["frozen"]["newcomers"] == {}  # it cannot score a user without known items
    first = found.events[(found.events["policy"] == "inductive") & (found.events["seen"] == 0)]
    assert first["ndcg@5"].isna().all()


def test_intervals_are_over_users() -> None:
    user = pd.Series(np.repeat(np.arange(50), 4))
    value = pd.Series(np.repeat(np.random.default_rng(3).random(50), 4))
    mean, low, high = mean_of_users(user, value)
    alone = mean_of_users(user[::4], value[::4])
    assert (mean, low, high) == pytest.approx(alone)  # four times the same is no more than once
    assert low < mean < high
    wide = mean_of_users(pd.Series(np.arange(200)), value)
    assert wide[2] - wide[1] < 0.7 * (high - low)


def test_settings_are_checked() -> None:
    assert ReplayConfig().policies == ("frozen", "inductive", "steps", "retrain")
    for wrong in ({"windows": 0}, {"policies": ["nightly"]}, {"policies": []}, {"steps": -1}, {"retrain_every": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ReplayConfig.model_validate(wrong)


@pytest.mark.parametrize("name", ["Dot", "Linear", "PairWise"])
def test_an_update_without_steps_is_the_old_weights_on_the_new_graph(tmp_path: Path, name: str) -> None:
    stream = stream_of(tmp_path)
    before, after = stream.training(stream.ends[0]), stream.training(stream.ends[2])
    model: Any = build(GraphSAGE, {**{k: v for k, v in SMALL.items() if k != "class"}, "decoder": {"name": name}})
    model.fit(before, None, 3)
    users = stream.queries(stream.window(2), before, shown=True).users
    old, weights = model.score(users), {k: v.clone() for k, v in model._tasks[0].head.state_dict().items()}
    everybody = torch.zeros(before.num_users, dtype=torch.bool)
    model.update(before, fresh=everybody, steps=0, seed=5)  # nothing new: the same model, bit for bit
    assert torch.equal(model.score(users), old)
    fresh = stream.fresh(after, stream.ends[0], stream.ends[2])
    model.update(after, fresh=fresh, steps=0, seed=5)
    now = model._tasks[0].head.state_dict()
    assert all(torch.equal(now[k], v) for k, v in weights.items() if k not in ("bias", "no_interactions"))
    new_items = after.candidates & ~before.candidates
    assert new_items.any()
    scores = model.score(users)
    assert (scores[:, new_items] > -100).all()
    assert (old[:, new_items] < -100).all()
    assert not torch.equal(scores[:, before.candidates], old[:, before.candidates])


def test_steps_train_and_are_the_same_each_time(tmp_path: Path) -> None:
    stream = stream_of(tmp_path)
    before, after = stream.training(stream.ends[0]), stream.training(stream.ends[2])
    users = stream.queries(stream.window(2), before, shown=True).users
    fresh = stream.fresh(after, stream.ends[0], stream.ends[2])
    found = []
    for steps in (0, 3, 3):
        model: Any = build(GraphSAGE, {k: v for k, v in SMALL.items() if k != "class"})
        model.fit(before, None, 3)
        model.update(after, fresh=fresh, steps=steps, seed=5)
        found.append(model.score(users))
    assert torch.equal(found[1], found[2])
    assert not torch.equal(found[0], found[1])


def test_a_loaded_model_is_updated_as_the_fitted_one(tmp_path: Path) -> None:
    stream = stream_of(tmp_path)
    train, later = (stream.training(end) for end in stream.ends[:2])
    model: Any = build(GraphSAGE, {k: v for k, v in SMALL.items() if k != "class"})
    model.fit(train, None, 3)
    other: Any = build(GraphSAGE, {k: v for k, v in SMALL.items() if k != "class"})
    other.load_state_dict(model.state_dict())
    for one in (model, other):
        one.update(later, fresh=torch.arange(later.num_users) % 2 > 0, steps=3, seed=4)
    assert torch.equal(model.score(later.users), other.score(later.users))


def test_only_a_ranking_is_updated(tmp_path: Path) -> None:
    train = stream_of(tmp_path).training(stream_of(tmp_path).ends[0])
    model: Any = build(GraphSAGE, {"pretrain": None, "finetune": {"objective": "rating", "epochs": 1}})
    older: Any = build(GraphSAGE, {k: v for k, v in SMALL.items() if k != "class"})
    older.fit(train, None, 3)
    state = older.state_dict()
    state["tasks"][0].pop("start_bias")  # as models were saved before
    older.load_state_dict(state)
    for one in (model, older):
        with pytest.raises(ConfigError, match="update: needs a model of the ranking objective, saved by this version"):
            one.update(train, fresh=torch.ones(train.num_users) > 0)


def test_the_metrics_are_those_of_the_config(tmp_path: Path) -> None:
    config = config_of(
        tmp_path, {"class": "Popularity"}, evaluate={"metrics": ["recall", "ndcg"], "at": [3], "shots": [0, 2]}
    )
    assert replay(config, tmp_path / "out").metrics == ["recall@3", "ndcg@3"]
    assert isinstance(config.config.data, TableData)
    assert EvaluateConfig(metrics=["recall"], at=[3]).plain_names == ("recall@3",)
