"""Which users a model learns from when new interactions arrive: those who have some, and a replay of the others."""

from collections.abc import Iterator

import torch
from torch import Tensor


def mixed_batches(count: Tensor, fresh: Tensor, steps: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of which half is drawn from users with new interactions, and half from the others.

    Source: the replay of Rolnick, Ahuja, Schwarz, Lillicrap, Wayne, "Experience Replay for Continual Learning", NeurIPS
        2019, with equal shares. Differs: all old users are at hand, no buffer of them.

    Args:
        count: [U] int64, interactions of each user; those without any are never drawn.
        fresh: [U] bool, who has new interactions.
        steps: number of batches.
        size: users of each, if there are so many.
        generator: source of the draws.

    Yields:
        [B] int64, users, each once in a batch.
    """
    new, old = ((count > 0) & who for who in (fresh, ~fresh))
    sources = [new.nonzero().flatten(), old.nonzero().flatten()]
    of_new = min(len(sources[0]), max(size // 2, size - len(sources[1])))
    for _ in range(steps):
        parts = [
            source[torch.randperm(len(source), generator=generator)[:number]]
            for source, number in zip(sources, (of_new, size - of_new), strict=True)
        ]
        batch = torch.cat(parts)
        if len(batch):
            yield batch
