"""The vector that the steps of BPR give a user who was not there when they were taken."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import expit

from gnnrec.graph.matrices import Matrix

NEGATIVES = 100
"""Items that stand for all that a user did not choose."""


@dataclass(frozen=True)
class BPRFoldIn:
    """Takes BPR's steps for new users, with the item vectors held fixed.

    The fit meets each interaction about once in a pass, and moves the user's vector by learning_rate times the gradient
    of log sigmoid(w . y_i + b_i - w . y_j - b_j) - regularization / 2 |w|^2 for one drawn item j. Here a pass moves it
    by the sum of these over the user's items, with the mean over a fixed sample of items in the place of one that is
    drawn, so that nothing is left to chance. The step is made smaller where it would overshoot: where it exceeds the
    inverse of a bound on the curvature, a quarter of the mean |y_i - y_j|^2 plus the regularization.

    Source: Rendle, Freudenthaler, Gantner, Schmidt-Thieme, BPR: Bayesian Personalized Ranking from Implicit Feedback,
        UAI 2009, figure 4, for one user. Differs: the expectation in the place of draws.

    Attributes:
        item: [I, D + 1], item vectors, the last entry a bias.
        negatives: [N] int64, items drawn in proportion to popularity, as the fit draws them.
        learning_rate: step size of the fit.
        regularization: of the fit.
        passes: number of passes over the interactions.
    """

    item: np.ndarray
    negatives: np.ndarray
    learning_rate: float
    regularization: float
    passes: int

    def __call__(self, start: np.ndarray, known: Matrix) -> np.ndarray:
        """Moves the vectors of users of whom some items are known.

        Args:
            start: [B, D + 1], vectors to start from, the last entry 1.
            known: [B, I], the users' known items, at least one each.

        Returns:
            [B, D + 1].
        """
        vector, bias = self.item[:, :-1].astype(np.float64), self.item[:, -1].astype(np.float64)
        negative, negative_bias = vector[self.negatives], bias[self.negatives]  # [N, D], [N]
        known = sparse.csr_array(known)
        row = np.repeat(np.arange(known.shape[0]), np.diff(known.indptr))  # [E]
        positive, positive_bias = vector[known.indices], bias[known.indices]  # [E, D], [E]
        negative_of = known[:, self.negatives].toarray() == 0  # [B, N], a known item is no negative
        per_user = sparse.csr_array((np.ones(len(row)), (row, np.arange(len(row)))), shape=(len(start), len(row)))
        count = np.diff(known.indptr)[:, None]  # [B, 1]

        square = per_user @ (positive**2).sum(1, keepdims=True) / count + (negative**2).sum(1).mean()
        distance = square[:, 0] - 2 * ((per_user @ positive) / count) @ negative.mean(0)  # [B], mean |y_i - y_j|^2
        step = np.minimum(self.learning_rate * count, 1 / (distance[:, None] / 4 + self.regularization))
        user = start[:, :-1].copy()  # [B, D]
        for _ in range(self.passes):
            margin = ((user[row] * positive).sum(1) + positive_bias)[:, None] - (user @ negative.T + negative_bias)[row]
            doubt = expit(-margin) * negative_of[row] / len(self.negatives)  # [E, N]
            pull = per_user @ (doubt.sum(1, keepdims=True) * positive) - (per_user @ doubt) @ negative  # [B, D]
            user += step * (pull / count - self.regularization * user)
        return np.concatenate([user, start[:, -1:]], axis=1)
