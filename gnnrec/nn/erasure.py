"""Least-squares concept erasure: the smallest change of vectors after which no linear function tells groups apart."""

from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST = 1e-6
"""Variance of a direction, as a share of the largest one, below which it counts as none."""


@dataclass(frozen=True)
class Erasure:
    """An affine map that takes what is linearly known of groups out of vectors.

    Attributes:
        mean: [D] of the vectors that it was fitted on.
        told: [D, R] what is read of a vector's distance to the mean; R is at most the number of groups less one.
        moved: [D, R] by what it is taken back.
    """

    mean: Tensor
    told: Tensor
    moved: Tensor

    def __call__(self, vectors: Tensor, strength: float = 1.0) -> Tensor:
        """[B, D] float32, the vectors ([B, D]) without it; a part of it with a strength below 1."""
        change: Tensor = (vectors - self.mean) @ self.told @ self.moved.T
        return vectors - strength * change


def erase(vectors: Tensor, groups: Tensor) -> Erasure:
    """Fits the map on vectors whose groups are known.

    Of all affine maps after which vectors and groups are uncorrelated, so that no linear probe with a convex loss does
    better than a constant, it changes the vectors least in mean square (theorem 4.2). What is told by products of
    numbers, or otherwise than linearly, stays.

    Source: Belrose, Schneider-Joseph, Ravfogel, Cotterell, Raff, Biderman, "LEACE: Perfect linear concept erasure in
        closed form", NeurIPS 2023, equation 1. Differs: directions of hardly any variance are left as they are.
    Shapes: vectors [U, D], groups [U].

    Args:
        vectors: float32.
        groups: int64, at least 0; at least one user.

    Example:
        >>> both = torch.tensor([[0.0, 1.0], [0.0, 3.0], [4.0, 1.0], [4.0, 3.0]])
        >>> erase(both, torch.tensor([0, 0, 1, 1]))(both)
        tensor([[2., 1.],
                [2., 3.],
                [2., 1.],
                [2., 3.]])
    """
    x = vectors.double()
    mean = x.mean(0)
    _, number = groups.unique(return_inverse=True)
    z = torch.nn.functional.one_hot(number).double()
    x, z = x - mean, z - z.mean(0)
    variance, axes = torch.linalg.eigh(x.T @ x / len(x))
    kept = variance > max(float(variance.max()) * SMALLEST, 1e-30)
    axes, deviation = axes[:, kept], variance[kept].sqrt()
    white = (axes.T @ x.T @ z / len(x)) / deviation[:, None]  # [D', G], whitened cross-covariance
    left, size, _ = torch.linalg.svd(white, full_matrices=False)
    left = left[:, size > 1e-12]
    told, moved = (axes / deviation) @ left, (axes * deviation) @ left
    return Erasure(mean.float(), told.float(), moved.float())
