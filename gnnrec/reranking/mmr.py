"""Maximal marginal relevance: each next item of a list is good, and unlike those before it."""

import torch
from torch import Tensor


def mmr(score: Tensor, vectors: Tensor, diversity: float, number: int) -> Tensor:
    """Chooses items one by one: (1 - d) times the score, less d times the largest cosine with an item chosen before.

    Source: Carbonell, Goldstein, "The Use of MMR, Diversity-Based Reranking", SIGIR 1998, equation 1. Differs: scores
        of the candidates are stretched to between 0 and 1 first, so that d means the same for all models.

    Args:
        score: [C] float32 of the candidates, best first.
        vectors: [C, D] float32 of the candidates.
        diversity: d, from 0, which changes nothing, to 1.
        number: K.

    Returns:
        [K'] int64, places of the chosen candidates; K' is the smaller of K and C.

    Example:
        >>> mmr(torch.tensor([3.0, 2.9, 1.0]), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 0.5, 2)
        tensor([0, 2])
    """
    number = min(number, len(score))
    if number == 0:
        return torch.empty(0, dtype=torch.int64)
    spread = score.max() - score.min()
    relevance = (score - score.min()) / spread if spread > 0 else torch.zeros_like(score)
    unit = torch.nn.functional.normalize(vectors, dim=1)
    alike = torch.zeros_like(score)
    left = torch.ones(len(score), dtype=torch.bool)
    chosen = []
    for _ in range(number):
        gain = ((1 - diversity) * relevance - diversity * alike).masked_fill(~left, -torch.inf)
        best = int(gain.argmax())  # of equal ones, the first
        chosen.append(best)
        left[best] = False
        cosine = unit @ unit[best]
        alike = cosine if len(chosen) == 1 else torch.maximum(alike, cosine)
    return torch.tensor(chosen)
