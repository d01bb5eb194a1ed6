"""A metric outside the package: the harmonic mean of precision and recall."""

from torch import Tensor

from gnnrec.evaluation.metrics import Metric


def f1(hits: Tensor, num_relevant: Tensor) -> Tensor:
    """Harmonic mean of precision and recall: twice the hits over places and relevant items together.

    Source: van Rijsbergen, Information Retrieval, 2nd edition, 1979, chapter 7, with both weighted alike.

    Args:
        hits: [B, K] bool, whether the item at each place of the list is relevant.
        num_relevant: [B] int64, relevant items of each user, at least 1.

    Returns:
        [B] float32 in [0, 1]. A user with more or fewer than K relevant items cannot reach 1.
    """
    return 2 * hits.sum(1) / (hits.shape[1] + num_relevant)


F1 = Metric(name="f1", needs=("hits", "num_relevant"), function=f1, higher_is_better=True, bounds=(0, 1))
