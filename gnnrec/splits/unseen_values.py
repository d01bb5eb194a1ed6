"""Attribute values that training users do not have, for held-out users who have no others."""

from dataclasses import replace

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from gnnrec.data.dataset import Dataset
from gnnrec.errors import ConfigError
from gnnrec.runtime import seeds
from gnnrec.splits.parts import TEST, TRAIN, VALIDATION, mark, permutation
from gnnrec.views import ITEM, USER


class UnseenValues(BaseModel):
    """Some values of one attribute of users are those of validation users, others those of test users.

    Of this attribute, held-out users keep the values of their part alone, and training users have none of either part.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    attribute: str
    """Name of the attribute."""
    share: float = Field(0.3, gt=0, lt=0.5)
    """Share of its values that are those of test users, and as many those of validation users; drawn."""
    known: bool = False
    """Whether training users keep all their values: what a value is worth where it was seen."""

    def hide(self, dataset: Dataset, user_part: Tensor, seed: int) -> Dataset:
        """The data set without the edges that the parts of users must not have.

        Args:
            dataset: the data set.
            user_part: [U] int64.
            seed: draws the values.

        Raises:
            ConfigError: users have no such attribute, or it has too few values.
        """
        own = [r for r in dataset.relations if r.source == USER and r.target not in (USER, ITEM) and r.time is None]
        relation = next((r for r in own if r.name == self.attribute), None)
        if relation is None:
            names = ", ".join(r.name for r in own) or "none"
            raise ConfigError(
                f"split.unseen_values.attribute: users have no attribute {self.attribute!r}; there are {names}"
            )
        count = len(dataset.ids[relation.target])
        part = torch.full((count,), TRAIN)
        order = permutation(count, seeds.integer(seed, f"unseen values {self.attribute}") % 2**32)
        mark(part, order, self.share, self.share)
        if not ((part == TEST).any() and (part == VALIDATION).any()):
            raise ConfigError(
                f"split.unseen_values: {self.share} of the {count} values of {self.attribute!r} are none; raise share"
            )
        user, value = relation.edge_index
        kept = user_part[user] == part[value]
        if self.known:
            kept |= user_part[user] == TRAIN
        return replace(dataset, relations=tuple(r.take(kept) if r is relation else r for r in dataset.relations))
