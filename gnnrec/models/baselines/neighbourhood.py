"""Neighbourhood models: mean histories of friends or of users alike in attributes."""

from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from gnnrec.graph.matrices import (
    FEATURES,
    EdgeWeights,
    Matrix,
    UserFeatures,
    as_scores,
    histories,
    links,
    training_rows,
)
from gnnrec.options.search_space import Choice, Integer, Log, SearchSpace, Uniform
from gnnrec.views import TestSet, TrainingData, UserBatch


class NeighbourPopularity:
    """A weighted mix of three histories: of the users linked to, of the users alike in attributes, of everybody.

    score(u, i) = friends * F(u, i) + attributes * S(u, i) + popularity * P(i). F is the mean history of the training
    users that u has an edge to, S the mean history of the training users weighted by similarity ** power, P the mean
    history of all; each is divided by its largest value over the items, so that the weights compare. The similarity
    is the cosine of the users' rows of attribute values. A part of which nothing is known is zero, and a user without
    any neighbour gets popularity. A training user is not its own neighbour.

    Source: no paper; with `friends` alone it is the one-hop mean of user-user edges.
    Shapes: users B, training users U -> similarities [B, U] -> scores [B, I].

    Args:
        friends: weight of the users linked to; at least 0. Without effect where the data has no user-user edges.
        attributes: weight of the users alike in attributes; at least 0.
        friends_in_common: each training user that a user is linked to is one more attribute value, so that users who
            are linked to the same ones are alike.
        popularity: weight of popularity; at least 0. Above 0, ties between items that no neighbour chose are broken
            by it; with 0, a user without neighbours has equal scores, which leaves a blend to its other components.
        power: exponent of the similarity; above 0. The higher, the more the nearest count.
        idf: a value counts by the logarithm of its rarity.
        edge_weights: what an attribute edge counts: 1, log(1 + its weight), or its weight.
        neighbours: how many of the users alike in attributes count; None for all. Users as similar as the last of
            them count as well, so that the order of the users does not matter.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    keeps_interactions = True
    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {
        "friends": Uniform(0, 1),
        "attributes": Uniform(0, 1),
        "popularity": Log(1e-4, 1),
        "power": Uniform(1, 6),
        "neighbours": Choice((None, 25, 50, 100, 200, 400)),
        "idf": FEATURES["idf"],
        "edge_weights": FEATURES["edge_weights"],
    }

    def __init__(
        self,
        *,
        friends: float = 0.6,
        attributes: float = 0.4,
        friends_in_common: bool = False,
        popularity: float = 1e-4,
        power: float = 2.0,
        idf: bool = True,
        edge_weights: EdgeWeights = "log",
        neighbours: int | None = None,
    ) -> None:
        for name, weight in (("friends", friends), ("attributes", attributes), ("popularity", popularity)):
            if not weight >= 0:
                raise ValueError(f"{name} must be at least 0, got {weight}")
        if not power > 0:
            raise ValueError(f"power must be above 0, got {power}")
        if neighbours is not None and neighbours < 1:
            raise ValueError(f"neighbours must be at least 1, or none for all; got {neighbours}")
        self.friends = friends
        self.attributes = attributes
        self.friends_in_common = friends_in_common
        self.popularity = popularity
        self.power = power
        self.idf = idf
        self.edge_weights: EdgeWeights = edge_weights
        self.neighbours = neighbours
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Keeps the training users' histories and attribute values; nothing is chosen and nothing is drawn."""
        self._train = train
        self._features = UserFeatures(
            train, friends=self.friends_in_common, edge_weights=self.edge_weights, idf=self.idf, normalise="length"
        )
        self._known = self._features(train.users)  # [U, A]
        self._histories = histories(train.users, train.num_items)  # [U, I]
        self._popularity = _to_largest(train.popularity.numpy().astype(np.float64)[None])  # [1, I]

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32 in [0, friends + attributes + popularity]."""
        scores = np.repeat(self.popularity * self._popularity, len(users), axis=0)
        if self.friends > 0:
            linked: Matrix = links(users, self._train) @ self._histories
            scores += self.friends * _to_largest(linked.toarray())
        if self.attributes > 0:
            scores += self.attributes * _to_largest((self._histories.T @ self._similarity(users)).T)
        return as_scores(scores)

    def _similarity(self, users: UserBatch) -> np.ndarray:
        """[U, B] float64, similarity ** power to each training user; 0 to oneself and beyond the nearest."""
        # Most users have a value in common, so a dense product takes a fifth of the time of a sparse one.
        similarity = self._known @ self._features(users).toarray().T
        row = training_rows(users, self._train)
        similarity[row[row >= 0], np.flatnonzero(row >= 0)] = 0
        if self.neighbours is not None and self.neighbours < len(similarity):
            similarity = similarity.round(9)  # two users who are equally similar may differ in the last bit
            last = np.partition(similarity, -self.neighbours, axis=0)[-self.neighbours]
            similarity[similarity < last] = 0
        return np.asarray(similarity if self.power == 1 else similarity**self.power)


def _to_largest(values: np.ndarray) -> np.ndarray:
    """[B, I] values, each row divided by its largest; a row of zeros stays zero."""
    largest = values.max(axis=1, keepdims=True)
    return np.asarray(values / np.where(largest > 0, largest, 1))


class AttributeKNN:
    """The mean history of the k training users nearest by attribute values, weighted by the cosine.

    Users as similar as the k-th count as well. Items that no neighbour chose are in the order of popularity.

    Source: no paper; the user-based nearest neighbours of collaborative filtering, with attribute values in the place
        of histories.
    Shapes: users B, training users U -> similarities [B, U] -> scores [B, I].

    Args:
        k: number of neighbours; at least 1.
        idf: a value counts by the logarithm of its rarity.
        edge_weights: what an attribute edge counts: 1, log(1 + its weight), or its weight.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {
        "k": Integer(10, 1000, log=True),
        "idf": FEATURES["idf"],
        "edge_weights": FEATURES["edge_weights"],
    }

    def __init__(self, *, k: int = 100, idf: bool = False, edge_weights: EdgeWeights = "ignore") -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        self.k = k
        self.idf = idf
        self.edge_weights: EdgeWeights = edge_weights
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Keeps the training users' histories and attribute values; nothing is chosen and nothing is drawn."""
        self._model = NeighbourPopularity(
            friends=0, attributes=1, power=1, neighbours=self.k, idf=self.idf, edge_weights=self.edge_weights
        )
        self._model.fit(train, validation, seed)

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, at least 0."""
        return self._model.score(users)
