"""The parts of a split, and the cut of a random order into them."""

import numpy as np
from torch import Tensor

from gnnrec.errors import ConfigError

TRAIN, VALIDATION, TEST = 0, 1, 2
VALIDATION_SUPPORT, TEST_SUPPORT = 3, 4
UNUSED = 5
LATER = 6
"""In no part but the training data of the final fit."""


def permutation(size: int, seed: int) -> np.ndarray:
    """[size] int64, a random order by numpy's legacy generator: published folds are drawn with it."""
    return np.random.RandomState(seed).permutation(size)


def mark(part: Tensor, order: np.ndarray, test: float, validation: float) -> None:
    """Writes TEST for the first share of an order and VALIDATION for the next one.

    Args:
        part: [N] int64, written to in place.
        order: [N] int64.
        test: share of N.
        validation: share of N.

    Raises:
        ConfigError: the two shares leave nothing to train on.
    """
    if test + validation >= 1:
        raise ConfigError(f"split: test {test} and validation {validation} leave nothing to train on")
    cut = int(test * len(order))
    part[order[:cut]] = TEST
    part[order[cut : cut + int(validation * len(order))]] = VALIDATION
