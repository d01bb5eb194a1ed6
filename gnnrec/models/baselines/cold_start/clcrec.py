"""CLCRec: an encoder of features that learns by contrast with users' own vectors and with the items they chose."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gnnrec.graph.adjacency import Adjacency
from gnnrec.graph.matrices import Matrix, histories
from gnnrec.models.baselines.cold_start.fit import FitConfig, fit
from gnnrec.models.baselines.cold_start.start import SEARCHED, FeatureConfig, SparseLinear
from gnnrec.options.search_space import Choice, Integer, Log, SearchSpace, Uniform
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import CPU
from gnnrec.training.tracking import Tracker
from gnnrec.views import TestSet, TrainingData, UserBatch


class CLCRec:
    """Users' own vectors, learned from their items, and an encoder of features that must find each user's own vector.

    The loss of a batch is (1 - feature_weight) times the contrast of users' items with all items, plus feature_weight
    times the contrast of each user's encoded features with the other users' ones. In the first term, the encoded
    features stand in the place of some users' own vectors. The vector of a newcomer is that of its encoded
    features; once items are known of it, their mean vector, less that of all items, is added.

    Source: Wei, Wang, Li, Nie, Li, Li, Chua, Contrastive Learning for Cold-Start Recommendation, MM 2021,
        arXiv:2107.05315, the contrastive pairs, the contrastive embedding and the contrastive optimization. Differs:
        users are cold, so that items play the part that users play in the paper. The anchor of the first contrast is
        still the user, since it is a user's items that are ranked, and all items take the place of drawn ones; the
        other users of the batch take the place of drawn ones in the second. A user's vector is replaced as a whole.
        AdamW and a running average of its weights, in place of a penalty. The paper has no newcomers with known items.
    Shapes: users B, features A, factors D -> vectors [B, D] -> scores [B, I].

    Args:
        features: how attributes become features.
        factors: entries of each vector.
        hidden: width of the encoder's hidden layer.
        temperature: divisor of the inner products (of the cosines, in the contrast of features) in each softmax.
        feature_weight: share of the contrast of features in the loss; the paper's lambda.
        replaced: share of a batch's users whose own vector is replaced by their encoded features.
        fit: how long and how fast it trains.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    chooses_on_validation = True
    search_space: ClassVar[SearchSpace] = {
        **{name: option for name, option in SEARCHED.items() if not name.startswith("als.")},
        "fit.weight_decay": Log(1e-2, 3),
        "factors": Integer(16, 128, log=True),
        "hidden": Choice((64, 128, 256)),
        "temperature": Log(0.1, 10),
        "feature_weight": Uniform(0.05, 0.9),
        "replaced": Uniform(0.2, 1.0),
    }

    def __init__(
        self,
        *,
        features: FeatureConfig = FeatureConfig(),  # noqa: B008  (frozen)
        factors: int = 64,
        hidden: int = 128,
        temperature: float = 2.0,
        feature_weight: float = 0.5,
        replaced: float = 0.8,
        fit: FitConfig = FitConfig(learning_rate=0.003, weight_decay=1.5, ema_decay=0.97),  # noqa: B008
    ) -> None:
        for name, size in (("factors", factors), ("hidden", hidden)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        for name, share in (("feature_weight", feature_weight), ("replaced", replaced)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {share}")
        self.features, self.factors, self.hidden, self.temperature = features, factors, hidden, temperature
        self.feature_weight, self.replaced, self.fit_config = feature_weight, replaced, fit
        self.tracker = Tracker()
        self.placement = CPU
        self.best_params: dict[str, Any] = {}

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON."""
        names = ("factors", "hidden", "temperature", "feature_weight", "replaced")
        parts = {"features": self.features, "fit": self.fit_config}
        return {
            **{name: getattr(self, name) for name in names},
            **{name: part.model_dump(mode="json") for name, part in parts.items()},
        }

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Trains; the epochs are chosen on the validation users.

        Raises:
            TrainingError: a loss is not a number.
        """
        self._features, device = self.features.of(train), self.placement.device
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(seed, "weights"))
            net = _Net(train.num_users, train.num_items, self._features.width, self.factors, self.hidden)
        self._net = net.to(device)
        rows, history = self._features(train.users), histories(train.users, train.num_items)
        active = torch.bincount(train.users.items.row, minlength=train.num_users).nonzero().flatten()

        def losses(generator: torch.Generator) -> Iterator[Tensor]:
            order = active[torch.randperm(len(active), generator=generator)]
            for batch in order.split(self.fit_config.batch_users):
                replaced = torch.rand(len(batch), 1, generator=generator) < self.replaced
                known = history[batch.numpy()].tocoo()
                row, node = (torch.from_numpy(one).long().to(device) for one in (known.row, known.col))
                own, encoded = self._net.users[batch.to(device)], self._net.encoded(rows[batch.numpy()])
                given = torch.where(replaced.to(device), encoded, own)
                of_items = interaction_loss(given, self._net.items, row, node, self.temperature)
                of_features = feature_loss(own, encoded, self.temperature)
                yield (1 - self.feature_weight) * of_items + self.feature_weight * of_features

        self.best_params = fit(
            self._net, losses, self.score, self.fit_config, train, validation, seed, self.tracker, self.placement
        )

    @torch.no_grad()
    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, higher for an item that the user would rather choose."""
        encoded, items = self._net.encoded(self._features(users)), self._net.items
        edges = Adjacency(torch.stack([users.items.node, users.items.row]), len(items), len(users))
        # Less the mean of all: what items have in common is their popularity, which the encoded features hold already.
        known = edges.to(items.device).mean(items - items.mean(0))
        found: Tensor = (encoded + known) @ items.t()
        return found.cpu()

    def state_dict(self) -> dict[str, Any]:
        """What was fitted, but for the training users' own vectors, which nobody is scored by."""
        weights = self._net.state_dict()
        return {"net": {**weights, "users": weights["users"][:0]}, "features": self._features}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave."""
        self._features = state["features"]
        num_users, num_items = (len(state["net"][name]) for name in ("users", "items"))
        with torch.random.fork_rng():
            self._net = _Net(num_users, num_items, self._features.width, self.factors, self.hidden)
        self._net.load_state_dict(state["net"])
        self._net.eval()


def interaction_loss(users: Tensor, items: Tensor, row: Tensor, node: Tensor, temperature: float) -> Tensor:
    """What each user's items lack of a softmax over all items, the mean over the interactions.

    Args:
        users: [B, D] float32.
        items: [I, D] float32.
        row: [E] int64, the user of each interaction, at least one.
        node: [E] int64, its item.
        temperature: divisor of the inner products.

    Returns:
        Scalar, at least 0.

    Example:
        >>> none = torch.zeros(1, 2)
        >>> interaction_loss(none, torch.ones(4, 2), torch.tensor([0]), torch.tensor([2]), 1.0).exp()
        tensor(4.)
    """
    return -(users @ items.t() / temperature).log_softmax(1)[row, node].mean()


def feature_loss(own: Tensor, encoded: Tensor, temperature: float) -> Tensor:
    """What each user's encoded features lack of a softmax over those of the batch, the mean over the users.

    Args:
        own: [B, D] float32, the users' own vectors.
        encoded: [B, D] float32, their features.
        temperature: divisor of the cosines.

    Returns:
        Scalar, at least 0; 0 for one user.
    """
    cosine = nn.functional.normalize(own, dim=1) @ nn.functional.normalize(encoded, dim=1).t()  # [B, B]
    return -(cosine / temperature).log_softmax(1).diagonal().mean()


class _Net(nn.Module):
    """Vectors of training users and of items, and the encoder of features, with one hidden layer."""

    def __init__(self, num_users: int, num_items: int, features: int, factors: int, hidden: int) -> None:
        super().__init__()
        self.users = nn.Parameter(torch.randn(num_users, factors) * 0.1)
        self.items = nn.Parameter(torch.randn(num_items, factors) * 0.1)
        self.of_features, self.from_features = SparseLinear(features, hidden), nn.Linear(hidden, factors)

    def encoded(self, features: Matrix) -> Tensor:
        """[B, D], from [B, A] features."""
        found: Tensor = self.from_features(nn.functional.leaky_relu(self.of_features(features)))
        return found
