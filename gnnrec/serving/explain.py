"""What of a user is behind each item of a list: how much lower its score is when one edge of the user is left out."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from gnnrec.serving.lists import Served
from gnnrec.serving.many import SCORES
from gnnrec.serving.profile import encode
from gnnrec.serving.vocabulary import Vocabulary
from gnnrec.views import ITEM, Edges, UserBatch

MOST = 3
"""Edges that are told of each item."""


@torch.no_grad()
def explain(served: Served, user: UserBatch, items: Sequence[int], most: int = MOST) -> list[list[dict[str, Any]]]:
    """The edges of one user that hold the score of each item up, those that hold it up most first.

    Any model can be asked, and no training data is read. Where two edges say the same, each alone may weigh little.

    Source: Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2, occlusion.
        Differs: edges of a node are left out instead of patches of a picture.
    Shapes: a user of E edges -> scores [E, I].

    Args:
        served: a loaded model.
        user: of its vocabulary, one row.
        items: [K] positions of the items.
        most: edges for each item, at most.

    Returns:
        For each item, mappings with `relation` (`history` for a known item), `value` (its id) and `weight`: the score
        less the score without this edge, above 0.
    """
    names = list(_names(served.vocabulary, user))
    chosen = torch.tensor(items, dtype=torch.int64)
    if not names or not len(chosen):
        return [[] for _ in items]
    whole = served.model.score(user)[0, chosen]
    size = max(1, SCORES // served.vocabulary.num_items)
    parts = torch.arange(len(names)).split(size)
    weight = torch.cat([whole - served.model.score(_without(user, part))[:, chosen] for part in parts])  # [E, K]
    value, edge = weight.sort(dim=0, descending=True, stable=True)
    return [
        [
            {**names[place], "weight": less}
            for place, less in zip(edge[:most, column].tolist(), value[:most, column].tolist(), strict=True)
            if 0 < less < math.inf
        ]
        for column in range(len(chosen))
    ]


def with_reasons(
    served: Served, profile: Mapping[str, Any], items: Sequence[Any], rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The rows of a list, each with `why`.

    Args:
        served: a loaded model.
        profile: that the list is for.
        items: known ones that it is for.
        rows: from `gnnrec.serving.lists.recommend_to`.
    """
    user, _ = encode(served.vocabulary, profile, items)
    places = served.vocabulary.ids[ITEM].get_indexer(pd.Index([row["item"] for row in rows]))
    return [{**row, "why": why} for row, why in zip(rows, explain(served, user, places.tolist()), strict=True)]


def _names(vocabulary: Vocabulary, user: UserBatch) -> Iterator[dict[str, Any]]:
    """Relation and value of each edge, known items first."""
    every = [("history", ITEM, user.items), *((t[1], t[2], edges) for t, edges in user.relations.items())]
    for name, target, edges in every:
        for value in vocabulary.ids[target][edges.node.numpy()].tolist():
            yield {"relation": name, "value": value}


def _without(user: UserBatch, left_out: Tensor) -> UserBatch:
    """A copy of the user for each edge that is left out ([B] int64, in the order of `_names`), without it."""
    before = 0

    def copies(edges: Edges) -> Edges:
        nonlocal before
        row = torch.arange(len(left_out)).repeat_interleave(len(edges))
        place = torch.arange(len(edges)).repeat(len(left_out))
        kept = place + before != left_out[row]
        before += len(edges)
        weight = None if edges.weight is None else edges.weight[place]
        return Edges(row, edges.node[place], weight).take(kept)

    items = copies(user.items)
    relations = {t: copies(edges) for t, edges in user.relations.items()}
    return UserBatch(user.index.expand(len(left_out)).clone(), items, relations)
