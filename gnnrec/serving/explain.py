"""What of a user is behind each item of a list: how much lower its score is when one edge of the user is left out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gnnrec.reranking.reranked import Reranked
from gnnrec.serving.lists import Served, users_at_once
from gnnrec.serving.profile import encode
from gnnrec.views import ITEM, Edges, UserBatch

HISTORY = "history"
MOST = 3
"""Edges that are told of each item."""


@dataclass(frozen=True)
class Reasons:
    """The edges of B users that hold the scores of K items each up, those that hold it up most first.

    Attributes:
        edge: [B, K, M] int64, places in `relation` and `value`.
        weight: [B, K, M] float32, the score less the score without this edge; 0 where there are fewer than M edges.
        relation: [E] name of each edge's relation, `history` for known items.
        value: [E] id of what it leads to, an attribute value or an item.
    """

    edge: Tensor
    weight: Tensor
    relation: np.ndarray
    value: np.ndarray

    def told(self) -> list[list[list[dict[str, Any]]]]:
        """For each user and item, mappings with `relation`, `value` and `weight`."""
        return [
            [
                [
                    {"relation": self.relation[edge], "value": self.value[edge], "weight": weight}
                    for edge, weight in zip(edges, weights, strict=True)
                    if weight > 0
                ]
                for edges, weights in zip(*of_user, strict=True)
            ]
            for of_user in zip(self.edge.tolist(), self.weight.tolist(), strict=True)
        ]


@torch.no_grad()
def explain(served: Served, users: UserBatch, items: Tensor, most: int = MOST) -> Reasons:
    """The edges that hold the scores of items up.

    Any model can be asked, and no training data is read. Where two edges say the same, each alone may weigh little.
    Each edge costs the scores of one more user.

    Source: Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2, occlusion.
        Differs: edges of a node are left out instead of patches of a picture.

    Args:
        served: a loaded model.
        users: B of its vocabulary.
        items: [B, K] int64, positions of the items.
        most: edges for each item, at most.
    """
    kinds = [(HISTORY, ITEM, users.items), *((t[1], t[2], edges) for t, edges in users.relations.items())]
    owner = torch.cat([edges.row for *_, edges in kinds])  # [E]
    # Places of a re-ranked list do not tell what an edge weighs; the scores of its model do.
    model = served.model.model if isinstance(served.model, Reranked) else served.model
    whole = model.score(users).gather(1, items)  # [B, K]
    weight = torch.empty(len(owner), items.shape[1])  # [E, K]
    for part in torch.arange(len(owner)).split(users_at_once(served.vocabulary.num_items)):
        copies = _without(users, part, owner[part])
        weight[part] = whole[owner[part]] - model.score(copies).gather(1, items[owner[part]])
    weight.masked_fill_(~((weight > 0) & (weight < math.inf)), 0)
    order = owner.argsort(stable=True)
    count = torch.bincount(owner, minlength=len(users))
    place = torch.arange(len(owner)) - (count.cumsum(0) - count)[owner[order]]  # of an edge among those of its user
    width = int(torch.cat([count, torch.tensor([most])]).max())
    edge = torch.zeros(len(users), width, dtype=torch.int64)
    edge[owner[order], place] = order
    held = torch.zeros(len(users), width, items.shape[1])
    held[owner[order], place] = weight[order]
    best, at = (
        found[:, :most].transpose(1, 2) for found in held.sort(dim=1, descending=True, stable=True)
    )  # [B, K, M]
    ids = served.vocabulary.ids
    return Reasons(
        edge=edge[:, None, :].expand(-1, items.shape[1], -1).gather(2, at),
        weight=best,
        relation=np.repeat(np.array([name for name, *_ in kinds], dtype=object), [len(edges) for *_, edges in kinds]),
        value=np.concatenate([np.asarray(ids[target], dtype=object)[edges.node.numpy()] for _, target, edges in kinds]),
    )


def with_reasons(
    served: Served, profile: Mapping[str, Any], items: Sequence[Any], rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The rows of one user's list, each with `why`: for each of a few edges its relation, value and weight.

    Args:
        served: a loaded model.
        profile: that the list is for.
        items: known ones that it is for.
        rows: from `gnnrec.serving.lists.recommend_to`.
    """
    user, _ = encode(served.vocabulary, profile, items)
    places = served.vocabulary.ids[ITEM].get_indexer(pd.Index([row["item"] for row in rows]))
    reasons = explain(served, user, torch.from_numpy(places)[None])
    return [{**row, "why": why} for row, why in zip(rows, reasons.told()[0], strict=True)]


def _without(users: UserBatch, left_out: Tensor, owner: Tensor) -> UserBatch:
    """A copy of its user for each edge that is left out, without that edge.

    Args:
        users: B.
        left_out: [R] int64, places of edges, counted through known items and then relation after relation.
        owner: [R] int64, the user of each.
    """
    before = 0

    def copies(edges: Edges) -> Edges:
        nonlocal before
        order = edges.row.argsort(stable=True)
        count = torch.bincount(edges.row, minlength=len(users))
        start = count.cumsum(0) - count
        each = count[owner]
        copy = torch.arange(len(owner)).repeat_interleave(each)  # [E'], the copies' edges
        place = order[start[owner][copy] + torch.arange(len(copy)) - (each.cumsum(0) - each)[copy]]
        kept = place + before != left_out[copy]
        before += len(edges)
        weight, time = (None if one is None else one[place] for one in (edges.weight, edges.time))
        return Edges(copy, edges.node[place], weight, time).take(kept)

    items = copies(users.items)
    relations = {t: copies(edges) for t, edges in users.relations.items()}
    features = tuple(one.take(owner) for one in users.features)
    return UserBatch(users.index[owner], items, relations, features)
