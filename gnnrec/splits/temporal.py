"""A kind of split: everything before a moment trains, and what comes after it is asked for."""

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from gnnrec.data.dataset import Dataset
from gnnrec.data.times import moment
from gnnrec.errors import ConfigError
from gnnrec.runtime.ties import tie_key
from gnnrec.splits.kind import SplitKind
from gnnrec.splits.parts import (
    LATER,
    TEST,
    TEST_SUPPORT,
    TRAIN,
    UNUSED,
    VALIDATION,
    VALIDATION_SUPPORT,
)
from gnnrec.splits.split import Split
from gnnrec.views import ITEM, USER

NEVER = torch.iinfo(torch.int64).max
Share = Annotated[float, Field(gt=0, lt=1)]


class Temporal(SplitKind):
    """Interactions before a moment train; the moment itself is after it.

    With `users: new`, users who first appear after the moment are unseen, and their events come in order. With
    `users: known`, the users of training are asked for what they choose after it. Validation has a moment of its own
    before that of test; the final fit learns from all before test's. An item is known from its first interaction on:
    its attributes and relations before that are in no graph and no bin. Relations of users have no times: a friendship
    counts as soon as both of its users are there. Events of other kinds than the one that is asked for have times, and
    tell as interactions do when a user or an item first appears.
    """

    kind: Literal["temporal"] = "temporal"
    users: Literal["new", "known"] = "new"
    """Who is asked: users who first appear after the moment, or those of training."""
    test: Share | None = None
    """Share of the interactions that come last; the first of them is the moment. Left out, 0.2, or `test_from`."""
    test_from: Annotated[int, Field(ge=-(2**63), lt=2**63)] | str | None = None
    """The moment itself: a number in the data's unit of time, or a date such as 1998-04-01 where that is seconds."""
    validation: Share = 0.1
    """Share of the interactions before test's moment that come last: their first is validation's moment."""
    support: int = Field(0, ge=0)
    """First events of each new user that are its support."""
    target: Literal["rest", "next"] = "rest"
    """What is asked for: all that follows the support, or the one item that follows it. With `evaluate.shots`, `next`
    asks for the item after the shown ones; one that training does not know is never found, and counts as a miss."""

    @property
    def support_size(self) -> int:
        """See `SplitKind`."""
        return self.support

    def make(self, dataset: Dataset, seed: int) -> Split:
        """Cuts at the two moments; nothing is drawn."""
        time = _times(dataset)
        if self.users == "known" and self.support:
            raise ConfigError("split.support: known users' support is all that they chose before; leave it out")
        moments = self._moments(time)
        before, between, after = (time < moments[0], (time >= moments[0]) & (time < moments[1]), time >= moments[1])
        own = dataset.interactions
        first = first_seen(dataset, USER)
        known = first < moments[0]
        user_part = torch.where(known, TRAIN, torch.where(first < moments[1], VALIDATION, TEST))
        user_part[first == NEVER] = TRAIN  # nobody knows when they came
        edge_part = torch.full_like(own.user, UNUSED)
        edge_part[before] = TRAIN
        order = in_time_order(dataset)
        if self.users == "new":
            edge_part[between & known[own.user]] = LATER
            edge_part[between & ~known[own.user]] = VALIDATION
            edge_part[after & (user_part[own.user] == TEST)] = TEST
            self._mark_support(edge_part, own.user, order)
        else:
            user_part[user_part != TRAIN] = UNUSED
            edge_part[between & known[own.user]] = VALIDATION
            edge_part[after & known[own.user]] = TEST
        item_first = first_seen(dataset, ITEM)
        item_part = torch.where(item_first < moments[0], TRAIN, torch.where(item_first < moments[1], LATER, UNUSED))
        return Split(
            dataset,
            user_part,
            edge_part,
            item_part,
            reveal_order=order,
            moments=moments,
            by_time=True,
            next_item=self.target == "next",
        )

    def _moments(self, time: Tensor) -> tuple[int, int]:
        if self.test is not None and self.test_from is not None:
            raise ConfigError("split: give either test or test_from, not both")
        ordered = time.sort().values
        if self.test_from is None:
            test = int(ordered[int((1 - (self.test or 0.2)) * len(ordered))])
        else:
            test = moment(self.test_from, "split.test_from")
        earlier = ordered[ordered < test]
        if not len(earlier) or len(earlier) == len(ordered):
            raise ConfigError(
                f"split: all interactions are {'before' if len(earlier) else 'after'} the moment {test} of the test "
                f"part; times go from {int(ordered[0])} to {int(ordered[-1])}"
            )
        validation = int(earlier[int((1 - self.validation) * len(earlier))])
        if validation == int(ordered[0]):
            raise ConfigError(f"split.validation: {self.validation} leaves no interaction to train on")
        return validation, test

    def _mark_support(self, edge_part: Tensor, user: Tensor, order: Tensor) -> None:
        for part, support in ((VALIDATION, VALIDATION_SUPPORT), (TEST, TEST_SUPPORT)):
            edges = (edge_part == part).nonzero().flatten()
            edges = edges[order[edges].argsort()]
            edges = edges[user[edges].argsort(stable=True)]
            count = torch.bincount(user[edges])
            place = torch.arange(len(edges)) - (count.cumsum(0) - count)[user[edges]]
            edge_part[edges[place < self.support]] = support


def in_time_order(dataset: Dataset) -> Tensor:
    """[E] float64, the place of each interaction among all, in the order of time.

    Interactions of one moment are in an order that is drawn once and for all, for each user anew: that of a file may
    say which items are popular, and one that all users share could be learned.

    Raises:
        ConfigError: the interactions have no times.
    """
    own = dataset.interactions
    order = np.lexsort((own.user.numpy(), tie_key(own.user, own.item, 0).numpy(), _times(dataset).numpy()))
    place = np.empty(len(order))
    place[order] = np.arange(len(order))
    return torch.from_numpy(place)


def _times(dataset: Dataset) -> Tensor:
    time = dataset.interactions.time
    if time is None:
        raise ConfigError(
            f"split: temporal needs the time of each interaction, and {dataset.name} has none; name a column of times "
            "in data.interactions.time, or choose another kind of split"
        )
    return time


def first_seen(dataset: Dataset, node_type: str) -> Tensor:
    """[N] int64, the time of the first interaction or event of each user or item; `NEVER` for one that has none."""
    own = dataset.interactions
    found = torch.full((len(dataset.ids[node_type]),), NEVER)
    found.scatter_reduce_(0, own.user if node_type == USER else own.item, _times(dataset), "amin")
    for relation in dataset.relations:
        if relation.time is not None:
            found.scatter_reduce_(0, relation.edge_index[0 if node_type == USER else 1], relation.time, "amin")
    return found
