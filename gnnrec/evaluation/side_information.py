"""What metrics use besides a model's scores: popularity, attributes of items, groups of users."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.evaluation.metrics.metric import Metric
from gnnrec.options.messages import nearest
from gnnrec.views import ITEM, USER, TrainingData, UserBatch


def side_information(
    metrics: Sequence[Metric], train: TrainingData | None, users: UserBatch, group_by: str | None
) -> dict[str, Any]:
    """The fields of `MetricInput` that no score is needed for, as far as metrics need them.

    A run calls this with the training users before it fits, so that data without attributes stop it early.

    Args:
        metrics: those that are measured.
        train: what the model was fitted on; None where it is not at hand.
        users: the evaluated users.
        group_by: user attribute whose values are the groups.

    Raises:
        ConfigError: a metric needs `train`, which is None, or an attribute that the data do not have.
    """
    found: dict[str, Any] = {}
    for metric in metrics:
        for need in set(metric.needs) - found.keys():
            if need == "groups":
                found[need] = _groups(metric, users, group_by)
            elif need in ("popularity", "num_training_users", "item_features"):
                if train is None:
                    raise ConfigError(
                        f"evaluate.metrics: {metric.name} needs the training data; pass them: evaluate(..., train=...)"
                    )
                found[need] = _of_items(metric, train) if need == "item_features" else _of_training(need, train)
    return found


def _of_training(need: str, train: TrainingData) -> Tensor:
    return train.popularity if need == "popularity" else torch.tensor(train.num_users)


def _of_items(metric: Metric, train: TrainingData) -> csr_array:
    """[I, A], the values of all attributes of the items side by side."""
    relations = [r for r in train.relations if r.source == ITEM and r.target != ITEM]
    if not relations:
        raise ConfigError(
            f"evaluate.metrics: {metric.name} needs attributes of items, but the data have none; leave it out, or add "
            "attributes (README, 'Your own data')"
        )
    rows, columns, weights, width = [], [], [], 0
    for relation in relations:
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
