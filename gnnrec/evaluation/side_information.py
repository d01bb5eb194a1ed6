"""What metrics use besides a model's scores: popularity, attributes of items, groups of users."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.evaluation.metrics.beyond_accuracy import shares_of_values
from gnnrec.evaluation.metrics.metric import Metric
from gnnrec.options.messages import nearest
from gnnrec.views import ITEM, USER, Edges, Relation, TrainingData, UserBatch

OF_TRAINING = ("popularity", "num_training_users", "item_features", "item_groups", "relevant_features")
"""What is computed from the training data."""


@dataclass(frozen=True)
class Groups:
    """What users and items are grouped by, as a config has it.

    Attributes:
        users: attribute of users; None where nobody is grouped.
        items: attribute of items.
    """

    users: str | None = None
    items: str | None = None


def side_information(
    metrics: Sequence[Metric], train: TrainingData | None, users: UserBatch, groups: Groups, relevant: Edges
) -> dict[str, Any]:
    """The fields of `MetricInput` that no score is needed for, as far as metrics need them.

    A run calls this with the training users before it fits, so that data without attributes stop it early.

    Args:
        metrics: those that are measured.
        train: what the model was fitted on; None where it is not at hand.
        users: the evaluated users.
        groups: what users and items are grouped by.
        relevant: edges from the evaluated users to their relevant items.

    Raises:
        ConfigError: a metric needs `train`, which is None, or an attribute that the data do not have.
    """
    found: dict[str, Any] = {}
    for metric in metrics:
        for need in set(metric.needs) - found.keys():
            if need == "groups":
                found[need] = _groups(metric, users, groups.users)
            elif need in OF_TRAINING:
                if train is None:
                    raise ConfigError(
                        f"evaluate.metrics: {metric.name} needs the training data; pass them: evaluate(..., train=...)"
                    )
                found[need] = _of_training(need, metric, train, users, groups, relevant)
    return found


def _of_training(
    need: str, metric: Metric, train: TrainingData, users: UserBatch, groups: Groups, relevant: Edges
) -> Any:
    if need == "popularity":
        return train.popularity
    if need == "num_training_users":
        return torch.tensor(train.num_users)
    if need == "item_groups":
        return _item_groups(metric, train, groups.items)
    features = item_features(metric.name, train)
    if need == "item_features":
        return features
    cells = (relevant.row.numpy(), relevant.node.numpy())
    chosen = csr_array((np.ones(len(relevant)), cells), shape=(len(users), train.num_items))
    return csr_array(chosen @ shares_of_values(features))


def _item_groups(metric: Metric, train: TrainingData, group_items_by: str | None) -> csr_array:
    named = [r.name for r in _of_items(train)]
    if group_items_by not in named:
        raise ConfigError(
            f"evaluate.group_items_by: {metric.name} compares groups of items by {group_items_by!r}, which is no "
            f"attribute of items.{nearest(group_items_by or '', named)} Allowed: "
            f"{', '.join(named) or 'none, items have no attributes'}"
        )
    return shares_of_values(attribute_weights(train, [group_items_by or ""]))


def _of_items(train: TrainingData) -> list[Relation]:
    return [r for r in train.relations if r.source == ITEM and r.target != ITEM]


def item_features(name: str, train: TrainingData) -> csr_array:
    """[I, A] float64, the values of all attributes of the items side by side.

    Args:
        name: of the metric that needs them, for the message.
        train: with the items.

    Raises:
        ConfigError: the items have no attributes.
    """
    if not _of_items(train):
        raise ConfigError(
            f"evaluate.metrics: {name} needs attributes of items, but the data have none; leave it out, or add "
            "attributes (README, 'Your own data')"
        )
    return attribute_weights(train)


def attribute_weights(train: TrainingData, names: Collection[str] | None = None) -> csr_array:
    """[I, A] float64, the weights of the items' edges to the values of their attributes, side by side.

    Args:
        train: with the items.
        names: of the attributes; None for all.
    """
    rows, columns, weights, width = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)], 0
    for relation in [r for r in _of_items(train) if names is None or r.name in names]:
        item, value = relation.edge_index.numpy()
        rows.append(item)
        columns.append(value + width)
        weights.append(np.ones(len(item)) if relation.weight is None else relation.weight.double().numpy())
        width += len(train.ids[relation.target])
    cells = (np.concatenate(rows), np.concatenate(columns))
    return csr_array((np.concatenate(weights), cells), shape=(train.num_items, width))


def _groups(metric: Metric, users: UserBatch, group_by: str | None) -> Tensor:
    """[U] int64, each user's value of the attribute; -1 where it has none."""
    named = {name: edges for (_, name, target), edges in users.relations.items() if target not in (USER, ITEM)}
    if group_by not in named:
        raise ConfigError(
            f"evaluate.group_by: {metric.name} compares groups by {group_by!r}, which is no attribute of users."
            f"{nearest(group_by or '', named)} Allowed: {', '.join(named) or 'none, users have no attributes'}"
        )
    edges = named[group_by]
    if len(edges) and int(torch.bincount(edges.row).max()) > 1:
        raise ConfigError(
            f"evaluate.group_by: some users have several values of {group_by!r}, so {metric.name} cannot tell their "
            "group; choose an attribute with one value a user"
        )
    group = torch.full((len(users),), -1, dtype=torch.int64)
    group[edges.row] = edges.node
    return group
