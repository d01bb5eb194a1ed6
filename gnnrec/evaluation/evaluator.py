"""A fitted recommender and held-out users -> one value per user and metric."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from gnnrec.errors import ConfigError, TrainingError
from gnnrec.evaluation import metrics
from gnnrec.evaluation.ranking import first_rank, tie_key, top
from gnnrec.recommender import Recommender
from gnnrec.runtime import distributed
from gnnrec.splits.kshot import reveal
from gnnrec.views import Edges, TestSet, UserBatch

Metric = Literal["ndcg", "recall", "precision", "map", "hit", "mrr", "coverage", "rated_ndcg", "rmse", "mae"]

OF_LIST: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ndcg": metrics.ndcg,
    "recall": metrics.recall,
    "precision": metrics.precision,
    "map": metrics.average_precision,
    "hit": metrics.hit,
}
OF_RATED = ("rated_ndcg",)
OF_VALUES = ("rmse", "mae")


class EvaluateConfig(BaseModel):
    """What is measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metrics: list[Metric] = Field(["ndcg", "recall", "precision", "coverage"], min_length=1)
    """Metrics of ranked lists, of the order of the items that a user rated (rated_ndcg), or of predicted values (rmse,
    mae); the first one is the one that counts."""
    at: list[Annotated[int, Field(ge=1)]] = Field([10, 20], min_length=1)
    """Lengths of the lists; mrr looks at the whole ranking, rmse and mae at no list."""
    batch_size: int = Field(256, ge=1)
    """Users scored at once: memory, and nothing else, depends on it."""
    shots: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(None, min_length=1)
    """k-shot: each user is asked about once for each number, with so many items of its support shown; ascending, the
    last one being the split's support. Left out, the whole support is shown."""

    @model_validator(mode="after")
    def _one_kind(self) -> "EvaluateConfig":
        first = self.metrics[0]
        other = next((m for m in self.metrics if _over(m) != _over(first)), None)
        if other is not None:
            raise ValueError(
                f"metrics: {first} is measured over {_over(first)} and {other} over {_over(other)}; "
                "ask for them in two configs"
            )
        if self.shots is not None and list(self.shots) != sorted(set(self.shots)):
            raise ValueError(f"shots must ascend, got {list(self.shots)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics' names as results have them, each once.

        Example:
            >>> EvaluateConfig(metrics=["ndcg", "mrr"], at=[5, 10]).names
            ('ndcg@5', 'ndcg@10', 'mrr')
            >>> EvaluateConfig(metrics=["ndcg"], at=[10], shots=(0, 5)).names
            ('k0/ndcg@10', 'k5/ndcg@10')
        """
        return tuple(shot + name for shot in self.prefixes for name in self.plain_names)

    @property
    def plain_names(self) -> tuple[str, ...]:
        """The names of what is measured for one number of shots, without what stands before them."""
        with_length = {m: [f"{m}@{k}" for k in self.at] for m in (*OF_LIST, *OF_RATED, "coverage")}
        return tuple(dict.fromkeys(name for m in self.metrics for name in with_length.get(m, [m])))

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What stands before the names of the metrics for each number of shots."""
        return ("",) if self.shots is None else tuple(f"k{k}/" for k in self.shots)

    def objective(self, values: Mapping[str, float | None], metric: str | None = None) -> float | None:
        """The one value to choose by; where there are shots, its mean over those that can be scored.

        Args:
            values: metric -> mean over users.
            metric: one of `plain_names`; None takes the first.

        Returns:
            None where the model cannot score the users at all.

        Example:
            >>> EvaluateConfig(metrics=["ndcg"], at=[10], shots=(0, 1, 2)).objective(
            ...     {"k0/ndcg@10": None, "k1/ndcg@10": 0.25, "k2/ndcg@10": 0.75}
            ... )
            0.5
        """
        found = [
            value for shot in self.prefixes if (value := values[shot + (metric or self.plain_names[0])]) is not None
        ]
        return sum(found) / len(found) if found else None


def _over(metric: str) -> str:
    """What a metric is measured over."""
    if metric in OF_VALUES:
        return "every held-out rating"
    return "the rated items of each user" if metric in OF_RATED else "ranked lists of positive items"


@dataclass(frozen=True)
class Evaluation:
    """How well a recommender found what held-out users chose.

    Attributes:
        metrics: name -> mean over the users (`coverage@k`: of all lists together; `rmse`, `mae`: over all ratings);
            None where the model cannot score these users, which a table shows as a dash.
        per_user: one row per evaluated user: `user` (index in the data set) and a column for each metric that has
            a value per user. For rmse and mae the columns are `squared_error`, `absolute_error` and `ratings`.
        users: how many users the metrics are over.
        users_without_target: users left out, because no item that could be found is relevant to them.
        checksum: SHA-256 of what was asked: users, what was known of their items, targets and candidates. Models with
            the same checksum can be compared user by user, whatever else they knew.
    """

    metrics: dict[str, float | None]
    per_user: pd.DataFrame
    users: int
    users_without_target: int
    checksum: str


@dataclass(frozen=True)
class _Asked:
    """What is asked of B users.

    Attributes:
        target: the items to find, in the shape of a history, so that users are cut alike.
        kept_out: the items that are not ranked for their user, in the same shape.
        candidates: [I] bool, the items that are ranked.
    """

    target: UserBatch
    kept_out: UserBatch
    candidates: Tensor


def evaluate(
    model: Recommender, held_out: TestSet, candidates: Tensor, config: EvaluateConfig, seed: int
) -> Evaluation:
    """Ranks every candidate for each held-out user, its support left out, and compares with its target.

    Ties are broken at random. The order of tied items hangs on seed, user and item alone, so it does not change with
    the batch size or with who else is evaluated, and a model that gives every item one score gets the value of chance.

    With shots, all of this is done for each of them: the same users, targets and ranked items, and only what is shown
    of the support differs. A model that does not score unseen users is asked from one shot on.

    Of several processes, each scores a part of the users, batch by batch in turns, and all get the same result.

    A user whose target holds no candidate is left out and counted. For rmse and mae nothing is ranked, and for
    rated_ndcg only the target: every rating in it counts, also one of an item that was never seen in training.

    Args:
        model: fitted.
        held_out: the users, and what is to be found.
        candidates: [I] bool, the items that are ranked.
        config: what is measured.
        seed: the run's seed; breaks ties.

    Returns:
        Values per user, and their means. Where the model does not score unseen users and a user has no known item,
        every mean is None and no user is scored.

    Raises:
        ConfigError: rmse or mae of a model that does not predict values, or of data without values; rated_ndcg of
            values that are no ratings; or no user has anything to find.
        TrainingError: the model's scores have the wrong shape, or are not all finite.
    """
    first = config.metrics[0]
    of_values, of_ratings = first in OF_VALUES, first in (*OF_RATED, *OF_VALUES)
    if of_values and not model.predicts_ratings:
        raise ConfigError(
            f"evaluate.metrics: {first} needs predicted values, but {type(model).__name__} only ranks; "
            "use a rating model (for example Biases), or ranking metrics such as ndcg"
        )
    if of_ratings and held_out.ground_truth.weight is None:
        raise ConfigError(f"evaluate.metrics: {first} needs ratings, but the interactions have no value")
    target = held_out.ground_truth if of_ratings else _findable(held_out, candidates)
    wanted = target.take(_gain(target) > 0) if first in OF_RATED else target
    relevant = torch.bincount(wanted.row, minlength=len(held_out.users))  # [U]
    rows = relevant.nonzero().flatten()
    if len(rows) == 0:
        raise ConfigError(
            f"evaluate: none of {len(relevant)} held-out users has a target among {int(candidates.sum())} candidates; "
            "make the held-out part larger, or the support smaller"
        )
    asked = _Asked(
        target=UserBatch(held_out.users.index, target, {}).take(rows),
        kept_out=UserBatch(held_out.users.index, _kept_out(held_out), {}).take(rows),
        candidates=candidates,
    )
    measure = _of_values if of_values else _of_rated if of_ratings else _of_lists
    values: dict[str, Tensor] = {}
    means: dict[str, float | None] = dict.fromkeys(config.names)
    shown = [held_out] if config.shots is None else [reveal(held_out, k) for k in config.shots]
    known = [each.users.take(rows) for each in shown]
    for shot, users in zip(config.prefixes, known, strict=True):
        if model.supports_cold_users or (torch.bincount(users.items.row, minlength=len(users)) > 0).all():
            found, mean = measure(model, users, asked, config, seed)
            values |= {shot + name: value for name, value in found.items()}
            means |= {shot + name: value for name, value in mean.items()}
    users = known[-1] if values else known[-1].take(rows[:0])
    return Evaluation(
        metrics={name: means[name] for name in config.names},
        per_user=pd.DataFrame({"user": users.index.numpy()} | {n: v.double().numpy() for n, v in values.items()}),
        users=len(users),
        users_without_target=len(relevant) - len(rows),
        checksum=_checksum(asked, known),
    )


def _kept_out(held_out: TestSet) -> Edges:
    """What is not ranked for its user: the support, shown or hidden."""
    both = [e for e in (held_out.users.items, held_out.masked) if e is not None]
    return Edges(torch.cat([e.row for e in both]), torch.cat([e.node for e in both]))


def _findable(held_out: TestSet, candidates: Tensor) -> Edges:
    """The target without the items that cannot be recommended: no candidate, or in the support."""

    def pair(edges: Edges) -> Tensor:
        return edges.row * len(candidates) + edges.node

    known = torch.isin(pair(held_out.ground_truth), pair(_kept_out(held_out)))
    return held_out.ground_truth.take(candidates[held_out.ground_truth.node] & ~known)


def _checksum(asked: _Asked, known: Sequence[UserBatch]) -> str:
    candidates, kept_out = asked.candidates, asked.kept_out.items
    digest = hashlib.sha256(asked.target.index.numpy().tobytes() + candidates.numpy().tobytes())
    hidden = [kept_out] if len(kept_out) > len(known[-1].items) else []
    for edges in (asked.target.items, *(users.items for users in known), *hidden):
        order = (edges.row * len(candidates) + edges.node).argsort()
        digest.update(b"/")
        for part in (edges.row, edges.node, edges.weight):
            digest.update(b"-" if part is None else part[order].numpy().tobytes())
    return digest.hexdigest()


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


def _of_lists(
    model: Recommender, users: UserBatch, asked: _Asked, config: EvaluateConfig, seed: int
) -> tuple[dict[str, Tensor], dict[str, float | None]]:
    longest = max(config.at)
    num_items = len(asked.candidates)

    def ranked(rows: Tensor) -> tuple[Tensor, ...]:
        batch = users.take(rows)
        scores = _scores(model, batch, num_items)  # [B, I]
        relevant = asked.target.take(rows).history(num_items)
        eligible = asked.candidates & ~asked.kept_out.take(rows).history(num_items)
        items = top(scores, eligible, batch.index, longest, seed)  # [B, K]
        hit = relevant.gather(1, items.clamp(min=0)) & (items >= 0)
        first = [first_rank(scores, eligible, relevant, batch.index, seed)] if "mrr" in config.metrics else []
        return hit, items, *first

    found = distributed.dealt(torch.arange(len(users)).split(config.batch_size), ranked)
    hit, items, *first = (torch.cat(parts) for parts in zip(*found, strict=True))  # [U, K], [U, K], perhaps [U]
    num_relevant = torch.bincount(asked.target.items.row, minlength=len(users))
    values = {
        f"{m}@{k}": OF_LIST[m](hit[:, :k], num_relevant) for m in config.metrics if m in OF_LIST for k in config.at
    }
    if first:
        values["mrr"] = metrics.reciprocal_rank(first[0])
    means: dict[str, float | None] = {
        f"coverage@{k}": metrics.coverage(items[:, :k], asked.candidates) for k in config.at
    }
    return values, means | {name: float(value.double().mean()) for name, value in values.items()}


def _of_rated(
    model: Recommender, users: UserBatch, asked: _Asked, config: EvaluateConfig, seed: int
) -> tuple[dict[str, Tensor], dict[str, float | None]]:
    longest = max(config.at)

    def ordered(rows: Tensor) -> tuple[Tensor, Tensor]:
        batch, target = users.take(rows), asked.target.take(rows).items
        score = _scores(model, batch, len(asked.candidates))[target.row, target.node]
        gain, tie_break = _gain(target), tie_key(batch.index[target.row], target.node, seed)
        found = _in_order(gain, score, tie_break, target.row, len(rows), longest)
        return found, _in_order(gain, gain, tie_break, target.row, len(rows), longest)

    parts = distributed.dealt(torch.arange(len(users)).split(config.batch_size), ordered)
    gains, ideal = (torch.cat(part) for part in zip(*parts, strict=True))  # [U, K]
    values = {f"rated_ndcg@{k}": metrics.rated_ndcg(gains[:, :k], ideal[:, :k]) for k in config.at}
    return values, {name: float(value.double().mean()) for name, value in values.items()}


def _gain(rated: Edges) -> Tensor:
    """[E] float64, 2 ** rating - 1."""
    assert rated.weight is not None
    if len(rated) and not (rated.weight.min() >= 0 and rated.weight.max() <= 50):
        low, high = float(rated.weight.min()), float(rated.weight.max())
        raise ConfigError(
            f"evaluate.metrics: rated_ndcg counts an item 2 ** value - 1, which needs ratings between 0 and 50; the "
            f"values lie between {low:g} and {high:g}; use ndcg, with data.positive where values say like and dislike"
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


def _of_values(
    model: Recommender, users: UserBatch, asked: _Asked, config: EvaluateConfig, seed: int
) -> tuple[dict[str, Tensor], dict[str, float | None]]:

    def summed(rows: Tensor) -> Tensor:
        target = asked.target.take(rows).items
        assert target.weight is not None
        score = _scores(model, users.take(rows), len(asked.candidates))[target.row, target.node].double()
        error = score - target.weight
        sums = torch.zeros(3, len(rows), dtype=torch.float64)
        return sums.index_add(1, target.row, torch.stack([error**2, error.abs(), torch.ones_like(error)]))

    errors = distributed.dealt(torch.arange(len(users)).split(config.batch_size), summed)
    squared_error, absolute_error, ratings = torch.cat(errors, dim=1)
    values = {"squared_error": squared_error, "absolute_error": absolute_error, "ratings": ratings}
    return values, {"rmse": metrics.rmse(squared_error, ratings), "mae": metrics.mae(absolute_error, ratings)}
