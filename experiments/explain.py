"""The ways in the graph from a user who stands in no file to the items that a model recommends to it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from gnnrec.experiment.config import read_config
from gnnrec.experiment.results import CONFIG
from gnnrec.experiment.run import load_split
from gnnrec.serving.artifact import load
from gnnrec.serving.lists import recommend_to, serve
from gnnrec.serving.profile import encode
from gnnrec.splits.split import Split
from gnnrec.views import ITEM, USER, UserBatch

ITEMS, THROUGH = 5, 2
"""Items at the end of the ways, and training users on the way to each."""
NEW_USER = "new user"


def explain(run: Path, profile: Mapping[str, Any]) -> dict[str, Any]:
    """The ego graph of one new user, two steps of message passing deep and cut to what leads to its recommendations.

    Between the user and an item lie its attribute values, and of the training users who have some of them and chose the
    item those with the most values in common. An item that no such user chose is left out.

    Args:
        run: folder of a finished run, whose data are read for the edges of the training users.
        profile: of the user, see `gnnrec.serving.profile.encode`.

    Returns:
        Nodes with `label` and `layer`, and weighted edges, ready for JSON and for `gnnrec.experiment.plots.paths`.
    """
    served, split = serve(load(run)), load_split(read_config(run / CONFIG))
    user, _ = encode(served.vocabulary, profile)
    rows, _ = recommend_to(served, profile, number=ITEMS)
    items = [row["item"] for row in rows]
    graph = _ways(split, user, items)
    reached = [row for row in rows if row["item"] in graph]
    for row in reached:
        graph.nodes[row["item"]]["label"] = row["title"] or row["item"]
    return {
        "user": NEW_USER,
        "items": [row["item"] for row in reached],
        "nodes": [{"name": name, **facts} for name, facts in graph.nodes(data=True)],
        "edges": [[one, other, weight] for one, other, weight in graph.edges(data="weight")],
    }


def _ways(split: Split, user: UserBatch, items: list[str]) -> "nx.Graph[str]":
    train = split.full
    place = dict(zip(train.ids[ITEM].get_indexer(pd.Index(items)).tolist(), items, strict=True))
    history = {node: train.users.items.row[train.users.items.node == node].numpy() for node in place}
    shared = np.zeros(train.num_users)
    holders = {}
    for edge_type in train.attribute_types:
        have = train.users.relations[edge_type]
        for node in user.relations[edge_type].node.tolist():
            name = f"{edge_type[1]}: {train.ids[edge_type[2]][node]}"
            holders[name] = have.row[have.node == node].unique().numpy()
            shared[holders[name]] += 1
    near = [rows[np.argsort(-shared[rows], kind="stable")][:THROUGH] for rows in history.values()]
    through = list(dict.fromkeys(int(row) for rows in near for row in rows))
    graph: nx.Graph[str] = nx.Graph()
    graph.add_node(NEW_USER, label=NEW_USER, layer=0)
    graph.add_nodes_from(holders, layer=1)
    graph.add_nodes_from(place.values(), layer=3)
    for name, rows in holders.items():
        graph.nodes[name]["label"] = name
        graph.add_edge(NEW_USER, name, weight=1.0)
        for row in set(through) & set(rows.tolist()):
            graph.add_edge(name, _name(split, row), weight=1.0)
    for node, item in place.items():
        for row in set(through) & set(history[node].tolist()):
            graph.add_edge(_name(split, row), item, weight=1.0)
    for row in through:
        graph.nodes[_name(split, row)].update(label=_name(split, row), layer=2)
    near = nx.ego_graph(graph, NEW_USER, radius=3)
    graph.remove_nodes_from([node for node in graph if node not in near])  # keeps the order, which ego_graph does not
    return graph


def _name(split: Split, row: int) -> str:
    return f"{USER} {split.dataset.ids[USER][int(split.full.users.index[row])]}"
