"""A kind of split: held-out interactions of users who are in training."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from gnnrec.data.dataset import Dataset
from gnnrec.splits.kind import SplitKind
from gnnrec.splits.parts import TRAIN, mark, permutation
from gnnrec.splits.split import Split


class WarmInteractions(SplitKind):
    """Held-out interactions of users who are in training: warm start, for comparison."""

    kind: Literal["interactions"] = "interactions"
    test: float = Field(0.2, gt=0, lt=1)
    """Share of interactions in test."""
    validation: float = Field(0.1, gt=0, lt=1)
    """Share of interactions in validation."""
    seed: int | None = Field(None, ge=0, lt=2**32)
    """Seed of the permutation of interactions; left out, the run's seed."""

    def make(self, dataset: Dataset, seed: int) -> Split:
        """Holds out interactions, but none of a user whom training would have no interaction of."""
        edge_part = torch.zeros(len(dataset.interactions), dtype=torch.int64)
        order = permutation(len(edge_part), seed if self.seed is None else self.seed)
        mark(edge_part, order, self.test, self.validation)
        _keep_known(dataset, edge_part)
        user_part = torch.zeros(dataset.num_users, dtype=torch.int64)
        return Split(dataset, user_part, edge_part, torch.zeros(dataset.num_items, dtype=torch.int64))


def _keep_known(dataset: Dataset, edge_part: Tensor) -> None:
    """A held-out interaction needs a user who is in training: the interactions of the others go back to training."""
    known = torch.zeros(dataset.num_users, dtype=torch.bool)
    known[dataset.interactions.user[edge_part == TRAIN]] = True
    edge_part[~known[dataset.interactions.user]] = TRAIN
