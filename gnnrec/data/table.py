"""Reader of `source: table`: interactions, users, items and further relations from your own files."""

import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch

from gnnrec.data.columns import each_value, edge_tensor, node_ids, number_tensor, positions, sorted_interactions
from gnnrec.data.config import (
    Attribute,
    FeatureColumn,
    File,
    InteractionsFile,
    ItemsFile,
    NodesFile,
    RelationFile,
    TableData,
)
from gnnrec.data.dataset import Dataset, Interactions, Numeric, event_relation, symmetric
from gnnrec.data.files import Opener
from gnnrec.data.textfile import EXAMPLES, TITLE, TextFile
from gnnrec.errors import DataError
from gnnrec.views import ITEM, USER, Relation


def read(config: TableData, opened: Opener) -> Dataset:
    """Reads the files of a config, or what stands in their place.

    - Users and items are those of their file, with or without interactions. Where there is no such file, they are
      those that interactions and relations name.
    - Of several interactions of one user with one item, `interactions.repeated` says what becomes of them. Several
      edges of one relation between two nodes are merged, their weights added. Where rows are of several kinds, each
      kind but the one that is predicted is a relation of its own.
    - An empty cell in an attribute column is a missing value: no edge. A row with any other empty cell is a bad row.
      The texts of `missing` stand for an empty cell, among several values of one cell too; a title is text as it is.
    - A relation that ends at users is reversed; one between users is made symmetric, and self-loops are dropped.
    - The values of a categorical attribute are a node type with the column's name, or with `item_` before it where
      users have a column of that name too. A relation may name that type; then both share their nodes.
    - An attribute without any value, and a relation without any edge, are left out with a warning.

    Args:
        config: the `data` part of a config; `positive` is ignored.
        opened: from a path of the config to its rows.

    Raises:
        DataError: a file, a column or a row cannot be read; the message names file, line and column.
    """
    nodes = {
        node_type: _nodes_file(node_type, file, opened, config)
        for node_type, file in ((USER, config.users), (ITEM, config.items))
        if file is not None
    }
    rows = _interactions_file(config.interactions, opened, config)
    edges = [_relation_file(place, relation, opened, config) for place, relation in enumerate(config.relations)]
    files = (*nodes.values(), rows, *edges)
    ends = [(rows, "user", USER), (rows, "item", ITEM)]
    for relation, file in zip(config.relations, edges, strict=True):
        ends += [(file, "source.column", relation.source.type), (file, "target.column", relation.target.type)]

    ids = {node_type: node_ids(file.frame["id"]) for node_type, file in nodes.items()}
    for file, role, node_type in ends:
        if node_type in nodes:
            file.parse_ids(role, ids[node_type], nodes[node_type].name)
    open_ends = [end for end in ends if end[2] not in nodes]
    values = _values(config, nodes)
    ids |= _other_ids(open_ends, values)
    for file, role, node_type in open_ends:
        file.parse_ids(role, ids[node_type], "its own")

    relations = [_attribute(value, ids) for value in values]
    for relation, file in zip(config.relations, edges, strict=True):
        relations += _relation(relation, file)
    interactions, events = _interactions(rows, config.interactions)
    relations += events
    used = {USER, ITEM}.union(*({relation.source, relation.target} for relation in relations))
    return Dataset(
        name=config.interactions.path.stem,
        ids={node_type: index for node_type, index in ids.items() if node_type in used},
        interactions=interactions,
        relations=tuple(relations),
        numeric=tuple(_numeric(config, nodes, ids)),
        titles=_titles(nodes, ids[ITEM]),
        cells=_feature_cells(config.items, config.features, nodes.get(ITEM), ids[ITEM]),
        user_cells=_feature_cells(config.users, config.user_features, nodes.get(USER), ids[USER]),
        skipped_rows=sum(file.skipped for file in files),
        skipped_values=sum(file.skipped_values for file in files),
        skipped_examples=tuple(itertools.chain.from_iterable(file.examples for file in files))[:EXAMPLES],
    )


def _text_file(file: File, place: str, columns: Mapping[str, str], opened: Opener, data: TableData) -> TextFile:
    return TextFile(file.path, place, columns, data.on_bad_row == "skip", file, data.missing, opened)


def check_nodes(node_type: str, config: NodesFile, opened: Opener, data: TableData) -> None:
    """Reads a file of users or items alone, for what is wrong with it.

    Raises:
        DataError: a column or a row cannot be read.
    """
    _nodes_file(node_type, config, opened, data)


def _nodes_file(node_type: str, config: NodesFile, opened: Opener, data: TableData) -> TextFile:
    columns = {"id": config.id} | {_role(column): column for column in _read_columns(config)}
    if isinstance(config, ItemsFile) and config.title is not None:
        columns[TITLE] = config.title
    file = _text_file(config, f"data.{node_type}s", columns, opened, data)
    file.require_text("id")
    once = ~file.frame["id"].duplicated().to_numpy(bool)
    file.require(once, "id", f"{node_type} {{cell}} is in an earlier row already; give each {node_type} one row")
    for column, options in config.attributes.items():
        if options.numeric:
            file.parse_numbers(_role(column), optional=True)
    return file


def _read_columns(config: NodesFile) -> list[str]:
    """The columns that attributes and features are read from."""
    columns = []
    for name, options in config.attributes.items():
        if options.image is not None:
            columns += [] if options.image.column is None else [options.image.column]
        elif options.text is not None:
            columns.append(options.text.column or name)
        elif options.vector is not None:
            columns += [] if options.vector.endswith(".npy") else [options.vector]
        else:
            columns.append(name)
    return list(dict.fromkeys(columns))


def _role(column: str) -> str:
    return f"attributes.{column}"


def _interactions_file(config: InteractionsFile, opened: Opener, data: TableData) -> TextFile:
    columns = config.model_dump(include={"user", "item", "value", "time", "event"}, exclude_none=True)
    file = _text_file(config, "data.interactions", columns, opened, data)
    for role in ("user", "item"):
        file.require_text(role)
    if "value" in columns:
        file.parse_numbers("value")
    if "time" in columns:
        file.parse_times("time")
    if config.events is not None:
        known = file.frame["event"].isin(list(config.events)).to_numpy(bool)
        file.require(known, "event", f"{{cell}} is no kind of data.interactions.events: {', '.join(config.events)}")
    return file


def _relation_file(place: int, config: RelationFile, opened: Opener, data: TableData) -> TextFile:
    columns = {"source.column": config.source.column, "target.column": config.target.column}
    if config.weight is not None:
        columns["weight"] = config.weight
    file = _text_file(config, f"data.relations[{place}]", columns, opened, data)
    for role in ("source.column", "target.column"):
        file.require_text(role)
    if config.weight is not None:
        file.parse_numbers("weight", minimum=0)
    return file


@dataclass(frozen=True)
class _Values:
    """The values of one categorical attribute: [V] ids of the owners, [V] values, and the values' node type."""

    owner: str
    name: str
    owner_id: "pd.Series"
    value: "pd.Series"
    node_type: str


def _values(config: TableData, nodes: Mapping[str, TextFile]) -> list[_Values]:
    """The categorical attributes that have any value."""
    found: list[_Values] = []
    for owner, name, options, file in _columns(config, nodes):
        if options.numeric:
            continue
        row, value = each_value(file.frame[_role(name)], options.split)
        known = ~value.isin(config.missing).to_numpy(bool)
        row, value = row[known], value[known]
        if not len(row):
            _warn_all_missing(file, name)
            continue
        taken = {USER, ITEM, *(other.node_type for other in found)}
        node_type = name if name not in taken else f"{owner}_{name}"
        found.append(_Values(owner, name, file.frame["id"].iloc[row], value, node_type))
    return found


def _columns(config: TableData, nodes: Mapping[str, TextFile]) -> Iterator[tuple[str, str, Attribute, TextFile]]:
    for owner, described in ((USER, config.users), (ITEM, config.items)):
        if described is not None:
            for name, options in described.attributes.items():
                if not options.is_feature or (owner == USER and options.number is not None):
                    yield owner, name, options, nodes[owner]


def _warn_all_missing(file: TextFile, name: str) -> None:
    warnings.warn(f"{file.name}: column {name!r}: every value is missing; the attribute is left out", stacklevel=4)


def _other_ids(open_ends: Sequence[tuple[TextFile, str, str]], values: Sequence[_Values]) -> dict[str, pd.Index]:
    """The ids of every node type that has no file of its own."""
    columns: dict[str, list[pd.Series]] = {}
    for file, role, node_type in open_ends:
        columns.setdefault(node_type, []).append(file.frame[role])
    for value in values:
        columns.setdefault(value.node_type, []).append(value.value)
    return {node_type: node_ids(pd.concat(found).unique()) for node_type, found in columns.items()}


def _attribute(values: _Values, ids: Mapping[str, pd.Index]) -> Relation:
    owner = positions(ids[values.owner], values.owner_id)
    value = positions(ids[values.node_type], values.value)
    edges = np.unique(np.stack([owner, value]), axis=1)
    return Relation(values.owner, values.name, values.node_type, edge_tensor(*edges))


def _numeric(config: TableData, nodes: Mapping[str, TextFile], ids: Mapping[str, pd.Index]) -> Iterator[Numeric]:
    for owner, name, options, file in _columns(config, nodes):
        if options.numeric:
            known = file.frame.dropna(subset=[_role(name)])
            node = positions(ids[owner], known["id"])
            order = np.argsort(node)
            number = known[_role(name)].to_numpy(float)[order]
            if len(known):
                knots = None if options.number is None else options.number.knots
                where = torch.from_numpy(node[order]), torch.from_numpy(number)
                yield Numeric(owner, name, *where, options.bins, options.bounds, knots)
            else:
                _warn_all_missing(file, name)


def _relation(config: RelationFile, file: TextFile) -> list[Relation]:
    """The relation, or nothing where no edge is left."""
    frame = file.frame.rename(columns={"source.column": "source", "target.column": "target"})
    ends = (config.source.type, config.target.type)
    if ends[1] == USER and ends[0] != USER:
        ends = (ends[1], ends[0])
        frame = frame.rename(columns={"source": "target", "target": "source"})
    weighted = config.weight is not None
    if not weighted:
        frame = frame.assign(weight=1.0)
    merged = frame.groupby(["source", "target"], as_index=False)["weight"].sum()
    edge_index = edge_tensor(merged["source"].to_numpy(), merged["target"].to_numpy())
    weight = number_tensor(merged["weight"]) if weighted else None
    if ends == (USER, USER):
        edge_index, weight = symmetric(edge_index, weight)
    if not edge_index.shape[1]:
        warnings.warn(f"{file.name}: relation {config.name!r} has no edge and is left out", stacklevel=3)
        return []
    return [Relation(ends[0], config.name, ends[1], edge_index, weight)]


def _interactions(rows: TextFile, config: InteractionsFile) -> tuple[Interactions, list[Relation]]:
    """The interactions, and a relation for each other kind of event."""
    frame = rows.frame
    if config.events is None:
        return _one_of_each(frame, config.repeated), []
    asked = _one_of_each(frame[frame["event"] == config.asked], config.repeated)
    if not len(asked):
        there = ", ".join(frame["event"].unique())
        raise DataError(f"{rows.name}: no row is of the kind that is predicted, {config.asked!r}; there are {there}")
    events = []
    for kind, weight in config.kinds.items():
        some = frame[frame["event"] == kind]
        if not len(some):
            warnings.warn(f"{rows.name}: no row is of the kind {kind!r} (data.interactions.events)", stacklevel=4)
        events += event_relation(kind, _one_of_each(some, "first"), weight)
    return asked, events


def _one_of_each(frame: pd.DataFrame, repeated: Literal["last", "first", "sum", "mean", "count"]) -> Interactions:
    """Of several rows of one user and item, one."""
    if "time" in frame:
        frame = frame.sort_values(["time", "time.fraction"], kind="stable")
    pairs = frame.groupby(["user", "item"])
    if repeated == "count":
        frame = frame.assign(value=pairs["user"].transform("size").astype(float))
    elif repeated in ("sum", "mean"):
        frame = frame.assign(value=pairs["value"].transform(repeated))
    frame = frame.drop_duplicates(["user", "item"], keep="first" if repeated == "first" else "last")
    return sorted_interactions(
        frame["user"].to_numpy(), frame["item"].to_numpy(), frame.get("value"), frame.get("time")
    )


def warn_of_no_choices(dataset: Dataset) -> None:
    """Warns where values say that some interactions are no choice, and nothing leaves these out."""
    value = dataset.interactions.value
    if value is None:
        return
    distinct = set(value.unique().tolist())
    if min(distinct) <= 0 and (distinct <= {-1.0, 0.0, 1.0} or max(distinct) <= 0):
        number = int((value <= 0).sum())
        warnings.warn(
            f"{dataset.name}: {number:,} of {len(value):,} interactions have a value of 0 or less, and count as "
            "choices like all others; set data.positive: {min_value: 1} to leave them out",
            stacklevel=3,
        )


def _feature_cells(
    config: NodesFile | None, features: Mapping[str, FeatureColumn], file: TextFile | None, ids: pd.Index
) -> dict[str, tuple[str, ...]]:
    """What features are made of, by column; of vectors in a file, the number of the row."""
    if not features:
        return {}
    assert config is not None
    assert file is not None
    frame = file.frame.set_index("id")
    made_of = _read_columns(config.model_copy(update={"attributes": features}))
    cells = {column: frame[_role(column)] for column in made_of}
    rows = pd.Series(file.frame.index.to_numpy(), frame.index)
    for name, options in features.items():
        if options.vector is not None and options.vector.endswith(".npy"):
            cells[name] = rows
    return {
        name: tuple("" if cell != cell else str(cell) for cell in column.loc[ids]) for name, column in cells.items()
    }


def _titles(nodes: Mapping[str, TextFile], ids: pd.Index) -> tuple[str, ...]:
    """[I] the item's title, or its id where the title is missing; empty where no title column is named."""
    if ITEM not in nodes or TITLE not in nodes[ITEM].frame:
        return ()
    frame = nodes[ITEM].frame.set_index("id")
    title = frame[TITLE].where(frame[TITLE] != "", frame.index.to_series())
    return tuple(title.loc[ids])
