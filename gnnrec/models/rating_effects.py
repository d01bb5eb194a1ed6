"""The parts of a rating in closed form: mean, biases, effects of attribute values."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from gnnrec.errors import ConfigError
from gnnrec.graph.matrices import Matrix
from gnnrec.runtime import seeds
from gnnrec.views import ITEM, Edges, TrainingData


@dataclass(frozen=True)
class Ratings:
    """Interactions with values.

    Attributes:
        user: [E] int64, rows of the training users.
        item: [E] int64.
        value: [E] float64.
        shape: number of users and of items.
    """

    keeps_interactions: ClassVar[bool] = True

    user: np.ndarray
    item: np.ndarray
    value: np.ndarray
    shape: tuple[int, int]

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value: the scale that predictions are clipped to."""
        return float(self.value.min()), float(self.value.max())

    @property
    def popularity(self) -> np.ndarray:
        """[I] float64, how many ratings each item has."""
        return np.bincount(self.item, minlength=self.shape[1]).astype(np.float64)

    def matrix(self, entries: np.ndarray) -> Matrix:
        """[U, I] with one entry for each rating ([E])."""
        return sparse.csr_array((entries, (self.user, self.item)), shape=self.shape)


def ratings_of(train: TrainingData) -> Ratings:
    """The training interactions with their values.

    Raises:
        ConfigError: the interactions have no values.
    """
    items = train.users.items
    if items.weight is None:
        raise ConfigError(
            "model: a model of ratings needs interactions with values, and this data has none; name its value column, "
            "or choose a model that ranks"
        )
    value = items.weight.numpy().astype(np.float64)
    return Ratings(items.row.numpy(), items.node.numpy(), value, (train.num_users, train.num_items))


def shrunk_mean(group: np.ndarray, values: np.ndarray, num_groups: int, shrinkage: float) -> np.ndarray:
    """[G] mean of each group, with `shrinkage` values of 0 added; 0 where there is nothing to average."""
    count = np.bincount(group, minlength=num_groups) + shrinkage
    total = np.bincount(group, weights=values, minlength=num_groups)
    return np.asarray(total / np.where(count > 0, count, 1))


@dataclass(frozen=True)
class FittedBiases:
    """value = mean + user bias + item bias + residual.

    Attributes:
        mean: of all values.
        user: [U] float64, bias of each training user.
        item: [I] float64, bias of each item.
        known: [U] bool, the training users with any rating.
    """

    mean: float
    user: np.ndarray
    item: np.ndarray
    known: np.ndarray

    def residual(self, ratings: Ratings) -> np.ndarray:
        """[E] float64, what the biases leave of each rating."""
        return np.asarray(ratings.value - self.mean - self.user[ratings.user] - self.item[ratings.item])

    @property
    def mean_user(self) -> float:
        """The mean bias of the training users with any rating."""
        return float(self.user[self.known].mean())


def fit_biases(
    ratings: Ratings, user_shrinkage: float, item_shrinkage: float, expected: np.ndarray | None = None
) -> FittedBiases:
    """Fits user and item biases together, by least squares with a penalty on their squares.

    Source: Koren, Factor in the Neighbors, TKDD 4 (2010), section 2.1, the least squares problem, whose penalty here
        is not multiplied by the number of interactions. Differs by `expected`.

    Args:
        ratings: E ratings.
        user_shrinkage: weight of each squared user bias, in ratings; at least 0.
        item_shrinkage: the same for items.
        expected: [I], what an item's bias is shrunk to; None for 0.
    """
    num_users, num_items = ratings.shape
    edge = np.arange(len(ratings.value))
    column = np.concatenate([ratings.user, num_users + ratings.item])
    design = sparse.csr_array(
        (np.ones(2 * len(edge)), (np.tile(edge, 2), column)), shape=(len(edge), num_users + num_items)
    )
    penalty = np.repeat(np.array([user_shrinkage, item_shrinkage], float), [num_users, num_items])
    gram = sparse.csr_array(design.T @ design + sparse.diags_array(penalty))
    prior = np.zeros(num_items) if expected is None else expected
    mean = ratings.value.mean()
    bias, unsolved = sparse.linalg.cg(gram, design.T @ (ratings.value - mean - prior[ratings.item]), rtol=1e-8)
    assert unsolved == 0
    user, item = np.split(bias, [num_users])
    return FittedBiases(float(mean), user, item + prior, np.bincount(ratings.user, minlength=num_users) > 0)


def known_user_bias(items: Edges, item_value: np.ndarray, expected: np.ndarray, shrinkage: float) -> np.ndarray:
    """[B] biases of users of whom some ratings are known, shrunk to what is expected of them.

    Args:
        items: the known ratings of B users.
        item_value: [I] what a user without bias gives to each item.
        expected: [B].
        shrinkage: ratings with the expected bias that are added; at least 0.
    """
    row = items.row.numpy()
    if items.weight is None or len(row) == 0:
        return expected
    residual = items.weight.numpy() - item_value[items.node.numpy()] - expected[row]
    return np.asarray(expected + shrunk_mean(row, residual, len(expected), shrinkage))


def item_features(train: TrainingData) -> Matrix:
    """[I, G] float64, 1 for each attribute value of each item; G is 0 where items have no attributes."""
    rows, columns, width = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
    for relation in train.relations:
        if relation.source == ITEM and relation.target != ITEM:
            item, node = relation.edge_index.numpy()
            rows.append(item)
            columns.append(node + width)
            width += len(train.ids[relation.target])
    row, column = np.concatenate(rows), np.concatenate(columns)
    return sparse.csr_array((np.ones(len(row)), (row, column)), shape=(train.num_items, width))


def expected_item_bias(
    train: TrainingData, ratings: Ratings, biases: FittedBiases, regularization: float = 10.0, confidence: float = 3.0
) -> np.ndarray:
    """[I] float64, the bias to expect of an item from how often it was rated and from its attributes.

    A weighted ridge regression of the items' mean residuals on log(1 + ratings), its square, and attribute values: what
    few people rate is rated lower. An item with n ratings has the weight n / (n + confidence).
    """
    from sklearn.linear_model import Ridge

    count = ratings.popularity
    mean = shrunk_mean(ratings.item, biases.residual(ratings) + biases.item[ratings.item], len(count), 0)
    log_count = np.log1p(count)[:, None]
    features = sparse.csr_array(sparse.hstack([log_count, log_count**2, item_features(train)]))
    solver = Ridge(alpha=regularization, solver="sparse_cg", tol=1e-8)
    solver.fit(features, mean, sample_weight=count / (count + confidence))
    return np.asarray(solver.predict(features))


def value_effects(features: Matrix, ratings: Ratings, residual: np.ndarray, shrinkage: float) -> Matrix:
    """[A, I] float64, how much the users with an attribute value like an item more than others do.

    The mean residual of the ratings that users with the value gave to the item, shrunk to 0.

    Args:
        features: [U, A], attribute values of the training users.
        ratings: E ratings.
        residual: [E], what the biases leave of them.
        shrinkage: ratings without any effect that are added to each mean; above 0.
    """
    total = features.T @ ratings.matrix(residual)
    weight = sparse.csr_array(abs(features).T @ ratings.matrix(np.ones(len(residual))))
    weight.data = 1 / (weight.data + shrinkage)
    return sparse.csr_array(total.multiply(weight))


def item_values(ratings: Ratings, biases: FittedBiases, rater_shrinkage: float | None) -> np.ndarray:
    """[I] float64, what a user with the mean bias is expected to give to each item.

    Who rates an item is no chance: people with a mean eye rate what others leave out. So the mean bias of those who
    rated the item, less that of all users, shrunk to 0 by `rater_shrinkage` ratings, is added to mean and item's bias;
    None adds nothing.
    """
    value = biases.mean + biases.mean_user + biases.item
    if rater_shrinkage is not None:
        of_rater = (biases.user - biases.mean_user)[ratings.user]
        value = value + shrunk_mean(ratings.item, of_rater, len(value), rater_shrinkage)
    return np.asarray(value)


def residual_directions(ratings: Ratings, residual: np.ndarray, rank: int, seed: int) -> np.ndarray:
    """[I, rank] float32, where item vectors start: the leading directions of the users' residuals, with unit variance.

    Columns of the [U, I] residuals are divided by the root of the item's ratings + 20, so that no direction is about a
    single item; columns beyond the rank of the residuals are 0.
    """
    from sklearn.utils.extmath import randomized_svd

    scale = 1 / np.sqrt(ratings.popularity + 20)
    rank_there_is = min(rank, *ratings.shape)
    random_state = seeds.integer(seed, "residual directions") % 2**32
    _, size, directions = randomized_svd(
        ratings.matrix(residual * scale[ratings.item]), rank_there_is, random_state=random_state
    )
    vectors = (size[:, None] * directions).T
    deviation = np.sqrt((vectors**2).mean())
    start = np.zeros((ratings.shape[1], rank), dtype=np.float32)
    start[:, :rank_there_is] = vectors / (deviation if deviation > 0 else 1)
    return start
