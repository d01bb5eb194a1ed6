"""Metrics of ranked lists that no relevant item decides: coverage, diversity, novelty; their registration."""

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from gnnrec.evaluation.metrics.metric import Metric


def coverage(items: Tensor, candidates: Tensor) -> float:
    """Share of the candidates that are in any user's list: a value of all lists together, not of a user.

    Args:
        items: [U, K] int64, items of each list; -1 at a place that stayed empty.
        candidates: [I] bool, the items that may be recommended, at least one.

    Returns:
        A share in [0, 1].

    Example:
        >>> coverage(torch.tensor([[0, 1], [1, -1]]), torch.tensor([True, True, True, True]))
        0.5
    """
    return len(items[items >= 0].unique()) / int(candidates.sum())


def intra_list_diversity(items: Tensor, item_features: csr_array) -> Tensor:
    """Mean over the pairs of items in a list of 1 minus the cosine of their attribute vectors.

    Source: Ziegler, McNee, Konstan, Lausen, "Improving Recommendation Lists Through Topic Diversification", WWW 2005,
        whose intra-list similarity is a sum over pairs. Differs: a mean of dissimilarities, so that more is more
        diverse whatever K is; items without attributes are left out, since nothing is known of them.

    Args:
        items: [B, K] int64, items of each list; -1 at a place that stayed empty.
        item_features: [I, A], at least 0, the weight of each attribute value of an item.

    Returns:
        [B] float32 in [0, 1]; 0 for a list with fewer than two items that have attributes.

    Example:
        >>> comedy_and_drama = csr_array(np.array([[1.0, 0], [1, 0], [0, 1]]))
        >>> intra_list_diversity(torch.tensor([[0, 1, 2], [0, 1, -1]]), comedy_and_drama)  # pairs: 0, 1, 1 and 0
        tensor([0.6667, 0.0000])
    """
    length = np.sqrt(item_features.multiply(item_features).sum(1))  # [I]
    unit = item_features.multiply(np.divide(1, length, out=np.zeros_like(length), where=length > 0)[:, None]).tocsr()
    row, place = (items >= 0).nonzero(as_tuple=True)
    listed = items[row, place].numpy()
    described = length[listed] > 0
    cells = (row.numpy()[described], listed[described])
    in_list = csr_array((np.ones(len(cells[0])), cells), shape=(len(items), len(length)))  # [B, I]
    total = in_list @ unit  # [B, A], sum of the unit vectors
    number = in_list.sum(1)
    # The squared length of a sum of n unit vectors is n and twice the sum of the cosines of its pairs.
    similarity = (total.multiply(total).sum(1) - number) / np.maximum(number * (number - 1), 1)
    return torch.from_numpy(np.where(number > 1, 1 - similarity, 0).clip(0, 1)).float()


def novelty(items: Tensor, popularity: Tensor, num_training_users: Tensor) -> Tensor:
    """Mean self-information of a list's items: -log2 of the share of training users who chose the item, in bits.

    Source: Zhou, Kuscsik, Liu, Medo, Wakeling, Zhang, "Solving the apparent diversity-accuracy dilemma of recommender
        systems", PNAS 107, 2010, where it is called surprisal. Differs: an item that no training user chose counts as
        chosen by one, so that the value stays finite.

    Args:
        items: [B, K] int64, items of each list; -1 at a place that stayed empty.
        popularity: [I], how many training users chose each item.
        num_training_users: [] how many training users there are.

    Returns:
        [B] float32, at least 0; 0 for an empty list.

    Example:
        >>> novelty(torch.tensor([[0, 1], [0, -1]]), torch.tensor([4.0, 1.0]), torch.tensor(8))  # 1 and 3 bits
        tensor([2., 1.])
    """
    information = (num_training_users / popularity.double().clamp(min=1)).log2()  # [I]
    there = items >= 0
    total = (information[items.clamp(min=0)] * there).sum(1)
    return (total / there.sum(1).clamp(min=1)).float()


# None of them has a better direction: random lists have the most of each.
METRICS = (
    Metric(
        name="coverage",
        needs=("items", "candidates"),
        function=coverage,
        higher_is_better=None,
        mean_over=None,
        bounds=(0, 1),
    ),
    Metric(
        name="intra_list_diversity",
        needs=("items", "item_features"),
        function=intra_list_diversity,
        higher_is_better=None,
        bounds=(0, 1),
    ),
    Metric(
        name="novelty",
        needs=("items", "popularity", "num_training_users"),
        function=novelty,
        higher_is_better=None,
    ),
)
