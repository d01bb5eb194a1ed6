"""Vectors of values that nobody has, against a regression that is solved again without each value."""

import numpy as np
import pytest
import torch

from gnnrec.nn.features import REGULARIZATIONS
from gnnrec.nn.words import FEW_USERS, WordMap


def drawn(seed: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    words = torch.randn(14, 5, generator=generator)
    vectors = words @ torch.randn(5, 3, generator=generator) + 0.5 * torch.randn(14, 3, generator=generator) + 2
    users = torch.tensor([3.0, 0, 40, 7, 1, 0, 12, 9, 100, 2, 5, 0, 30, 6])
    known = torch.ones(14, dtype=torch.bool)
    known[[3, 11]] = False
    return words, vectors, users, known


def solved(
    words: np.ndarray, vectors: np.ndarray, weight: np.ndarray, penalty: float, wanted: np.ndarray
) -> np.ndarray:
    """A weighted ridge regression with an intercept that is not regularised."""
    share = weight / weight.sum()
    middle, mean = share @ words, share @ vectors
    centred = words - middle
    gram = centred.T @ (weight[:, None] * centred) + penalty * np.eye(words.shape[1])
    coefficients = np.linalg.solve(gram, centred.T @ (weight[:, None] * (vectors - mean)))
    return mean + (wanted - middle) @ coefficients


def test_values_that_nobody_has_are_predicted_and_the_others_stay() -> None:
    words, vectors, users, known = drawn()
    filled = WordMap.of(words, known, users).filled(vectors)
    rows, wanted = words.double().numpy(), vectors.double().numpy()
    seen = (known & (users > 0)).numpy()
    weight = (users / (users + FEW_USERS)).double().numpy()

    def error(penalty: float) -> float:
        total = 0.0
        for left_out in np.flatnonzero(seen):
            rest = seen & (np.arange(14) != left_out)
            found = solved(rows[rest], wanted[rest], weight[rest], penalty, rows[left_out])
            total += weight[left_out] * ((found - wanted[left_out]) ** 2).sum()
        return float(total)

    best = min(reversed(REGULARIZATIONS), key=error)
    expected = solved(rows[seen], wanted[seen], weight[seen], best, rows[[1, 5]])
    assert filled[[1, 5]].numpy() == pytest.approx(expected, abs=1e-4)
    others = [place for place in range(14) if place not in (1, 5)]
    assert filled[others].equal(vectors[others])  # one without words, and without users, stays too


def test_where_there_is_nothing_to_learn_from_all_stay() -> None:
    words, vectors, users, known = drawn(4)
    assert WordMap.of(words, known, torch.zeros(14)).filled(vectors) is vectors
    assert WordMap.of(words, known, users + 1).filled(vectors) is vectors


def test_of_one_value_alone_the_others_are_its_copies() -> None:
    words, vectors, _, known = drawn(5)
    users = torch.zeros(14)
    users[2] = 8
    filled = WordMap.of(words, known, users).filled(vectors)
    torch.testing.assert_close(filled[0], vectors[2])
