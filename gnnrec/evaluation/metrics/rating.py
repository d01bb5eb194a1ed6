"""Metrics of ratings; their registration."""

import torch
from torch import Tensor

from gnnrec.evaluation.metrics.metric import Metric


def rated_ndcg(gains: Tensor, ideal_gains: Tensor) -> Tensor:
    """NDCG of the order of the items that a user has rated, a rating of r counting 2^r - 1 at its place.

    Source: Burges et al., "Learning to Rank using Gradient Descent", ICML 2005, section 6. The discount of rank r is
        1 / log2(r + 1).

    Args:
        gains: [B, K] gain of the item at each place of the list; 0 where the user rated fewer than K items.
        ideal_gains: [B, K] the same in the best order there is; its first gain is above 0.

    Returns:
        [B] float32 in [0, 1].

    Raises:
        ValueError: a user has no item with a gain (leave such users out, and count them).

    Example:
        >>> rated_ndcg(torch.tensor([[1.0, 3.0]]), torch.tensor([[3.0, 1.0]]))  # (1 + 3 / 1.585) / (3 + 1 / 1.585)
        tensor([0.7967])
    """
    without = int((ideal_gains <= 0).all(1).sum())
    if without:
        raise ValueError(f"{without} users have no item with a gain; leave them out, and count them")
    discount = 1 / torch.arange(2, gains.shape[1] + 2, dtype=torch.float32).log2()
    return (gains * discount).sum(1) / (ideal_gains * discount).sum(1)


def squared_error(error: Tensor) -> Tensor:
    """What `rmse` takes the mean of over all ratings (not the mean of the users' own roots), and then the root.

    Args:
        error: [R] prediction minus rating.

    Returns:
        [R] on the scale of squared ratings.

    Example:
        >>> squared_error(torch.tensor([-2.0, 1.0]))
        tensor([4., 1.])
    """
    return error**2


def absolute_error(error: Tensor) -> Tensor:
    """What `mae` is the mean of over all ratings.

    Args:
        error: [R] prediction minus rating.

    Returns:
        [R] on the scale of the ratings.

    Example:
        >>> absolute_error(torch.tensor([-2.0, 1.0]))
        tensor([2., 1.])
    """
    return error.abs()


METRICS = (
    Metric(
        name="rated_ndcg",
        needs=("gains", "ideal_gains"),
        function=rated_ndcg,
        higher_is_better=True,
        bounds=(0, 1),
    ),
    Metric(
        name="rmse",
        needs=("error",),
        function=squared_error,
        higher_is_better=False,
        mean_over="ratings",
        takes_length=False,
        root=True,
        column="squared_error",
    ),
    Metric(
        name="mae",
        needs=("error",),
        function=absolute_error,
        higher_is_better=False,
        mean_over="ratings",
        takes_length=False,
        column="absolute_error",
    ),
)
