"""A number as several, so that what it does may bend."""

from typing import Literal

import numpy as np

from gnnrec.errors import DataError


def bent(number: np.ndarray, scale: Literal["standard", "log"], knots: int) -> tuple[np.ndarray, np.ndarray]:
    """The number, and how far it is past each knot: a linear map of these is a line with bends.

    Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning (2009), section 5.2: the truncated power
        basis of a linear spline. Differs: knots at quantiles, each column with mean 0 and variance 1.

    Args:
        number: [N], not a number where missing.
        scale: `log` takes the logarithm first.
        knots: at so many quantiles; fewer where numbers repeat.

    Returns:
        [N, F] float64, 0 where missing, and [N] bool which are known.

    Raises:
        DataError: a logarithm of a number that is not above 0.

    Example:
        >>> rows, known = bent(np.array([1.0, 2.0, 3.0, np.nan]), "standard", 1)
        >>> rows.round(2).tolist(), known.tolist()
        ([[-1.22, -0.71], [0.0, -0.71], [1.22, 1.41], [0.0, 0.0]], [True, True, True, False])
    """
    known = np.isfinite(number)
    if scale == "log":
        if (number[known] <= 0).any():
            raise DataError(f"scale: log needs numbers above 0, and one is {number[known].min():g}; take standard")
        number = np.where(known, np.log(np.where(known, number, 1)), np.nan)
    if not known.any():
        return np.zeros((len(number), 1)), known
    own = number[known]
    places = np.unique(np.quantile(own, np.arange(1, knots + 1) / (knots + 1))) if knots else np.empty(0)
    columns = np.concatenate([own[:, None], np.maximum(own[:, None] - places, 0)], axis=1)
    columns = columns[:, np.r_[True, (columns[:, 1:] > 0).any(axis=0)]]
    spread = columns.std(axis=0)
    rows = np.zeros((len(number), columns.shape[1]))
    rows[known] = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return rows, known
