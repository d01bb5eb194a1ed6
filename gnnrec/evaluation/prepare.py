"""A model's scores of held-out users -> the object that metrics are fed by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnnrec.errors import ConfigError, TrainingError
from gnnrec.evaluation.metrics.metric_input import Kind, MetricInput
from gnnrec.evaluation.ranking import first_rank, top
from gnnrec.recommender import Recommender
from gnnrec.runtime import distributed
from gnnrec.runtime.ties import tie_key
from gnnrec.views import Edges, UserBatch


@dataclass(frozen=True)
class Queries:
    """What a model is asked about B users.

    Attributes:
        ground_truth: the relevant items, as histories, so that users are taken alike.
        masked: the items that are not ranked for their user, in the same form.
        candidates: [I] bool, the items that are ranked.
    """

    ground_truth: UserBatch
    masked: UserBatch
    candidates: Tensor


@dataclass(frozen=True)
class Preparation:
    """How scores become the input of metrics.

    Attributes:
        kind: what is measured.
        needs: fields of `MetricInput` that some metric needs.
        length: K, of the longest list.
        batch_size: users scored at once.
        seed: breaks ties.
    """

    kind: Kind
    needs: frozenset[str]
    length: int
    batch_size: int
    seed: int


def prepare(model: Recommender, users: UserBatch, queries: Queries, how: Preparation) -> MetricInput:
    """Scores the users batch by batch, and keeps what metrics need of the scores.

    Of several processes, each scores a part of the batches in turns, and all get the same result.

    Args:
        model: fitted.
        users: what the model may know of them.
        queries: of the same users, in the same order.
        how: what to keep.

    Raises:
        TrainingError: the model's scores have the wrong shape, or are not all finite.
    """
    batches = torch.arange(len(users)).split(how.batch_size)

    def prepared(rows: Tensor) -> dict[str, Tensor]:
        scores = _scores(model, users.take(rows), len(queries.candidates))  # [B, I]
        vectors = {"vectors": _vectors(model, users.take(rows))} if "vectors" in how.needs else {}
        return {**PREPARED[how.kind](scores, rows, queries, how), **vectors}

    parts = distributed.dealt(batches, prepared)
    found: dict[str, Any] = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    if "num_relevant" in how.needs:
        found["num_relevant"] = torch.bincount(queries.ground_truth.items.row, minlength=len(users))
    if "candidates" in how.needs:
        found["candidates"] = queries.candidates
    return MetricInput(num_users=len(users), **found)


def _scores(model: Recommender, users: UserBatch, num_items: int) -> Tensor:
    with torch.no_grad():
        scores = model.score(users)
    name = type(model).__name__
    if scores.shape != (len(users), num_items):
        raise TrainingError(f"{name}.score returned {list(scores.shape)} instead of {[len(users), num_items]}")
    broken = ~scores.isfinite()
    if broken.any():
        raise TrainingError(
            f"{name}: {int(broken.sum())} of {scores.numel()} scores are not finite, e.g. of item "
            f"{int(broken.nonzero()[0, 1])}; lower its learning rate, or look for a division by zero"
        )
    return scores


def _vectors(model: Recommender, users: UserBatch) -> Tensor:
    """[B, D]."""
    if not hasattr(model, "embed"):
        raise ConfigError(
            f"evaluate.metrics: probe_auc reads users' vectors, and {type(model).__name__} has none; leave it out, or "
            "take a model that embeds users, for example GraphSAGE"
        )
    with torch.no_grad():
        vectors: Tensor = model.embed(users)
    return vectors


def _lists(scores: Tensor, rows: Tensor, queries: Queries, how: Preparation) -> dict[str, Tensor]:
    """Every candidate is ranked but the masked ones."""
    num_items = len(queries.candidates)
    truth = queries.ground_truth.take(rows)
    relevant = truth.history(num_items)  # [B, I]
    eligible = queries.candidates & ~queries.masked.take(rows).history(num_items)
    found = {}
    if how.needs & {"hits", "items"}:
        items = top(scores, eligible, truth.index, how.length, how.seed)  # [B, K]
        found["items"] = items
        found["hits"] = relevant.gather(1, items.clamp(min=0)) & (items >= 0)
    if "first_rank" in how.needs:
        found["first_rank"] = first_rank(scores, eligible, relevant, truth.index, how.seed)
    return {name: value for name, value in found.items() if name in how.needs}


def _rated(scores: Tensor, rows: Tensor, queries: Queries, how: Preparation) -> dict[str, Tensor]:
    """Each user's rated items are ordered."""
    batch = queries.ground_truth.take(rows)
    truth = batch.items
    score = scores[truth.row, truth.node]  # [E]
    gain, tie_break = exponential_gain(truth), tie_key(batch.index[truth.row], truth.node, how.seed)
    return {
        "gains": _in_order(gain, score, tie_break, truth.row, len(rows), how.length),
        "ideal_gains": _in_order(gain, gain, tie_break, truth.row, len(rows), how.length),
    }


def exponential_gain(rated: Edges) -> Tensor:
    """[E] float64, 2 ** rating - 1.

    Raises:
        ConfigError: a value is no rating between 0 and 50.
    """
    assert rated.weight is not None
    if len(rated) and not (rated.weight.min() >= 0 and rated.weight.max() <= 50):
        low, high = float(rated.weight.min()), float(rated.weight.max())
        raise ConfigError(
            f"evaluate.metrics: the order of rated items counts an item 2 ** value - 1, which needs ratings between 0 "
            f"and 50; the values lie between {low:g} and {high:g}; measure ranked lists (e.g. ndcg), with "
            "data.positive where values say like and dislike"
        )
    return 2 ** rated.weight.double() - 1


def _in_order(gain: Tensor, score: Tensor, tie_break: Tensor, row: Tensor, num_users: int, length: int) -> Tensor:
    """[B, K] float32, each user's gains in the order of the scores, 0 where the user has fewer than K items."""
    order = torch.from_numpy(np.lexsort((-tie_break, -score, row)))
    row, gain = row[order], gain[order]
    count = torch.bincount(row, minlength=num_users)
    place = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
    listed = torch.zeros(num_users, length)
    shown = place < length
    listed[row[shown], place[shown]] = gain[shown].float()
    return listed


def _ratings(scores: Tensor, rows: Tensor, queries: Queries, how: Preparation) -> dict[str, Tensor]:
    """A score is a predicted rating."""
    truth = queries.ground_truth.take(rows).items
    assert truth.weight is not None
    error = scores[truth.row, truth.node].double() - truth.weight  # [E]
    return {"error": error, "rating": truth.weight, "rating_user": rows[truth.row]}


def _classes(scores: Tensor, rows: Tensor, queries: Queries, how: Preparation) -> dict[str, Tensor]:
    """The candidates are classes, of which each user has one."""
    columns = queries.candidates.nonzero().flatten()
    truth = queries.ground_truth.take(rows).items
    label = torch.empty(len(rows), dtype=torch.int64)
    label[truth.row] = (queries.candidates.cumsum(0) - 1)[truth.node]
    score = scores[:, columns]
    found = {"score": score, "probability": score.double().softmax(1), "label": label}
    return {name: value for name, value in found.items() if name in how.needs}


PREPARED: Mapping[Kind, Callable[[Tensor, Tensor, Queries, Preparation], dict[str, Tensor]]] = {
    "lists": _lists,
    "rated": _rated,
    "ratings": _ratings,
    "classes": _classes,
}
"""What is measured -> the fields that one batch of users gives."""
