"""What comes after the encoder: the contract of a decoder, its settings, and recent items as its input."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

import gnnrec.nn.decoders
from gnnrec.errors import ConfigError
from gnnrec.graph.histories import time_order, with_kinds
from gnnrec.options.resolve import option_names, resolve
from gnnrec.views import Edges


class Decoder(Protocol):
    """What gives a query for each number of items that a user has chosen, made by `Decoder(channels, last, **options)`.

    The query after k items depends on the user's vector and on the first k items alone. Its inner product with an
    item's vector is the item's score, up to a scale and a bias of the item.

    Attributes:
        reads_history: whether recent items are the decoder's input. The encoder gets none of them then; with False
            they are edges of the graph, and the items that the decoder is handed have no effect.
    """

    reads_history: bool

    def __call__(self, user: Tensor, items: Tensor, place: Tensor) -> Tensor:
        """Queries after 0, 1, ..., L items.

        Args:
            user: [B, D] float32, the encoder's vectors of the users.
            items: [B, L, D] float32, the vectors of their items in the order of time, 0 after the last one.
            place: [B, L + 1] int64, how many items the user had chosen before each query, at most `last`.

        Returns:
            [B, L + 1, D] float32.
        """
        ...


class DecoderConfig(BaseModel):
    """What scores items from the encoder's vectors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "Dot"
    """Class of the decoder: a dotted name, or the bare name of one of `gnnrec.nn.decoders`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the decoder's constructor, besides channels and last."""
    last: int = Field(50, ge=1)
    """Most recent items that are read."""

    def make(self, channels: int) -> nn.Module:
        """A new decoder; the global random state stays as it is.

        Raises:
            ConfigError: there is no such decoder, or it cannot be made with these options.
        """
        try:
            cls = resolve(self.name, gnnrec.nn.decoders)
        except ConfigError as error:
            raise ConfigError(f"decoder.name: {error}") from None
        if not hasattr(cls, "reads_history"):
            raise ConfigError(f"decoder.name: {self.name} is no decoder; see gnnrec.nn.decoder.Decoder")
        allowed = option_names(cls)[2:]
        for name in self.options:
            if name not in allowed:
                there = ", ".join(allowed) or "none"
                raise ConfigError(f"decoder.options: {self.name} has no option {name!r}; there are {there}")
        try:
            with torch.random.fork_rng(devices=[]):
                made = cls(channels, self.last, **self.options)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"decoder.options: {error}") from None
        decoder: nn.Module = made
        return decoder


@dataclass(frozen=True)
class Recent:
    """The most recent items of B users.

    Attributes:
        item: [B, L] int64, in the order of time, 0 after the last one.
        count: [B] int64, how many of them there are.
        place: [B, L + 1] int64, the number of all items of the user before each, at most `last`.
        kind: [B, L] int64, of the event that each item is of, as of `with_kinds`; None where there is one kind.
    """

    item: Tensor
    count: Tensor
    place: Tensor
    kind: Tensor | None = None

    @staticmethod
    def of(edges: Edges, num_users: int, last: int, events: Sequence[Edges] = ()) -> "Recent":
        """The last items of each user.

        Args:
            edges: from B users to items.
            num_users: B.
            last: most items of a user.
            events: of each other kind, which are among the items.
        """
        kinds = None
        if events:
            edges, kinds = with_kinds(edges, events)
        order = time_order(edges) if kinds is None else torch.arange(len(edges))
        row, node = edges.row[order], edges.node[order]
        whole = torch.bincount(row, minlength=num_users)  # [B]
        count = whole.clamp(max=last)
        start = whole - count
        place = torch.arange(len(row)) - (whole.cumsum(0) - whole + start)[row]
        kept = place >= 0
        longest = int(count.max()) if num_users else 0
        item = torch.zeros(num_users, longest, dtype=torch.int64)
        item[row[kept], place[kept]] = node[kept]
        kind = None
        if kinds is not None:
            kind = torch.zeros_like(item)
            kind[row[kept], place[kept]] = kinds[kept]
        return Recent(item, count, (start[:, None] + torch.arange(longest + 1)).clamp(max=last), kind)

    def take(self, rows: Tensor) -> "Recent":
        """Some of the users ([B'] int64)."""
        return Recent(
            self.item[rows], self.count[rows], self.place[rows], None if self.kind is None else self.kind[rows]
        )


def query(decoder: nn.Module, user: Tensor, recent: Recent, items: Tensor, kinds: Tensor | None = None) -> Tensor:
    """The query of each user after all of its recent items.

    Args:
        decoder: as `Decoder`.
        user: [B, D] float32.
        recent: of the same users.
        items: [I, D] float32, the vectors of all items.
        kinds: [K + 1, D] float32, what an event's kind adds to the vector of its item; None for nothing.

    Returns:
        [B, D] float32.
    """
    given = recent.item.to(user.device)
    known = torch.arange(given.shape[1], device=user.device) < recent.count.to(user.device)[:, None]
    vectors = items[given]
    if kinds is not None and recent.kind is not None:
        vectors = vectors + kinds[recent.kind.to(user.device)]
    found: Tensor = decoder(user, vectors * known[..., None], recent.place.to(user.device))
    return found[torch.arange(len(user), device=user.device), recent.count.to(user.device)]
