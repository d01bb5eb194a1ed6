"""Values of items and directions of residuals, by hand and on data whose directions are known."""

import numpy as np
import pytest

from gnnrec.models.rating_effects import (
    FittedBiases,
    Ratings,
    fit_biases,
    item_values,
    ratings_of,
    residual_directions,
)
from tests.models.baselines.ratings.test_ratings_factorization import made_ratings


def test_who_rates_an_item_counts() -> None:
    # Users 0 and 1 have biases +1 and -1 (mean 0). Item 0 is rated by user 1 alone: -1 / (1 + 1) = -.5; item 1 by both.
    ratings = Ratings(np.array([0, 1, 1]), np.array([1, 0, 1]), np.array([4.0, 2.0, 2.0]), (2, 2))
    biases = FittedBiases(3.0, np.array([1.0, -1.0]), np.array([0.2, -0.3]), np.array([True, True]))
    assert item_values(ratings, biases, 1.0) == pytest.approx([2.7, 2.7])
    assert item_values(ratings, biases, None) == pytest.approx([3.2, 2.7])


def test_directions_are_those_of_the_residuals() -> None:
    ratings = ratings_of(made_ratings(0))
    start = residual_directions(ratings, fit_biases(ratings, 3, 5).residual(ratings), 4, seed=0)
    assert start.shape == (20, 4)
    assert float((start**2).mean()) == pytest.approx(1, abs=1e-4)
    first = start[:, 0]  # even items against odd ones
    assert (first[::2] > 0).all() or (first[::2] < 0).all()
    assert np.sign(first[1]) == -np.sign(first[0])
