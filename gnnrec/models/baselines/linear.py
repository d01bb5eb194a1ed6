"""A linear model from what is known of a user to the items it will choose."""

from typing import Any, ClassVar

from torch import Tensor

from gnnrec.graph.matrices import FEATURES, EdgeWeights, Matrix, Normalise, UserFeatures, as_scores, histories
from gnnrec.models.ridge import RidgeMap, as_matrix
from gnnrec.options.search_space import Choice, Log, SearchSpace
from gnnrec.runtime import seeds
from gnnrec.views import TestSet, TrainingData, UserBatch


class AttributeLinear:
    """Ridge regression from attribute values, and friends where asked for, to every item at once.

    The intercept is popularity, so a user without any value gets an order close to it.

    Source: Sedhain, Menon, Sanner, Xie, Braziunas, Low-Rank Linear Cold-Start Recommendation from Social Data,
        AAAI 2017, equation 4 (with `rank`; without it, plain ridge regression). Differs by an intercept that is
        not regularised, and by row normalisation.
    Shapes: users B, attribute values (and friends) A -> scores [B, I].

    Args:
        regularization: weight of the squared coefficients; above 0.
        rank: use only the leading singular directions of the features, at least 1; None for all of them.
        attributes: names of the relations to use; None for all.
        friends: also a feature for each training user, 1 where the user has an edge to them.
        edge_weights: what an attribute edge counts: 1, log(1 + its weight), or its weight.
        idf: a value counts by the logarithm of its rarity.
        normalise: what a user's features are divided by: nothing, their sum, or their Euclidean length.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {
        "regularization": Log(0.1, 1000),
        "rank": Choice((None, 50, 200)),
        **FEATURES,
    }

    def __init__(
        self,
        *,
        regularization: float = 10.0,
        rank: int | None = None,
        attributes: list[str] | None = None,
        friends: bool = False,
        edge_weights: EdgeWeights = "ignore",
        idf: bool = False,
        normalise: Normalise = "none",
    ) -> None:
        if not regularization > 0:
            raise ValueError(f"regularization must be above 0, got {regularization}")
        if rank is not None and rank < 1:
            raise ValueError(f"rank must be at least 1, or none for all; got {rank}")
        self.regularization = regularization
        self.rank = rank
        self.attributes = attributes
        self.friends = friends
        self.edge_weights: EdgeWeights = edge_weights
        self.idf = idf
        self.normalise: Normalise = normalise
        self.chosen: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Solves; nothing is chosen. The seed starts the randomised decomposition that `rank` asks for."""
        self._features = UserFeatures(
            train,
            attributes=self.attributes,
            friends=self.friends,
            edge_weights=self.edge_weights,
            idf=self.idf,
            normalise=self.normalise,
        )
        known = self._features(train.users)
        self._directions = None
        if self.rank is not None and self.rank < min(known.shape):
            from sklearn.utils.extmath import randomized_svd

            _, _, directions = randomized_svd(known, self.rank, random_state=seeds.integer(seed, "svd") % 2**32)
            self._directions = directions.T  # [A, rank]
        self._map = RidgeMap(self._reduced(known), histories(train.users, train.num_items), self.regularization)

    def _reduced(self, features: Matrix) -> Matrix:
        return features if self._directions is None else as_matrix(features @ self._directions)

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, the expected interaction: mostly in [0, 1], but nothing keeps it there."""
        return as_scores(self._map(self._reduced(self._features(users))))
