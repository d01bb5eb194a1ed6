"""What describes items, as the encoder takes it, and linear maps to start from."""

import numpy as np
import torch
from torch import Tensor

from gnnrec.graph.matrices import Matrix

REGULARIZATIONS = tuple(10.0**power for power in range(-3, 5))
"""What the start of a map chooses from, by leave-one-out."""


def start_map(features: "Tensor | Matrix", wanted: Tensor, known: Tensor) -> Tensor:
    """The ridge regression from features to vectors, whose regularization is the best by leave-one-out.

    Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning (2009), equations 3.44 and 7.64.

    Args:
        features: [N, F] float32, or a sparse matrix.
        wanted: [N, D] float32.
        known: [N] bool, the nodes that are learned from.

    Returns:
        [F, D] float32.
    """
    from sklearn.linear_model import RidgeCV
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if not known.any() or not features.shape[1]:
        return torch.zeros(features.shape[1], wanted.shape[1])
    with threadpool_limits(1, "blas"):  # with several threads the last bits differ
        rows = features[known].double().numpy() if isinstance(features, Tensor) else features[known.numpy()]
        fitted = RidgeCV(REGULARIZATIONS, fit_intercept=False).fit(rows, wanted[known].double().numpy())
    return torch.from_numpy(np.atleast_2d(fitted.coef_).T.copy()).float()
