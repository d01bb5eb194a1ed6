"""Model selection on held-out users: folds, history-length buckets, and NDCG of scores that are at hand."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnnrec.evaluation.metrics import ndcg
from gnnrec.evaluation.ranking import top
from gnnrec.recommender import Recommender
from gnnrec.views import TestSet, TrainingData, UserBatch

BUCKETS = (0, 1, 2, 5, 10, 20, 50)
"""History-length buckets: each begins at so many known items and ends below the next."""
LENGTH = 10
"""Of the lists that options are chosen by."""
BATCH = 256


@dataclass(frozen=True)
class Fold:
    """What to train on, and users who were held out of it.

    Attributes:
        train: the training users of the fold.
        test: the held-out users, with what the split lets a model know of them.
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
        if test.hidden is not None:
            eligible &= ~UserBatch(test.users.index, test.hidden, {}).history(num_items)
        relevant = UserBatch(test.users.index, test.target, {}).history(num_items) & eligible
        self._rows = relevant.any(1).nonzero().flatten()
        self._eligible, self._relevant = eligible[self._rows], relevant[self._rows]
        self._index, self._seed = test.users.index[self._rows], seed

    def __call__(self, scores: Tensor) -> np.ndarray:
        """[B'] float64, one value for each user with any ground truth; scores are [B, I] float32."""
        values = [np.empty(0)]
        for part in torch.arange(len(self._rows)).split(BATCH):
            eligible, relevant = self._eligible[part], self._relevant[part]
            items = top(scores[self._rows[part]], eligible, self._index[part], LENGTH, self._seed)  # [b, 10]
            hits = relevant.gather(1, items.clamp(min=0)) & (items >= 0)
            values.append(ndcg(hits, relevant.sum(1)).double().numpy())
        return np.concatenate(values)


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
