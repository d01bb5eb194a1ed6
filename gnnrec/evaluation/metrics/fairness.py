"""Metrics of how differently groups of users are served and groups of items are shown, and their registration.

`evaluate.group_by` names the user attribute whose values are the groups, `evaluate.group_items_by` that of items.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
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
    means = means_of_groups(values, groups)
    return float(means.max() - means.min()) if len(means) else 0.0


def lowest_mean(values: Tensor, groups: Tensor) -> float:
    """The mean of the group that has the lowest one; every group counts, however small.

    Source: Sagawa, Koh, Hashimoto, Liang, "Distributionally Robust Neural Networks for Group Shifts", ICLR 2020, who
        report the accuracy of the worst group.

    Args:
        values: [U] each user's value of a metric.
        groups: [U] int64, the user's group; -1 for a user that is in none and is left out.

    Returns:
        The lowest mean; 0 where nobody is in a group.

    Example:
        >>> lowest_mean(torch.tensor([0.5, 0.25, 1.0, 0.0]), torch.tensor([0, 0, 1, -1]))
        0.375
    """
    means = means_of_groups(values, groups)
    return float(means.min()) if len(means) else 0.0


def means_of_groups(values: Tensor, groups: Tensor) -> Tensor:
    """[G'] float64, the mean of each group that has a user, in the order of the groups."""
    there = groups >= 0
    groups, values = groups[there], values[there].double()
    number = torch.bincount(groups)  # [G]
    sums = torch.zeros(len(number), dtype=torch.float64).index_add(0, groups, values)
    return sums[number > 0] / number[number > 0]


def exposure_gap(items: Tensor, item_groups: csr_array, popularity: Tensor) -> float:
    """Share of the exposure that would have to move for each group of items to be shown as often as it was chosen.

    Half the sum over groups of |share of exposure - share of training interactions|. An item at place r of a list has
    an exposure of 1 / log2(r + 1), spread over its groups; items without a group are left out.

    Source: Singh, Joachims, "Fairness of Exposure in Rankings", KDD 2018, section 3.2, with the interactions of
        training as merit. Differs: all groups in one number, and a difference of shares instead of a quotient.

    Args:
        items: [U, K] int64, items of each list, best first; -1 at a place that stayed empty.
        item_groups: [I, G] shares of each item's groups; rows add up to 1, or to 0.
        popularity: [I], how many training users chose each item.

    Returns:
        A share in [0, 1]; 0 where no item with a group is shown, or was chosen.

    Example:
        >>> two_groups = csr_array([[1.0, 0.0], [0.0, 1.0]])
        >>> exposure_gap(torch.tensor([[0], [0]]), two_groups, torch.tensor([3.0, 1.0]))  # shown 1, chosen 3/4
        0.25
    """
    weight = 1 / (torch.arange(items.shape[1], dtype=torch.float64) + 2).log2()  # [K]
    there = items >= 0
    exposure = torch.zeros(len(popularity), dtype=torch.float64)
    exposure.index_add_(0, items[there], weight.expand(items.shape)[there])
    shown, chosen = (item_groups.T @ each.double().numpy() for each in (exposure, popularity))  # [G]
    if not (shown.sum() > 0 and chosen.sum() > 0):
        return 0.0
    return float(abs(shown / shown.sum() - chosen / chosen.sum()).sum() / 2)


FOLDS, FEWEST = 5, 10
"""Parts of the users that a probe is tested on in turn, and users of a group, at least."""


def probe_auc(vectors: Tensor, groups: Tensor) -> float:
    """How well a user's group can be told from its vector: area under the curve of the better of two classifiers.

    Logistic regression and gradient boosting learn the groups of four fifths of the users from their vectors, and tell
    those of the last fifth, each fifth in turn. Of several groups, the mean of each against the rest. Chance is .5, and
    a value hardly above it means that neither finds anything, not that nothing is there.

    Source: Alain, Bengio, "Understanding intermediate layers using linear classifier probes", 2016; for what is left of
        an attribute, Bose, Hamilton, "Compositional Fairness Constraints for Graph Embeddings", ICML 2019, section
        5.4. Differs: also a probe that is not linear.

    Args:
        vectors: [U, D] the users' vectors.
        groups: [U] int64, the user's group; -1 for a user that is in none and is left out, as groups of fewer than ten.

    Returns:
        A number in [0, 1]; .5 where fewer than two groups are left.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # slow to import, and seldom needed
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    there = (groups >= 0) & (torch.bincount(groups.clamp(min=0), minlength=1)[groups.clamp(min=0)] >= FEWEST)
    x, y = vectors[there].double().numpy(), groups[there].numpy()
    if len(np.unique(y)) < 2:
        return 0.5
    order = np.lexsort((y, *x.T))  # the same whatever order users come in
    x, y = x[order], y[order]
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    probes = (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        HistGradientBoostingClassifier(max_iter=100, random_state=0),
    )
    found = []
    for probe in probes:
        told = cross_val_predict(probe, x, y, cv=folds, method="predict_proba")
        area = roc_auc_score(y, told[:, 1]) if told.shape[1] == 2 else roc_auc_score(y, told, multi_class="ovr")
        found.append(float(area))
    return max(found)


def gap(metric: Metric) -> Metric:
    """The largest difference between groups in a metric that has a value per user; called `<name>_gap`.

    Args:
        metric: with `mean_over` "users".
    """
    bounds = None if metric.bounds is None else (0.0, metric.bounds[1] - metric.bounds[0])
    return _of_groups(metric, "gap", largest_difference, higher_is_better=False, bounds=bounds)


def worst(metric: Metric) -> Metric:
    """The mean of the worst group in a metric of which more is better; called `<name>_worst`.

    Args:
        metric: with `mean_over` "users".
    """
    return _of_groups(metric, "worst", lowest_mean, higher_is_better=True, bounds=metric.bounds)


def _of_groups(
    metric: Metric,
    suffix: str,
    compare: Callable[[Tensor, Tensor], float],
    *,
    higher_is_better: bool,
    bounds: tuple[float, float] | None,
) -> Metric:
    def of_all(groups: Tensor, *given: Any) -> float:
        return compare(metric.function(*given), groups)

    return Metric(
        name=f"{metric.name}_{suffix}",
        needs=("groups", *metric.needs),
        function=of_all,
        higher_is_better=higher_is_better,
        mean_over=None,
        takes_length=metric.takes_length,
        bounds=bounds,
    )


METRICS = (
    *(of(metric) for of in (gap, worst) for metric in accuracy.METRICS if metric.name in ("ndcg", "recall")),
    Metric(
        name="exposure_gap",
        needs=("items", "item_groups", "popularity"),
        function=exposure_gap,
        higher_is_better=False,
        mean_over=None,
        bounds=(0, 1),
    ),
    Metric(
        name="probe_auc",
        needs=("vectors", "groups"),
        function=probe_auc,
        higher_is_better=None,
        mean_over=None,
        takes_length=False,
        bounds=(0, 1),
    ),
)
