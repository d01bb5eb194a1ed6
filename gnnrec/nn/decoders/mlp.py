"""A perceptron over the user's vector and those of its most recent items."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class MLP(nn.Module):
    """A perceptron with one hidden layer over the user's vector and those of its most recent items.

    query = u + U relu(W u + sum over m of V_m x_m + p_k), in the notation of `Linear`.

    Source: Covington, Adams, Sargin, "Deep Neural Networks for YouTube Recommendations", RecSys 2016, section 3.
        Differs: recent items have a map each instead of being averaged, one hidden layer, and a residual connection.
    Shapes: [B, D] users, [B, L, D] items, [B, L + 1] places -> [B, L + 1, D].

    Args:
        channels: D.
        last: items that places are told apart of.
        memory: items that are read, at most `last`.
        hidden: width of the hidden layer, as a multiple of `channels`.
        dropout: share of the hidden layer that is dropped in training.

    Raises:
        ValueError: `memory` or `hidden` is less than 1, or `dropout` is not in [0, 1).
    """

    reads_history = True

    def __init__(self, channels: int, last: int, *, memory: int = 10, hidden: int = 4, dropout: float = 0.2) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {hidden}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        if memory < 1:
            raise ValueError(f"memory must be at least 1, got {memory}")
        self.memory = min(memory, last)
        self.of_user = nn.Linear(channels, hidden * channels)
        self.of_items = nn.Conv1d(channels, hidden * channels, self.memory, bias=False)
        self.of_place = nn.Embedding(last + 1, hidden * channels)
        nn.init.normal_(self.of_place.weight, std=0.02)
        self.out = nn.Linear(hidden * channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, user: Tensor, items: Tensor, place: Tensor) -> Tensor:
        """[B, L + 1, D], the query after each number of items."""
        before = functional.pad(items.transpose(1, 2), (self.memory, 0))  # [B, D, memory + L]
        hidden = self.of_user(user)[:, None] + self.of_items(before).transpose(1, 2) + self.of_place(place)
        query: Tensor = user[:, None] + self.out(self.dropout(torch.relu(hidden)))
        return query
