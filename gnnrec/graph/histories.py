"""Histories in the order of time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gnnrec.views import Edges


def time_order(edges: Edges) -> Tensor:
    """[E] int64, positions of the edges, user after user, those of a user in the order of time.

    Edges of one moment stay in the order in which they stand, and so do all where there are no times.

    Args:
        edges: from users to items.
    """
    if edges.time is None:
        return edges.row.argsort(stable=True)
    return torch.from_numpy(np.lexsort((edges.time.numpy(), edges.row.numpy())))


def with_kinds(items: Edges, events: Sequence[Edges]) -> tuple[Edges, Tensor]:
    """Interactions and events of other kinds together, user after user, those of a user in the order of time.

    Of one moment, interactions come before events, so that no event is known before what is asked for at its moment.

    Args:
        items: the interactions, in the order of time where they have no times.
        events: of each other kind; without times of the interactions, they come after these.

    Returns:
        The edges, and [E] int64, 0 for an interaction, else 1 + the place of the kind among `events`.
    """
    parts = [items, *events]
    kind = torch.cat([torch.full((len(part),), place) for place, part in enumerate(parts)])
    both = Edges.join([Edges(part.row, part.node, time=part.time) for part in parts])
    time = kind if both.time is None else both.time
    order = torch.from_numpy(np.lexsort((kind.numpy(), time.numpy(), both.row.numpy())))
    return both.take(order), kind[order]


@dataclass(frozen=True)
class Histories:
    """The interactions of U training users, user after user, those of a user in the order of time.

    Attributes:
        pointer: [U + 1] int64, position of each user's first one.
        item: [E] int64.
        edge: [E] int64, position of each one among the interactions that this was made from.
        weight: [E] float32, 2 ** -(age / half-life), where age is the time to the last interaction of all; None where
            all count the same.
        kind: [E] int64, as of `with_kinds`; None where all are interactions.
    """

    pointer: Tensor
    item: Tensor
    edge: Tensor
    weight: Tensor | None = None
    kind: Tensor | None = None

    @staticmethod
    def of(edges: Edges, num_users: int, half_life: float | None = None, events: Sequence[Edges] = ()) -> "Histories":
        """Sorts the interactions, and events of other kinds among them.

        Args:
            edges: from U users to items.
            num_users: U.
            half_life: the age at which an interaction counts half, as a share of the time from the first interaction
                to the last one; None counts all the same.
            events: of each other kind.
        """
        kind = None
        if events:
            edges, kind = with_kinds(edges, events)
        order = time_order(edges) if kind is None else torch.arange(len(edges))
        pointer = torch.nn.functional.pad(torch.bincount(edges.row, minlength=num_users).cumsum(0), (1, 0))
        weight = None
        if half_life is not None and edges.time is not None and len(edges):
            age = (edges.time.max() - edges.time).double()
            weight = torch.exp2(-age / (half_life * age.max().clamp(min=1))).float()[order]
        return Histories(pointer, edges.node[order], order, weight, kind)

    @property
    def count(self) -> Tensor:
        """[U] int64, interactions of each user."""
        return self.pointer.diff()

    @property
    def place(self) -> Tensor:
        """[E] int64, number of interactions of the same user before each one."""
        return torch.arange(len(self.item)) - self.pointer[:-1].repeat_interleave(self.count)

    def weighted_counts(self, popularity: Tensor) -> Tensor:
        """[I] float32, the weights of each item's interactions, which sum to as much as `popularity` ([I]) does."""
        assert self.weight is not None
        weight = self.weight.double() * (1 if self.kind is None else self.kind == 0)
        found = torch.zeros(len(popularity), dtype=torch.float64).index_add_(0, self.item, weight)
        return (found * (popularity.sum() / found.sum())).float()
