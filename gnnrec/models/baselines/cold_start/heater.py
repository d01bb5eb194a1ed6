"""Heater: experts that turn features into vectors of a factorization, and networks that see either of both."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gnnrec.graph.matrices import Matrix, histories
from gnnrec.models.baselines.cold_start.fit import FitConfig, fit
from gnnrec.models.baselines.cold_start.start import SEARCHED, ALSConfig, Factors, FeatureConfig, SparseLinear
from gnnrec.options.search_space import Choice, Integer, Log, SearchSpace, Uniform
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import CPU
from gnnrec.training.tracking import Tracker
from gnnrec.views import TestSet, TrainingData, UserBatch

USER_LIMIT, ITEM_LIMIT = 1.0, 5.0
"""Where standardised vectors are cut off; users' within what a tanh can give."""


class Heater:
    """Two networks that predict interactions from vectors of a factorization, or from what experts make of features.

    Each expert is a layer from features to a vector; a gate, computed from the features too, adds the vectors up. The
    sum is drawn towards the user's vector of the factorization (the similarity constraint). In training, the networks
    are given the factorization's vector of some users, drawn anew in each step, and the experts' of all others
    (randomized training). A newcomer has only features; once items are known of it, a fold-in takes their place.

    Source: Zhu, Sefati, Saadatpanah, Caverlee, Recommendation for New Users and New Items via Randomized Training and
        Mixture-of-Experts Transformation, SIGIR 2020, doi 10.1145/3397271.3401178; scaling of the vectors and
        activations as in the authors' code. Differs: items have no features, since all of them are warm; the squared
        error is over all items, those that a user has not chosen with a weight, instead of over drawn ones; vectors
        are those of ALS instead of BPR; a user is drawn once in a step, for all of its items; no batch normalisation;
        AdamW, whose weight decay stands in for the squared weights, and a running average of its weights.
    Shapes: users B, features A, experts K, factors D -> K vectors [B, K, D] -> vectors [B, D] -> scores [B, I].

    Args:
        features: how attributes become features.
        als: the factorization.
        hidden: width of the hidden layer of both networks.
        experts: number of experts.
        warm: share of users, in expectation, whose vector of the factorization is given to the networks.
        similarity: weight of the squared distance between the experts' vector and that of the factorization.
        unobserved: weight of an item that a user has not chosen, against 1 of one that it has.
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
        "experts": Integer(1, 8),
        "warm": Uniform(0.2, 0.8),
        "similarity": Log(1e-5, 0.01),
        "unobserved": Log(0.01, 1),
    }

    def __init__(
        self,
        *,
        features: FeatureConfig = FeatureConfig(),  # noqa: B008  (frozen)
        als: ALSConfig = ALSConfig(),  # noqa: B008
        hidden: int = 128,
        experts: int = 5,
        warm: float = 0.5,
        similarity: float = 0.001,
        unobserved: float = 0.1,
        fit: FitConfig = FitConfig(learning_rate=0.003, ema_decay=0.97),  # noqa: B008
    ) -> None:
        for name, number in (("hidden", hidden), ("experts", experts)):
            if number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        if not 0 <= warm <= 1:
            raise ValueError(f"warm must be between 0 and 1, got {warm}")
        if not similarity >= 0:
            raise ValueError(f"similarity must be at least 0, got {similarity}")
        if not unobserved > 0:
            raise ValueError(f"unobserved must be above 0, got {unobserved}")
        self.features, self.als, self.hidden, self.experts = features, als, hidden, experts
        self.warm, self.similarity, self.unobserved = warm, similarity, unobserved
        self.fit_config = fit
        self.tracker = Tracker()
        self.placement = CPU
        self.best_params: dict[str, Any] = {}

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON."""
        names = ("hidden", "experts", "warm", "similarity", "unobserved")
        parts = {"features": self.features, "als": self.als, "fit": self.fit_config}
        return {
            **{name: getattr(self, name) for name in names},
            **{name: part.model_dump(mode="json") for name, part in parts.items()},
        }

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Factorizes, then trains; the epochs are chosen on the validation users.

        Raises:
            ConfigError: the library implicit is not installed.
            TrainingError: a loss is not a number.
        """
        self._features, self._factors = self.features.of(train), Factors(train, self.als, seed)
        self._of_users = _Scale(self._factors.users, USER_LIMIT)
        self._items = _Scale(self._factors.items, ITEM_LIMIT)(self._factors.items)
        device = self.placement.device
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(seed, "weights"))
            self._net = Net(self._features.width, self.als.factors, self.hidden, self.experts).to(device)
        rows, items = self._features(train.users), self._items.to(device)
        own = self._of_users(self._factors.users).to(device)
        chosen = histories(train.users, train.num_items).astype(np.float32)
        active = torch.bincount(train.users.items.row, minlength=train.num_users).nonzero().flatten()

        def losses(generator: torch.Generator) -> Iterator[Tensor]:
            order = active[torch.randperm(len(active), generator=generator)]
            for batch in order.split(self.fit_config.batch_users):
                drawn = torch.rand(len(batch), 1, generator=generator).to(device) < self.warm  # [B, 1]
                transformed = self._net.transform(rows[batch.numpy()])
                given = torch.where(drawn, own[batch], transformed)
                scores = self._net.users(given) @ self._net.items(items).t()
                target = torch.from_numpy(chosen[batch.numpy()].toarray()).to(device).clamp(max=1)  # [B, I]
                error = interaction_error(scores, target, self.unobserved)
                yield error + self.similarity * distance(transformed, own[batch])

        self.best_params = fit(
            self._net, losses, self.score, self.fit_config, train, validation, seed, self.tracker, self.placement
        )

    @torch.no_grad()
    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, about 1 for an item that the user would choose."""
        device = self._net.device
        known = (torch.bincount(users.items.row, minlength=len(users)) > 0).to(device)
        folded = self._of_users(self._factors.fold_in(users)).to(device)
        given = torch.where(known[:, None], folded, self._net.transform(self._features(users)))
        found: Tensor = self._net.users(given) @ self._net.items(self._items.to(device)).t()
        return found.cpu()

    def state_dict(self) -> dict[str, Any]:
        """What was fitted."""
        parts = {"features": self._features, "factors": self._factors, "of_users": self._of_users}
        return {"net": self._net.state_dict(), "items": self._items, **parts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave."""
        self._features, self._factors = state["features"], state["factors"]
        self._of_users, self._items = state["of_users"], state["items"]
        with torch.random.fork_rng():
            self._net = Net(self._features.width, self.als.factors, self.hidden, self.experts)
        self._net.load_state_dict(state["net"])
        self._net.eval()


def interaction_error(scores: Tensor, target: Tensor, unobserved: float) -> Tensor:
    """The squared error of predicted interactions, as a weighted mean.

    Args:
        scores: [B, I] float32.
        target: [B, I] float32, 1 for an item that the user has chosen, and 0.
        unobserved: weight where the target is 0; 1 where it is 1.

    Example:
        >>> interaction_error(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]]), 0.25)
        tensor(0.2000)
    """
    weight = unobserved + (1 - unobserved) * target
    return (weight * (scores - target).square()).sum() / weight.sum()


def distance(transformed: Tensor, vectors: Tensor) -> Tensor:
    """The similarity constraint: the squared distance of [B, D] from [B, D], its mean over the users."""
    return (transformed - vectors).square().sum(1).mean()


class _Scale:
    """Standardises each entry over the vectors that are not 0, and cuts off."""

    def __init__(self, vectors: Tensor, limit: float) -> None:
        known = vectors[vectors.any(1)]
        self.mean, self.spread = known.mean(0), known.std(0, correction=0).clamp(min=1e-12)
        self.limit = limit

    def __call__(self, vectors: Tensor) -> Tensor:
        """[B, D] from [B, D]."""
        return ((vectors - self.mean) / self.spread).clamp(-self.limit, self.limit)


class Net(nn.Module):
    """The experts and their gate, and the networks of users and items, each with one hidden layer.

    Args:
        features: A.
        factors: D.
        hidden: width of the hidden layers.
        experts: K.
    """

    def __init__(self, features: int, factors: int, hidden: int, experts: int) -> None:
        super().__init__()
        self.experts, self.gate = SparseLinear(features, experts * factors), SparseLinear(features, experts)
        self.users, self.items = (
            nn.Sequential(nn.Linear(factors, hidden), nn.Tanh(), nn.Linear(hidden, factors)) for _ in range(2)
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.gate.weight.device

    def transform(self, features: Matrix) -> Tensor:
        """[B, D], what the experts make of [B, A] features."""
        gate = self.gate(features).tanh()  # [B, K]
        vectors = self.experts(features).tanh().unflatten(1, (gate.shape[1], -1))  # [B, K, D]
        found: Tensor = (gate[:, :, None] * vectors).sum(1).tanh()
        return found
