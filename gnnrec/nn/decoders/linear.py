"""A linear map of the user's vector and of those of its most recent items."""

from torch import Tensor, nn
from torch.nn import functional


class Linear(nn.Module):
    """A sum of linear maps: one of the user's vector, and one for each place from the most recent item back.

    query = W u + sum over m of V_m x_m + p_k, where x_m is the m-th most recent item (nothing where there are fewer),
    and p_k a learned vector of the number of items seen. It starts at the user's vector.

    Source: the factorized Markov chain of Rendle, Freudenthaler, Schmidt-Thieme, "Factorizing Personalized Markov
        Chains for Next-Basket Recommendation", WWW 2010, has one such map, of the last item. Differs: several of
        them, and a user's vector that is computed from its attributes.
    Shapes: [B, D] users, [B, L, D] items, [B, L + 1] places -> [B, L + 1, D].

    Args:
        channels: D.
        last: items that places are told apart of.
        memory: items that are read, at most `last`.

    Raises:
        ValueError: `memory` is less than 1.
    """

    reads_history = True

    def __init__(self, channels: int, last: int, *, memory: int = 10) -> None:
        super().__init__()
        if memory < 1:
            raise ValueError(f"memory must be at least 1, got {memory}")
        self.memory = min(memory, last)
        self.of_user = nn.Linear(channels, channels, bias=False)
        nn.init.eye_(self.of_user.weight)
        self.of_items = nn.Conv1d(channels, channels, self.memory, bias=False)
        self.of_place = nn.Embedding(last + 1, channels)
        nn.init.zeros_(self.of_place.weight)

    def forward(self, user: Tensor, items: Tensor, place: Tensor) -> Tensor:
        """[B, L + 1, D], the query after each number of items."""
        before = functional.pad(items.transpose(1, 2), (self.memory, 0))  # [B, D, memory + L]
        recent = self.of_items(before).transpose(1, 2)  # [B, L + 1, D]
        query: Tensor = self.of_user(user)[:, None] + recent + self.of_place(place)
        return query
