"""A kind of split: held-out items, without any interaction in training."""

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from gnnrec.data.dataset import Dataset
from gnnrec.splits.kind import SplitKind
from gnnrec.splits.parts import TRAIN, mark, permutation
from gnnrec.splits.split import Split


class UnseenItems(SplitKind):
    """Held-out items have no interaction in training, their users have others; held-out items alone are to be found.

    Nor are events of other kinds known of them.
    """

    kind: Literal["unseen_items"] = "unseen_items"
    test: float = Field(0.2, gt=0, lt=1)
    """Share of items in test."""
    validation: float = Field(0.1, gt=0, lt=1)
    """Share of items in validation."""
    among: Literal["held_out", "all"] = "held_out"
    """The items that are ranked: held-out ones alone, or those of training too."""
    seed: int | None = Field(None, ge=0, lt=2**32)
    """Seed of the permutation of items; left out, the run's seed."""

    def make(self, dataset: Dataset, seed: int) -> Split:
        """Holds out items, with all their interactions."""
        item_part = torch.zeros(dataset.num_items, dtype=torch.int64)
        order = permutation(dataset.num_items, seed if self.seed is None else self.seed)
        mark(item_part, order, self.test, self.validation)
        user_part = torch.zeros(dataset.num_users, dtype=torch.int64)
        dataset = without_events(dataset, item_part != TRAIN)
        edge_part, among_all = item_part[dataset.interactions.item], self.among == "all"
        return Split(dataset, user_part, edge_part, item_part, ranked_among_all=among_all)


def without_events(dataset: Dataset, items: Tensor) -> Dataset:
    """The data set without the events of some items ([I] bool)."""
    relations = [r if r.time is None else r.take(~items[r.edge_index[1]]) for r in dataset.relations]
    return replace(dataset, relations=tuple(relations))
