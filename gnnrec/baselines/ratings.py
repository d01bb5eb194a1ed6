"""Predictions of values, such as ratings: the mean of an item, and biases of items and users."""

from typing import Any, ClassVar, Literal

import numpy as np
from scipy import sparse
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.known import HeldOut, Training, Users
from gnnrec.matrices import UserFeatures, as_scores
from gnnrec.ridge import RidgeMap
from gnnrec.search_space import Log, SearchSpace


class ItemMean:
    """The mean value of each item, shrunk to the mean of all interactions.

    mean + (sum over the item's interactions of (value - mean)) / (interactions + shrinkage).

    Source: no paper; the item bias of Biases, alone.
    Shapes: users B -> values [B, I], all rows alike.

    Args:
        shrinkage: interactions at the overall mean that are added to each item; at least 0.

    Raises:
        ValueError: an option is out of its range.
    """

    scores_unseen_users = True
    predicts_values = True
    search_space: ClassVar[SearchSpace] = {"shrinkage": Log(0.1, 100)}

    def __init__(self, *, shrinkage: float = 2.0) -> None:
        if not shrinkage >= 0:
            raise ValueError(f"shrinkage must be at least 0, got {shrinkage}")
        self.shrinkage = shrinkage
        self.chosen: dict[str, Any] = {}

    def fit(self, train: Training, validation: HeldOut | None, seed: int) -> None:
        """Averages; nothing is chosen and nothing is drawn.

        Raises:
            ConfigError: the interactions have no values.
        """
        values = _values(train)
        mean = values.mean()
        item = train.users.items.node.numpy()
        self._item_value = mean + _shrunk_mean(item, values - mean, train.num_items, self.shrinkage)

    def score(self, users: Users) -> Tensor:
        """[B, I] float32, on the scale of the values."""
        return as_scores(np.repeat(self._item_value[None], len(users), axis=0))


class Biases:
    """The overall mean, plus a bias of the item, plus a bias of the user.

    Both are fitted together, by least squares with a penalty on the squared biases. When asked, a user's bias is the
    mean of value - overall mean - item's bias over its known items, shrunk to what is expected of a user of whom no
    item is known: 0, the mean of the training users' biases, or a ridge regression from attribute values to them.
    Predictions are clipped to the range of the training values.

    Source: Koren, Factor in the Neighbors, TKDD 4 (2010), section 2.1, the least squares problem, whose penalty here
        is not multiplied by the number of interactions. Differs also by what an unseen user's bias is.
    Shapes: users B -> values [B, I].

    Args:
        item_shrinkage: interactions without bias that are added to each item; at least 0.
        user_shrinkage: interactions with the expected bias that are added to each user; at least 0.
        cold: what is expected of a user of whom no item is known.
        regularization: weight of the squared coefficients of `attributes`; above 0.

    Raises:
        ValueError: an option is out of its range.
    """

    scores_unseen_users = True
    predicts_values = True
    search_space: ClassVar[SearchSpace] = {
        "item_shrinkage": Log(0.1, 100),
        "user_shrinkage": Log(0.1, 100),
        "regularization": Log(1, 1000, when={"cold": "attributes"}),
    }

    def __init__(
        self,
        *,
        item_shrinkage: float = 2.0,
        user_shrinkage: float = 3.0,
        cold: Literal["zero", "mean", "attributes"] = "mean",
        regularization: float = 100.0,
    ) -> None:
        for name, shrinkage in (("item_shrinkage", item_shrinkage), ("user_shrinkage", user_shrinkage)):
            if not shrinkage >= 0:
                raise ValueError(f"{name} must be at least 0, got {shrinkage}")
        if not regularization > 0:
            raise ValueError(f"regularization must be above 0, got {regularization}")
        self.item_shrinkage = item_shrinkage
        self.user_shrinkage = user_shrinkage
        self.cold = cold
        self.regularization = regularization
        self.chosen: dict[str, Any] = {}

    def fit(self, train: Training, validation: HeldOut | None, seed: int) -> None:
        """Averages, and solves for the effects of attribute values; nothing is chosen and nothing is drawn.

        Raises:
            ConfigError: the interactions have no values.
        """
        items = train.users.items
        user, item, value = items.row.numpy(), items.node.numpy(), _values(train)
        self._range = (float(value.min()), float(value.max()))
        mean = value.mean()
        edge = np.arange(len(value))
        shape = (len(value), train.num_users + train.num_items)
        design = sparse.csr_array(
            (np.ones(2 * len(value)), (np.tile(edge, 2), np.concatenate([user, train.num_users + item]))), shape=shape
        )
        penalty = np.repeat(
            np.array([self.user_shrinkage, self.item_shrinkage], float), [train.num_users, train.num_items]
        )
        gram = sparse.csr_array(design.T @ design + sparse.diags_array(penalty))
        bias, unsolved = sparse.linalg.cg(gram, design.T @ (value - mean), rtol=1e-8)
        assert unsolved == 0
        user_bias, item_bias = np.split(bias, [train.num_users])
        self._item_value = mean + item_bias  # [I]
        self._features = UserFeatures(train)
        self._expected: RidgeMap | float = 0.0
        known = np.flatnonzero(np.bincount(user, minlength=train.num_users))
        if self.cold == "mean":
            self._expected = float(user_bias[known].mean())
        elif self.cold == "attributes":
            features = self._features(train.users)[known]
            self._expected = RidgeMap(features, user_bias[known][:, None], self.regularization)

    def _user_bias(self, users: Users, expected: np.ndarray) -> np.ndarray:
        """[B] biases of the users, shrunk to `expected` ([B])."""
        row = users.items.row.numpy()
        if users.items.weight is None or len(row) == 0:
            return expected
        residual = users.items.weight.numpy() - self._item_value[users.items.node.numpy()] - expected[row]
        return np.asarray(expected + _shrunk_mean(row, residual, len(users), self.user_shrinkage))

    def score(self, users: Users) -> Tensor:
        """[B, I] float32, within the range of the training values."""
        if isinstance(self._expected, RidgeMap):
            expected = self._expected(self._features(users))[:, 0]
        else:
            expected = np.full(len(users), self._expected)
        prediction = self._item_value + self._user_bias(users, expected)[:, None]
        return as_scores(prediction.clip(*self._range))


def _values(train: Training) -> np.ndarray:
    """[E] float64, the values of the training interactions."""
    weight = train.users.items.weight
    if weight is None:
        raise ConfigError(
            "model: a model of ratings needs interactions with values, and this data has none; name its value column, "
            "or choose a model that ranks"
        )
    return weight.numpy().astype(np.float64)


def _shrunk_mean(group: np.ndarray, values: np.ndarray, num_groups: int, shrinkage: float) -> np.ndarray:
    """[G] mean of each group, with `shrinkage` values of 0 added; 0 where there is nothing to average."""
    count = np.bincount(group, minlength=num_groups) + shrinkage
    total = np.bincount(group, weights=values, minlength=num_groups)
    return np.asarray(total / np.where(count > 0, count, 1))
