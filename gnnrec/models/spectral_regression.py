"""Ridge regression from a user's edges into the SVD space of the interactions, and from there to items."""

import torch
from torch import Tensor

from gnnrec.graph.matrices import UserFeatures
from gnnrec.models.ridge import RidgeMap
from gnnrec.nn.init import Spectrum
from gnnrec.views import TrainingData, UserBatch


class SpectralRegression:
    """A linear map from a user's edges to its place among the singular vectors, and from there to items.

    Features are the user's attribute values and the other users it is linked to, weighted by rarity; the map is a
    ridge regression in closed form, fitted on training users. What a network of this size has to find by many small
    steps (which of a thousand correlated tags and friends to believe), this solves at once.

    Source: Gantner, Drumond, Freudenthaler, Rendle, Schmidt-Thieme, "Learning Attribute-to-Feature Mappings for
        Cold-Start Recommendations", ICDM 2010, section IV-B, and Sedhain et al., "Low-Rank Linear Cold-Start
        Recommendation from Social Data", AAAI 2017. Differs: maps to singular vectors of the balanced interactions
        instead of factors that were learned for this purpose.
    Shapes: B users -> [B, I].

    Args:
        train: the training users.
        spectrum: of the same users.
        regularization: weight of the squared coefficients, above 0.

    Raises:
        ConfigError: more than 8,000 training users and as many attribute values, see `RidgeMap`.
    """

    def __init__(self, train: TrainingData, spectrum: Spectrum, regularization: float) -> None:
        self._features = UserFeatures(train, friends=True, edge_weights="log", idf=True, normalise="length")
        self._map = RidgeMap(self._features(train.users), spectrum.user, regularization)
        self._items = torch.from_numpy(spectrum.item * spectrum.by_item[:, None]).float()  # [I, R]

    def __call__(self, users: UserBatch) -> Tensor:
        """[B, I] float32, at least 0: how strongly each item is expected."""
        place = torch.from_numpy(self._map(self._features(users))).float()  # [B, R]
        return (place @ self._items.t()).clamp(min=0)
