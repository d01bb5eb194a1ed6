"""A random order of the items: what chance reaches."""

from typing import Any

import torch
from torch import Tensor

from gnnrec.views import TestSet, TrainingData, UserBatch


class Random:
    """Gives every item the same score; the evaluation, which breaks ties at random from the seed, makes it chance.

    So a user's ranking depends neither on who else is in the batch nor on a table of users, and the model tests the
    evaluation as well: a ranking that follows the order of the items shows up as a value above or below chance.

    Source: no paper; the value of chance.
    Shapes: users B -> scores [B, I], all zero.
    """

    supports_cold_users = True
    predicts_ratings = False

    def __init__(self) -> None:
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Learns how many items there are."""
        self._num_items = train.num_items

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, all zero."""
        return torch.zeros(len(users), self._num_items)
