"""Cross-validation folds of a training part, for model selection on more than a handful of validation users."""

import torch

from gnnrec.runtime import seeds
from gnnrec.views import TestSet, TrainingData

MAX_FOLDS = 8
MAX_USERS = 2_000


def selection_folds(
    train: TrainingData, validation: TestSet, enough: int, seed: int
) -> list[tuple[TrainingData, TestSet]]:
    """Folds of training users, each as large as the validation part, until enough users are held out in all.

    Where validation users have a support, there is the first fold alone: users of a further one would need a support
    of the same size. Of very many validation users, 2,000 are drawn. Where most training users have no interaction, as
    those without a label, folds are of the others: those have nothing to be asked for.

    Args:
        train: the training users.
        validation: users who are not among them; the first fold.
        enough: number of held-out users to reach, over all folds.
        seed: the run's seed; draws the folds.

    Returns:
        At most 8 pairs: the training data of a fold, and its held-out users.
    """
    if len(validation.users) > MAX_USERS:
        rows = torch.randperm(len(validation.users), generator=seeds.generator(seed, "choosing"))[:MAX_USERS]
        validation = validation.take(rows.sort().values)
    first, size = [(train, validation)], len(validation.users)
    if len(validation.users.items) or not size:
        return first
    order = torch.randperm(train.num_users, generator=seeds.generator(seed, "cuts"))
    asked = torch.bincount(train.users.items.row, minlength=train.num_users) > 0
    if 2 * int(asked.sum()) < train.num_users:
        order = order[asked[order]]
    missing = -(-max(enough - size, 0) // size)
    further = [train.hold_out(rows.sort().values) for rows in order.split(size)[: min(missing, MAX_FOLDS - 1)]]
    return first + [(rest, out) for rest, out in further if len(rest.users.items) and len(out.ground_truth)]
