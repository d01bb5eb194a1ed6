"""What a user's neighbours chose, item by item, and how much of it to copy."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnnrec.graph.block import Block
from gnnrec.views import INTERACTS, ITEM, USER, Edges, EdgeType, TestSet, TrainingData, UserBatch, reverse

SIMILAR = "similar_items"
"""The path that `similar_items` computes."""
STAGES = (0, 1, 2, 5, 10, 20, 50)
"""Numbers of known items from which on a user gets shares of its own."""
GRID = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
LEAST = 0.1
"""Share that the model itself keeps."""
NOTHING = torch.empty(0, dtype=torch.int64)


@torch.no_grad()
def neighbour_choices(block: Block, users: UserBatch, paths: Sequence[EdgeType]) -> Tensor:
    """For each path to neighbours, how often they chose each item.

    A relation between users leads to neighbours at once. Any other leads to those who share a node: each of the user's
    nodes weighs the same, and so does each user of one node. Hidden edges of the block count for nothing.

    Args:
        block: the whole graph.
        users: B users who are not in the graph, with what is known of them.
        paths: K relations that begin at users; `INTERACTS` stands for users with an item in common.

    Returns:
        [K, B, I] float32, the weighted share of the neighbours who chose the item; all zero where there is none.
    """
    choices = []
    for path in paths:
        edges = users.items if path == INTERACTS else users.relations.get(path, users.items.take(NOTHING))
        weight = _spread(edges, len(users), block, path)  # [N, B], shares of the user's nodes
        near = weight if path[2] == USER else block.adjacency[reverse(path)].sum(weight)  # [U, B]
        choices.append(block.adjacency[INTERACTS].sum(near).t())  # [B, I]
    return torch.stack(choices) if choices else torch.empty(0, len(users), block.num_targets[ITEM])


@torch.no_grad()
def similar_items(block: Block, users: UserBatch) -> Tensor:
    """How similar each item is to those that a user is known to have chosen: the sum of the cosines.

    Source: Deshpande, Karypis, "Item-Based Top-N Recommendation Algorithms", ACM TOIS 22 (2004), section 4.1, with all
        neighbours. Computed by two products with the interactions; no matrix of items by items is made.

    Args:
        block: the whole graph.
        users: B users who are not in the graph.

    Returns:
        [B, I] float32, all zero for a user without items.
    """
    back = block.adjacency[reverse(INTERACTS)]  # from items to users
    root = block.adjacency[INTERACTS].degree().clamp(min=1).sqrt()  # [I], of the number of users who chose the item
    weight = torch.zeros(block.num_targets[ITEM], len(users))
    weight[users.items.node, users.items.row] = 1 / root[users.items.node]
    return block.adjacency[INTERACTS].sum(back.sum(weight)).t() / root


def _spread(edges: Edges, users: int, block: Block, path: EdgeType) -> Tensor:
    """[N, B], the share of each of a user's nodes, divided by the number of users who have that node."""
    degree = torch.bincount(edges.row, minlength=users)
    weight = torch.zeros(block.num_targets[path[2]], users)
    share = degree.clamp(min=1).reciprocal()[edges.row]
    if path[2] != USER:
        share = share / block.adjacency[path].degree().clamp(min=1)[edges.node]
    weight[edges.node, edges.row] = share
    return weight


def mix(score: Tensor, choices: Tensor, shares: Sequence[float]) -> Tensor:
    """Mixes a model's probabilities with what neighbours chose, each scaled to its maximum.

    A vector of a hundred numbers cannot say which of 17,000 artists a friend listens to; copying can. Mixed after
    training, not in the loss: trained together, the two came out no better than the model alone (Last.fm, validation
    users, exploratory runs: NDCG@10 .505 together, .517 alone, .531 mixed afterwards).

    Source: the mixture of a generator and a copier is that of See, Liu, Manning, "Get To The Point: Summarization with
        Pointer-Generator Networks", ACL 2017, eq. 9. Differs: copies from the histories of neighbours, along several
        paths, with shares that are chosen on validation users; scaled to the maximum, so that a share means the same
        for a user with few neighbours and one with many.

    Args:
        score: [B, I] scores of the model, the logarithm of unnormalised probabilities.
        choices: [K, B, I], at least 0: from `neighbour_choices`, or any other path's expectations.
        shares: K numbers of at least 0, together at most 1; the rest is the model's.

    Returns:
        [B, I] float32 in [0, 1]. A path that leads a user nowhere leaves the order of the others.
    """
    own = (score - score.amax(1, keepdim=True)).exp()
    mixed = (1 - sum(shares)) * own
    for share, chosen in zip(shares, choices, strict=True):
        mixed = mixed + share * chosen / chosen.amax(1, keepdim=True).clamp(min=1e-12)
    return mixed


def choose_shares(
    paths: int, measure: Callable[[list[float]], np.ndarray], grid: Sequence[float] = GRID
) -> list[float]:
    """Picks the share of each path: step by step, the one change of one share that raises the mean of `measure` most.

    The model speaks alone, unless all paths together gain more than twice the standard error of the gain: of many
    shares that are tried, some are better on the users at hand by luck, even where the attributes mean nothing. Asking
    as much of every single step was too strict: on Last.fm it left the friends out after the regression, which hears
    of them too.

    Args:
        paths: K, the number of paths.
        measure: K shares -> [U] value of each held-out user, higher is better.
        grid: shares to try, ascending from 0. Where the others leave too little, a path takes from them in proportion,
            so that the model keeps a tenth.

    Returns:
        K shares; 0 for a path that does not help.
    """
    alone = [0.0] * paths
    values, shares = measure(alone), alone
    gain = np.zeros_like(values)
    for _ in range(paths + 1):
        tried = [_with(shares, place, share) for place in range(paths) for share in grid if share != shares[place]]
        measured = [(measure(one) - values, one) for one in tried]
        best, best_shares = max(measured, key=lambda pair: pair[0].mean(), default=(gain, shares))
        if not best.mean() > gain.mean():
            break
        gain, shares = best, best_shares
    return shares if gain.mean() > 2 * gain.std() / np.sqrt(len(gain)) else alone


def _with(shares: Sequence[float], place: int, share: float) -> list[float]:
    """The shares with one replaced, the others cut down where all together would leave the model too little."""
    others = sum(shares) - shares[place]
    left = 1 - LEAST - share
    kept = 1.0 if others <= left else left / others
    return [share if other == place else round(old * kept, 4) for other, old in enumerate(shares)]


class Scored:
    """A recommender of scores that are at hand.

    Args:
        users: B users.
        score: [B, I], their scores.
    """

    supports_cold_users = True
    predicts_ratings = False

    def __init__(self, users: UserBatch, score: Tensor) -> None:
        self.chosen: dict[str, Any] = {}
        self._row = {int(index): row for row, index in enumerate(users.index)}
        self._score = score

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """There is nothing to fit."""

    def score(self, users: UserBatch) -> Tensor:
        """[B', I] float32 for some of the users."""
        return self._score[torch.tensor([self._row[int(index)] for index in users.index], dtype=torch.int64)]
