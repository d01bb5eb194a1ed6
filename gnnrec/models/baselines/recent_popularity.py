"""Recent popularity: the same order of items for everybody, in which what was chosen last counts most."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.options.search_space import Log, SearchSpace
from gnnrec.views import TestSet, TrainingData, UserBatch


class RecentPopularity:
    """Scores each item by its training interactions, each of which counts less the older it is.

    score(i) = sum over the interactions with i of 2 ** -(age / h), where age is the time from the interaction to the
    last one of training, and h is `half_life` times the time from the first to the last one.

    Source: Ji, Sun, Zhang, Li, "A Re-visit of the Popularity Baseline in Recommender Systems", SIGIR 2020, whose
        DecayPop counts months. Differs: the decay is continuous, and its half-life an option.
    Shapes: users B -> scores [B, I], all rows alike.

    Args:
        half_life: the age at which an interaction counts half, as a share of training's time; above 0. A large one
            gives popularity.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {"half_life": Log(0.003, 3)}

    def __init__(self, *, half_life: float = 0.1) -> None:
        if not half_life > 0:
            raise ValueError(f"half_life must be above 0, got {half_life}")
        self.half_life = half_life
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Adds up; nothing is chosen and nothing is drawn.

        Raises:
            ConfigError: the interactions have no times.
        """
        items = train.users.items
        if items.time is None:
            raise ConfigError(
                "RecentPopularity needs the time of each interaction, and the data have none; name a column of times "
                "in data.interactions.time, or use Popularity"
            )
        age = (items.time.max() - items.time).double()
        weight = torch.exp2(-age / (self.half_life * age.max().clamp(min=1)))
        count = torch.zeros(train.num_items, dtype=torch.float64)
        self._count = count.index_add_(0, items.node, weight).float()

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, the weighted counts."""
        return self._count.repeat(len(users), 1)
