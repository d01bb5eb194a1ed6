"""Classifiers of users, whose items are classes: logistic regression and gradient boosting."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from torch import Tensor

from gnnrec.errors import TrainingError
from gnnrec.graph.matrices import FEATURES, EdgeWeights, Matrix, Normalise, UserFeatures, as_scores
from gnnrec.options.search_space import Integer, Log, SearchSpace, Uniform
from gnnrec.runtime import seeds
from gnnrec.views import USER, EdgeType, TestSet, TrainingData, UserBatch

LEAST = 1e-12
"""The probability of an item that nobody chose in training."""


@dataclass(frozen=True)
class _Rows:
    """Users as rows: a column for each value and each number of a feature, and one for each number with knots.

    Of a number between knots, the mean of the knots with the weights of its edges is the number itself (beyond the last
    knot, that), divided by the standard deviation of the training users after their mean is taken off.

    Attributes:
        features: the columns of values, and of what describes users.
        numbers: relation -> (positions of its knots, mean, standard deviation).
    """

    features: UserFeatures
    numbers: dict[EdgeType, tuple[np.ndarray, float, float]]

    @classmethod
    def of(cls, train: TrainingData, **options: Any) -> "_Rows":
        names = [t[1] for t in train.attribute_types if t not in train.interpolated]
        names += [one.name for one in train.users.features]
        numbers = {}
        for edge_type in train.interpolated:
            knots = np.asarray(train.bounds[USER, edge_type[1]])
            known = _number(train.users, edge_type, knots)
            there = known[np.isfinite(known)]
            spread = float(there.std()) if len(there) else 0.0
            numbers[edge_type] = knots, float(there.mean()) if len(there) else 0.0, spread or 1.0
        return cls(UserFeatures(train, attributes=names, **options), numbers)

    def __call__(self, users: UserBatch) -> Matrix:
        """[B, A] float64; a number that is not known stands at the mean."""
        parts: list[Any] = [self.features(users)]
        for edge_type, (knots, mean, spread) in self.numbers.items():
            column = np.nan_to_num((_number(users, edge_type, knots) - mean) / spread)
            parts.append(sparse.csr_array(column[:, None]))
        return sparse.csr_array(sparse.hstack(parts)) if len(parts) > 1 else parts[0]


def _number(users: UserBatch, edge_type: EdgeType, knots: np.ndarray) -> np.ndarray:
    """[B] float64, nan where it is not known."""
    edges = users.relations.get(edge_type)
    if edges is None or edges.weight is None:
        return np.full(len(users), np.nan)
    row, weight = edges.row.numpy(), edges.weight.double().numpy()
    total = np.bincount(row, weight, minlength=len(users))
    number = np.bincount(row, weight * knots[edges.node.numpy()], minlength=len(users))
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, number / total, np.nan)


def _examples(train: TrainingData) -> tuple[np.ndarray, np.ndarray]:
    """[E] rows of training users, and [E] the item of each: a user with several items is as many examples.

    Raises:
        TrainingError: all examples are of one item.
    """
    user, item = train.users.items.row.numpy(), train.users.items.node.numpy()
    if len(np.unique(item)) < 2:
        raise TrainingError("the training users have chosen one item alone; there is nothing to tell apart")
    return user, item


def _scores(probability: np.ndarray, classes: np.ndarray, num_items: int) -> Tensor:
    """[B, I] logarithms of [B, C] probabilities."""
    scores = np.full((len(probability), num_items), np.log(LEAST))
    scores[:, classes] = np.log(np.maximum(probability, LEAST))
    return as_scores(scores)


class LogisticRegression:
    """Multinomial logistic regression from what is known of a user to its item, with an L2 penalty.

    Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2009, section 4.4; solved by
        scikit-learn (L-BFGS). A user with several items counts as one example of each.
    Shapes: users B, columns A -> scores [B, I], logarithms of probabilities.

    Args:
        regularization: weight of half the squared coefficients; the intercepts have none; above 0.
        steps: of L-BFGS, at most.
        edge_weights: what an attribute edge counts: 1, log(1 + its weight), or its weight.
        idf: a value counts by the logarithm of its rarity.
        normalise: what a user's values are divided by: nothing, their sum, or their Euclidean length.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    log_scores = True
    search_space: ClassVar[SearchSpace] = {"regularization": Log(1e-3, 100), **FEATURES}

    def __init__(
        self,
        *,
        regularization: float = 1.0,
        steps: int = 1000,
        edge_weights: EdgeWeights = "ignore",
        idf: bool = False,
        normalise: Normalise = "none",
    ) -> None:
        if not regularization > 0 or steps < 1:
            raise ValueError(f"regularization must be above 0 and steps at least 1, got {regularization} and {steps}")
        self.regularization, self.steps = regularization, steps
        self.edge_weights: EdgeWeights = edge_weights
        self.idf = idf
        self.normalise: Normalise = normalise
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Solves; nothing is chosen and nothing is drawn.

        Raises:
            TrainingError: there is one class alone.
        """
        from sklearn.linear_model import LogisticRegression as Solver
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        user, item = _examples(train)
        self._rows = _Rows.of(train, edge_weights=self.edge_weights, idf=self.idf, normalise=self.normalise)
        with threadpool_limits(1, "blas"):  # with several threads the last bits differ
            solver = Solver(C=1 / self.regularization, max_iter=self.steps)
            solver.fit(sparse.csr_matrix(self._rows(train.users)[user]), item)
        self._num_items, self._classes = train.num_items, solver.classes_
        self._weights, self._intercepts = solver.coef_.T, solver.intercept_  # [A, C], [C]; of two classes one column

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, logarithms of probabilities."""
        logits = np.asarray(self._rows(users) @ self._weights) + self._intercepts
        return _scores(_softmax(logits), self._classes, self._num_items)


class GradientBoosting:
    """Regression trees that are added up, each fitted to what the ones before leave of the classes' probabilities.

    Source: Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29, 2001,
        section 4.5; fitted by scikit-learn. A user with several items counts as one example of each.
    Shapes: users B, columns A -> scores [B, I], logarithms of probabilities.

    Args:
        trees: of each class, at least 1 (of two classes, of one of them).
        learning_rate: what each tree counts; above 0.
        depth: of a tree, at least 1.
        subsample: share of the examples that each tree is fitted on, drawn; above 0, at most 1.
        leaf: examples in a leaf, at least.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    log_scores = True
    search_space: ClassVar[SearchSpace] = {
        "trees": Integer(20, 400),
        "learning_rate": Log(0.01, 0.3),
        "depth": Integer(1, 5),
        "subsample": Uniform(0.4, 1),
        "leaf": Integer(1, 40),
    }

    def __init__(
        self,
        *,
        trees: int = 100,
        learning_rate: float = 0.1,
        depth: int = 3,
        subsample: float = 1.0,
        leaf: int = 1,
    ) -> None:
        if min(trees, depth, leaf) < 1 or not learning_rate > 0 or not 0 < subsample <= 1:
            raise ValueError(
                f"trees, depth and leaf must be at least 1, learning_rate above 0, subsample in (0, 1]; got {trees}, "
                f"{depth}, {leaf}, {learning_rate} and {subsample}"
            )
        self.trees, self.learning_rate, self.depth = trees, learning_rate, depth
        self.subsample, self.leaf = subsample, leaf
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Grows the trees; nothing is chosen.

        Raises:
            TrainingError: there is one class alone.
        """
        from sklearn.ensemble import GradientBoostingClassifier

        user, item = _examples(train)
        self._rows = _Rows.of(train)
        grown = GradientBoostingClassifier(
            n_estimators=self.trees,
            learning_rate=self.learning_rate,
            max_depth=self.depth,
            subsample=self.subsample,
            min_samples_leaf=self.leaf,
            random_state=np.random.RandomState(seeds.integer(seed, "trees") % 2**32),
        )
        grown.fit(self._rows(train.users)[user].astype(np.float32).toarray(), item)
        self._num_items, self._classes = train.num_items, grown.classes_
        share = np.asarray(grown.init_.class_prior_, dtype=np.float64)
        self._start = np.log(share[1:] / share[:1]) if len(share) == 2 else np.log(share)
        self._trees = [[_Tree.of(one.tree_) for one in step] for step in grown.estimators_.tolist()]

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, logarithms of probabilities."""
        rows = self._rows(users).astype(np.float32).toarray()
        logits = np.repeat(self._start[None], len(rows), axis=0)
        for step in self._trees:
            for place, tree in enumerate(step):
                logits[:, place] += self.learning_rate * tree(rows)
        return _scores(_softmax(logits), self._classes, self._num_items)


@dataclass(frozen=True)
class _Tree:
    """A regression tree as arrays over its nodes, so that it is saved without a library's objects.

    Attributes:
        left: [N] int64, the child of rows at or below the threshold; -1 at a leaf.
        right: [N] int64, the other child.
        column: [N] int64, that is compared.
        threshold: [N] float64.
        value: [N] float64, of a leaf.
    """

    left: np.ndarray
    right: np.ndarray
    column: np.ndarray
    threshold: np.ndarray
    value: np.ndarray

    @classmethod
    def of(cls, tree: Any) -> "_Tree":
        """A tree of scikit-learn."""
        value = np.asarray(tree.value[:, 0, 0], dtype=np.float64)
        column = np.maximum(tree.feature, 0).astype(np.int64)
        left, right = tree.children_left.astype(np.int64), tree.children_right.astype(np.int64)
        return cls(left, right, column, np.asarray(tree.threshold, dtype=np.float64), value)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """[B], the value of the leaf that each row ends in."""
        node, every = np.zeros(len(rows), np.int64), np.arange(len(rows))
        while (inner := self.left[node] >= 0).any():
            below = rows[every, self.column[node]] <= self.threshold[node]
            node = np.where(inner, np.where(below, self.left[node], self.right[node]), node)
        return self.value[node]


def _softmax(logits: np.ndarray) -> np.ndarray:
    """[B, C] probabilities; of one column of logits, those of two classes, the second one's against the first."""
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    power = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(power / power.sum(axis=1, keepdims=True))
