"""Checks that nothing of a held-out user is in the training data: everything is recomputed from the raw data.

Shares no code with `split` and `graph`, so that a mistake there is found here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import HeteroData

from gnnrec.audit.moment import audit_moment, known_items
from gnnrec.data.dataset import Dataset, Numeric
from gnnrec.data.features.encoding import made_encoder, rows_of
from gnnrec.data.features.text import ENCODERS
from gnnrec.errors import AuditError
from gnnrec.splits.parts import LATER, TEST, TEST_SUPPORT, UNUSED, VALIDATION, VALIDATION_SUPPORT
from gnnrec.splits.split import Split
from gnnrec.views import ITEM, USER, EdgeType, Features, Relation, TrainingData

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Allowed:
    """What may be in the training data, from the parts of the split alone.

    Attributes:
        data: the raw data.
        user: [U] bool, the training users.
        edge: [E] bool, the training interactions.
        item: [I] bool, the items whose relations and numbers are known.
        index: training users' rows -> index in the data set.
    """

    data: Dataset
    user: Mask
    edge: Mask
    item: Mask
    index: Indices

    @property
    def popularity(self) -> Indices:
        """[I] int64, number of training interactions of each item."""
        count = np.zeros(self.data.num_items, dtype=np.int64)
        np.add.at(count, self.data.interactions.item.numpy()[self.edge], 1)
        return count


def audit(
    split: Split, train: TrainingData, tables: Mapping[str, int] | None = None, final: bool | None = None
) -> dict[str, Any]:
    """Checks, before a fit, that the training data hold nothing of a held-out user.

    Held out are the users of validation and test, or of test alone in the final fit. Where a split holds out
    interactions or items of warm users, the same is checked for the held-out interactions.

    Args:
        split: the split, with the raw data.
        train: the training data.
        tables: node type -> rows of each table that the model learns; none may be one of users.
        final: whether validation users may be in `train`; left out, whether `train` is `split.full`.

    Returns:
        What was checked, ready for JSON.

    Raises:
        AuditError: which leak, and an example.
    """
    final = train is split.full if final is None else final
    allowed = _allowed(split, train, final)
    _check_users(allowed)
    items = train.users.items
    _check_interactions(allowed, items.row, items.node, "the training histories", items.weight)
    if split.moments is not None:
        audit_moment(split, train, final)
    _check_bounds(allowed, train)  # before the relations, some of which are made with them
    for edge_type, edges in train.users.relations.items():
        _check_relation(allowed, edge_type, edges.row, edges.node, train, "training", edges.weight)
    for relation in train.relations:
        _check_between_items(allowed, relation, train)
    _check_features(allowed, train)
    _check_values(allowed, train)
    _check_popularity(allowed, train)
    _check_tables(allowed, train, tables or {})
    friends = sum(len(train.users.relations[t]) for t in train.user_types)
    return {
        "final": final,
        "training_users": int(allowed.user.sum()),
        "held_out_users": int((~allowed.user).sum()),
        "training_interactions": int(allowed.edge.sum()),
        "held_out_interactions": int((~allowed.edge).sum()),
        "user_user_edges": friends,
        "tables": dict(tables or {}),
        "checks": [
            *("users", "histories", "values", "bounds", "relations", "popularity", "candidates", "tables"),
            *(["features"] if train.features or train.users.features else []),
            *([] if split.moments is None else ["moment"]),
        ],
    }


def audit_graph(graph: HeteroData, split: Split, train: TrainingData, final: bool | None = None) -> dict[str, Any]:
    """Checks that a training graph holds the training users' edges and no other.

    Args:
        graph: node type `user` has `num_nodes` and no features; an edge type and its reverse are called `name` and
            `rev_name`; edges from users to items are interactions, unless the data has a relation of that name.
        split: the split, with the raw data.
        train: what the graph was built from.
        final: as in `audit`.

    Returns:
        Edge type (joined by spaces) -> number of edges checked, ready for JSON.

    Raises:
        AuditError: which leak, and an example.
    """
    allowed = _allowed(split, train, train is split.full if final is None else final)
    _check_users(allowed)
    if graph[USER].num_nodes != train.num_users:
        raise AuditError(f"audit: the graph has {graph[USER].num_nodes} users, training has {train.num_users}")
    stored = [key for key, value in graph[USER].items() if isinstance(value, Tensor) and value.is_floating_point()]
    if stored:
        raise AuditError(f"audit: the graph stores {stored[0]!r} for users; what describes users is no part of a graph")
    for edge_type in graph.edge_types:
        source, name, target = edge_type
        if USER not in (source, target):
            continue
        first, second = graph[edge_type].edge_index
        weight = graph[edge_type].get("edge_weight")
        if source != USER:  # the reverse of a relation from users
            first, second, name, target = second, first, name.removeprefix("rev_"), source
        where = f"edges {edge_type} of the graph"
        if target == ITEM and (USER, name, ITEM) not in train.users.relations:
            _check_interactions(allowed, first, second, where)
            degree = np.bincount(second.numpy(), minlength=allowed.data.num_items)
            _check_count(allowed, degree, f"the degree in {where}")
            _check_interactions(allowed, first, second, where, weight, exact=False)
        else:
            _check_relation(allowed, (USER, name, target), first, second, train, where, weight)
            share = graph[edge_type].get("share")
            _check_relation(allowed, (USER, name, target), first, second, train, f"messages along {where}", share)
    return {" ".join(edge_type): int(graph[edge_type].edge_index.shape[1]) for edge_type in graph.edge_types}


def _allowed(split: Split, train: TrainingData, final: bool) -> _Allowed:
    held_out = [TEST, TEST_SUPPORT, UNUSED] + ([] if final else [VALIDATION, VALIDATION_SUPPORT, LATER])
    user = ~np.isin(split.user_part.numpy(), held_out)
    edge = ~np.isin(split.edge_part.numpy(), held_out) & user[split.dataset.interactions.user.numpy()]
    item = np.ones(split.dataset.num_items, dtype=bool) if split.moments is None else known_items(split, final)
    return _Allowed(split.dataset, user, edge, item, train.users.index.numpy())


def _check_users(allowed: _Allowed) -> None:
    index, ids = allowed.index, allowed.data.ids[USER]
    if len(index) and not (index.min() >= 0 and index.max() < len(ids)):
        raise AuditError("audit: training has a user who is not in the data set")
    wrong = index[~allowed.user[index]]
    if len(wrong):
        raise AuditError(f"audit: {len(wrong)} held-out users are among the training users, e.g. {ids[wrong[0]]}")
    if len(np.unique(index)) < len(index):
        raise AuditError("audit: a user is among the training users twice")


def _data_set_user(allowed: _Allowed, row: Tensor, where: str) -> Indices:
    """Rows of the training users -> indices of the data set."""
    rows = row.numpy()
    wrong = rows[(rows < 0) | (rows >= len(allowed.index))]
    if len(wrong):
        raise AuditError(
            f"audit: {where} reach {len(wrong)} times a user who is not in training (row {wrong[0]} of "
            f"{len(allowed.index)})"
        )
    users: Indices = allowed.index[rows]
    return users


def _check_interactions(
    allowed: _Allowed, row: Tensor, item: Tensor, where: str, value: Tensor | None = None, *, exact: bool = True
) -> None:
    raw, num_items = allowed.data.interactions, allowed.data.num_items
    user = _data_set_user(allowed, row, where)
    key = user * num_items + item.numpy()
    raw_key = raw.user.numpy() * num_items + raw.item.numpy()
    wrong = _outside(key, raw_key[allowed.edge])
    if len(wrong):
        pair = f"user {allowed.data.ids[USER][user[wrong[0]]]}, item {allowed.data.ids[ITEM][int(item[wrong[0]])]}"
        kind = "held-out interactions" if key[wrong[0]] in raw_key else "interactions that this user never had"
        raise AuditError(f"audit: {where} hold {len(wrong)} {kind}, e.g. {pair}")
    check_weights(where, key, value, raw_key, raw.value, exact=exact)


def check_weights(
    where: str,
    key: Indices,
    weight: Tensor | None,
    raw_key: Indices,
    raw_weight: Tensor | None,
    *,
    exact: bool = True,
) -> None:
    """Every weight is the one that the pair has in the raw data; edges without weights are fine.

    Args:
        where: what an error message begins with.
        key: [E] of each edge.
        weight: [E] of each edge.
        raw_key: [E'] of each edge of the raw data.
        raw_weight: [E'] of each edge of the raw data.
        exact: False where a model may have learned from another value than the raw one, such as its gain: then
            equal raw values must have equal weights.
    """
    if weight is None or not len(key):
        return
    if raw_weight is None:
        raise AuditError(f"audit: {where} have weights, but the data has none")
    if len(weight) != len(key):
        raise AuditError(f"audit: {where} have {len(weight)} weights for {len(key)} edges")
    order = np.argsort(raw_key, kind="stable")
    place = order[np.searchsorted(raw_key[order], key)]
    ours, theirs = weight.numpy(), raw_weight.numpy()[place]
    if not exact:
        _, first, same = np.unique(theirs, return_index=True, return_inverse=True)
        theirs = ours[first][same]
    wrong = np.flatnonzero(~np.isclose(ours, theirs, rtol=1e-6, atol=1e-6))  # shares of numbers are rounded
    if len(wrong):
        one = wrong[0]
        raise AuditError(
            f"audit: {where} have {len(wrong)} weights that are not those of the data, e.g. {ours[one]:g} instead of "
            f"{theirs[one]:g}"
        )


def _outside(key: Indices, allowed: Indices) -> Indices:
    """Positions of the keys that are not allowed."""
    if len(allowed):
        # Sorted keys in sorted keys take 0.08 s for a million, np.isin 1.7 s; a clean audit needs no more.
        ordered, known = np.sort(key), np.sort(allowed)
        if np.array_equal(known[np.searchsorted(known, ordered).clip(max=len(known) - 1)], ordered):
            return np.empty(0, dtype=np.int64)
    return np.flatnonzero(~np.isin(key, allowed))


def _check_relation(
    allowed: _Allowed,
    edge_type: EdgeType,
    row: Tensor,
    node: Tensor,
    train: TrainingData,
    where: str,
    weight: Tensor | None = None,
) -> None:
    """Every edge of a user is an edge of that user in the raw data, and leads to no held-out user."""
    name = f"{where}: relation {edge_type[1]!r}"
    source = _data_set_user(allowed, row, name)
    target = _data_set_user(allowed, node, name) if edge_type[2] == USER else node.numpy()
    raw_source, raw_target, raw_weight = raw_edges(allowed.data, edge_type, train)
    size = int(max(raw_target.max(initial=0), target.max(initial=0))) + 1
    key, raw_key = source * size + target, raw_source * size + raw_target
    wrong = _outside(key, raw_key)
    if len(wrong):
        user = allowed.data.ids[USER][source[wrong[0]]]
        raise AuditError(f"audit: {name}: {len(wrong)} edges are not those of their users in the data, e.g. of {user}")
    check_weights(name, key, weight, raw_key, raw_weight)


def _check_between_items(allowed: _Allowed, relation: Relation, train: TrainingData) -> None:
    """A relation between nodes that are no users has the edges and weights of the raw data."""
    if USER in (relation.source, relation.target):
        raise AuditError(f"audit: relation {relation.type} is among the relations between items, but holds users")
    raw_source, raw_target, raw_weight = raw_edges(allowed.data, relation.type, train)
    source, target = relation.edge_index.numpy()
    size = int(max(raw_target.max(initial=0), target.max(initial=0))) + 1
    key, raw_key = source * size + target, raw_source * size + raw_target
    wrong = _outside(key, raw_key)
    if len(wrong):
        raise AuditError(f"audit: relation {relation.name!r}: {len(wrong)} edges are not those of the data")
    check_weights(f"relation {relation.name!r}", key, relation.weight, raw_key, raw_weight)


def raw_edges(
    data: Dataset, edge_type: EdgeType, train: TrainingData, who: str = "training has"
) -> tuple[Indices, Indices, Tensor | None]:
    """Sources, targets and weights of a relation in the raw data; numeric attributes as edges to the bins of training.

    Raises:
        AuditError: the data has no such relation; `who` begins the message.
    """
    for relation in data.relations:
        if relation.type == edge_type:
            return relation.edge_index[0].numpy(), relation.edge_index[1].numpy(), relation.weight
    for numeric in data.numeric:
        if (numeric.node_type, numeric.name) == edge_type[:2]:
            bounds = np.asarray(train.bounds[numeric.node_type, numeric.name])
            if numeric.knots is not None:
                return _raw_knots(numeric, bounds)
            return numeric.node.numpy(), np.digitize(numeric.number.numpy(), bounds).astype(np.int64), None
    raise AuditError(f"audit: {who} a relation {edge_type} that is not in the data")


def _raw_knots(numeric: Numeric, knots: NDArray[Any]) -> tuple[Indices, Indices, Tensor]:
    """The edges of numbers to the knots beside them: what a hat over each knot is at the number."""
    number, node = numeric.number.numpy().clip(knots[0], knots[-1]), numeric.node.numpy()
    rows, columns, weights = [], [], []
    for place, knot in enumerate(knots):
        before, after = knots[max(place - 1, 0)], knots[min(place + 1, len(knots) - 1)]
        with np.errstate(divide="ignore", invalid="ignore"):
            sides = [np.where(number < knot, (number - before) / (knot - before), (after - number) / (after - knot))]
        hat = np.where(number == knot, 1.0, sides[0])
        near = np.flatnonzero((hat > 0) & (number >= before) & (number <= after))
        rows.append(node[near])
        columns.append(np.full(len(near), place))
        weights.append(hat[near])
    return np.concatenate(rows), np.concatenate(columns), torch.from_numpy(np.concatenate(weights)).float()


def _check_features(allowed: _Allowed, train: TrainingData) -> None:
    """Features are those of the data: of items that are known, and of the training users."""
    raw = {(one.node_type, one.name): one for one in (*allowed.data.features, *allowed.data.user_features)}
    both = [*((one, ITEM) for one in train.features), *((one, USER) for one in train.users.features)]
    for one, of in both:
        own = raw.get((one.node_type, one.name))
        if own is None or one.node_type != of:
            raise AuditError(f"audit: training has a feature {one.name!r} of {one.node_type} nodes that the data lack")
        learned = allowed.user if of == USER else allowed.popularity > 0
        vector, known = described(own, np.flatnonzero(learned)), own.known.numpy()
        if of == USER:
            vector, known = vector[allowed.index], known[allowed.index]
        else:
            vector, known = np.where(allowed.item[:, None], vector, 0), known & allowed.item
        wrong = differing(one, vector, known)
        if wrong.any():
            place = int(wrong.argmax())
            example = allowed.data.ids[of][allowed.index[place] if of == USER else place]
            raise AuditError(
                f"audit: feature {one.name!r} is not that of the data for {int(wrong.sum())} {of}s, e.g. {of} {example}"
            )


def described(own: Features, learned: Indices) -> NDArray[Any]:
    """[N, F], the vectors of a feature in the raw data; an encoder that is fitted is fitted anew, on some nodes."""
    if not own.words:
        vector: NDArray[Any] = own.vector.numpy()
        return vector
    encoder: Any = made_encoder(ENCODERS, *own.encoder)[1]
    encoder.fit([own.words[i] for i in learned if own.words[i]])
    made: NDArray[Any] = np.nan_to_num(rows_of(own.encoder[0], encoder, [text or None for text in own.words]))
    return made


def differing(one: Features, vector: NDArray[Any], known: Mask) -> Mask:
    """[N] bool, the nodes whose feature is another than what was computed again."""
    wrong: Mask = one.known.numpy() != known
    if one.vector.shape != vector.shape:
        return np.ones_like(wrong)
    wrong |= ~np.isclose(one.vector.numpy(), vector, rtol=1e-4, atol=1e-5).all(axis=1)
    return wrong


def _check_values(allowed: _Allowed, train: TrainingData) -> None:
    """The words of attribute values are those of the data."""
    raw = {one.node_type: one for one in allowed.data.values}
    for one in train.values:
        own = raw.get(one.node_type)
        if own is None or not (one.vector.equal(own.vector) and one.known.equal(own.known)):
            raise AuditError(f"audit: the words of the values of {one.name!r} are not those of the data")


def _check_popularity(allowed: _Allowed, train: TrainingData) -> None:
    _check_count(allowed, train.popularity.numpy(), "the popularity count")
    wrong = np.flatnonzero(train.candidates.numpy() & (allowed.popularity == 0))
    if len(wrong):
        item = allowed.data.ids[ITEM][wrong[0]]
        raise AuditError(f"audit: {len(wrong)} candidates have no training interaction, e.g. item {item}")


def _check_count(allowed: _Allowed, count: NDArray[Any], what: str) -> None:
    popularity = allowed.popularity
    wrong = np.flatnonzero(count != popularity)
    if len(wrong):
        item = wrong[0]
        raise AuditError(
            f"audit: {what} is not that of the training users for {len(wrong)} items, e.g. {count[item]:g} instead of "
            f"{popularity[item]} for item {allowed.data.ids[ITEM][item]}"
        )


def _check_bounds(allowed: _Allowed, train: TrainingData) -> None:
    """Bounds are quantiles over the training users; for item attributes, over all items that are known."""
    for numeric in allowed.data.numeric:
        found = train.bounds.get((numeric.node_type, numeric.name), ())
        if numeric.bounds is not None:
            expected = list(numeric.bounds)
        else:
            number, node = numeric.number.numpy(), numeric.node.numpy()
            if numeric.node_type in (USER, ITEM):
                number = number[(allowed.user if numeric.node_type == USER else allowed.item)[node]]
            pieces = (numeric.bins or 1) if numeric.knots is None else numeric.knots + 1
            shares = [place / pieces for place in range(1, pieces)]
            shares += [] if numeric.knots is None else [0.01, 0.99]
            inner = [float(np.quantile(number, share)) for share in shares] if len(number) else []
            expected = sorted({one for one in inner if numeric.knots is not None or one > number.min()})
        if not (len(found) == len(expected) and np.allclose(found, expected, rtol=1e-9, atol=0)):
            raise AuditError(
                f"audit: the bins of {numeric.node_type} attribute {numeric.name!r} have bounds {list(found)}, but the "
                f"training users' numbers give {expected}"
            )


def _check_tables(allowed: _Allowed, train: TrainingData, tables: Mapping[str, int]) -> None:
    for node_type, rows in tables.items():
        known = len(train.ids.get(node_type, ()))
        if rows and (node_type == USER or (rows != known and rows in (train.num_users, allowed.data.num_users))):
            raise AuditError(
                f"audit: the model learns a table {node_type!r} of {rows} rows, one for each user; a user must own no "
                "learned table, or an unseen one has no vector"
            )
