"""A fitted recommender and held-out users -> one value per user and metric."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import pandas as pd
import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.evaluation.metrics import METRICS, Metric, MetricInput
from gnnrec.evaluation.metrics.metric import RATINGS, ratings_of_users
from gnnrec.evaluation.metrics.metric_input import KINDS, Kind
from gnnrec.evaluation.prepare import Preparation, Queries, exponential_gain, prepare
from gnnrec.evaluation.side_information import Groups, side_information
from gnnrec.options.messages import nearest
from gnnrec.recommender import Recommender
from gnnrec.splits.kshot import reveal
from gnnrec.views import Edges, TestSet, TrainingData, UserBatch


def _registered(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"unknown value {name!r}.{nearest(name, METRICS)} Allowed: {', '.join(METRICS)}")
    return name


MetricName = Annotated[str, AfterValidator(_registered), WithJsonSchema({"enum": list(METRICS), "type": "string"})]


class EvaluateConfig(BaseModel):
    """What is measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metrics: list[MetricName] = Field(["ndcg", "recall", "precision", "coverage"], min_length=1)
    """Metrics of ranked lists, of the order of the items that a user rated, or of predicted ratings; all of one kind.
    The first one is the one that counts."""
    at: list[Annotated[int, Field(ge=1)]] = Field([10, 20], min_length=1)
    """Lengths of the lists; a metric of the whole ranking or of predicted ratings is measured once."""
    batch_size: int = Field(256, ge=1)
    """Users scored at once: memory, and nothing else, depends on it."""
    shots: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(None, min_length=1)
    """k-shot: each user is evaluated once for each number, with so many items of its support shown; ascending, the last
    one being the split's support. Left out, the whole support is shown."""
    group_by: str | None = None
    """User attribute whose values are the groups that metrics called `<name>_gap` and `<name>_worst` compare."""
    group_items_by: str | None = None
    """Item attribute whose values are the groups of items that `exposure_gap` compares."""

    @model_validator(mode="after")
    def _one_kind(self) -> "EvaluateConfig":
        first, *others = self.measured
        if first.kind is None:
            raise ValueError(f"metrics: {first.name} stands behind what counts; put another metric first")
        other = next((metric for metric in others if metric.kind not in (first.kind, None)), None)
        if other is not None and other.kind is not None:
            raise ValueError(
                f"metrics: {first.name} is measured over {KINDS[first.kind]} and {other.name} over "
                f"{KINDS[other.kind]}; ask for them in two configs"
            )
        grouped = next((metric.name for metric in self.measured if "groups" in metric.needs), None)
        if grouped is not None and self.group_by is None:
            raise ValueError(f"metrics: {grouped} compares groups of users; name their attribute in group_by")
        shown = next((metric.name for metric in self.measured if "item_groups" in metric.needs), None)
        if shown is not None and self.group_items_by is None:
            raise ValueError(f"metrics: {shown} compares groups of items; name their attribute in group_items_by")
        if self.shots is not None and list(self.shots) != sorted(set(self.shots)):
            raise ValueError(f"shots must ascend, got {list(self.shots)}")
        return self

    @property
    def groups(self) -> Groups:
        """What users and items are grouped by."""
        return Groups(self.group_by, self.group_items_by)

    @property
    def kind(self) -> Kind:
        """What the first metric, and so all, are measured over."""
        kind = METRICS[self.metrics[0]].kind
        assert kind is not None
        return kind

    @property
    def measured(self) -> tuple[Metric, ...]:
        """The metrics, each once."""
        return tuple(METRICS[name] for name in dict.fromkeys(self.metrics))

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
        return tuple(name for metric in self.measured for name in self.lengths(metric))

    def lengths(self, metric: Metric) -> dict[str, int | None]:
        """The names of one metric -> the length of the lists; None where it is measured once.

        Example:
            >>> EvaluateConfig(at=[5, 10]).lengths(METRICS["ndcg"])
            {'ndcg@5': 5, 'ndcg@10': 10}
        """
        return {f"{metric.name}@{k}": k for k in self.at} if metric.takes_length else {metric.name: None}

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


@dataclass(frozen=True)
class Evaluation:
    """How well a recommender found what held-out users chose.

    Attributes:
        metrics: name -> mean over what the metric declares (users, all ratings, or a value of all lists together);
            None where the model cannot score these users, which a table shows as a dash.
        per_user: one row per evaluated user: `user` (index in the data set) and a column for each metric that has
            a value per user. Of predicted ratings, the columns are each user's sum for every metric of ratings, such
            as `squared_error` and `absolute_error`, and their number, `ratings`.
        users: how many users the metrics are over.
        users_without_target: users left out, because no item that could be found is relevant to them.
        checksum: SHA-256 of the queries: users, their known items, ground truth and candidates. Models with the same
            checksum can be compared user by user, whatever else they knew.
    """

    metrics: dict[str, float | None]
    per_user: pd.DataFrame
    users: int
    users_without_target: int
    checksum: str


def evaluate(
    model: Recommender,
    held_out: TestSet,
    candidates: Tensor,
    config: EvaluateConfig,
    seed: int,
    train: TrainingData | None = None,
) -> Evaluation:
    """Ranks every candidate for each held-out user, its support left out, and compares with its ground truth.

    Ties are broken at random. The order of tied items is a function of seed, user and item alone, so it does not change
    with the batch size or with who else is evaluated, and a model that gives every item one score gets the value of
    chance.

    With shots, all of this is done for each of them: the same users, ground truth and ranked items, and only what is
    shown of the support differs. A model that does not score unseen users is evaluated from one shot on. Where the next
    item is asked for, that is the ground truth after each number of shots, of the same users.

    A user whose ground truth holds no candidate is left out and counted. For metrics of predicted ratings nothing is
    ranked, and for metrics of the order of rated items only the ground truth: every rating in it counts, also one of an
    item that was never seen in training.

    Args:
        model: fitted.
        held_out: the users, and what is to be found.
        candidates: [I] bool, the items that are ranked.
        config: what is measured.
        seed: the run's seed; breaks ties.
        train: what the model was fitted on, for metrics that need popularity or attributes of items.

    Returns:
        Values per user, and their means; of a metric of probabilities None where the model has none. Where the model
        does not score unseen users and a user has no known item, every mean is None and no user is scored.

    Raises:
        ConfigError: only metrics of probabilities of a model that has none; metrics of predicted ratings of a model
            that only ranks, or of data without values; metrics of the order of rated items of values that are no
            ratings; metrics of classes of users with several items; metrics of attributes that the data do not have; or
            no user has anything to find.
        TrainingError: the model's scores have the wrong shape, or are not all finite.
    """
    first, kind = config.measured[0], config.kind
    if kind == "ratings" and not model.predicts_ratings:
        raise ConfigError(
            f"evaluate.metrics: {first.name} needs predicted values, but {type(model).__name__} only ranks; "
            "use a rating model (for example Biases), or ranking metrics such as ndcg"
        )
    if kind in ("rated", "ratings") and held_out.ground_truth.weight is None:
        raise ConfigError(f"evaluate.metrics: {first.name} needs ratings, but the interactions have no value")
    needs = {need for metric in config.measured for need in metric.needs}
    no_probabilities = not getattr(model, "log_scores", False)
    if no_probabilities and all("probability" in metric.needs for metric in config.measured):
        raise ConfigError(
            f"evaluate.metrics: {first.name} needs probabilities, and {type(model).__name__} gives scores; take auc, "
            "or a model whose scores are logarithms of probabilities (GraphSAGE, LogisticRegression)"
        )
    ranked = (
        kind in ("lists", "classes") and not held_out.next_item
    )  # an item that follows is a miss where it is not ranked
    truth = _findable(held_out, candidates) if ranked else held_out.ground_truth
    wanted = truth.take(exponential_gain(truth) > 0) if kind == "rated" else truth
    relevant = torch.bincount(wanted.row, minlength=len(held_out.users))  # [U]
    rows = relevant.nonzero().flatten()
    if kind == "classes" and (relevant > 1).any():
        raise ConfigError(
            f"evaluate.metrics: {first.name} is of users with one item each, and a held-out user has "
            f"{int(relevant.max())}; take metrics of lists, for example ndcg"
        )
    if len(rows) == 0:
        raise ConfigError(
            f"evaluate: none of {len(relevant)} held-out users has a relevant item among {int(candidates.sum())} "
            "candidates; make the held-out part larger, or the support smaller"
        )

    def asked(truth: Edges, masked: Edges) -> Queries:
        index = held_out.users.index
        return Queries(UserBatch(index, truth, {}).take(rows), UserBatch(index, masked, {}).take(rows), candidates)

    how = Preparation(
        kind=kind,
        needs=frozenset(needs),
        length=max(config.at),
        batch_size=config.batch_size,
        seed=seed,
    )
    columns: dict[str, Tensor] = {}
    values: dict[str, float | None] = dict.fromkeys(config.names)
    shown = [held_out] if config.shots is None else [reveal(held_out, k) for k in config.shots]
    known = [each.users.take(rows) for each in shown]
    if held_out.next_item:
        asked_for = [asked(each.ground_truth, each.unranked) for each in shown]
        checksum = hashlib.sha256("".join(map(_checksum, asked_for, ([one] for one in known))).encode()).hexdigest()
    else:
        asked_for = [asked(truth, held_out.unranked)] * len(shown)
        checksum = _checksum(asked_for[0], known)
    scored = False
    for shot, users, queries in zip(config.prefixes, known, asked_for, strict=True):
        if model.supports_cold_users or (torch.bincount(users.items.row, minlength=len(users)) > 0).all():
            side = side_information(config.measured, train, users, config.groups, queries.ground_truth.items)
            given = replace(prepare(model, users, queries, how), **side)
            given = replace(given, probability=None) if no_probabilities else given
            value, per_user = _measure(config, given)
            values |= {shot + name: number for name, number in value.items()}
            columns |= {shot + name: column for name, column in per_user.items()}
            scored = True
    users = known[-1] if scored else known[-1].take(rows[:0])
    return Evaluation(
        metrics=values,
        per_user=pd.DataFrame({"user": users.index.numpy()} | {n: c.double().numpy() for n, c in columns.items()}),
        users=len(users),
        users_without_target=len(relevant) - len(rows),
        checksum=checksum,
    )


def _measure(config: EvaluateConfig, given: MetricInput) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Each metric's value, and the columns of the users; metrics of the whole ranking have the last ones."""
    values: dict[str, float] = {}
    columns: dict[str, Tensor] = {}
    for metric in sorted(config.measured, key=lambda metric: not metric.takes_length):
        if "probability" in metric.needs and given.probability is None:
            continue
        for name, length in config.lengths(metric).items():
            values[name], per_user = metric.measure(given if length is None else given.cut(length))
            if per_user is not None and metric.mean_over == "users":
                columns[name] = per_user
    if config.kind == "ratings":
        columns = _sums(given)
    return values, columns


def _sums(given: MetricInput) -> dict[str, Tensor]:
    """Each user's sum for every metric of ratings, so that runs with other metrics keep the same columns."""
    sums = {}
    for metric in METRICS.values():
        if metric.mean_over == "ratings" and all(getattr(given, need) is not None for need in metric.needs):
            _, per_user = metric.measure(given)
            assert per_user is not None
            sums[metric.sums] = per_user
    return sums | {RATINGS: ratings_of_users(given)}


def _findable(held_out: TestSet, candidates: Tensor) -> Edges:
    """The ground truth without the items that cannot be recommended: no candidate, or in the support."""

    def pair(edges: Edges) -> Tensor:
        return edges.row * len(candidates) + edges.node

    known = torch.isin(pair(held_out.ground_truth), pair(held_out.unranked))
    return held_out.ground_truth.take(candidates[held_out.ground_truth.node] & ~known)


def _checksum(queries: Queries, known: Sequence[UserBatch]) -> str:
    candidates, masked = queries.candidates, queries.masked.items
    digest = hashlib.sha256(queries.ground_truth.index.numpy().tobytes() + candidates.numpy().tobytes())
    not_shown = [masked] if len(masked) > len(known[-1].items) else []
    for edges in (queries.ground_truth.items, *(users.items for users in known), *not_shown):
        order = (edges.row * len(candidates) + edges.node).argsort()
        digest.update(b"/")
        for part in (edges.row, edges.node, edges.weight):
            digest.update(b"-" if part is None else part[order].numpy().tobytes())
    return digest.hexdigest()
