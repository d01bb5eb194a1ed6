"""Negative sampling: items drawn in proportion to a power of their popularity."""

import torch
from torch import Tensor


class NegativeSampler:
    """Draws items in proportion to a power of their popularity among the training users, on the CPU.

    Args:
        popularity: [I] float32, `TrainingData.popularity`; items without interactions are never drawn.
        power: 0 draws the items uniformly, 1 in proportion to their popularity.
    """

    def __init__(self, popularity: Tensor, power: float) -> None:
        weight = torch.where(popularity > 0, popularity.double().pow(power), 0.0)
        self.chance = weight / weight.sum()  # [I] float64
        self._cumulative = self.chance.cumsum(0)

    @property
    def log_chance(self) -> Tensor:
        """[I] float32, log-probability of the item in one draw; -inf for one that is never drawn."""
        return self.chance.log().float()

    def draw(self, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Items drawn with replacement, int64 of the given size. They may include a user's own items."""
        point = torch.rand(size, generator=generator, dtype=torch.float64) * self._cumulative[-1]
        return torch.searchsorted(self._cumulative, point, right=True).clamp(max=len(self._cumulative) - 1)
