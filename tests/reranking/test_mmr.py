"""Maximal marginal relevance against numbers by hand and a slow second implementation."""

import numpy as np
import pytest
import torch

from gnnrec.reranking import mmr
from gnnrec.reranking.pool import cosines, stretched


def slow(score: np.ndarray, vectors: np.ndarray, diversity: float, number: int) -> list[int]:
    spread = score.max() - score.min()
    relevance = (score - score.min()) / spread if spread else score * 0
    length = np.sqrt((vectors**2).sum(1))
    chosen: list[int] = []
    while len(chosen) < min(number, len(score)):
        best, most = -1, -np.inf
        for one in range(len(score)):
            if one in chosen:
                continue
            near = [vectors[one] @ vectors[c] / max(length[one] * length[c], 1e-12) for c in chosen]
            gain = (1 - diversity) * relevance[one] - diversity * max(near, default=0.0)
            if gain > most + 1e-9:
                best, most = one, gain
        chosen.append(best)
    return chosen


def of_all(score: torch.Tensor, vectors: torch.Tensor, diversity: float, number: int) -> torch.Tensor:
    listed = torch.ones_like(score, dtype=torch.bool)
    return mmr(stretched(score, listed), listed, cosines(vectors), diversity, number)


@pytest.mark.parametrize("diversity", [0.0, 0.3, 0.7, 1.0])
def test_as_a_slow_second_implementation(diversity: float) -> None:
    random = np.random.default_rng(5)
    for size in (1, 2, 9, 30):
        score = np.sort(random.normal(size=(3, size)).astype(np.float32))[:, ::-1].copy()
        vectors = random.normal(size=(3, size, 4)).astype(np.float32)
        found = of_all(torch.from_numpy(score), torch.from_numpy(vectors), diversity, 8)
        assert found.tolist() == [slow(one, v, diversity, 8) for one, v in zip(score, vectors, strict=True)]


def test_without_diversity_nothing_changes_and_with_it_twins_are_apart() -> None:
    score = torch.tensor([[4.0, 3.0, 2.0, 1.0]])
    twins = torch.tensor([[[1.0, 0], [1, 0], [0, 1], [0, 1]]])
    assert of_all(score, twins, 0.0, 4).tolist() == [[0, 1, 2, 3]]
    # second round at d = .6: item 1 has .4 * 2/3 - .6, item 2 has .4 * 1/3 - 0
    assert of_all(score, twins, 0.6, 2).tolist() == [[0, 2]]


def test_of_nothing_comes_nothing_and_equal_scores_stay_in_order() -> None:
    assert of_all(torch.empty(1, 0), torch.empty(1, 0, 3), 0.5, 4).shape == (1, 0)
    assert of_all(torch.ones(1, 3), torch.zeros(1, 3, 2), 0.5, 3).tolist() == [[0, 1, 2]]
