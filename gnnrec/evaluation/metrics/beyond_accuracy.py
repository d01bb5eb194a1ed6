"""Metrics of lists beyond accuracy: coverage, diversity, novelty, popularity, calibration; their registration."""

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


def gini(items: Tensor, candidates: Tensor) -> float:
    """Gini coefficient of how often each candidate is in a list: 0 where all are alike, near 1 where few are in all.

    Source: Fleder, Hosanagar, "Blockbuster Culture's Next Rise or Fall", Management Science 55, 2009, section 4, who
        measure sales. Differs: places of lists in the place of sales; candidates that are in no list count with 0.

    Args:
        items: [U, K] int64, items of each list; -1 at a place that stayed empty.
        candidates: [I] bool, the items that may be recommended, at least one.

    Returns:
        A number in [0, 1); 0 where no list holds anything.

    Example:
        >>> gini(torch.tensor([[0], [0], [1]]), torch.tensor([True, True, True]))  # 0, 1 and 2 lists
        0.4444444444444444
    """
    number = torch.bincount(items[items >= 0], minlength=len(candidates))[candidates].double().sort().values  # [I']
    total = float(number.sum())
    if total == 0:
        return 0.0
    rank = torch.arange(1, len(number) + 1, dtype=torch.float64)
    return float((2 * rank - len(number) - 1) @ number) / (len(number) * total)


def average_popularity(items: Tensor, popularity: Tensor, num_training_users: Tensor) -> Tensor:
    """Mean share of the training users who chose an item of the list.

    Source: Yin, Cui, Li, Yao, Chen, "Challenging the Long Tail Recommendation", VLDB 2012, section 5.1. Differs: a
        share of the training users and not their number, so that data sets of other sizes can be compared.

    Args:
        items: [B, K] int64, items of each list; -1 at a place that stayed empty.
        popularity: [I], how many training users chose each item.
        num_training_users: [] how many training users there are.

    Returns:
        [B] float32 in [0, 1]; 0 for an empty list.

    Example:
        >>> average_popularity(torch.tensor([[0, 1], [1, -1]]), torch.tensor([4.0, 2.0]), torch.tensor(8))
        tensor([0.3750, 0.2500])
    """
    there = items >= 0
    share = popularity.double() / num_training_users.double().clamp(min=1)
    return ((share[items.clamp(min=0)] * there).sum(1) / there.sum(1).clamp(min=1)).float()


HEAD = 0.8
"""Share of the training interactions that the head holds; what is not in it is the long tail."""


def head(popularity: Tensor) -> Tensor:
    """[I] bool, the fewest items that hold `HEAD` of the training interactions; items chosen alike are in it together.

    Example:
        >>> head(torch.tensor([1.0, 6.0, 1.0, 2.0]))
        tensor([False,  True, False,  True])
    """
    count = popularity.double().sort(descending=True).values
    before = count.cumsum(0) - count
    inside = (before < HEAD * count.sum()) & (count > 0)
    least = count[inside].min() if inside.any() else torch.inf
    return popularity >= least


def long_tail_share(items: Tensor, popularity: Tensor) -> Tensor:
    """Share of a list that lies in the long tail: outside the most chosen items that hold 80 % of the interactions.

    Source: Abdollahpouri, Burke, Mobasher, "Managing Popularity Bias in Recommender Systems with Personalized
        Re-Ranking", FLAIRS 2019, average percentage of long tail items. Differs: the head is bounded by a share of the
        interactions, so that items that hardly anybody chose do not move it.

    Args:
        items: [B, K] int64, items of each list; -1 at a place that stayed empty.
        popularity: [I], how many training users chose each item.

    Returns:
        [B] float32 in [0, 1]; 0 for an empty list.

    Example:
        >>> long_tail_share(torch.tensor([[1, 0], [1, 3]]), torch.tensor([1.0, 6.0, 1.0, 2.0]))
        tensor([0.5000, 0.0000])
    """
    there = items >= 0
    tail = ~head(popularity)
    return ((tail[items.clamp(min=0)] & there).sum(1) / there.sum(1).clamp(min=1)).float()


SMOOTHING = 0.01
"""Share of the ground truth's distribution that is mixed into a list's, so that the divergence is finite."""


def miscalibration(items: Tensor, item_features: csr_array, relevant_features: csr_array) -> Tensor:
    """Kullback-Leibler divergence of a list's attribute values from those of the user's relevant items.

    An item spreads 1 over its values, a list is the mean of its items: KL(p || (1 - a) q + a p) with p of the relevant
    items, q of the list, a = .01, in nats.

    Source: Steck, "Calibrated Recommendations", RecSys 2018, equations 2 to 4 and 6. Differs: p is of the relevant
        items and not of the history, which an unseen user does not have; places of the list count alike.

    Args:
        items: [B, K] int64, items of each list; -1 at a place that stayed empty.
        item_features: [I, A], at least 0, the weight of each attribute value of an item.
        relevant_features: [B, A], the same of the user's relevant items together, each with a sum of 1.

    Returns:
        [B] float32, at least 0; 0 for a user or a list without any attribute value.

    Example:
        >>> drama_or_comedy = csr_array(np.array([[1.0, 0], [0, 1]]))
        >>> miscalibration(torch.tensor([[0, 1]]), drama_or_comedy, csr_array(np.array([[1.0, 1]])))
        tensor([0.])
    """
    row, place = (items >= 0).nonzero(as_tuple=True)
    cells = (row.numpy(), items[row, place].numpy())
    in_list = csr_array((np.ones(len(cells[0])), cells), shape=(len(items), item_features.shape[0]))  # [B, I]
    listed, wanted = _shares(in_list @ shares_of_values(item_features)), _shares(relevant_features)  # [B, A]
    known = (listed.sum(1) > 0) & (wanted.sum(1) > 0)
    p = wanted.tocoo()
    q = np.asarray(listed[p.row, p.col]).ravel()
    parts = p.data * np.log(p.data / ((1 - SMOOTHING) * q + SMOOTHING * p.data))
    divergence = np.bincount(p.row, weights=parts, minlength=len(items))
    return torch.from_numpy(np.where(known, divergence, 0).clip(min=0)).float()


def shares_of_values(item_features: csr_array) -> csr_array:
    """[I, A], what share each attribute value has of an item; rows add up to 1, or to 0 where nothing is known."""
    return _shares(item_features)


def _shares(matrix: csr_array) -> csr_array:
    total = np.asarray(matrix.sum(1)).ravel()
    scale = np.divide(1, total, out=np.zeros_like(total, dtype=np.float64), where=total > 0)
    return csr_array(matrix.multiply(scale[:, None]))


# None but the last has a better direction: random lists have the most, or the least, of each.
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
    Metric(
        name="gini",
        needs=("items", "candidates"),
        function=gini,
        higher_is_better=None,
        mean_over=None,
        bounds=(0, 1),
    ),
    Metric(
        name="average_popularity",
        needs=("items", "popularity", "num_training_users"),
        function=average_popularity,
        higher_is_better=None,
        bounds=(0, 1),
    ),
    Metric(
        name="long_tail_share",
        needs=("items", "popularity"),
        function=long_tail_share,
        higher_is_better=None,
        bounds=(0, 1),
    ),
    Metric(
        name="miscalibration",
        needs=("items", "item_features", "relevant_features"),
        function=miscalibration,
        higher_is_better=False,
    ),
)
