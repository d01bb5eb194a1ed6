"""A kind of split: held-out users and held-out items at once."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from gnnrec.data.dataset import Dataset
from gnnrec.runtime import seeds
from gnnrec.splits.kind import SplitKind
from gnnrec.splits.parts import (
    LATER,
    TEST,
    TEST_SUPPORT,
    TRAIN,
    UNUSED,
    VALIDATION,
    VALIDATION_SUPPORT,
    mark,
    permutation,
)
from gnnrec.splits.split import Split
from gnnrec.splits.unseen_items import without_events
from gnnrec.views import ITEM, USER


class UnseenBoth(SplitKind):
    """Held-out users, of whom training knows no interaction, are to find held-out items, of which it knows none either.

    A held-out user's support are interactions with items of training. What training users chose among the held-out
    items is in no part, but that among validation's items is known in the final fit.
    """

    kind: Literal["unseen_both"] = "unseen_both"
    test: float = Field(0.2, gt=0, lt=1)
    """Share of the users, and of the items, in test."""
    validation: float = Field(0.1, gt=0, lt=1)
    """Share of the users, and of the items, in validation."""
    support: int = Field(0, ge=0)
    """Interactions of each held-out user with items of training that are its support; drawn. The others are masked."""
    among: Literal["held_out", "all"] = "held_out"
    """The items that are ranked: held-out ones alone, or those of training too."""
    seed: int | None = Field(None, ge=0, lt=2**32)
    """Seed of the permutations of users and of items; left out, the run's seed."""

    @property
    def support_size(self) -> int:
        """See `SplitKind`."""
        return self.support

    def make(self, dataset: Dataset, seed: int) -> Split:
        """Holds out users with all their interactions, and items with all theirs."""
        own_seed = seed if self.seed is None else self.seed
        part = {t: torch.zeros(len(dataset.ids[t]), dtype=torch.int64) for t in (USER, ITEM)}
        for node_type, name in ((USER, "both users"), (ITEM, "both items")):
            order = permutation(len(part[node_type]), seeds.integer(own_seed, name) % 2**32)
            mark(part[node_type], order, self.test, self.validation)
        return Split(
            without_events(dataset, part[ITEM] != TRAIN),
            part[USER],
            _edge_part(part[USER][dataset.interactions.user], part[ITEM][dataset.interactions.item]),
            part[ITEM],
            reveal_order=torch.rand(
                len(dataset.interactions), generator=seeds.generator(own_seed, "support"), dtype=torch.float64
            ),
            ranked_among_all=self.among == "all",
            shown=self.support,
        )


def _edge_part(user: Tensor, item: Tensor) -> Tensor:
    """[E] int64, the part of each interaction, from the parts of its user and its item."""
    edge = torch.full_like(user, UNUSED)
    for held_out, support in ((VALIDATION, VALIDATION_SUPPORT), (TEST, TEST_SUPPORT)):
        edge[(user == held_out) & (item == held_out)] = held_out
        edge[(user == held_out) & (item == TRAIN)] = support
    edge[(user == TEST) & (item == VALIDATION)] = TEST_SUPPORT  # the final fit knows these items
    edge[(user == TRAIN) & (item == TRAIN)] = TRAIN
    edge[(user == TRAIN) & (item == VALIDATION)] = LATER
    return edge
