"""Several data sets as one: users apart, items and attribute values that are the same put together."""

import functools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gnnrec.data.dataset import Dataset, Interactions, Numeric
from gnnrec.data.match import Nodes, match
from gnnrec.errors import ConfigError
from gnnrec.views import INTERACTS, ITEM, USER, Features, Relation


def union(datasets: Sequence[Dataset], attributes: Mapping[str, str | None] | None = None) -> Dataset:
    """One data set of several platforms.

    Users are all different, and have the platform's name before their ids from the second platform on. Items of the
    same title, attributes of the same or a similar name, and values of the same or a similar name are one, as `match`
    finds them; what is on one platform alone stays as it is. Times are kept where all platforms have them. Kinds of
    events beside the interactions are left out.

    Args:
        datasets: at least one.
        attributes: name of a relation of a later platform -> that of the first one, as `match` takes them.

    Raises:
        ConfigError: features of one name have different lengths.
    """
    parts = [_without_events(dataset) for dataset in datasets]
    parts = [_without_words(dataset) for dataset in parts] if len(parts) > 1 else parts
    return functools.reduce(lambda base, other: _joined(base, other, attributes or {}), parts)


def _without_events(dataset: Dataset) -> Dataset:
    kept = tuple(r for r in dataset.relations if r.time is None)
    if len(kept) < len(dataset.relations):
        told = f"{dataset.name}: several kinds of events cannot be joined; the interactions alone are taken"
        warnings.warn(told, stacklevel=2)
    return replace(dataset, relations=kept)


def _without_words(dataset: Dataset) -> Dataset:
    if dataset.values:
        told = f"{dataset.name}: the words of attribute values (data.values) are not joined with another platform's"
        warnings.warn(told, stacklevel=2)
    return replace(dataset, values=())


def nodes_of_data(dataset: Dataset) -> Nodes:
    """The nodes and relations of a data set by their names; numeric attributes are not among them."""
    ids = {t: [str(one) for one in known] for t, known in dataset.ids.items() if t != USER}
    return Nodes(ids, (INTERACTS, *(r.type for r in dataset.relations)), dataset.titles)


def _joined(base: Dataset, other: Dataset, attributes: Mapping[str, str | None]) -> Dataset:
    names = {r.name for r in other.relations}
    given = {own: theirs for own, theirs in attributes.items() if own in names}
    found = match(nodes_of_data(other), nodes_of_data(base), attributes=given)
    called, place, ids = {USER: USER, ITEM: ITEM}, {}, dict(base.ids)
    for node_type, own in other.ids.items():
        one = None if node_type == USER else found.types.get(node_type)
        row = np.full(len(own), -1) if one is None else one.row
        if node_type not in called:
            called[node_type] = _free(node_type, other.name, ids) if one is None else one.theirs
        there = ids.get(called[node_type], pd.Index([], dtype=own.dtype))
        fresh = (row < 0).nonzero()[0]
        place[node_type] = np.where(row < 0, len(there) + np.searchsorted(fresh, np.arange(len(own))), row)
        added = own[fresh]
        if node_type in (USER, ITEM):
            added = pd.Index([f"{other.name}:{one}" for one in added])
        ids[called[node_type]] = there.append(added)
    relations = {r.type: r for r in base.relations}
    for r in other.relations:
        moved = _moved(r.edge_index, place[r.source], place[r.target])
        theirs = found.relations.get(r.type)
        if theirs is not None:
            relations[theirs] = _with_edges(relations[theirs], moved, r.weight)
            continue
        name = _free(r.name, other.name, {known.name: 0 for known in relations.values()})
        renamed = Relation(called[r.source], name, called[r.target], moved, r.weight)
        relations[renamed.type] = renamed
    items = torch.from_numpy(place[ITEM])
    return Dataset(
        name=f"{base.name} + {other.name}",
        ids=ids,
        interactions=_interactions(base.interactions, other.interactions, base.num_users, items),
        relations=tuple(relations.values()),
        numeric=_numeric(base, other, place),
        titles=_titles(base, other, items, len(ids[ITEM])),
        features=_features(base, other, ITEM, items, len(ids[ITEM])),
        user_features=_features(base, other, USER, torch.arange(base.num_users, len(ids[USER])), len(ids[USER])),
    )


def _free(name: str, platform: str, taken: Mapping[str, object]) -> str:
    return name if name not in taken else f"{name} of {platform}"


def _moved(edge_index: Tensor, *places: np.ndarray) -> Tensor:
    return torch.stack([torch.from_numpy(place)[end] for place, end in zip(places, edge_index, strict=True)])


def _with_edges(relation: Relation, edges: Tensor, weight: Tensor | None) -> Relation:
    """The relation with further edges; of an edge that is there twice, the first counts."""
    both = torch.cat([relation.edge_index, edges], dim=1)
    size = int(both[1].max()) + 1 if both.numel() else 1
    first = np.sort(np.unique((both[0] * size + both[1]).numpy(), return_index=True)[1])
    weights = None
    if relation.weight is not None or weight is not None:
        parts = ((relation.weight, relation.edge_index), (weight, edges))
        weights = torch.cat([torch.ones(e.shape[1]) if w is None else w for w, e in parts])[first]
    return replace(relation, edge_index=both[:, first], weight=weights)


def _interactions(base: Interactions, other: Interactions, num_users: int, items: Tensor) -> Interactions:
    def both(one: Tensor | None, another: Tensor | None) -> Tensor | None:
        return None if one is None or another is None else torch.cat([one, another])

    return Interactions(
        torch.cat([base.user, other.user + num_users]),
        torch.cat([base.item, items[other.item]]),
        both(base.value, other.value),
        both(base.time, other.time),
    )


def _numeric(base: Dataset, other: Dataset, place: Mapping[str, np.ndarray]) -> tuple[Numeric, ...]:
    """Numeric attributes of one name are one; a node that has a number already keeps it."""
    found = {(one.node_type, one.name): one for one in base.numeric}
    for one in other.numeric:
        offset = base.num_users if one.node_type == USER else 0
        node = one.node + offset if offset else torch.from_numpy(place[one.node_type])[one.node]
        key = (one.node_type, one.name)
        if key not in found:
            found[key] = replace(one, node=node)
            continue
        new = ~torch.isin(node, found[key].node)
        numbers = torch.cat([found[key].number, one.number[new]])
        found[key] = replace(found[key], node=torch.cat([found[key].node, node[new]]), number=numbers)
    return tuple(found.values())


def _titles(base: Dataset, other: Dataset, items: Tensor, count: int) -> tuple[str, ...]:
    if not (base.titles or other.titles):
        return ()
    titles = [*(base.titles or map(str, base.ids[ITEM])), *[""] * (count - base.num_items)]
    for number, title in zip(items.tolist(), other.titles or map(str, other.ids[ITEM]), strict=True):
        titles[number] = titles[number] or title
    return tuple(titles)


def _features(base: Dataset, other: Dataset, node_type: str, place: Tensor, count: int) -> tuple[Features, ...]:
    """Features of one name are one; `place` ([N] int64) says where the other platform's nodes stand among `count`."""
    both = [data.user_features if node_type == USER else data.features for data in (base, other)]
    own, others = ({one.name: one for one in each} for each in both)
    found = []
    for name in dict.fromkeys([*own, *others]):
        parts = [
            (known[name], rows)
            for known, rows in ((own, torch.arange(len(base.ids[node_type]))), (others, place))
            if name in known
        ]
        widths = {one.vector.shape[1] for one, _ in parts}
        if len(widths) > 1 or len({str(one.encoder) for one, _ in parts}) > 1:
            raise ConfigError(
                f"feature {name!r}: {base.name} and {other.name} encode it differently "
                f"({' and '.join(str(width) for width in sorted(widths))} numbers); use one encoder"
            )
        vector, known = torch.zeros(count, widths.pop()), torch.zeros(count, dtype=torch.bool)
        words = [""] * count if any(one.words for one, _ in parts) else []
        for one, rows in reversed(parts):
            there = one.known
            vector[rows[there]], known[rows[there]] = one.vector[there], True
            for number, text in zip(rows.tolist(), one.words, strict=False):
                words[number] = text or words[number]
        found.append(Features(node_type, name, vector, known, tuple(words), parts[0][0].encoder))
    return tuple(found)
