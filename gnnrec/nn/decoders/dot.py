"""The inner product of the user's vector and the item's."""

from torch import Tensor, nn


class Dot(nn.Module):
    """The user's vector as it is: its history is in the graph, as edges like all others, in no order.

    Shapes: [B, D] users, [B, L, D] items, [B, L + 1] places -> [B, L + 1, D], all rows of a user alike.

    Args:
        channels: D.
        last: not read.
    """

    reads_history = False

    def __init__(self, channels: int, last: int) -> None:
        super().__init__()

    def forward(self, user: Tensor, items: Tensor, place: Tensor) -> Tensor:
        """[B, L + 1, D], the user's vector after each number of items."""
        return user[:, None].expand(-1, items.shape[1] + 1, -1)
