"""Metrics: pure functions, each declared once at the end of its module, and looked up by name here.

`accuracy`, `rating`, `classes`, `beyond_accuracy` and `fairness` each end with a tuple `METRICS`; what is in one of
them can be asked for in a config. See docs/add_a_metric.md.
"""

from collections.abc import Mapping

from gnnrec.evaluation.metrics import accuracy, beyond_accuracy, classes, fairness, rating
from gnnrec.evaluation.metrics.accuracy import ndcg
from gnnrec.evaluation.metrics.metric import Metric
from gnnrec.evaluation.metrics.metric_input import MetricInput

__all__ = ["METRICS", "Metric", "MetricInput", "find", "higher_is_better", "ndcg"]

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for module in (accuracy, beyond_accuracy, rating, classes, fairness)
    for metric in module.METRICS
}
"""Name, as configs have it -> metric."""


def find(name: str) -> Metric | None:
    """The metric that a name in a result is of; None where this version has no such metric.

    Args:
        name: as results have it, with the length of the list and the number of shots where there are any.

    Example:
        >>> find("k5/ndcg@10").name, find("surprise@10")
        ('ndcg', None)
    """
    return METRICS.get(name.rpartition("/")[2].partition("@")[0])


def higher_is_better(name: str) -> bool | None:
    """Whether a higher value is better, False where a lower one is; None where neither is, or nothing is known of it.

    Args:
        name: as results have it, see `find`.

    Example:
        >>> higher_is_better("ndcg@10"), higher_is_better("k1/rmse"), higher_is_better("coverage@10")
        (True, False, None)
    """
    metric = find(name)
    return None if metric is None else metric.higher_is_better
