"""From the words of attribute values to their vectors: where a value that no training user has stands."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gnnrec.nn.features import REGULARIZATIONS

FEW_USERS = 10.0
"""A value of so many users counts half of one that many have."""


@dataclass(frozen=True)
class WordMap:
    """A ridge regression from the words of the values of one attribute to any vectors of theirs.

    It learns from the values that training users have, each with its weight, and is taken for the others. The
    regularization is the best one by leave-one-out, for each set of vectors anew. Values without words stay as they
    are.

    Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning (2009), equations 3.47 and 7.64.

    Attributes:
        seen: [N] bool, the values that are learned from.
        wanted: [N] bool, the values that are predicted.
        root: [S] float64, the square roots of the seen values' weights.
        left: [S, R] float64, left singular vectors of the weighted and centred words of the seen values.
        strength: [R] float64, singular values.
        others: [W, R] float64, the words of the wanted values in the coordinates of the right singular vectors.
    """

    seen: Tensor
    wanted: Tensor
    root: Tensor
    left: Tensor
    strength: Tensor
    others: Tensor

    @classmethod
    def of(cls, words: Tensor, known: Tensor, users: Tensor) -> "WordMap":
        """The map of one attribute.

        Args:
            words: [N, F] float32.
            known: [N] bool, the values that have words.
            users: [N] float32, the training users of each value.
        """
        seen, wanted = known & (users > 0), known & (users == 0)
        weight = (users / (users + FEW_USERS))[seen].double()
        root, rows = weight.sqrt(), words.double()
        center = (weight[:, None] * rows[seen]).sum(0) / weight.sum().clamp(min=1e-12)
        left, strength, right = torch.linalg.svd((rows[seen] - center) * root[:, None], full_matrices=False)
        kept = strength > 1e-9 * strength.max() if len(strength) else strength.bool()
        return cls(seen, wanted, root, left[:, kept], strength[kept], (rows[wanted] - center) @ right[kept].t())

    def filled(self, vectors: Tensor) -> Tensor:
        """[N, D], the same vectors ([N, D] float32) with those of the wanted values predicted."""
        if not self.seen.any() or not self.wanted.any():
            return vectors
        own = vectors.detach().cpu()[self.seen].double()
        share = self.root.square()[:, None]
        mean = (share * own).sum(0) / share.sum()
        target = (own - mean) * self.root[:, None]  # [S, D]
        inside = self.left.t() @ target  # [R, D]
        constant = self.root.square() / share.sum()  # the mean is fitted, too

        def error(regularization: float) -> float:
            shrunk = self.strength.square() / (self.strength.square() + regularization)
            left_out = 1 - (self.left.square() * shrunk).sum(1) - constant
            residual = target - self.left @ (shrunk[:, None] * inside)
            return float((residual / left_out.clamp(min=1e-9)[:, None]).square().sum())

        best = min(reversed(REGULARIZATIONS), key=error)
        weight = self.strength / (self.strength.square() + best)
        filled = vectors.detach().clone()
        filled[self.wanted.to(vectors.device)] = (self.others @ (weight[:, None] * inside) + mean).to(filled)
        return filled
