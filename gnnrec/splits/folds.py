"""Several cuts of a training part, so that a choice need not hang on a handful of validation users."""

import torch

from gnnrec.runtime import seeds
from gnnrec.views import TestSet, TrainingData

MOST_CUTS = 8
MOST_USERS = 2_000


def selection_folds(
    train: TrainingData, validation: TestSet, enough: int, seed: int
) -> list[tuple[TrainingData, TestSet]]:
    """Training users held out in turn, as many at a time as there are validation users, until there are enough.

    Where something is known of the validation users' histories, a further cut would have to reveal as much of its
    users; there are none then. Of very many validation users, 2,000 drawn ones are enough.

    Args:
        train: the training users.
        validation: users who are not among them; the first cut.
        enough: held-out users that are wanted, over all cuts.
        seed: the run's seed; draws the cuts.

    Returns:
        At most 8 pairs: what to train on, and the users who were held out of it.
    """
    if len(validation.users) > MOST_USERS:
        rows = torch.randperm(len(validation.users), generator=seeds.generator(seed, "choosing"))[:MOST_USERS]
        validation = validation.take(rows.sort().values)
    first, size = [(train, validation)], len(validation.users)
    if len(validation.users.items) or not size:
        return first
    order = torch.randperm(train.num_users, generator=seeds.generator(seed, "cuts"))
    missing = -(-max(enough - size, 0) // size)
    further = [train.hold_out(rows.sort().values) for rows in order.split(size)[: min(missing, MOST_CUTS - 1)]]
    return first + [(rest, asked) for rest, asked in further if len(rest.users.items) and len(asked.ground_truth)]
