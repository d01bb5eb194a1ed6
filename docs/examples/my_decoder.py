"""A decoder of one's own: a recurrent network whose first state is the user's vector."""

from torch import Tensor, nn


class Recurrent(nn.Module):
    """A gated recurrent unit over the items in the order of time.

    Source: Hidasi, Karatzoglou, Baltrunas, Tikk, "Session-based Recommendations with Recurrent Neural Networks", ICLR
        2016. Differs: the first state is the encoder's vector of the user.
    Shapes: [B, D] users, [B, L, D] items, [B, L + 1] places -> [B, L + 1, D].

    Args:
        channels: D.
        last: not read.
    """

    reads_history = True

    def __init__(self, channels: int, last: int) -> None:
        super().__init__()
        self.unit = nn.GRU(channels, channels, batch_first=True)

    def forward(self, user: Tensor, items: Tensor, place: Tensor) -> Tensor:
        """[B, L + 1, D], the state after each number of items."""
        states, _ = self.unit(nn.functional.pad(items, (0, 0, 1, 0)), user[None].contiguous())
        query: Tensor = states
        return query
