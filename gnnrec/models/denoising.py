"""Regression from all that is known of a user to items, in closed form, fitted to histories most of which is hidden."""

import numpy as np
import torch
from scipy import linalg, sparse
from torch import Tensor

from gnnrec.graph.matrices import Matrix, UserFeatures, histories
from gnnrec.runtime import seeds
from gnnrec.views import TrainingData, UserBatch

DENOISING = "denoising"
"""The path that `DenoisingRegression` computes; its penalty stands behind an @, as in `denoising@4`."""
PENALTIES = (0.25, 1.0, 4.0, 16.0)
"""What is tried of the penalty, for each number of known items anew."""
SIDE_PENALTY = 3.0
"""Penalty of everything but items. NDCG@10 of validation users moved by at most .003 on MovieLens-1M (1 to 30) and
Ta-Feng (3, 30); on Last.fm, where tags and friends say much, 30 cost .02 to .07, and 3 was within .003 of the best."""
INTERCEPT_PENALTY = 1e-3
"""Small, since popularity is no guess, and above 0, so that the system can be solved."""
MOST_INPUTS = 5_000
"""Columns that are heard, the most frequent ones, where there are more users than that: the dense system is as large as
the smaller of both numbers, and 5,000 take two seconds on one core."""
MOST_USERS = 50_000
"""Training users that are fitted on; of more, so many are drawn."""


def path_name(penalty: float) -> str:
    """The name of the path with this penalty, as a config has it.

    Example:
        >>> path_name(4.0), path_name(0.25)
        ('denoising@4', 'denoising@0.25')
    """
    return f"{DENOISING}@{penalty:g}"


def penalty_of(path: str) -> float | None:
    """The penalty that a path's name carries; None for another path, or where no number above 0 stands there.

    Example:
        >>> penalty_of("denoising@4"), penalty_of("friend"), penalty_of("denoising@no")
        (4.0, None, None)
    """
    name, _, number = path.partition("@")
    try:
        penalty = float(number)
    except ValueError:
        return None
    return penalty if name == DENOISING and 0 < penalty < np.inf else None


class DenoisingRegression:
    """A path beside the encoder: ridge regression from a partly hidden history, attributes and friends to items.

    Of each training user's n items, each is shown with the chance q = min(shown / n, 1), and all of them are to be
    found. The expected squared error over these draws has a closed form: with X = (q R, S), R the histories and S the
    other edges, W minimises |R - X W|^2 + sum_i (penalty + sum_u q_u (1 - q_u) R_ui) |W_i|^2 + SIDE_PENALTY * |W_S|^2,
    with an intercept, which is popularity. A mean over a user's items in 64 numbers tells little about which of them
    speak against an item; and a regression that is fitted on whole histories, as EASE is, believes too little in the
    one or two items of a new user.

    Source: Steck, "Autoencoders that don't overfit towards the Identity", NeurIPS 2020 (dropout of the input as
        a penalty); Jeunen, Van Balen, Goethals, "Closed-Form Models for Collaborative Filtering with
        Side-Information", RecSys 2020 (further columns). Differs: the dropout is each user's own, so that `shown` items
        are left on average; an intercept; the diagonal may be anything, which made no difference.
    Shapes: B users -> [B, I].

    Args:
        train: the training users.
        shown: items that are known of a user, at least 1.
        penalty: of an item's squared coefficients, in shown interactions that say nothing; above 0.
        seed: draws users where there are more than `MOST_USERS`.
    """

    def __init__(self, train: TrainingData, shown: int, penalty: float, seed: int = 0) -> None:
        self._num_items = train.num_items
        self._features = UserFeatures(train, friends=True, edge_weights="log", idf=True, normalise="length")
        history, side = histories(train.users, train.num_items), self._features(train.users)
        rows = np.flatnonzero(history.sum(axis=1))
        if len(rows) > MOST_USERS:
            drawn = torch.randperm(len(rows), generator=seeds.generator(seed, "denoising"))[:MOST_USERS]
            rows = np.sort(rows[drawn.numpy()])
        history, side = history[rows], side[rows]
        chance = np.minimum(shown / history.sum(axis=1), 1)  # [U]
        weight = np.concatenate([history.T @ (chance * (1 - chance)) + penalty, np.full(side.shape[1], SIDE_PENALTY)])
        inputs = sparse.csr_array(sparse.hstack([sparse.diags_array(chance) @ history, side]))
        self._kept = np.arange(len(weight))
        if len(rows) > MOST_INPUTS:
            frequency = np.concatenate([history.sum(axis=0), (side != 0).sum(axis=0)])
            self._kept = np.sort(np.argsort(-frequency, kind="stable")[:MOST_INPUTS])
        self._scale = weight[self._kept] ** -0.5  # a column divided by the root of its penalty has the penalty 1
        self._inputs, self._history = self._scaled(inputs), history
        self._primal = self._inputs.shape[1] <= len(rows)
        gram = (self._inputs.T @ self._inputs if self._primal else self._inputs @ self._inputs.T).toarray()
        gram[np.diag_indices_from(gram)] += 1
        self._factor = linalg.cho_factor(gram, overwrite_a=True, check_finite=False)

    def __call__(self, users: UserBatch) -> Tensor:
        """[B, I] float32, at least 0: how strongly each item is expected."""
        known = sparse.csr_array(sparse.hstack([histories(users, self._num_items), self._features(users)]))
        asked = self._scaled(known)  # [B, A]
        if self._primal:
            by_user = self._inputs @ linalg.cho_solve(self._factor, asked.toarray().T)
        else:
            by_user = linalg.cho_solve(self._factor, (self._inputs @ asked.T).toarray())
        # What each training user counts for each one who is asked about: no matrix of inputs by items is made.
        return torch.from_numpy((self._history.T @ by_user).T).float().clamp(min=0)

    def _scaled(self, inputs: Matrix) -> Matrix:
        """[B, A], the columns that are heard and the intercept's, so scaled that each has the penalty 1."""
        heard = inputs[:, self._kept].multiply(self._scale)
        intercept = sparse.csr_array(np.full((inputs.shape[0], 1), INTERCEPT_PENALTY**-0.5))
        return sparse.csr_array(sparse.hstack([heard, intercept]))
