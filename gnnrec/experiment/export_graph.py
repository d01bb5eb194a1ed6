"""A config's graphs and held-out users as files for other frameworks."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from gnnrec.audit.training import audit_graph
from gnnrec.errors import ConfigError, InputError
from gnnrec.experiment.config import NamedConfig
from gnnrec.experiment.results import config_checksum
from gnnrec.experiment.run import load_split
from gnnrec.graph.build import attached_edges, build_graph
from gnnrec.runtime.files import replace_file, writing_to
from gnnrec.splits.parts import TEST, VALIDATION
from gnnrec.splits.split import Split
from gnnrec.views import ITEM, USER, EdgeType, Features, TestSet, TrainingData, UserBatch, reverse

Form = Literal["pyg", "parquet"]
NEWCOMER = "newcomer"
TARGET: EdgeType = (NEWCOMER, "target", ITEM)
UNRANKED: EdgeType = (NEWCOMER, "unranked", ITEM)
ABOUT = "about.json"


def export_graph(
    config: NamedConfig, folder: Path, form: Form, *, test: bool = False, model: Any = None
) -> dict[str, Any]:
    """Writes the graph of a config's training users, and what is known of and asked for its held-out users.

    `train` is the graph without any held-out user, `validation` what is known of the validation users; with `test`
    also `full`, the graph of training and validation users, and `test`, which opens the test part. Nodes and edges are
    those of `graph_of` and `newcomers_of`. As `pyg`, each is `<name>.pt`, the dictionary of a HeteroData, which
    `HeteroData.from_dict(torch.load(path))` reads without running any code of the file. As `parquet`, each is a folder
    with `nodes/<type>.parquet` and `edges/<source>__<name>__<target>.parquet`, edges in one direction alone.
    `ids/<part>/<type>.parquet` has the id of each node in the order of its index, and `about.json` says where all of it
    comes from.

    Args:
        config: data and split.
        folder: made if it is not there.
        form: of the files.
        test: whether the test users are written, too.
        model: fitted on `full`, whose vectors `full` and `test` get, see `add_vectors`; None for none.

    Returns:
        What is in `about.json`.

    Raises:
        ConfigError: the folder holds the export of another config, or the model has no vectors of items.
        DataError: the data cannot be read.
    """
    checksum = config_checksum(config.config.model_dump(mode="json", include={"seed", "data", "split"}))
    _check_folder(folder, checksum)
    split = load_split(config)
    parts = {"train": graph_of(split.train), "validation": newcomers_of(split, split.validation, VALIDATION)}
    audit_graph(parts["train"], split, split.train)
    if test:
        split.open_test("written for another framework by gnnrec export-graph")
        parts |= {"full": graph_of(split.full), "test": newcomers_of(split, split.test, TEST)}
        audit_graph(parts["full"], split, split.full)
        if model is not None:
            add_vectors(parts["full"], model, split.full.users)
            add_vectors(parts["test"], model, split.test.users, NEWCOMER)
    facts: dict[str, Any] = {
        "config": config.name,
        "checksums": {"config": checksum, "data": split.dataset.checksum, "split": split.checksum},
        "form": form,
        "parts": {name: _counts(graph) for name, graph in parts.items()},
    }
    with writing_to(folder):
        for name, graph in parts.items():
            (_write_pyg if form == "pyg" else _write_parquet)(graph, folder / name)
            _write_ids(split, graph, name, folder / "ids" / name)
        replace_file(folder / ABOUT, (json.dumps(facts, indent=1) + "\n").encode())
    return facts


def graph_of(train: TrainingData) -> HeteroData:
    """The graph of some training data with the features of its nodes, for any framework that reads HeteroData.

    Returns:
        `build_graph`'s graph; a node type with features has them as `x` [N, F] float32, those of several columns side
        by side and 0 for what is missing, and `x_known` [N, C] bool for each of its C columns; items have
        `candidate` [I] bool, those that may be recommended.
    """
    graph = build_graph(train)
    described: dict[str, list[Features]] = {}
    for one in (*train.features, *train.users.features, *train.values):
        described.setdefault(one.node_type, []).append(one)
    for node_type, features in described.items():
        _describe(graph, node_type, features)
    graph[ITEM].candidate = train.candidates
    return graph


def _describe(graph: HeteroData, node_type: str, features: Sequence[Features]) -> None:
    graph[node_type].x = torch.cat([one.vector.float() for one in features], dim=1)
    graph[node_type].x_known = torch.stack([one.known for one in features], dim=1)


def newcomers_of(split: Split, held_out: TestSet, part: int) -> HeteroData:
    """What is known of held-out users and what they are asked for, as a bipartite graph into the training graph.

    Args:
        split: of the data.
        held_out: its validation or test users.
        part: which of both.

    Returns:
        Node types as in the training graph, and `newcomer`, whose rows are the held-out users (`index`, their index in
        the data). Edges from what is known of them (`attached_edges`), edges `target` to the items that count as
        found, and `unranked` to those that are in no list. Items have `candidate` [I] bool, those that are ranked.
    """
    train = split.train if part == VALIDATION else split.full
    graph = HeteroData()
    graph[USER].num_nodes = train.num_users
    for node_type, ids in train.ids.items():
        graph[node_type].num_nodes = len(ids)
    graph[ITEM].candidate = split.candidates(part, train)
    graph[NEWCOMER].num_nodes, graph[NEWCOMER].index = len(held_out.users), held_out.users.index
    if held_out.users.features:
        _describe(graph, NEWCOMER, held_out.users.features)
    for (source, name, _), (edges, weight) in attached_edges(held_out.users).items():
        store = graph[source, name, NEWCOMER]
        store.edge_index = edges
        if weight is not None:
            store.edge_weight = weight
    for edge_type, own in ((TARGET, held_out.ground_truth), (UNRANKED, held_out.unranked)):
        graph[edge_type].edge_index = torch.stack([own.row, own.node])
    return graph


def add_vectors(graph: HeteroData, model: Any, users: UserBatch, node_type: str = USER) -> None:
    """Gives users and items the vectors of a fitted model, whose inner products are its scores.

    Args:
        graph: of `graph_of` or `newcomers_of`; changed.
        model: with `query` and `item_vectors`, as a ranking `GraphSAGE` has them.
        users: the users that the graph has.
        node_type: `user`, or `newcomer`.

    Raises:
        ConfigError: the model's scores are no inner products.
    """
    if not hasattr(model, "query") or (items := model.item_vectors()) is None:
        raise ConfigError(f"{type(model).__name__} has no vectors of items whose inner products are its scores")
    graph[ITEM].vector, graph[node_type].vector = items, model.query(users)


def _counts(graph: HeteroData) -> dict[str, dict[str, int]]:
    return {
        "nodes": {t: int(graph[t].num_nodes) for t in graph.node_types},
        "edges": {"__".join(t): graph[t].edge_index.shape[1] for t in graph.edge_types},
    }


def _check_folder(folder: Path, checksum: str) -> None:
    """Refuses a folder with another export, or with something else, in it."""
    about = folder / ABOUT
    if not about.is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: is there and holds no exported graph; choose another --out")
        return
    if json.loads(about.read_text())["checksums"]["config"] != checksum:
        raise ConfigError(f"{folder}: holds the graph of another config; choose another --out, or delete the folder")


def _write_pyg(graph: HeteroData, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(graph.to_dict(), partial)
    partial.replace(path.with_suffix(".pt"))


def _write_parquet(graph: HeteroData, folder: Path) -> None:
    """Nodes and edges, each edge in one direction: a framework makes the other one itself."""
    for node_type in graph.node_types:
        own = {key: value for key, value in graph[node_type].items() if key not in ("num_nodes", "index")}
        _write_table(
            {"node": torch.arange(int(graph[node_type].num_nodes)), **own}, folder / "nodes" / f"{node_type}.parquet"
        )
    for edge_type in graph.edge_types:
        if edge_type[1].startswith("rev_") and forward(edge_type) in graph.edge_types:
            continue
        own = {key: value for key, value in graph[edge_type].items() if key != "edge_index"}
        source, target = graph[edge_type].edge_index
        _write_table({"source": source, "target": target, **own}, folder / "edges" / f"{'__'.join(edge_type)}.parquet")


def forward(edge_type: EdgeType) -> EdgeType:
    """The type whose reverse this one is; itself where it is the reverse of none.

    Example:
        >>> forward(("tag", "rev_tag", "user"))
        ('user', 'tag', 'tag')
    """
    source, name, target = edge_type
    forth = (target, name.removeprefix("rev_"), source)
    return forth if reverse(forth) == edge_type else edge_type


def _write_table(columns: Mapping[str, Tensor], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for name, column in columns.items():
        values = column.contiguous().numpy()
        if values.ndim == 2:
            flat = pa.array(values.reshape(-1))
            arrays[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        else:
            arrays[name] = pa.array(values)
    partial = path.with_suffix(".partial")
    pq.write_table(pa.table(arrays), partial)
    partial.replace(path)


def _write_ids(split: Split, graph: HeteroData, part: str, folder: Path) -> None:
    """The id of each node of a part, in the order of its index."""
    train = split.train if part in ("train", "validation") else split.full
    users = split.dataset.ids[USER]
    own = {**train.ids, USER: users[train.users.index.numpy()]}
    if NEWCOMER in graph.node_types:
        own = {NEWCOMER: users[graph[NEWCOMER].index.numpy()]}  # the other nodes are those of the training graph
    folder.mkdir(parents=True, exist_ok=True)
    for node_type, ids in own.items():
        columns = {"id": list(map(str, ids))}
        if node_type == ITEM and train.titles:
            columns["title"] = list(train.titles)
        pq.write_table(pa.table(columns), folder / f"{node_type}.parquet")
