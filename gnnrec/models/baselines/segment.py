"""Segment popularity: what is popular among the users who share an attribute value, shrunk to what is popular."""

from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from torch import Tensor

from gnnrec.graph.matrices import FEATURES, EdgeWeights, Normalise, UserFeatures, as_scores, histories
from gnnrec.options.search_space import Log, SearchSpace, Uniform
from gnnrec.views import TestSet, TrainingData, UserBatch


class SegmentPopularity:
    """Naive Bayes over attribute values: which item would a user with these values choose next?

    score(u, i) = log p(i) + strength * sum over u's values a of w(u, a) * log(p(i | a) / p(i)), where
    p(i | a) = (n(i, a) + shrinkage * p(i)) / (n(a) + shrinkage); n(i, a) counts the training users with value a who
    chose i, n(a) is its sum over items, p(i) the share of i in all interactions. A term that is the same for every item
    is left out: log((n(a) + shrinkage) / shrinkage) of each value, without which everything stays sparse. A user
    without values gets popularity.

    Source: no paper; multinomial naive Bayes with a Dirichlet prior at the overall popularity. Differs by `strength`
        and `normalise`, which damp the double counting of values that go together.
    Shapes: users B, attribute values A -> scores [B, I].

    Args:
        shrinkage: weight of the overall popularity in each p(i | a), in interactions; above 0.
        strength: what the attributes' part is multiplied by; 1 is naive Bayes, 0 is popularity.
        attributes: names of the relations to use; None for all.
        edge_weights: w(u, a) before `normalise`: 1, log(1 + weight of the edge), or the weight.
        idf: multiply w(u, a) by the logarithm of the rarity of a.
        normalise: what a user's w are divided by: nothing, their sum, or their Euclidean length.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    log_scores = True
    search_space: ClassVar[SearchSpace] = {
        "shrinkage": Log(10, 10_000),
        "strength": Uniform(0.1, 1.5),
        **FEATURES,
    }

    def __init__(
        self,
        *,
        shrinkage: float = 1000.0,
        strength: float = 0.5,
        attributes: list[str] | None = None,
        edge_weights: EdgeWeights = "ignore",
        idf: bool = False,
        normalise: Normalise = "none",
    ) -> None:
        if not shrinkage > 0:
            raise ValueError(f"shrinkage must be above 0, got {shrinkage}")
        if not strength >= 0:
            raise ValueError(f"strength must be at least 0, got {strength}")
        self.shrinkage = shrinkage
        self.strength = strength
        self.attributes = attributes
        self.edge_weights = edge_weights
        self.idf = idf
        self.normalise = normalise
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Counts; nothing is chosen and nothing is drawn."""
        self._features = UserFeatures(
            train,
            attributes=self.attributes,
            edge_weights=self.edge_weights,
            idf=self.idf,
            normalise=self.normalise,
            described=False,
        )
        has_value = UserFeatures(train, attributes=self.attributes, described=False)(train.users)
        popularity = train.popularity.numpy().astype(np.float64)
        share = np.maximum(popularity, 0.5) / popularity.sum()  # an item that nobody chose is no candidate, but finite
        self._log_share = np.log(share)
        counts = sparse.csr_array(has_value.T @ histories(train.users, train.num_items))  # [A, I]
        # (n + s p) / (s p) = 1 + n / (s p): zero counts stay zero entries.
        self._gain = sparse.csr_array(counts.multiply(1 / (self.shrinkage * share)).log1p())

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, logarithms up to a term that is the same for all items of a user."""
        return as_scores(self._log_share + self.strength * (self._features(users) @ self._gain).toarray())
