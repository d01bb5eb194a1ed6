"""Columns of a data frame as ids of nodes with edges between them."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gnnrec.data.dataset import Interactions
from gnnrec.views import Relation


def node_ids(values: Iterable[str]) -> pd.Index:
    """The distinct ids, sorted: by number where all are whole numbers, else by text.

    Example:
        >>> list(node_ids(["10", "9", "9"])), list(node_ids(["10", "9", "b"]))
        (['9', '10'], ['10', '9', 'b'])
    """
    distinct = {str(value) for value in values}
    numbers = all(value.isascii() and value.isdigit() for value in distinct)
    ids: pd.Index = pd.Index(sorted(distinct, key=lambda value: (int(value) if numbers else 0, value)), dtype="str")
    return ids


def positions(ids: pd.Index, column: "pd.Series") -> np.ndarray:
    """[R] int64, the position of each cell in `ids`, -1 where it is missing. Only distinct cells are looked up.

    Example:
        >>> positions(pd.Index(["9", "10"]), pd.Series([10, 9, 10]))
        array([1, 0, 1])
    """
    code, distinct = pd.factorize(column)
    place = ids.get_indexer(pd.Index(distinct).astype("str"))
    return np.where(code >= 0, place[code], -1)


def edge_tensor(source: np.ndarray, target: np.ndarray) -> Tensor:
    """[2, E] int64."""
    return torch.from_numpy(np.stack([source, target]).astype(np.int64))


def number_tensor(values: "pd.Series | np.ndarray") -> Tensor:
    """[E] float32."""
    return torch.from_numpy(np.array(values, dtype=np.float32))


def sorted_interactions(
    user: np.ndarray, item: np.ndarray, value: "pd.Series | None" = None, time: "pd.Series | None" = None
) -> Interactions:
    """Interactions in the order of user, then item, whatever the order in the file."""
    order = np.lexsort((item, user))
    return Interactions(
        torch.from_numpy(user[order].astype(np.int64)),
        torch.from_numpy(item[order].astype(np.int64)),
        None if value is None else number_tensor(np.asarray(value)[order]),
        None if time is None else torch.from_numpy(np.asarray(time)[order].astype(np.int64)),
    )


def each_value(cells: "pd.Series", split: str | None = None) -> tuple[np.ndarray, "pd.Series"]:
    """The values in the cells of a column, missing and empty ones left out.

    Args:
        cells: [R] text.
        split: separator of the values in one cell; None where a cell holds one value.

    Returns:
        [V] int64 row of each value, and [V] the values; each value once per row.

    Example:
        >>> row, value = each_value(pd.Series(["a|b", None, "b| "]), "|")
        >>> row, list(value)
        (array([0, 0, 2]), ['a', 'b', 'b'])
    """
    rows = pd.DataFrame({"row": np.arange(len(cells)), "value": cells.to_numpy()}).dropna().astype({"value": "str"})
    if split is not None:
        rows["value"] = rows["value"].str.split(split, regex=False)
        rows = rows.explode("value")
        rows["value"] = rows["value"].astype("str")
    rows["value"] = rows["value"].str.strip()
    rows = rows[rows["value"] != ""].drop_duplicates()
    return rows["row"].to_numpy(np.int64), rows["value"]


def attribute(
    owner: str, name: str, node: np.ndarray, cells: "pd.Series", split: str | None = None
) -> tuple[Relation, pd.Index]:
    """A categorical attribute as edges from its owners to its values.

    Args:
        owner: node type of the owners.
        name: name of the attribute, of the relation and of the node type of its values.
        node: [R] int64, owner of each row.
        cells: [R] text, see `each_value`.
        split: see `each_value`.

    Returns:
        The relation, each edge once, sorted by owner; and the ids of the values.
    """
    row, value = each_value(cells, split)
    ids = node_ids(value.unique())
    edges = np.unique(np.stack([node[row], positions(ids, value)]), axis=1)
    return Relation(owner, name, name, edge_tensor(*edges)), ids
