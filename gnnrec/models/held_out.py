"""NDCG of held-out users, prepared once and computed for many sets of scores."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gnnrec.evaluation.metrics import ndcg
from gnnrec.evaluation.ranking import top
from gnnrec.runtime.devices import CPU
from gnnrec.runtime.ties import tie_key
from gnnrec.views import TestSet, UserBatch

LENGTH = 10
"""Of the lists that options are chosen by."""
BATCH = 256
POOL = 64
"""Items of each summand that `MixedNDCG` looks at first."""


class HeldOutNDCG:
    """NDCG@10 of held-out users, as `evaluate` computes it: prepared once, computed for many sets of scores.

    Args:
        test: B held-out users. Those without any candidate in their ground truth are left out of the result.
        candidates: [I] bool, the items that are ranked.
        seed: breaks ties.
        device: of the scores.
    """

    def __init__(
        self,
        test: TestSet,
        candidates: Tensor,
        seed: int,
        device: torch.device = CPU.device,
    ) -> None:
        num_items = len(candidates)
        eligible = candidates & ~UserBatch(test.users.index, test.unranked, {}).history(num_items)  # [B, I]
        relevant = UserBatch(test.users.index, test.ground_truth, {}).history(num_items) & eligible
        rows = relevant.any(1).nonzero().flatten()
        self._seed = seed
        prepared = rows, eligible[rows], relevant[rows], test.users.index[rows]
        self.prepared = rows, *(part.to(device) for part in prepared[1:])
        """Rows of the B' users with any ground truth; [B', I] bool eligible and relevant items; the users' indices."""

    def __call__(self, scores: Tensor) -> np.ndarray:
        """[B'] float64, one value for each user with any ground truth; scores are [B, I] float32."""
        rows = self.prepared[0].to(scores.device)
        parts = torch.arange(len(rows), device=scores.device).split(BATCH)
        return np.concatenate([np.empty(0), *(self.of_rows(scores[rows[part]], part) for part in parts)])

    def likelihood(self, scores: Tensor) -> np.ndarray:
        """[B'] float64, the mean logarithm of what a softmax over the eligible items gives to the relevant ones.

        Args:
            scores: [B, I] float32, logarithms of unnormalised probabilities.
        """
        rows, eligible, relevant, _ = self.prepared
        found, rows = [np.empty(0)], rows.to(scores.device)
        for each, may, right in zip(rows.split(BATCH), eligible.split(BATCH), relevant.split(BATCH), strict=True):
            own = scores[each].masked_fill(~may, -torch.inf).log_softmax(1).masked_fill(~right, 0.0)
            found.append((own.sum(1) / right.sum(1)).double().cpu().numpy())
        return np.concatenate(found)

    def of_rows(self, scores: Tensor, part: Tensor) -> np.ndarray:
        """[b] float64, the values of some of the B' users; scores are theirs, [b, I]."""
        _, eligible, relevant, index = self.prepared
        items = top(scores, eligible[part], index[part], LENGTH, self._seed)  # [b, 10]
        hits = relevant[part].gather(1, items.clamp(min=0)) & (items >= 0)
        return np.asarray(ndcg(hits.cpu(), relevant[part].sum(1).cpu()).double().numpy())


class MixedNDCG:
    """NDCG@10 of weighted sums of scores for held-out users, the same numbers as `HeldOutNDCG` of the sum.

    Only the items among the best `POOL` of any summand are summed up. An item that is in none of these pools can be in
    a user's list only if the last place of the list is no better than the weighted sum of what each pool ends with;
    such users (there are hardly any) are ranked over all items.

    Args:
        parts: K score matrices, [B, I] float32 each, at least 0.
        test: B held-out users, as in `HeldOutNDCG`.
        candidates: [I] bool, the items that are ranked.
        seed: breaks ties.
    """

    def __init__(self, parts: Sequence[Tensor], test: TestSet, candidates: Tensor, seed: int) -> None:
        self._every = HeldOutNDCG(test, candidates, seed)
        self._parts = parts
        rows, eligible, relevant, index = self._every.prepared
        pools, ends = [], []
        for part in parts:
            masked = part[rows].masked_fill(~eligible, -1.0)
            value, item = masked.topk(min(POOL, masked.shape[1]), dim=1)  # [B', N]
            pools.append(item)
            ends.append(value[:, -1].clamp(min=0))
        pool = torch.cat(pools, dim=1).sort(1).values  # [B', K * N]
        twice = torch.zeros_like(pool, dtype=torch.bool)
        twice[:, 1:] = pool[:, 1:] == pool[:, :-1]
        out = twice | ~eligible.gather(1, pool)
        by_key = tie_key(index[:, None], pool, seed).argsort(dim=1, descending=True)  # ties: the higher key comes first
        self._pool, self._out = pool.gather(1, by_key), out.gather(1, by_key)
        self._ends = torch.stack(ends)  # [K, B']
        self._hit = relevant.gather(1, self._pool)
        self._relevant = relevant.sum(1)
        self._pooled = [part[rows].gather(1, self._pool) for part in parts]  # [B', K * N] each

    def __call__(self, weights: Sequence[float]) -> np.ndarray:
        """[B'] float64, one value for each user with any ground truth; K weights of at least 0."""
        mixed = sum((weight * part for weight, part in zip(weights, self._pooled, strict=True) if weight), 0.0)
        assert isinstance(mixed, Tensor)
        value, order = mixed.masked_fill(self._out, -1.0).sort(dim=1, descending=True, stable=True)
        value, order = value[:, :LENGTH], order[:, :LENGTH]
        hits = self._hit.gather(1, order) & (value >= 0)
        found = ndcg(hits, self._relevant).double().numpy()
        beyond = sum((weight * end for weight, end in zip(weights, self._ends, strict=True)), torch.zeros(()))
        unsure = (value[:, -1] <= beyond * (1 + 1e-5)).nonzero().flatten()
        if len(unsure):
            rows = self._every.prepared[0][unsure]
            full = sum((w * part[rows] for w, part in zip(weights, self._parts, strict=True) if w), torch.zeros(()))
            found[unsure.numpy()] = self._every.of_rows(full, unsure)
        return np.asarray(found)
