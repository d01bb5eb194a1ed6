"""Exported graphs, read by torch_geometric or Arrow alone: same nodes, edges, held-out users and vectors."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from synthetic_table import write_shop
from torch_geometric.data import HeteroData
from torch_geometric.nn import SAGEConv

from gnnrec import from_pyg
from gnnrec.experiment.config import read_config
from gnnrec.experiment.export_graph import export_graph
from gnnrec.experiment.run import load_split, run
from gnnrec.graph.block import whole_graph
from gnnrec.graph.build import build_graph
from gnnrec.serving.artifact import load
from gnnrec.views import INTERACTS, ITEM, USER, reverse

SMALL = ["model.finetune.epochs=4", "model.pretrain=null", "model.choose_on=0"]


def read(path: Path) -> HeteroData:
    """As the page says; `weights_only` is torch's default, and runs no code of the file."""
    return HeteroData.from_dict(torch.load(path, weights_only=True))


def test_torch_geometric_alone_computes_the_messages_that_our_propagation_has(tmp_path: Path) -> None:
    config = read_config(write_shop(tmp_path))
    export_graph(config, tmp_path / "graph", "pyg")
    graph, train = read(tmp_path / "graph" / "train.pt"), load_split(config).train
    x = torch.randn(train.num_items, 8, generator=torch.Generator().manual_seed(3))
    layer = SAGEConv((8, 8), 8, aggr="mean", bias=False)
    users = torch.zeros(train.num_users, 8)
    theirs = layer((x, users), graph[reverse(INTERACTS)].edge_index)
    block = whole_graph(build_graph(train))
    ours = layer.lin_l(block.adjacency[reverse(INTERACTS)].mean(x))
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)
    assert theirs.abs().sum() > 1


def test_vectors_of_a_run_give_its_scores(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "shop" / "0"
    config = read_config(write_shop(tmp_path), SMALL)
    run(config, folder)
    model: Any = load(folder / "model").model
    export_graph(config, tmp_path / "graph", "pyg", test=True, model=model)
    split = load_split(config)
    split.open_test("a test")
    for part, node_type, users in (("full", USER, split.full.users), ("test", "newcomer", split.test.users)):
        graph = read(tmp_path / "graph" / f"{part}.pt")
        score = graph[node_type].vector @ graph[ITEM].vector.t()
        torch.testing.assert_close(score, model.score(users), rtol=1e-5, atol=1e-4)
        assert score.std() > 0.1


def test_no_edge_of_a_held_out_user_is_in_the_training_graph(tmp_path: Path) -> None:
    config = read_config(write_shop(tmp_path))
    told = export_graph(config, tmp_path / "graph", "pyg", test=True)
    split = load_split(config)
    split.open_test("a test")
    train, newcomers = read(tmp_path / "graph" / "train.pt"), read(tmp_path / "graph" / "test.pt")
    assert train[USER].num_nodes == split.train.num_users < read(tmp_path / "graph" / "full.pt")[USER].num_nodes
    assert newcomers["newcomer"].index.tolist() == split.test.users.index.tolist()
    asked = newcomers["newcomer", "target", ITEM].edge_index
    assert asked.tolist() == [split.test.ground_truth.row.tolist(), split.test.ground_truth.node.tolist()]
    assert told["parts"]["test"]["edges"]["newcomer__target__item"] == asked.shape[1] > 0
    ids = pq.read_table(tmp_path / "graph" / "ids" / "test" / "newcomer.parquet")["id"].to_pylist()
    assert ids == list(split.dataset.ids[USER][split.test.users.index.numpy()])


def test_tables_hold_what_the_graph_holds(tmp_path: Path) -> None:
    config = read_config(write_shop(tmp_path))
    export_graph(config, tmp_path / "pyg", "pyg")
    export_graph(config, tmp_path / "tables", "parquet")
    for part in ("train", "validation"):
        graph, folder = read(tmp_path / "pyg" / f"{part}.pt"), tmp_path / "tables" / part
        there = {path.stem for path in (folder / "edges").iterdir()}
        for edge_type in graph.edge_types:
            if "__".join(edge_type) not in there:  # the other direction is there
                assert "__".join(reverse((edge_type[2], edge_type[1].removeprefix("rev_"), edge_type[0]))) != edge_type
                assert edge_type[1].startswith("rev_")
                continue
            table = pq.read_table(folder / "edges" / f"{'__'.join(edge_type)}.parquet")
            assert [table["source"].to_pylist(), table["target"].to_pylist()] == graph[edge_type].edge_index.tolist()
            if "edge_weight" in graph[edge_type]:
                assert table["edge_weight"].to_pylist() == graph[edge_type].edge_weight.tolist()
        for node_type in graph.node_types:
            table = pq.read_table(folder / "nodes" / f"{node_type}.parquet")
            assert len(table) == graph[node_type].num_nodes


def test_there_and_back(tmp_path: Path) -> None:
    config = read_config(write_shop(tmp_path))
    export_graph(config, tmp_path / "graph", "pyg")
    train = load_split(config).train
    back = from_pyg(read(tmp_path / "graph" / "train.pt"))
    assert back.interactions.user.tolist() == train.users.items.row.tolist()
    assert back.interactions.item.tolist() == train.users.items.node.tolist()
    found = {relation.type: relation for relation in back.relations}
    assert found.keys() == train.users.relations.keys() | {relation.type for relation in train.relations}
    for edge_type, edges in train.users.relations.items():
        if edge_type[2] == USER:
            pairs = {tuple(pair) for pair in found[edge_type].edge_index.t().tolist()}
            assert pairs == set(zip(edges.row.tolist(), edges.node.tolist(), strict=True))
        else:
            assert found[edge_type].edge_index.tolist() == [edges.row.tolist(), edges.node.tolist()]


def test_the_command_line(tmp_path: Path, gnnrec: Any) -> None:
    path = write_shop(tmp_path)
    answer = gnnrec("export-graph", path, "--out", tmp_path / "graph", "--json")
    assert answer.code == 0
    assert json.loads(answer.out) == json.loads((tmp_path / "graph" / "about.json").read_text())
    assert {p.name for p in (tmp_path / "graph").iterdir()} == {"train.pt", "validation.pt", "ids", "about.json"}
    again = gnnrec("export-graph", path, "--out", tmp_path / "graph", "--test")
    assert again.code == 0
    assert (tmp_path / "graph" / "test.pt").is_file()


def test_a_run_brings_its_vectors_and_its_test_users(tmp_path: Path, gnnrec: Any) -> None:
    folder = tmp_path / "runs" / "shop" / "0"
    run(read_config(write_shop(tmp_path), SMALL), folder)
    assert gnnrec("export-graph", folder, "--out", tmp_path / "graph").code == 0
    assert read(tmp_path / "graph" / "test.pt")["newcomer"].vector.shape[1] > 1
    counted = tmp_path / "runs" / "counted" / "0"
    run(read_config(tmp_path / "shop.yaml", ["model={class: Popularity}"]), counted)
    refused = gnnrec("export-graph", counted, "--out", tmp_path / "other")
    assert refused.code == 2
    assert "Popularity has no vectors of items whose inner products are its scores" in refused.err


@pytest.mark.parametrize("inside", ["another graph", "something else"])
def test_a_folder_with_other_things_is_not_written_into(tmp_path: Path, gnnrec: Any, inside: str) -> None:
    path, to = write_shop(tmp_path), tmp_path / "graph"
    if inside == "another graph":
        export_graph(read_config(path, ["seed=1"]), to, "pyg")
    else:
        to.mkdir()
        (to / "letter.txt").write_text("dear")
    answer = gnnrec("export-graph", path, "--out", to)
    assert answer.code == 2
    assert "choose another --out" in answer.err
    assert answer.err.count("\n") == 1
