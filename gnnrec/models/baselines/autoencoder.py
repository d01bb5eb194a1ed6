"""Linear autoencoders in closed form: from items to items, and from all that is known of a user to items."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from scipy import linalg, sparse
from scipy.linalg import lapack
from torch import Tensor

from gnnrec.graph.matrices import Matrix, UserFeatures, as_scores, histories
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.models.selection import BUCKETS, Fold, by_bucket
from gnnrec.options.search_space import Choice, Log, SearchSpace
from gnnrec.runtime import seeds
from gnnrec.views import TestSet, TrainingData, UserBatch

PENALTIES = (0.25, 1.0, 4.0, 16.0)
"""What is tried of a penalty that is to be chosen, for each bucket anew."""
WITHOUT_CHOICE = 1.0
"""A penalty that was to be chosen, where there was nobody to choose it on."""
INTERCEPT_PENALTY = 1e-3
"""Small, since popularity is known well, and above 0, so that the system can be solved."""


def item_weights(history: Matrix, regularization: float, dropout: float = 0.0) -> np.ndarray:
    """The item-to-item weights B, with a zero diagonal, that minimise `|X - X B|^2 + regularization * |B|^2`.

    With P = (X'X + regularization I)^-1, B is -P divided by its diagonal, column by column. With a dropout p, entries
    of X are hidden at random on the right side of X B, which adds p / (1 - p) times the diagonal of X'X to itself.

    Source: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, equation 8; with dropout, Steck,
        "Autoencoders that don't overfit towards the Identity", NeurIPS 2020 (EDLAE).

    Args:
        history: X, a sparse [U, I] array, which training user chose which item.
        regularization: weight of the squared entries, above 0.
        dropout: chance of each entry to be hidden, below 1.

    Returns:
        [I, I] float32.
    """
    gram = np.asfortranarray((history.T @ history).toarray())
    gram[np.diag_indices_from(gram)] += regularization + dropout / (1 - dropout) * gram.diagonal()
    factor, failed = lapack.dpotrf(gram, overwrite_a=True)
    assert failed == 0, "a positive definite matrix has a Cholesky factor"
    inverse, failed = lapack.dpotri(factor, overwrite_c=True)  # the upper triangle
    assert failed == 0
    diagonal = inverse.diagonal().astype(np.float32)
    upper = np.triu(inverse, 1).astype(np.float32)
    weight: np.ndarray = upper + upper.T
    weight /= -diagonal
    return weight


class EASE:
    """The item-to-item weights B, with a zero diagonal, that minimise `|X - X B|^2 + regularization * |B|^2`.

    X holds the histories of the training users; see `item_weights`. A user's scores are the sum of the rows of its
    known items. Events of other kinds are in X with their weights.

    Source: Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019, equation 8; with dropout, see
        `item_weights`. Differs: only the most popular items have weights, so that the dense system is bounded.
    Shapes: users B, items I, of which M have weights -> scores [B, I].

    Args:
        regularization: weight of the squared entries of B; above 0.
        dropout: chance of each known item to be hidden, at least 0 and below 1 (EDLAE). Where only the first few of a
            user's many items are known, a high one fits this task.
        max_items: M, how many of the most popular items have weights, at least 1; 8,000 take about 1 GB and a minute
            on one core, and time grows with the third power. The others score 0, as if known items had no weight for
            them.
        events: kinds of events beside the predicted one that count, each with its weight; None for all.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = False
    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {
        "regularization": Log(10, 10_000),
        "dropout": Choice((0.0, 0.5, 0.8, 0.9, 0.95, 0.98)),
    }

    def __init__(
        self,
        *,
        regularization: float = 200.0,
        dropout: float = 0.0,
        max_items: int = 8000,
        events: tuple[str, ...] | None = None,
    ) -> None:
        if not regularization > 0:
            raise ValueError(f"regularization must be above 0, got {regularization}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {dropout}")
        if max_items < 1:
            raise ValueError(f"max_items must be at least 1, got {max_items}")
        self.regularization = regularization
        self.dropout = dropout
        self.max_items = max_items
        self.events = events
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Solves; nothing is chosen and nothing is drawn."""
        most_popular = np.argsort(-train.popularity.numpy(), kind="stable")
        self._items = np.sort(most_popular[: self.max_items])  # [M]
        history = histories(train.with_events(self.events).users, train.num_items, events=True)[:, self._items]
        self._weight = item_weights(history, self.regularization, self.dropout)  # [M, M]
        self._num_items = train.num_items

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, about 1 for an item that the user would choose; all 0 where no item is known."""
        scores = np.zeros((len(users), self._num_items), dtype=np.float32)
        history = histories(users.with_events(self.events), self._num_items, events=True)
        scores[:, self._items] = history[:, self._items].astype(np.float32) @ self._weight
        return as_scores(scores)


class DenoisingRegression:
    """Ridge regression from a partly hidden history, attributes and friends to items, in closed form.

    Of each training user's n items, each is known with the chance q = min(k / n, 1), where k is the least number of
    known items of a history-length bucket, and all of them are the ground truth. The expected squared error over these
    draws has a closed form: with X = (q R, S), R the histories and S the other edges, W minimises
    `|R - X W|^2 + sum_i (penalty + sum_u q_u (1 - q_u) R_ui) |W_i|^2 + side_penalty * |W_S|^2`, with an intercept,
    which is popularity. There is one W for each bucket; a regression that is fitted on whole histories, as EASE is,
    gives too little weight to the one or two items of a new user.

    Source: Steck, "Autoencoders that don't overfit towards the Identity", NeurIPS 2020 (dropout of the input as
        a penalty); Jeunen, Van Balen, Goethals, "Closed-Form Models for Collaborative Filtering with
        Side-Information", RecSys 2020 (further columns). Differs: the dropout is each user's own, so that k items
        are left on average; an intercept; the diagonal may be anything, which made no difference.
    Shapes: users B, items I, inputs A -> scores [B, I].

    Args:
        penalty: of an item's squared coefficients, in interactions without evidence; above 0. A number, or one for each
            bucket; `choose` picks it for each bucket on the validation users, and takes 1 where there are none.
        side_penalty: of the squared coefficients of attributes and friends; above 0. NDCG@10 of validation users
            moved by at most .003 on MovieLens-1M (1 to 30) and Ta-Feng (3, 30); on Last.fm, where tags and friends hold
            much, 30 cost .02 to .07, and 3 was within .003 of the best.
        max_inputs: columns of X that are used, the most frequent ones, where there are more users than that; at least
            1. The dense system is as large as the smaller of both numbers, and 5,000 take two seconds on one core.
        max_users: training users that it is fitted on, at least 1; of more, so many are drawn.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {"side_penalty": Log(0.3, 100)}

    def __init__(
        self,
        *,
        penalty: float | dict[int, float] | Literal["choose"] = "choose",
        side_penalty: float = 3.0,
        max_inputs: int = 5_000,
        max_users: int = 50_000,
    ) -> None:
        by_bucket = {int(k): v for k, v in penalty.items()} if isinstance(penalty, dict) else penalty
        of_items = by_bucket.values() if isinstance(by_bucket, dict) else [by_bucket]
        for name, value in [("side_penalty", side_penalty), *(("penalty", value) for value in of_items)]:
            if value != "choose" and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        for name, number in (("max_inputs", max_inputs), ("max_users", max_users)):
            if number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        self.penalty = by_bucket
        self.side_penalty = side_penalty
        self.max_inputs = max_inputs
        self.max_users = max_users
        self.chooses_on_validation = penalty == "choose"
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Solves one system for each bucket; the seed draws users where there are more than `max_users`."""
        if validation is not None and self.penalty == "choose":
            fitted = self.fit_folds([Fold(train, validation, validation)], seed)[0]
            self.__dict__.update({k: v for k, v in vars(fitted).items() if k.startswith("_")})
            return
        problem = _DenoisingProblem(train, self, seed)
        self._num_items, self._features = train.num_items, problem.features
        self._regressions = {least: problem.solve(least, self._penalty_of(least)) for least in BUCKETS[1:]}

    def fit_folds(self, folds: Sequence[Fold], seed: int) -> "list[Any]":
        """One model for each fold; a penalty that is to be chosen is, for each bucket, the best on all held-out users.

        A bucket without held-out users gets the penalty of the one below it.
        """
        options = {"side_penalty": self.side_penalty, "max_inputs": self.max_inputs, "max_users": self.max_users}
        problems = [_DenoisingProblem(fold.train, self, seed) for fold in folds]
        held_out = [dict(_by_bucket_set(fold.revealed)) for fold in folds]
        penalty: dict[int, float] = {}
        regressions: list[dict[int, _Denoising]] = [{} for _ in folds]
        for least in BUCKETS[1:]:
            tests = [sets.get(least) for sets in held_out]
            tried = PENALTIES if self.penalty == "choose" else (self._penalty_of(least),)
            if len(tried) > 1 and not any(tests):
                tried = (penalty.get(max(penalty, default=0), WITHOUT_CHOICE),)
            best = -1.0
            for value in tried:
                solved = [problem.solve(least, value) for problem in problems]
                found = [np.zeros(1)]
                for problem, one, test, fold in zip(problems, solved, tests, folds, strict=True):
                    if test is not None and len(tried) > 1:
                        scores = as_scores(problem.scores(one, test.users))
                        found.append(HeldOutNDCG(test, test.candidates(fold.train), seed)(scores))
                mean = float(np.concatenate(found).sum())
                if mean > best:
                    best, penalty[least] = mean, value
                    for of_fold, one in zip(regressions, solved, strict=True):
                        of_fold[least] = one
        if self.penalty == "choose":
            self.best_params = {"penalty": penalty}
        models = []
        for problem, of_fold in zip(problems, regressions, strict=True):
            model = DenoisingRegression(penalty=penalty, **options)  # type: ignore[arg-type]
            model._num_items, model._features, model._regressions = problem.num_items, problem.features, of_fold
            models.append(model)
        return models

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, the expected interaction: mostly in [0, 1], but nothing keeps it there."""
        scores = np.zeros((len(users), self._num_items), dtype=np.float32)
        for least, rows in by_bucket(users):
            some = users.take(rows)
            regression = self._regressions[max(least, 1)]
            scores[rows.numpy()] = regression(_inputs(some, self._num_items, self._features))
        return as_scores(scores)

    def _penalty_of(self, least: int) -> float:
        if isinstance(self.penalty, dict):
            known = [bucket for bucket in self.penalty if bucket <= least]
            return self.penalty[max(known)] if known else WITHOUT_CHOICE
        return WITHOUT_CHOICE if self.penalty == "choose" else float(self.penalty)


def _by_bucket_set(test: TestSet) -> Iterator[tuple[int, TestSet]]:
    for least, rows in by_bucket(test.users):
        yield least, test.take(rows)


def _inputs(users: UserBatch, num_items: int, features: UserFeatures) -> Matrix:
    """[B, I + A'], histories and other edges."""
    return sparse.csr_array(sparse.hstack([histories(users, num_items), features(users)]))


class _DenoisingProblem:
    """The histories and other edges of the training users, from which each bucket's system is made."""

    def __init__(self, train: TrainingData, options: DenoisingRegression, seed: int) -> None:
        self._options = options
        self.num_items = train.num_items
        self.features = UserFeatures(train, friends=True, edge_weights="log", idf=True, normalise="length")
        history, side = histories(train.users, train.num_items), self.features(train.users)
        rows = np.flatnonzero(history.sum(axis=1))
        if len(rows) > options.max_users:
            drawn = torch.randperm(len(rows), generator=seeds.generator(seed, "denoising"))[: options.max_users]
            rows = np.sort(rows[drawn.numpy()])
        self._history, self._side = history[rows], side[rows]
        self._kept = np.arange(history.shape[1] + side.shape[1])
        if len(rows) > options.max_inputs:
            frequency = np.concatenate([self._history.sum(axis=0), self._side.astype(bool).sum(axis=0)])
            self._kept = np.sort(np.argsort(-frequency, kind="stable")[: options.max_inputs])

    def solve(self, known: int, penalty: float) -> "_Denoising":
        """The regression for users of whom `known` items are known."""
        chance = np.minimum(known / self._history.sum(axis=1), 1)  # [U]
        of_side = np.full(self._side.shape[1], self._options.side_penalty)
        weight = np.concatenate([self._history.T @ (chance * (1 - chance)) + penalty, of_side])
        scale = weight[self._kept] ** -0.5  # a column divided by the root of its penalty has the penalty 1
        inputs = sparse.csr_array(sparse.hstack([sparse.diags_array(chance) @ self._history, self._side]))
        scaled = _scaled(inputs, self._kept, scale)
        primal = scaled.shape[1] <= scaled.shape[0]
        gram = (scaled.T @ scaled if primal else scaled @ scaled.T).toarray()
        gram[np.diag_indices_from(gram)] += 1
        factor = linalg.cho_factor(gram, overwrite_a=True, check_finite=False)
        return _Denoising(self._kept, scale, scaled, self._history, primal, factor)

    def scores(self, regression: "_Denoising", users: UserBatch) -> np.ndarray:
        """[B, I]."""
        return regression(_inputs(users, self.num_items, self.features))


@dataclass(frozen=True)
class _Denoising:
    """A solved system. No matrix of inputs by items is made: a score is a sum over training users."""

    keeps_interactions: ClassVar[bool] = True

    kept: np.ndarray
    scale: np.ndarray
    inputs: Matrix
    history: Matrix
    primal: bool
    factor: tuple[np.ndarray, bool]

    def __call__(self, known: Matrix) -> np.ndarray:
        """[B, I] float64, from B users' inputs."""
        queries = _scaled(known, self.kept, self.scale)  # [B, A]
        if self.primal:
            by_user = self.inputs @ linalg.cho_solve(self.factor, queries.toarray().T)
        else:
            by_user = linalg.cho_solve(self.factor, (self.inputs @ queries.T).toarray())
        return np.asarray((self.history.T @ by_user).T)


def _scaled(inputs: Matrix, kept: np.ndarray, scale: np.ndarray) -> Matrix:
    """[B, A], the columns that are kept and the intercept's, so scaled that each has the penalty 1."""
    intercept = sparse.csr_array(np.full((inputs.shape[0], 1), INTERCEPT_PENALTY**-0.5))
    return sparse.csr_array(sparse.hstack([inputs[:, kept].multiply(scale), intercept]))
