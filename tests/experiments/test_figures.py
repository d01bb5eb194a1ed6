"""Figures from kept results, and the ways to a recommendation on synthetic data."""

import networkx as nx
import pytest

from experiments import explain as module
from experiments.figures import draw, groups, learning, paths, pretraining, shots
from experiments.protocols import Protocol
from gnnrec.data.synthetic import synthetic
from gnnrec.models.baselines import Popularity
from gnnrec.serving.artifact import Artifact
from gnnrec.serving.vocabulary import Vocabulary
from gnnrec.splits import UnseenUsers, make_split

MEAN = {"mean": 0.5, "low": 0.4, "high": 0.6}


def kept(**changes):
    return {"columns": {}, "groups": {}, "curves": {}, "paths": {}, "runs": []} | changes


def test_nothing_is_drawn_from_nothing(tmp_path):
    assert draw([(Protocol("synthetic", "", ("ndcg@10",)), kept())], tmp_path) == []


def test_shots_leave_out_what_cannot_score():
    columns = {
        f"k{k}/ndcg@10": {"intervals": {"graphsage-default": MEAN} | ({"ease": MEAN} if k else {}) | {"random": MEAN}}
        for k in (0, 1, 10)
    }
    (figure,) = shots(
        {"shown": kept(columns=columns), "plain": kept(columns={"ndcg@10": columns["k0/ndcg@10"]})}
    ).values()
    lines = {line.get_label(): line.get_xdata().tolist() for line in figure.axes[0].lines}
    assert lines == {"graphsage-default": [0, 1, 2], "ease": [1, 2]}


def test_groups_and_learning_curves():
    gains = {"activity": [{"group": "1-2", "users": 30, "gains": {"graphsage": MEAN}}], "age": []}
    assert list(groups({"ml-1m": kept(groups=gains), "synthetic": kept(groups=gains)})) == ["ml-1m-groups"]
    assert len(groups({"ml-1m": kept(groups=gains)})["ml-1m-groups"].axes) == 1
    assert groups({"ml-1m": kept(groups={"activity": [], "age": []})}) == {}  # too few users for any group
    stage = {"choose/finetune": {"loss": [[1, 2.0]], "ndcg@10": [[1, 0.3]]}}
    assert list(learning({"ml-100k": kept(curves=dict.fromkeys(("graphsage", "graphsage-no-pretraining"), stage))}))
    assert learning({"ml-100k": kept(curves={"graphsage": stage})}) == {}


def test_pretraining_needs_every_share():
    column = {"ndcg@10": {"intervals": dict.fromkeys(("graphsage", "graphsage-no-pretraining", "popularity"), MEAN)}}
    every = {name: kept(columns=column) for name in ("hetrec-lastfm-1", "hetrec-lastfm-10", "hetrec-lastfm")}
    (axes,) = pretraining(every)["pretraining"].axes
    assert axes.lines[0].get_xdata().tolist() == [1, 10, 100]
    every.pop("hetrec-lastfm-1")
    assert pretraining(every) == {}


@pytest.fixture
def split():
    return make_split(synthetic(seed=0), UnseenUsers(test=0.2, validation=0.1), seed=0)


def test_ways_are_edges_of_the_training_graph(split, monkeypatch, tmp_path):
    model = Popularity()
    model.fit(split.full, None, 0)
    artifact = Artifact(model, Vocabulary.of(split.full, split.dataset.ids["user"]))
    monkeypatch.setattr(module, "load", lambda folder: artifact)
    monkeypatch.setattr(module, "read_config", lambda path: path)
    monkeypatch.setattr(module, "load_split", lambda config: split)
    found = module.explain(tmp_path, {"club": "club 1", "colour": "colour 2"})
    labels = {node["name"]: node for node in found["nodes"]}
    assert 3 <= len(found["items"]) <= 5
    assert {node["layer"] for node in labels.values()} == {0, 1, 2, 3}
    users = [name for name, node in labels.items() if node["layer"] == 2]
    assert 0 < len(users) <= 10
    train, ids = split.full, split.full.ids["item"]
    row = {f"user {split.dataset.ids['user'][int(index)]}": row for row, index in enumerate(train.users.index)}
    for one, other, _ in found["edges"]:
        user, item = (one, other) if one in row else (other, one)
        if user in row and item in found["items"]:
            own = train.users.items.node[train.users.items.row == row[user]]
            assert ids.get_loc(item) in own.tolist()
    assert list(paths({"synthetic": {"paths": found}})) == ["synthetic-paths"]
    graph = nx.Graph([(one, other) for one, other, _ in found["edges"]])
    assert all(nx.shortest_path_length(graph, found["user"], item) == 3 for item in found["items"])
