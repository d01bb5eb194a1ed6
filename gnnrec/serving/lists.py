"""The best items for users who stand in no file, by every item's score or from an index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gnnrec.errors import InputError
from gnnrec.recommender import Recommender
from gnnrec.reranking.reranked import Reranked
from gnnrec.runtime import seeds
from gnnrec.serving.artifact import Artifact
from gnnrec.serving.encode import NOTHING as NO_ITEMS
from gnnrec.serving.encode import batch, item_edges
from gnnrec.serving.profile import encode
from gnnrec.serving.topk import Index, top
from gnnrec.serving.vocabulary import Vocabulary
from gnnrec.views import ITEM, USER, UserBatch

SCORES, USERS = 2**23, 2048
"""Scores, and users, that are computed at once, at most."""
RECALL_AT, RECALL_OF = 10, 100
"""Length of the lists, and number of users, that an index is compared with exact search on."""
ALIKE = "the model gives every item the same score for this user: the order of the list means nothing"


@dataclass(frozen=True)
class ItemIndex:
    """The ranked items in an index.

    Attributes:
        index: of N items.
        items: [N] int64, which ones.
        recall: share of the true best `RECALL_AT` items that it finds for `RECALL_OF` users, each with one value of
            every attribute, drawn from those that training has seen.
    """

    index: Index
    items: Tensor
    recall: float


@dataclass(frozen=True)
class Served:
    """A fitted model, ready to be asked for lists.

    Attributes:
        model: fitted.
        vocabulary: of its training data.
        eligible: [I] bool, the items that may be in a list.
        index: of them; None where every item is scored.
    """

    model: Recommender
    vocabulary: Vocabulary
    eligible: Tensor
    index: ItemIndex | None = None


@dataclass(frozen=True)
class Lists:
    """Lists of B users, of at most K items.

    Attributes:
        score: [B, K] float32, best first; -inf beyond a list's end.
        item: [B, K] int64.
        alike: [B] bool, whether all items had the same score.
        not_finite: number of scores that were no finite numbers; these items are in no list.
    """

    score: Tensor
    item: Tensor
    alike: Tensor
    not_finite: int = 0


def serve(
    artifact: Artifact, only: Tensor | None = None, exclude: Tensor | None = None, index_from: int | None = None
) -> Served:
    """Prepares lists of the items that may be recommended.

    Args:
        artifact: a loaded model.
        only: [I] bool, items to choose from; None for all. Items that are no candidates are never in a list.
        exclude: [I] bool, items that are in no list; None for none.
        index_from: candidates from which on the best items come from an index; None for the artifact's.

    Raises:
        ConfigError: faiss is not installed, and there are so many items that it is needed.
        InputError: no item is left.
    """
    eligible = artifact.vocabulary.candidates.clone()
    if only is not None:
        eligible &= only
    if exclude is not None:
        eligible &= ~exclude
    if not eligible.any():
        raise InputError("no item is left to recommend; name others in --only and --exclude")
    index_from = artifact.index_from if index_from is None else index_from
    index = item_index(artifact.model, artifact.vocabulary, eligible, index_from)
    return Served(artifact.model, artifact.vocabulary, eligible, index)


def item_index(model: Recommender, vocabulary: Vocabulary, eligible: Tensor, index_from: int) -> ItemIndex | None:
    """An index of the ranked items, where there are so many of them and the model's scores are inner products.

    Args:
        model: fitted.
        vocabulary: of the model.
        eligible: [I] bool, the items to rank.
        index_from: number of ranked items from which on there is an index.

    Raises:
        ConfigError: faiss is not installed.
    """
    items = eligible.nonzero().flatten()
    vectors = model.item_vectors() if len(items) >= index_from and hasattr(model, "item_vectors") else None
    if vectors is None:
        return None
    index = Index(vectors[items])
    users = _drawn_users(vocabulary, RECALL_OF)
    return ItemIndex(index, items, index.recall(model.query(users), RECALL_AT))  # type: ignore[attr-defined]


def _drawn_users(vocabulary: Vocabulary, number: int) -> UserBatch:
    """Users with one value of each attribute, drawn evenly from those that training has seen."""
    generator = seeds.generator(0, "recall of the index")
    relations = {}
    for edge_type in vocabulary.relations:
        known = torch.empty(0, dtype=torch.int64)
        if edge_type[2] != USER:
            known = vocabulary.seen[edge_type[2]].nonzero().flatten()
        count = number if len(known) else 0
        node = known[torch.randint(max(len(known), 1), (count,), generator=generator)]
        relations[edge_type] = vocabulary.edges(edge_type, torch.arange(count), node)
    features = tuple(one.nobody(number) for one in vocabulary.features)
    return batch(number, item_edges(vocabulary, NO_ITEMS)[0], relations, features)


def recommend_to(
    served: Served, profile: Mapping[str, Any], items: Sequence[Any] = (), number: int = 10
) -> tuple[list[dict[str, Any]], list[str]]:
    """The best items for one new user.

    All items are scored and the list is exact, unless the model is served from an index.

    Args:
        served: a loaded model.
        profile: see `gnnrec.serving.profile.encode`.
        items: ids of items that the user has chosen already; they are not recommended again.
        number: length of the list.

    Returns:
        Rows with rank (from 1), item (its id), title (empty where the data has none) and score, and the warnings.

    Raises:
        InputError: no item is known of the user, and the model scores by known items alone.
    """
    vocabulary = served.vocabulary
    user, warnings = encode(vocabulary, profile, items)
    if not served.model.supports_cold_users and not len(user.items):
        named = ", ".join(map(str, items))
        known = f"none of {named} is an item of the data" if named else "no item is known of the user"
        if user.events and vocabulary.kinds.predicted is not None:
            known = f"no item of the kind that is predicted, {vocabulary.kinds.predicted!r}, is known of the user"
        raise InputError(
            f"{type(served.model).__name__} cannot score a user without known items, and {known}; give --items, or "
            "serve a model that uses attributes"
        )
    lists = best(served, user, number)
    if lists.not_finite:
        warnings.append(f"{lists.not_finite} items have a score that is no finite number, and are left out")
    if lists.alike[0]:
        warnings.append(ALIKE)
    listed = lists.score[0] > -torch.inf
    item, score = lists.item[0, listed], lists.score[0, listed]
    ids = vocabulary.ids[ITEM][item.numpy()].tolist()
    return [
        {"rank": rank, "item": name, "title": vocabulary.titles[place] if vocabulary.titles else "", "score": value}
        for rank, (name, place, value) in enumerate(zip(ids, item.tolist(), score.tolist(), strict=True), 1)
    ], warnings


def users_at_once(num_items: int) -> int:
    """Number of users whose items are all scored at once."""
    return max(1, min(USERS, SCORES // num_items))


@torch.no_grad()
def best(served: Served, users: UserBatch, number: int) -> Lists:
    """The best items for each of B users, known and rejected items left out; equal scores in the order of the items.

    Args:
        served: a loaded model.
        users: of its vocabulary.
        number: K.
    """
    return _of_all(served, users, number) if served.index is None else _of_index(served, served.index, users, number)


def _of_all(served: Served, users: UserBatch, number: int) -> Lists:
    model = served.model
    every = model.score_among(users, served.eligible) if isinstance(model, Reranked) else model.score(users)
    score = every.masked_fill(~served.eligible, -torch.inf)
    known = users.unranked
    score[known.row, known.node] = -torch.inf
    wrong = 0
    if not every.sum().isfinite():  # a score, or a sum that is too large
        strange = ~score.isfinite() & served.eligible
        strange[known.row, known.node] = False
        wrong = int(strange.sum())
        score[strange] = -torch.inf
    value, item = top(score, number)
    level = (value[:, 0] == value[:, -1]) & (value[:, 0] > -torch.inf)  # else not all scores are the same
    alike = torch.zeros_like(level)
    if level.any():
        some = score[level]
        listed = some > -torch.inf
        alike[level] = (some.masked_fill(~listed, torch.inf).amin(1) == value[level, 0]) & (listed.sum(1) > 1)
    return Lists(value, item, alike, wrong)


def _of_index(served: Served, index: ItemIndex, users: UserBatch, number: int) -> Lists:
    known = users.unranked
    most = int(torch.bincount(known.row, minlength=1).max())
    score, place = index.index(served.model.query(users), number + most)  # type: ignore[attr-defined]
    item = index.items[place.clamp(min=0)]
    key = torch.arange(len(users))[:, None] * len(served.eligible) + item
    dropped = (place < 0) | torch.isin(key, known.row * len(served.eligible) + known.node)
    score = score.masked_fill(dropped, -torch.inf)
    wrong = int((~score.isfinite() & ~dropped).sum())
    score = score.masked_fill(~score.isfinite(), -torch.inf)
    score, order = score.sort(dim=1, descending=True, stable=True)
    score, item = score[:, :number], item.gather(1, order)[:, :number]
    alike = (score.shape[1] > 1) & (score[:, 0] == score[:, -1]) & (score[:, 0] > -torch.inf)
    return Lists(score, item, alike, wrong)
