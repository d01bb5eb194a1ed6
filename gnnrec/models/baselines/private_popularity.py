"""Popularity from one noisy sum of clipped histories: the least that a private model has to beat."""

from typing import Annotated, Any

import numpy as np
from pydantic import Field
from scipy import sparse
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.graph.matrices import as_scores
from gnnrec.privacy.accountant import Release, calibrated
from gnnrec.privacy.guarantee import guarantee
from gnnrec.privacy.moments import choices
from gnnrec.privacy.sums import NoiseSource, generator, noisy_products
from gnnrec.views import ITEM, TestSet, TrainingData, UserBatch


class PrivatePopularity:
    """Scores each item by a noisy number of training users who chose it, under differential privacy of whole users.

    A user's contribution are its items, of Euclidean norm at most 1 after division by sqrt(history_clip); the sum over
    users is released once by a Gaussian mechanism of sensitivity 1, see `gnnrec.privacy.sums.noisy_products`. Nothing
    else is read of training users.

    Source: Dwork, Roth, "The Algorithmic Foundations of Differential Privacy", 2014, section 3.5.3, with the
        accountant's noise instead of the one of theorem 3.22.
    Shapes: users B -> scores [B, I], all rows alike.

    Args:
        epsilon: of the fit; None adds no noise and guarantees nothing.
        delta: probability with which the guarantee may fail.
        declared: must name `item`, whose ids then count as public.
        history_clip: so many interactions of a user count in full; of one with n more, each counts
            sqrt(history_clip / n).
        noise: where random numbers come from.
    """

    supports_cold_users = True
    predicts_ratings = False

    def __init__(
        self,
        *,
        epsilon: Annotated[float, Field(gt=0)] | None = 4.0,
        delta: float = 1e-6,
        declared: tuple[str, ...] = (ITEM,),
        history_clip: float = 10.0,
        noise: NoiseSource = "seed",
    ) -> None:
        if not 0 < delta < 1 or not history_clip >= 1:
            raise ValueError(
                f"delta must lie between 0 and 1 and history_clip be at least 1, got {delta} and {history_clip}"
            )
        self.epsilon, self.delta, self.declared = epsilon, delta, declared
        self.history_clip, self.noise = history_clip, noise
        self.best_params: dict[str, Any] = {}
        self.guarantee: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Releases the counts; nothing is chosen.

        Raises:
            ConfigError: the ids of items are not declared public, or Opacus is not installed.
        """
        if ITEM not in self.declared:
            raise ConfigError(
                f"declared: must name {ITEM!r}, got {list(self.declared)}; its counts tell which ids there are"
            )
        release = Release(0.0 if self.epsilon is None else calibrated(self.epsilon, self.delta))
        random = generator(self.noise, seed, "privacy of popularity")
        everyone = sparse.csr_array(np.ones((train.num_users, 1)))
        items = choices(train.users, train.num_items, self.history_clip)
        self._popularity = as_scores(noisy_products(everyone, items, release.noise_multiplier, random))  # [1, I]
        self.guarantee = guarantee({"popularity": release}, self.epsilon, self.delta, self.declared, self.noise)

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, the noisy counts, in units of a user who counts in full by one item."""
        return self._popularity.repeat(len(users), 1)
