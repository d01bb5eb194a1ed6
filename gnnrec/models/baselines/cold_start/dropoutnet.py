"""DropoutNet: a network on features and vectors of a factorization, of which vectors are left out in training."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gnnrec.graph.matrices import Matrix
from gnnrec.models.baselines.cold_start.fit import FitConfig, fit
from gnnrec.models.baselines.cold_start.start import SEARCHED, ALSConfig, Factors, FeatureConfig, SparseLinear
from gnnrec.options.search_space import Choice, SearchSpace, Uniform
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import CPU
from gnnrec.training.tracking import Tracker
from gnnrec.views import TestSet, TrainingData, UserBatch


class DropoutNet:
    """Two networks that give back the scores of a factorization, also where the user's vector is missing.

    In training, a user's own vector is left out (0 in its place), or is the mean vector of the user's items, or stays.
    Of a newcomer, features alone are read; once items are known of it, their mean vector stands in.

    Source: Volkovs, Yu, Poutanen, DropoutNet: Addressing Cold Start in Recommender Systems, NeurIPS 2017, sections 4.1
        to 4.3 and Algorithm 1. Differs: items have no features and are never left out, since all of them are warm; the
        squared error is over all items, not over drawn pairs; one hidden layer, no batch normalisation; AdamW, and a
        running average of its weights.
    Shapes: users B, features A, factors D -> vectors [B, D] -> scores [B, I].

    Args:
        features: how attributes become features.
        als: the factorization.
        hidden: width of the hidden layer of both networks.
        left_out: share of a batch's users whose vector is left out.
        by_items: share whose vector is the mean of their items; `left_out` and `by_items` are at most 1 together.
        fit: how long and how fast it trains.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    chooses_on_validation = True
    search_space: ClassVar[SearchSpace] = {
        **SEARCHED,
        "hidden": Choice((64, 128, 256)),
        "left_out": Uniform(0.2, 0.8),
    }

    def __init__(
        self,
        *,
        features: FeatureConfig = FeatureConfig(),  # noqa: B008  (frozen)
        als: ALSConfig = ALSConfig(),  # noqa: B008
        hidden: int = 128,
        left_out: float = 0.5,
        by_items: float = 0.2,
        fit: FitConfig = FitConfig(learning_rate=0.003, ema_decay=0.97),  # noqa: B008
    ) -> None:
        if hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {hidden}")
        if left_out < 0 or by_items < 0 or left_out + by_items > 1:
            raise ValueError(
                f"left_out and by_items must be at least 0 and at most 1 together, got {left_out} and {by_items}"
            )
        self.features, self.als, self.hidden = features, als, hidden
        self.left_out, self.by_items, self.fit_config = left_out, by_items, fit
        self.tracker = Tracker()
        self.placement = CPU
        self.best_params: dict[str, Any] = {}

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON."""
        numbers = {"hidden": self.hidden, "left_out": self.left_out, "by_items": self.by_items}
        parts = {"features": self.features, "als": self.als, "fit": self.fit_config}
        return {**numbers, **{name: part.model_dump(mode="json") for name, part in parts.items()}}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Factorizes, then trains; the epochs are chosen on the validation users.

        Raises:
            ConfigError: the library implicit is not installed.
            TrainingError: a loss is not a number.
        """
        self._features, self._factors = self.features.of(train), Factors(train, self.als, seed)
        device = self.placement.device
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(seed, "weights"))
            self._net = _Net(self._features.width, self.als.factors, self.hidden).to(device)
        rows, target = self._features(train.users), self._factors.items.to(device)
        own, by_items = self._factors.users.to(device), self._factors.mean_of_items(train.users).to(device)
        active = torch.bincount(train.users.items.row, minlength=train.num_users).nonzero().flatten()

        def losses(generator: torch.Generator) -> Iterator[Tensor]:
            order = active[torch.randperm(len(active), generator=generator)]
            for batch in order.split(self.fit_config.batch_users):
                draw = torch.rand(len(batch), 1, generator=generator).to(device)
                replaced = torch.where(draw < self.left_out + self.by_items, by_items[batch], own[batch])
                given = torch.where(draw < self.left_out, torch.zeros(()), replaced)
                scores = self._net.users(given, rows[batch.numpy()]) @ self._net.items(target).t()
                yield (scores - own[batch] @ target.t()).square().mean()

        self.best_params = fit(
            self._net, losses, self.score, self.fit_config, train, validation, seed, self.tracker, self.placement
        )

    @torch.no_grad()
    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, about 1 for an item that the user would choose."""
        device = self._net.of_items.weight.device
        given = self._factors.mean_of_items(users).to(device)
        found: Tensor = (
            self._net.users(given, self._features(users)) @ self._net.items(self._factors.items.to(device)).t()
        )
        return found.cpu()

    def state_dict(self) -> dict[str, Any]:
        """What was fitted."""
        return {"net": self._net.state_dict(), "features": self._features, "factors": self._factors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave."""
        self._features, self._factors = state["features"], state["factors"]
        with torch.random.fork_rng():
            self._net = _Net(self._features.width, self.als.factors, self.hidden)
        self._net.load_state_dict(state["net"])
        self._net.eval()


class _Net(nn.Module):
    """The networks of users and items, each with one hidden layer."""

    def __init__(self, features: int, factors: int, hidden: int) -> None:
        super().__init__()
        self.of_features, self.of_users = SparseLinear(features, hidden), nn.Linear(factors, hidden, bias=False)
        self.of_items = nn.Linear(factors, hidden)
        self.from_users, self.from_items = nn.Linear(hidden, factors), nn.Linear(hidden, factors)

    def users(self, vectors: Tensor, features: Matrix) -> Tensor:
        """[B, D], from [B, D] vectors, 0 where left out, and [B, A] features."""
        found: Tensor = self.from_users((self.of_users(vectors) + self.of_features(features)).tanh())
        return found

    def items(self, vectors: Tensor) -> Tensor:
        """[I, D]."""
        found: Tensor = self.from_items(self.of_items(vectors).tanh())
        return found
