"""Model selection on held-out users: folds, history-length buckets, and NDCG of scores that are at hand."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnnrec.evaluation.metrics import ndcg
from gnnrec.evaluation.ranking import tie_key, top
from gnnrec.recommender import Recommender
from gnnrec.views import TestSet, TrainingData, UserBatch

BUCKETS = (0, 1, 2, 5, 10, 20, 50)
"""History-length buckets: each begins at so many known items and ends below the next."""
LENGTH = 10
"""Of the lists that options are chosen by."""
BATCH = 256
POOL = 64
"""Items of each summand that `MixedNDCG` looks at first."""


@dataclass(frozen=True)
class Fold:
    """What to train on, and users who were held out of it.

    Attributes:
        train: the training users of the fold.
        test: the held-out users, with what is known of them under the split.
        revealed: held-out users of several history lengths, to choose what differs between buckets; the same as `test`
            where that has users with known items.
    """

    train: TrainingData
    test: TestSet
    revealed: TestSet


def by_bucket(users: UserBatch, buckets: Sequence[int] = BUCKETS) -> Iterator[tuple[int, Tensor]]:
    """The buckets that have users, each with the rows of its users.

    Args:
        users: B users.
        buckets: least numbers of known items, in any order; users with fewer than any of them are left out.
    """
    known = torch.bincount(users.items.row, minlength=len(users))
    for least, following in itertools.pairwise([*sorted(buckets), torch.iinfo(torch.int64).max]):
        rows = ((known >= least) & (known < following)).nonzero().flatten()
        if len(rows):
            yield least, rows


class HeldOutNDCG:
    """NDCG@10 of held-out users, as `evaluate` computes it: prepared once, computed for many sets of scores.

    Args:
        test: B held-out users. Those without any candidate in their ground truth are left out of the result.
        candidates: [I] bool, the items that are ranked.
        seed: breaks ties.
    """

    def __init__(self, test: TestSet, candidates: Tensor, seed: int) -> None:
        num_items = len(candidates)
        shown = UserBatch(test.users.index, test.users.items, {}).history(num_items)
        eligible = candidates & ~shown  # [B, I]
        if test.masked is not None:
            eligible &= ~UserBatch(test.users.index, test.masked, {}).history(num_items)
        relevant = UserBatch(test.users.index, test.ground_truth, {}).history(num_items) & eligible
        rows = relevant.any(1).nonzero().flatten()
        self._seed = seed
        self.prepared = rows, eligible[rows], relevant[rows], test.users.index[rows]
        """Rows of the B' users with any ground truth; [B', I] bool eligible and relevant items; the users' indices."""

    def __call__(self, scores: Tensor) -> np.ndarray:
        """[B'] float64, one value for each user with any ground truth; scores are [B, I] float32."""
        rows = self.prepared[0]
        parts = torch.arange(len(rows)).split(BATCH)
        return np.concatenate([np.empty(0), *(self.of_rows(scores[rows[part]], part) for part in parts)])

    def of_rows(self, scores: Tensor, part: Tensor) -> np.ndarray:
        """[b] float64, the values of some of the B' users; scores are theirs, [b, I]."""
        _, eligible, relevant, index = self.prepared
        items = top(scores, eligible[part], index[part], LENGTH, self._seed)  # [b, 10]
        hits = relevant[part].gather(1, items.clamp(min=0)) & (items >= 0)
        return np.asarray(ndcg(hits, relevant[part].sum(1)).double().numpy())


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


def fold_models(make: Callable[[Mapping[str, Any]], Any], folds: Sequence[Fold], seed: int) -> list[Recommender]:
    """One model for each fold, fitted on its training users alone, and the best parameters found on the way.

    A model that can choose its options on all folds together has `fit_folds`. One that chooses on validation users does
    so on the first fold, and follows its choice on the others.

    Args:
        make: best parameters -> a new model.
        folds: what to fit on.
        seed: the run's seed.

    Returns:
        The models; `best_params` of the first one holds what was chosen.
    """
    model = make({})
    if hasattr(model, "fit_folds"):
        fitted: list[Recommender] = model.fit_folds(folds, seed)
        return fitted
    chooses = getattr(model, "chooses_on_validation", False)
    model.fit(folds[0].train, folds[0].test if chooses else None, seed)
    models = [model]
    for fold in folds[1:]:
        other = make(model.best_params)
        other.fit(fold.train, None, seed)
        models.append(other)
    return models


def best_value(
    values: Sequence[Any],
    fit: Callable[[Any, Fold], Recommender],
    folds: Sequence[Fold],
    test: Callable[[Fold], TestSet | None],
    seed: int,
) -> tuple[Any, list[Recommender]]:
    """The value of an option with the highest mean NDCG@10 over the held-out users of all folds; the first of equals.

    Args:
        values: at least one.
        fit: value and fold -> a fitted model.
        folds: what to fit on.
        test: fold -> the users to choose on; None leaves the fold out.
        seed: the run's seed.

    Returns:
        The value, and its model for each fold.
    """
    best: tuple[float, Any, list[Recommender]] | None = None
    for value in values:
        models, found = [fit(value, fold) for fold in folds], [np.empty(0)]
        for model, fold in zip(models, folds, strict=True):
            held_out = test(fold)
            if held_out is not None:
                measure = HeldOutNDCG(held_out, fold.train.candidates, seed)
                found.append(measure(score_in_batches(model, held_out.users)))
        mean = float(np.concatenate(found).mean())
        if best is None or mean > best[0]:
            best = mean, value, models
    assert best is not None
    return best[1], best[2]


def score_in_batches(model: Recommender, users: UserBatch) -> Tensor:
    """[B, I] float32, the scores of B users, computed for some of them at a time."""
    rows = torch.arange(len(users)).split(BATCH)
    with torch.no_grad():
        return torch.cat([model.score(users.take(part)) for part in rows]) if len(rows) > 1 else model.score(users)
