"""A finished run, loaded to recommend items to users who stand in no file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from gnnrec.errors import ConfigError, InputError
from gnnrec.experiment.config import read_config
from gnnrec.experiment.results import CONFIG, read_result
from gnnrec.experiment.run import MODEL, load_split, same_data
from gnnrec.models.saving import load_model
from gnnrec.recommender import Recommender
from gnnrec.serving.profile import encode
from gnnrec.serving.topk import Index
from gnnrec.views import ITEM, USER, TrainingData, UserBatch

RECALL_AT, RECALL_OF = 10, 100
"""Length of the lists, and number of users, that an index is compared with exact search on."""


@dataclass(frozen=True)
class Served:
    """A fitted model and what it was fitted on."""

    model: Recommender
    train: TrainingData
    user_ids: pd.Index
    index: "ItemIndex | None" = None


@dataclass(frozen=True)
class ItemIndex:
    """The ranked items in an index.

    Attributes:
        index: of N items.
        items: [N] int64, which ones.
        recall: share of the true best `RECALL_AT` items that it finds for training users who come as if they were new.
    """

    index: Index
    items: Tensor
    recall: float


def load_run(folder: Path) -> Served:
    """Loads the model of a finished run as it was saved; nothing is fitted again.

    Raises:
        ConfigError: the run is not finished, its data has changed, or its saved model cannot be read.
    """
    result = read_result(folder)
    config = read_config(folder / CONFIG)
    split = load_split(config)
    if not same_data(split, result):
        raise ConfigError(f"{folder}: the data has changed since this run; run its config again with another --out")
    model = load_model(folder / MODEL)
    index = item_index(model, split.full, config.config.serve.index_from)
    return Served(model, split.full, split.dataset.ids[USER], index)


def item_index(model: Recommender, train: TrainingData, index_from: int) -> ItemIndex | None:
    """An index of the ranked items, where there are so many of them and the model's scores are inner products.

    Args:
        model: fitted.
        train: on this.
        index_from: number of ranked items from which on there is an index.

    Raises:
        ConfigError: faiss is not installed.
    """
    items = train.candidates.nonzero().flatten()
    vectors = model.item_vectors() if len(items) >= index_from and hasattr(model, "item_vectors") else None
    if vectors is None:
        return None
    index = Index(vectors[items])
    some = train.users.take(torch.linspace(0, train.num_users - 1, min(RECALL_OF, train.num_users)).long())
    as_new = UserBatch(some.index, some.items.take(torch.empty(0, dtype=torch.int64)), some.relations)
    return ItemIndex(index, items, index.recall(model.query(as_new), RECALL_AT))  # type: ignore[attr-defined]


def recommend_to(
    served: Served, profile: Mapping[str, Any], items: Sequence[str] = (), number: int = 10
) -> tuple[list[dict[str, Any]], list[str]]:
    """The best items for one new user.

    All items are scored and the list is exact, unless the run is served from an index.

    Args:
        served: a loaded run.
        profile: see `gnnrec.serving.profile.encode`.
        items: ids of items that the user has chosen already; they are not recommended again.
        number: length of the list.

    Returns:
        Rows with rank (from 1), item, title (empty where the data has none) and score, and the warnings.

    Raises:
        InputError: no item is known of the user, and the model scores by known items alone.
    """
    user, warnings = encode(served.train, served.user_ids, profile, items)
    if not served.model.supports_cold_users and not len(user.items):
        known = f"none of {', '.join(items)} is an item of the data" if items else "no item is known of the user"
        raise InputError(
            f"{type(served.model).__name__} cannot score a user without known items, and {known}; give --items, or "
            "serve a model that uses attributes"
        )
    found = _every(served, user) if served.index is None else _nearest(served.model, served.index, user, number)
    score, item = found
    if len(score) > 1 and score.min() == score.max():
        warnings.append("the model gives every item the same score for this user: the order of the list means nothing")
    score, place = score.topk(min(number, len(score)))
    titles = served.train.titles
    return [
        {
            "rank": rank,
            "item": str(served.train.ids[ITEM][item]),
            "title": titles[item] if titles else "",
            "score": value,
        }
        for rank, (item, value) in enumerate(zip(item[place].tolist(), score.tolist(), strict=True), 1)
    ], warnings


def _every(served: Served, user: UserBatch) -> tuple[Tensor, Tensor]:
    """Scores and indices of all items that may be recommended."""
    eligible = served.train.candidates.clone()
    eligible[user.items.node] = False
    item = eligible.nonzero().flatten()
    return served.model.score(user)[0, item], item


def _nearest(model: Any, index: ItemIndex, user: UserBatch, number: int) -> tuple[Tensor, Tensor]:
    """Scores and indices of the items that the index finds, the user's known items left out."""
    score, place = index.index(model.query(user), number + len(user.items))
    item = index.items[place[0].clamp(min=0)]
    new = (place[0] >= 0) & ~torch.isin(item, user.items.node)
    return score[0, new], item[new]
