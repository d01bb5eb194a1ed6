"""Model selection over several folds of held-out users."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnnrec.models.held_out import BATCH, HeldOutNDCG
from gnnrec.recommender import Recommender
from gnnrec.views import TestSet, TrainingData, UserBatch

BUCKETS = (0, 1, 2, 5, 10, 20, 50)
"""History-length buckets: each begins at so many known items and ends below the next."""


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
                measure = HeldOutNDCG(held_out, held_out.candidates(fold.train), seed)
                found.append(measure(score_in_batches(model, held_out.users)))
        every = np.concatenate(found)
        mean = float(every.mean()) if len(every) else 0.0  # nobody to choose on: the first value
        if best is None or mean > best[0]:
            best = mean, value, models
    assert best is not None
    return best[1], best[2]


def score_in_batches(model: Recommender, users: UserBatch) -> Tensor:
    """[B, I] float32, the scores of B users, computed for some of them at a time."""
    rows = torch.arange(len(users)).split(BATCH)
    with torch.no_grad():
        return torch.cat([model.score(users.take(part)) for part in rows]) if len(rows) > 1 else model.score(users)
