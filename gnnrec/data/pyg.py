"""A HeteroData of torch_geometric as a data set."""

import warnings
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from gnnrec.data.dataset import Dataset, Interactions
from gnnrec.errors import DataError
from gnnrec.views import INTERACTS, ITEM, USER, EdgeType, Features, Relation

VALUES, TIMES = ("edge_weight", "rating", "edge_attr"), ("time", "timestamp")
"""Names under which PyTorch Geometric's data sets keep numbers and times of edges."""


def from_pyg(data: HeteroData, interactions: EdgeType = INTERACTS, name: str = "HeteroData") -> Dataset:
    """Reads the nodes and edges of a HeteroData as a data set.

    The edges between other types than users and items are attributes or relations, by the names that they have there.
    Edges that are the others of another type turned round are left out, edges from another type to users are turned
    round, and edges between users are taken in both directions. Numbers of edges are those under `edge_weight`,
    `rating` or `edge_attr`, times those under `time` or `timestamp`. Features `x` describe items and users; those of
    other types are left out with a warning. Ids are those under `ids`, else the nodes' indices.

    Args:
        data: with at least the interactions.
        interactions: (type of users, name, type of items); the types are called `user` and `item` from here on.
        name: of the data set.

    Raises:
        DataError: there are no such edges, two of them join the same user and item, or numbers do not fit them.

    Example:
        >>> graph = HeteroData()
        >>> graph["user"].num_nodes = graph["item"].num_nodes = 2
        >>> graph["user", "interacts", "item"].edge_index = torch.tensor([[0, 1], [1, 1]])
        >>> from_pyg(graph).interactions.item
        tensor([1, 1])
    """
    if interactions not in data.edge_types:
        there = ", ".join(map(str, data.edge_types)) or "none"
        raise DataError(f"{name}: there are no edges {interactions}; there are {there}; name those of the interactions")
    called = {interactions[0]: USER, interactions[2]: ITEM}
    for taken in set(called.values()) & set(data.node_types) - set(called):
        raise DataError(f"{name}: the node type {taken!r} is not that of {interactions}; rename it")
    edges = {(called.get(s, s), n, called.get(t, t)): data[s, n, t] for s, n, t in data.edge_types}
    own = edges.pop((USER, interactions[1], ITEM))
    user, item = own.edge_index
    known: dict[EdgeType, Tensor] = {(USER, interactions[1], ITEM): own.edge_index}
    relations = []
    for (source, kind, target), store in edges.items():
        index = store.edge_index
        if source != USER and target == USER:
            (source, target), index = (target, source), index.flip(0)
        if any({t[0], t[2]} == {source, target} and _alike(e, index) for t, e in known.items()):
            continue
        known[source, kind, target] = index
        weight = _number(store, VALUES, index.shape[1], name, kind)
        if source == target == USER:
            index, weight = _both_ways(index, weight, data[interactions[0]].num_nodes)
        relations.append(Relation(source, kind.removeprefix("rev_"), target, index, weight))
    features: dict[str, Features] = {}
    for node_type in data.node_types:
        x = data[node_type].get("x")
        if x is None:
            continue
        if (described := called.get(node_type)) is not None:
            every = torch.ones(len(x), dtype=torch.bool)
            features[described] = Features(described, "x", x.float(), every, encoder=("vector", {}))
        else:
            warnings.warn(f"{name}: x of {node_type!r} is left out: users and items alone have features", stacklevel=2)
    time = _number(own, TIMES, len(user), name, interactions[1])
    return Dataset(
        name=name,
        ids={called.get(t, t): _ids(data, t) for t in data.node_types},
        interactions=Interactions(user, item, _number(own, VALUES, len(user), name, interactions[1]), time),
        relations=tuple(relations),
        features=(features[ITEM],) if ITEM in features else (),
        user_features=(features[USER],) if USER in features else (),
    )


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two lists have the same edges, as they are or turned round."""
    if one.shape != other.shape:
        return False
    return any(torch.equal(_sorted(one), _sorted(o)) for o in (other, other.flip(0)))


def _sorted(edges: Tensor) -> Tensor:
    size = int(edges.max()) + 1 if edges.numel() else 1
    return (edges[0] * size + edges[1]).sort().values


def _both_ways(index: Tensor, weight: Tensor | None, users: int) -> tuple[Tensor, Tensor | None]:
    """Each edge in both directions, once, without edges from a user to itself; of two weights the first."""
    both = torch.cat([index, index.flip(0)], dim=1)
    weights = None if weight is None else torch.cat([weight, weight])
    key, place = (both[0] * users + both[1]).unique(return_inverse=True)
    first = torch.full((len(key),), both.shape[1], dtype=torch.int64)
    first.scatter_reduce_(0, place, torch.arange(both.shape[1]), "amin")
    first = first[key // users != key % users]
    return both[:, first], None if weights is None else weights[first]


def _number(store: Any, names: tuple[str, ...], count: int, data: str, kind: str) -> Tensor | None:
    """[E] float32 or int64, the first of these numbers that edges have."""
    for key in names:
        found = store.get(key)
        if found is None:
            continue
        if found.dim() == 2 and found.shape[1] == 1:
            found = found[:, 0]
        if found.dim() != 1 or len(found) != count:
            raise DataError(f"{data}: {kind}: {key} has shape {tuple(found.shape)}; an edge has one number")
        number: Tensor = found.long() if names is TIMES else found.float()
        return number
    return None


def _ids(data: HeteroData, node_type: str) -> pd.Index:
    own = data[node_type].get("ids")
    count = data[node_type].num_nodes
    return pd.Index(list(map(str, range(count) if own is None else own)))
