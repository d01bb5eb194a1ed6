"""The order of items by score, ties broken at random, but the same whenever asked for."""

import torch
from torch import Tensor

from gnnrec.runtime.ties import TIE_KEYS, tie_key


def top(scores: Tensor, eligible: Tensor, users: Tensor, length: int, seed: int) -> Tensor:
    """The best items of each user in order, exact, ties broken at random.

    Args:
        scores: [B, I] float32, finite.
        eligible: [B, I] bool, the items that may stand in the list.
        users: [B] int64, index of each user; the same user gets the same order of ties.
        length: K.
        seed: breaks ties.

    Returns:
        [B, K] int64, best first; -1 where fewer than K items are eligible.

    Example:
        >>> top(torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([[True, False, True]]), torch.tensor([0]), 3, seed=0)
        tensor([[ 2,  0, -1]])
    """
    masked = scores.masked_fill(~eligible, -torch.inf)
    value, item = masked.topk(min(length, scores.shape[1]), dim=1)  # [B, K]
    last = value[:, -1:]
    # topk chooses among the items that tie with the last place as it likes: where some of them are out, draw again.
    open_end = ((masked == last).sum(1) > (value == last).sum(1)) & last.isfinite().flatten()
    if open_end.any():
        part = masked[open_end]
        tied = part == last[open_end]
        key = torch.where(part > last[open_end], TIE_KEYS, -1)
        key[tied] = _tie_break(users[open_end], tied, seed)
        item[open_end] = key.topk(item.shape[1], dim=1).indices
        value[open_end] = part.gather(1, item[open_end])
    by_key = tie_key(users[:, None], item, seed).argsort(dim=1, descending=True)
    value, item = value.gather(1, by_key), item.gather(1, by_key)
    by_value = value.argsort(dim=1, descending=True, stable=True)
    item = item.gather(1, by_value).masked_fill(value.gather(1, by_value) == -torch.inf, -1)
    return torch.nn.functional.pad(item, (0, length - item.shape[1]), value=-1)


def first_rank(scores: Tensor, eligible: Tensor, relevant: Tensor, users: Tensor, seed: int) -> Tensor:
    """Rank of the best placed relevant item in the whole ranking, ties broken as in `top`.

    Args:
        scores: [B, I] float32, finite.
        eligible: [B, I] bool, the items that are ranked.
        relevant: [B, I] bool, the items to find; where none of a user's is eligible, it stands behind all others.
        users: [B] int64, index of each user.
        seed: breaks ties.

    Returns:
        [B] int64, from 1.

    Example:
        >>> everyone = torch.ones(1, 3, dtype=torch.bool)
        >>> relevant = torch.tensor([[True, False, False]])
        >>> first_rank(torch.tensor([[1.0, 3.0, 2.0]]), everyone, relevant, torch.tensor([0]), seed=0)
        tensor([3])
    """
    masked = scores.masked_fill(~eligible, -torch.inf)
    best = masked.masked_fill(~relevant, -torch.inf).amax(1, keepdim=True)
    tied = (masked == best) & eligible
    key = torch.full_like(scores, -1, dtype=torch.int64)
    key[tied] = _tie_break(users, tied, seed)
    best_key = key.masked_fill(~relevant, -1).amax(1, keepdim=True)
    return 1 + (masked > best).sum(1) + (key > best_key).sum(1)


def _tie_break(users: Tensor, tied: Tensor, seed: int) -> Tensor:
    """The keys of the places where `tied` [B, I] is True, in the order of the mask."""
    row, item = tied.nonzero(as_tuple=True)
    return tie_key(users[row], item, seed)
