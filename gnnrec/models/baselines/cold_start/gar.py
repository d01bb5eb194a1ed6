"""GAR: a generator makes users' vectors of features, against a recommender that ranks real vectors above them."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gnnrec.graph.matrices import Matrix, histories
from gnnrec.models.baselines.cold_start.fit import FitConfig, fit
from gnnrec.models.baselines.cold_start.start import SEARCHED, ALSConfig, Factors, FeatureConfig, SparseLinear
from gnnrec.options.search_space import Choice, Log, SearchSpace, Uniform
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import CPU
from gnnrec.training.tracking import Tracker
from gnnrec.views import TestSet, TrainingData, UserBatch


class GAR:
    """Two players: a generator of users' vectors, and a recommender on vectors of users and items.

    The recommender, two towers and their inner product, learns that an item that a user chose scores higher with the
    user's vector of a factorization than another item does, and than it does itself with the generated vector. The
    generator learns from features vectors that score as high as the real ones, and that are near them. A newcomer has
    its generated vector; once items are known of it, the vector that the factorization gives to them.

    Source: Chen, Wang, Huang, Huang, Xu, Lin, He, Li, Generative Adversarial Framework for Cold-Start Item
        Recommendation, SIGIR 2022, 10.1145/3477495.3531897, the adversarial framework, with the two losses weighted as
        in the authors' code (github.com/zfnWong/GAR). Differs: users are cold, so that the generated vectors are
        theirs; a chosen item is still compared with another item, since a user's items are ranked. The distance to the
        real vector is squared (absolute in the authors' code). Both players take each step at once, not in turns. No
        batch normalisation, but vectors of users and of items are divided by their root mean square; no dropout; AdamW
        and a running average of its weights. The paper has no newcomers with known items.
    Shapes: users B, features A, factors D -> vectors [B, D] -> scores [B, I].

    Args:
        features: how attributes become features.
        als: the factorization.
        hidden: width of the hidden layer of the generator and of both towers.
        alpha: share of the squared distance in the generator's loss.
        beta: share of the other item, against the generated vector, in what the recommender compares with.
        fit: how long and how fast it trains.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    chooses_on_validation = True
    search_space: ClassVar[SearchSpace] = {
        **SEARCHED,
        "fit.weight_decay": Log(1e-2, 3),
        "hidden": Choice((64, 128, 256)),
        "alpha": Uniform(0.02, 0.98),
        "beta": Uniform(0.5, 1.0),
    }

    def __init__(
        self,
        *,
        features: FeatureConfig = FeatureConfig(),  # noqa: B008  (frozen)
        als: ALSConfig = ALSConfig(factors=32, regularization=10.0),  # noqa: B008
        hidden: int = 128,
        alpha: float = 0.9,
        beta: float = 0.9,
        fit: FitConfig = FitConfig(learning_rate=0.001, weight_decay=1.0, ema_decay=0.97),  # noqa: B008
    ) -> None:
        if hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {hidden}")
        for name, share in (("alpha", alpha), ("beta", beta)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {share}")
        self.features, self.als, self.hidden = features, als, hidden
        self.alpha, self.beta, self.fit_config = alpha, beta, fit
        self.tracker = Tracker()
        self.placement = CPU
        self.best_params: dict[str, Any] = {}

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON."""
        numbers = {"hidden": self.hidden, "alpha": self.alpha, "beta": self.beta}
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
        rows, history = self._features(train.users), histories(train.users, train.num_items)
        users, items = (_scaled(one, one).to(device) for one in (self._factors.users, self._factors.items))
        active = torch.bincount(train.users.items.row, minlength=train.num_users).nonzero().flatten()

        def losses(generator: torch.Generator) -> Iterator[Tensor]:
            order = active[torch.randperm(len(active), generator=generator)]
            for batch in order.split(self.fit_config.batch_users):
                known = history[batch.numpy()].tocoo()
                row, node = (torch.from_numpy(one).long().to(device) for one in (known.row, known.col))
                other = torch.randint(train.num_items, (len(row),), generator=generator).to(device)
                real = users[batch.to(device)]
                yield two_losses(self._net, real, rows[batch.numpy()], items, row, node, other, self.alpha, self.beta)

        self.best_params = fit(
            self._net, losses, self.score, self.fit_config, train, validation, seed, self.tracker, self.placement
        )

    @torch.no_grad()
    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, higher for an item that the user would rather choose."""
        net, factors = self._net, self._factors
        device = net.generator.from_features.weight.device
        known = torch.bincount(users.items.row, minlength=len(users)).to(device) > 0
        folded = _scaled(factors.fold_in(users), factors.users).to(device)
        vectors = torch.where(known[:, None], folded, net.generator(self._features(users)))
        items = _scaled(factors.items, factors.items).to(device)
        found: Tensor = net.recommender.users(vectors) @ net.recommender.items(items).t()
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


def recommender_loss(chosen: Tensor, other: Tensor, generated: Tensor, beta: float) -> Tensor:
    """The mean of -log sigmoid(chosen - beta * other - (1 - beta) * generated).

    Args:
        chosen: [E] float32, scores of chosen items with real vectors of users.
        other: [E] float32, scores of other items with the same vectors.
        generated: [E] float32, scores of the chosen items with generated vectors of the same users.
        beta: share of the other item in what is compared with, in [0, 1].

    Example:
        >>> recommender_loss(torch.ones(1), torch.ones(1), torch.ones(1), 0.9).exp()
        tensor(2.)
    """
    return nn.functional.softplus(beta * other + (1 - beta) * generated - chosen).mean()


def generator_loss(chosen: Tensor, generated: Tensor, real: Tensor, vectors: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) times the mean of -log sigmoid(generated - chosen), plus alpha times the mean squared distance.

    Args:
        chosen: [E] float32, scores of chosen items with real vectors of users.
        generated: [E] float32, the same with generated vectors.
        real: [B, D] float32, the users' real vectors.
        vectors: [B, D] float32, the generated ones.
        alpha: share of the distance, in [0, 1].
    """
    ranked = nn.functional.softplus(chosen - generated).mean()
    return (1 - alpha) * ranked + alpha * (vectors - real).square().sum(1).mean()


def two_losses(
    net: "_Net",
    real: Tensor,
    features: Matrix,
    items: Tensor,
    row: Tensor,
    node: Tensor,
    other: Tensor,
    alpha: float,
    beta: float,
) -> Tensor:
    """The sum of both players' losses, whose gradient is, for each player's parameters, that of its own loss alone.

    Args:
        net: the players.
        real: [B, D] float32, the users' real vectors.
        features: [B, A], their features.
        items: [I, D] float32, the items' real vectors.
        row: [E] int64, the user of each interaction, at least one.
        node: [E] int64, its item.
        other: [E] int64, the item that it is compared with.
        alpha: as in `generator_loss`.
        beta: as in `recommender_loss`.

    Returns:
        Scalar.
    """
    vectors = net.generator(features)
    both = torch.cat([real, vectors.detach()])
    of_users, of_items = net.recommender.users(both), net.recommender.items(items)
    of_real, of_generated = of_users.split(len(real))
    chosen, unchosen = _scores(of_real, of_items, row, node), _scores(of_real, of_items, row, other)
    of_recommender = recommender_loss(chosen, unchosen, _scores(of_generated, of_items, row, node), beta)
    frozen = {name: one.detach() for name, one in net.recommender.users.named_parameters()}
    of_generated = torch.func.functional_call(net.recommender.users, frozen, (vectors,))
    generated = _scores(of_generated, of_items.detach(), row, node)
    return of_recommender + generator_loss(chosen.detach(), generated, real, vectors, alpha)


def _scores(users: Tensor, items: Tensor, row: Tensor, node: Tensor) -> Tensor:
    """[E] float32, the inner products of pairs."""
    return (users[row] * items[node]).sum(1)


def _scaled(vectors: Tensor, like: Tensor) -> Tensor:
    """Vectors divided by the root mean square of the entries of others."""
    return vectors / like.square().mean().sqrt().clamp(min=1e-12)


class _Generator(nn.Module):
    """Features to vectors of users, with one hidden layer."""

    def __init__(self, features: int, factors: int, hidden: int) -> None:
        super().__init__()
        self.of_features, self.from_features = SparseLinear(features, hidden), nn.Linear(hidden, factors)

    def forward(self, features: Matrix) -> Tensor:
        """[B, D]."""
        found: Tensor = self.from_features(self.of_features(features).tanh())
        return found


class _Recommender(nn.Module):
    """The towers of users and items, each with one hidden layer."""

    def __init__(self, factors: int, hidden: int) -> None:
        super().__init__()
        self.users, self.items = (
            nn.Sequential(nn.Linear(factors, hidden), nn.Tanh(), nn.Linear(hidden, factors)) for _ in range(2)
        )


class _Net(nn.Module):
    """Both players."""

    def __init__(self, features: int, factors: int, hidden: int) -> None:
        super().__init__()
        self.generator, self.recommender = _Generator(features, factors, hidden), _Recommender(factors, hidden)
