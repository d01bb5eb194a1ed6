"""The JSON of one new user -> UserBatch: `gnnrec recommend --user '{...}'` as edges."""

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from gnnrec.errors import InputError
from gnnrec.splits.bins import bin_number
from gnnrec.views import ITEM, USER, Edges, EdgeType, TrainingData, UserBatch


def parse(text: str) -> dict[str, Any]:
    """The profile as a mapping.

    Raises:
        InputError: the text is no JSON object.
    """
    shown = " ".join(text.split())  # on one line
    try:
        profile = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"--user: not JSON at character {error.pos + 1} ({error.msg}): {shown}; "
            'write for example \'{"age": 25, "gender": "F"}\''
        ) from None
    if not isinstance(profile, dict):
        raise InputError(f"--user: must be a JSON object such as '{{\"age\": 25}}', got {shown}")
    return profile


def encode(
    train: TrainingData, user_ids: pd.Index, profile: Mapping[str, Any], items: Sequence[str] = ()
) -> tuple[UserBatch, list[str]]:
    """One new user as edges to the nodes of training.

    Args:
        train: what the model was fitted on.
        user_ids: id of each user of the data set, for edges to other users.
        profile: name of an attribute or relation (or, where only one relation leads there, the node type of its values)
            -> a value, a list of values, or a mapping from value to weight; null is no value.
        items: ids of items that the user is known to have chosen.

    Returns:
        The user, and a warning for each name or value that is unknown and so ignored.
    """
    warnings: list[str] = []
    edges: dict[EdgeType, Edges] = {}
    names = [edge_type[1] for edge_type in train.users.relations]
    targets = [edge_type[2] for edge_type in train.attribute_types]
    used = set()
    for edge_type, template in train.users.relations.items():
        _, key, target = edge_type
        if key not in profile and target in profile and target not in names and targets.count(target) == 1:
            key = target
        used.add(key)
        weights = _weights(key, profile.get(key), warnings)
        node, weight = _nodes(train, user_ids, edge_type, weights, warnings)
        edges[edge_type] = Edges(
            torch.zeros(len(node), dtype=torch.int64),
            torch.tensor(node, dtype=torch.int64),
            None if template.weight is None else torch.tensor(weight, dtype=torch.float32),
        )
    for name in profile:
        if name not in used:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            warnings.append(f"unknown attribute {name!r} is ignored.{hint} Known: {', '.join(names)}")
    item = np.array([_place(train.ids[ITEM], _text(name)) for name in items], dtype=np.int64)
    for name, place in zip(items, item, strict=True):
        if place < 0:
            warnings.append(f"unknown item {_text(name)!r} is ignored; items are named by the ids of the data")
    chosen = torch.from_numpy(item[item >= 0]).long().unique()
    value = None if train.users.items.weight is None else train.users.items.weight.mean().expand(len(chosen)).clone()
    return UserBatch(torch.tensor([-1]), Edges(torch.zeros_like(chosen), chosen, value), edges), warnings


def _weights(name: str, values: Any, warnings: list[str]) -> dict[str, float]:
    """Value -> weight, from a value, a list, or a mapping."""
    if not isinstance(values, Mapping):
        many = values if isinstance(values, list) else [values]
        return {_text(value): 1.0 for value in many if value is not None}
    found = {}
    for value, weight in values.items():
        if isinstance(weight, int | float) and math.isfinite(weight) and weight >= 0:
            found[_text(value)] = float(weight)
        else:
            warnings.append(f"{name}: {value!r} is ignored: its weight {weight!r} is no number of at least 0")
    return found


def _nodes(
    train: TrainingData, user_ids: pd.Index, edge_type: EdgeType, values: Mapping[str, float], warnings: list[str]
) -> tuple[list[int], list[float]]:
    """Indices and weights of the nodes that values name; a value that training has not seen is warned of."""
    name, target = edge_type[1:]
    bounds = train.bounds.get((USER, name))
    found: dict[int, float] = {}
    for value, weight in values.items():
        if target == USER:
            place = _place(user_ids, value)
            row = (train.users.index == place).nonzero().flatten().tolist() if place >= 0 else []
            node = row[0] if row else -1
        elif bounds is not None:
            number = _number(value)
            if not math.isfinite(number):
                warnings.append(f"{name}: {value!r} is no number and is ignored")
                continue
            node = int(bin_number(np.array([number]), bounds)[0])
        else:
            node = _place(train.ids[target], value)
        if node < 0 or not train.reachable[target][node]:
            what = "no training user" if target == USER else "a value that training has not seen"
            hint = "" if target == USER else f"; known: {_some(train.ids[target])}"
            warnings.append(f"{name}: {value!r} is {what} and is ignored{hint}")
            continue
        found[node] = found.get(node, 0.0) + weight
    return list(found), list(found.values())


def _text(value: Any) -> str:
    """A value of JSON as a cell of a file has it: without blanks around it, and `true` for a truth value."""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _place(ids: pd.Index, value: str) -> int:
    """Where a value stands among ids, each of which is there once; -1 where it does not.

    Whether `.0` stands behind a whole number depends on all cells of a column, and pandas writes `True` for `true`.
    """
    whole = value.removesuffix(".0")
    others = [value.capitalize()] if value in ("true", "false") else []
    if whole.removeprefix("-").isdecimal():
        others = [whole, f"{whole}.0"]
    place = next((ids.get_loc(one) for one in (value, *others) if one in ids), -1)
    assert isinstance(place, int)
    return place


def _number(value: str) -> float:
    """The number, nan where the text is none."""
    try:
        return float(value)
    except ValueError:
        return math.nan


def _some(ids: pd.Index) -> str:
    shown = ", ".join(str(value) for value in ids[:12])
    return shown if len(ids) <= 12 else f"{shown} ... ({len(ids)} in all)"
