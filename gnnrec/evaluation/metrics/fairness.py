"""Metrics of how differently a model serves groups of users, and their registration.

`evaluate.group_by` names the user attribute whose values are the groups.
"""

from typing import Any

import torch
from torch import Tensor

from gnnrec.evaluation.metrics import accuracy
from gnnrec.evaluation.metrics.metric import Metric


def largest_difference(values: Tensor, groups: Tensor) -> float:
    """How far the groups with the best and the worst mean lie apart: a value of all users together.

    Every group counts, however small, and the mean of a small one is noisy: with many groups the largest difference is
    above 0 also for a model that serves all alike. Compare models on the same users, not the number with 0.

    Source: Ekstrand, Tian, Azpiazu, Ekstrand, Anuyah, McNeill, Pera, "All The Cool Kids, How Do They Fit In?",
        FAT* 2018, who compare the mean NDCG of age and gender groups. Differs: one number, of the two groups that
        differ most.

    Args:
        values: [U] each user's value of a metric.
        groups: [U] int64, the user's group; -1 for a user that is in none and is left out.

    Returns:
        At least 0; 0 where there are fewer than two groups.

    Example:
        >>> largest_difference(torch.tensor([0.5, 0.25, 1.0, 0.0]), torch.tensor([0, 0, 1, -1]))  # 1 - 0.375
        0.625
    """
    there = groups >= 0
    if not there.any():
        return 0.0
    groups, values = groups[there], values[there].double()
    number = torch.bincount(groups)  # [G]
    means = torch.zeros(len(number), dtype=torch.float64).index_add(0, groups, values)[number > 0] / number[number > 0]
    return float(means.max() - means.min())


def gap(metric: Metric) -> Metric:
    """The largest difference between groups in a metric that has a value per user; called `<name>_gap`.

    Args:
        metric: with `mean_over` "users".
    """

    def between_groups(groups: Tensor, *given: Any) -> float:
        return largest_difference(metric.function(*given), groups)

    bounds = None if metric.bounds is None else (0.0, metric.bounds[1] - metric.bounds[0])
    return Metric(
        name=f"{metric.name}_gap",
        needs=("groups", *metric.needs),
        function=between_groups,
        higher_is_better=False,
        mean_over=None,
        takes_length=metric.takes_length,
        bounds=bounds,
    )


METRICS = tuple(gap(metric) for metric in accuracy.METRICS if metric.name in ("ndcg", "recall"))
