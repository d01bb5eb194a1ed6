"""Metrics of ranked lists, one value per user, and of predicted values, from each user's sums: pure functions.

A list of K items is told by `hits`; a place that stays empty, because fewer than K items were left to rank, is no hit.
"""

import torch
from torch import Tensor


def ndcg(hits: Tensor, num_relevant: Tensor) -> Tensor:
    """Normalised discounted cumulative gain: a hit at rank r counts 1 / log2(r + 1), over the best list possible.

    Args:
        hits: [B, K] bool, whether the item at each place of the list is relevant.
        num_relevant: [B] int64, relevant items of each user, at least 1.

    Returns:
        [B] float32 in [0, 1]. The best list has min(num_relevant, K) hits, so every user can reach 1.

    Raises:
        ValueError: a user has no relevant item (leave such users out, and count them).

    Example:
        >>> ndcg(torch.tensor([[True, False], [False, True]]), torch.tensor([1, 1]))
        tensor([1.0000, 0.6309])
    """
    places = hits.shape[1]
    discount = 1 / torch.arange(2, places + 2, dtype=torch.float32).log2()
    ideal = discount.cumsum(0)[_positive(num_relevant).clamp(max=places) - 1]
    return (hits * discount).sum(1) / ideal


def recall(hits: Tensor, num_relevant: Tensor) -> Tensor:
    """Share of a user's relevant items that are in the list.

    Args:
        hits: [B, K] bool, whether the item at each place of the list is relevant.
        num_relevant: [B] int64, relevant items of each user, at least 1.

    Returns:
        [B] float32 in [0, 1]. The denominator is num_relevant, not min(num_relevant, K), so a user with more than K
        relevant items cannot reach 1.

    Raises:
        ValueError: a user has no relevant item (leave such users out, and count them).

    Example:
        >>> recall(torch.tensor([[True, False]]), torch.tensor([4]))
        tensor([0.2500])
    """
    return hits.sum(1) / _positive(num_relevant)


def precision(hits: Tensor, num_relevant: Tensor) -> Tensor:
    """Share of the list's places that hold a relevant item.

    Args:
        hits: [B, K] bool, whether the item at each place of the list is relevant.
        num_relevant: [B] int64, relevant items of each user, at least 1.

    Returns:
        [B] float32 in [0, 1]. The denominator is K also where the user has fewer relevant items.

    Raises:
        ValueError: a user has no relevant item (leave such users out, and count them).

    Example:
        >>> precision(torch.tensor([[True, False, False, False]]), torch.tensor([1]))
        tensor([0.2500])
    """
    _positive(num_relevant)
    return hits.float().mean(1)


def average_precision(hits: Tensor, num_relevant: Tensor) -> Tensor:
    """Precision at the rank of each hit, added up; its mean over users is called `map`.

    Args:
        hits: [B, K] bool, whether the item at each place of the list is relevant.
        num_relevant: [B] int64, relevant items of each user, at least 1.

    Returns:
        [B] float32 in [0, 1]. The denominator is min(num_relevant, K), so every user can reach 1 (others divide by
        num_relevant or by the number of hits).

    Raises:
        ValueError: a user has no relevant item (leave such users out, and count them).

    Example:
        >>> average_precision(torch.tensor([[True, False, True]]), torch.tensor([2]))  # (1/1 + 2/3) / 2
        tensor([0.8333])
    """
    places = hits.shape[1]
    at_rank = hits.cumsum(1) / torch.arange(1, places + 1)
    return (at_rank * hits).sum(1) / _positive(num_relevant).clamp(max=places)


def hit(hits: Tensor, num_relevant: Tensor) -> Tensor:
    """Whether the list holds any relevant item.

    Args:
        hits: [B, K] bool, whether the item at each place of the list is relevant.
        num_relevant: [B] int64, relevant items of each user, at least 1.

    Returns:
        [B] float32, 0 or 1.

    Raises:
        ValueError: a user has no relevant item (leave such users out, and count them).

    Example:
        >>> hit(torch.tensor([[True, True], [False, False]]), torch.tensor([3, 1]))
        tensor([1., 0.])
    """
    _positive(num_relevant)
    return hits.any(1).float()


def reciprocal_rank(first: Tensor) -> Tensor:
    """One over the rank of the first relevant item in the whole ranking; its mean over users is called `mrr`.

    Args:
        first: [B] int64, rank of the best placed relevant item, from 1; no cut-off.

    Returns:
        [B] float32 in (0, 1].

    Example:
        >>> reciprocal_rank(torch.tensor([1, 4]))
        tensor([1.0000, 0.2500])
    """
    return 1 / first


def coverage(lists: Tensor, candidates: Tensor) -> float:
    """Share of the candidates that stand in anyone's list: a value of all lists together, not of a user.

    Args:
        lists: [U, K] int64, items of each list; -1 at a place that stayed empty.
        candidates: [I] bool, the items that may be recommended, at least one.

    Returns:
        A share in [0, 1].

    Example:
        >>> coverage(torch.tensor([[0, 1], [1, -1]]), torch.tensor([True, True, True, True]))
        0.5
    """
    return len(lists[lists >= 0].unique()) / int(candidates.sum())


def rated_ndcg(gains: Tensor, ideal: Tensor) -> Tensor:
    """NDCG of the order of the items that a user has rated, a rating of r counting 2^r - 1 at its place.

    Source: Burges et al., "Learning to Rank using Gradient Descent", ICML 2005, section 6. The discount of rank r is
        1 / log2(r + 1).

    Args:
        gains: [B, K] gain of the item at each place of the list; 0 where the user rated fewer than K items.
        ideal: [B, K] the same in the best order there is; its first gain is above 0.

    Returns:
        [B] float32 in [0, 1].

    Raises:
        ValueError: a user has no item with a gain (leave such users out, and count them).

    Example:
        >>> rated_ndcg(torch.tensor([[1.0, 3.0]]), torch.tensor([[3.0, 1.0]]))  # (1 + 3 / 1.585) / (3 + 1 / 1.585)
        tensor([0.7967])
    """
    _positive((ideal > 0).sum(1))
    discount = 1 / torch.arange(2, gains.shape[1] + 2, dtype=torch.float32).log2()
    return (gains * discount).sum(1) / (ideal * discount).sum(1)


def rmse(squared_error: Tensor, ratings: Tensor) -> float:
    """Root of the mean squared error over all ratings (not the mean of the users' own roots).

    Args:
        squared_error: [U] sum of (prediction - rating)^2 over each user's ratings.
        ratings: [U] number of ratings of each user.

    Returns:
        On the scale of the ratings.

    Example:
        >>> rmse(torch.tensor([8.0, 0.0]), torch.tensor([1, 1]))
        2.0
    """
    return float((squared_error.sum() / ratings.sum()).sqrt())


def mae(absolute_error: Tensor, ratings: Tensor) -> float:
    """Mean absolute error over all ratings.

    Args:
        absolute_error: [U] sum of |prediction - rating| over each user's ratings.
        ratings: [U] number of ratings of each user.

    Returns:
        On the scale of the ratings.

    Example:
        >>> mae(torch.tensor([3.0, 0.0]), torch.tensor([1, 2]))
        1.0
    """
    return float(absolute_error.sum() / ratings.sum())


def _positive(num_relevant: Tensor) -> Tensor:
    if (num_relevant < 1).any():
        raise ValueError(f"{int((num_relevant < 1).sum())} users have no relevant item; leave them out, and count them")
    return num_relevant
