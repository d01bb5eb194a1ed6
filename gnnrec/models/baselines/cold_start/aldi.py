"""ALDI: a network on features, the student, is fitted to a factorization of the interactions, the teacher."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from gnnrec.graph.matrices import Matrix, histories
from gnnrec.models.baselines.cold_start.fit import FitConfig, fit
from gnnrec.models.baselines.cold_start.start import SEARCHED, ALSConfig, Factors, FeatureConfig, SparseLinear
from gnnrec.options.search_space import Choice, Log, SearchSpace
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import CPU
from gnnrec.training.tracking import Tracker
from gnnrec.views import TestSet, TrainingData, UserBatch


class ALDI:
    """A student, with a tower of features and one of items, is aligned with a teacher, the vectors of a factorization.

    The student learns from the interactions, and to resemble the teacher in three ways: in its scores (rating
    distribution aligning), in how far a chosen item is above another one of the same user (ranking aligning), and in
    how far a user's vector is from those of others (identification aligning). In the last two, a teacher counts the
    more, the more items the user has chosen (teacher-qualifying weighting). A newcomer without items is scored by the
    student; one with known items by the teacher, with a fold-in.

    Source: Huang, Wang, Huang, Qian, Li, Chen, Aligning Distillation For Cold-start Item Recommendation, SIGIR 2023,
        doi 10.1145/3539618.3591732; default weights of the losses, and what the weighting applies to, as in the
        authors' code. Differs: turned round to cold users: users are students and teachers, items have the part of the
        paper's users; both items of a pair are of one user, since users are given lists of items; the teacher is ALS
        instead of BPR, its scores multiplied to serve as logits; each step draws as many pairs for every user of a
        batch; a user is told from all others of the batch; the weighting counts a user's items, not each one over its
        popularity; no batch normalisation; AdamW, whose weight decay stands in for the squared weights, and a running
        average of its weights.
    Shapes: users B, features A, pairs P, factors D -> vectors [B, D] -> scores [B, P] of a batch, [B, I] of users.

    Args:
        features: how attributes become features.
        als: the factorization.
        hidden: width of the hidden layer of both towers.
        pairs: pairs of a chosen item and another one that a step draws for each user.
        rating: weight of the rating distribution aligning.
        ranking: weight of the ranking aligning.
        identification: weight of the identification aligning.
        qualified: how soon a teacher counts fully: its weight is tanh(qualified n / m) for a user with n items, m being
            the mean of n, and stays as it is from the mean on; 0 makes every weight 1.
        scale: what the teacher's scores, about 1 for a chosen item, are multiplied by.
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
        "rating": Log(0.01, 10),
        "ranking": Log(0.01, 3),
        "identification": Log(0.001, 1),
        "qualified": Choice((0.0, 1.0, 4.0)),
        "scale": Log(1, 30),
    }

    def __init__(
        self,
        *,
        features: FeatureConfig = FeatureConfig(),  # noqa: B008  (frozen)
        als: ALSConfig = ALSConfig(),  # noqa: B008
        hidden: int = 128,
        pairs: int = 32,
        rating: float = 0.1,
        ranking: float = 0.9,
        identification: float = 0.05,
        qualified: float = 4.0,
        scale: float = 8.0,
        fit: FitConfig = FitConfig(learning_rate=0.003, ema_decay=0.97),  # noqa: B008
    ) -> None:
        for name, count in (("hidden", hidden), ("pairs", pairs)):
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        weights = {"rating": rating, "ranking": ranking, "identification": identification, "qualified": qualified}
        for name, number in weights.items():
            if not number >= 0:
                raise ValueError(f"{name} must be at least 0, got {number}")
        if not scale > 0:
            raise ValueError(f"scale must be above 0, got {scale}")
        self.features, self.als, self.hidden, self.pairs = features, als, hidden, pairs
        self.rating, self.ranking, self.identification = rating, ranking, identification
        self.qualified, self.scale, self.fit_config = qualified, scale, fit
        self.tracker = Tracker()
        self.placement = CPU
        self.best_params: dict[str, Any] = {}

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON."""
        names = ("hidden", "pairs", "rating", "ranking", "identification", "qualified", "scale")
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
        device = self.placement.device
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(seed, "weights"))
            self._net = Net(self._features.width, self.als.factors, self.hidden).to(device)
        users, self._items = balanced(self._factors.users, self._factors.items, self.scale)
        rows, own, items = self._features(train.users), users.to(device), self._items.to(device)
        chosen = histories(train.users, train.num_items).astype(np.float32)
        count = torch.bincount(train.users.items.row, minlength=train.num_users)
        # A user without items, or with all of them, has no pair.
        active = ((count > 0) & (count < train.candidates.sum())).nonzero().flatten()
        trusted = teacher_weight(count, count[active].double().mean(), self.qualified).to(device)

        def losses(generator: torch.Generator) -> Iterator[Tensor]:
            order = active[torch.randperm(len(active), generator=generator)]
            for batch in order.split(self.fit_config.batch_users):
                history = torch.from_numpy(chosen[batch.numpy()].toarray()) > 0
                drawn = draw_pairs(history, train.candidates, self.pairs, generator).to(device)  # [2, B, P]
                student, teacher, weight = self._net.users(rows[batch.numpy()]), own[batch], trusted[batch]
                found = inner_products(student, self._net.items(items[drawn]))  # [2, B, P]
                wanted = inner_products(teacher, items[drawn])
                gap, wanted_gap = found[0] - found[1], wanted[0] - wanted[1]
                yield (
                    supervised_loss(gap)
                    + self.rating * rating_loss(found, wanted)
                    + self.ranking * aligning_loss(gap, wanted_gap, weight[:, None])
                    + self.identification * aligning_loss(identity(student), identity(teacher), weight)
                )

        self.best_params = fit(
            self._net, losses, self.score, self.fit_config, train, validation, seed, self.tracker, self.placement
        )

    @torch.no_grad()
    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32: logits of the student, or of the teacher for a user with known items."""
        items = self._items.to(self._net.device)
        found: Tensor = self._net.users(self._features(users)) @ self._net.items(items).t()
        known = torch.bincount(users.items.row, minlength=len(users)) > 0
        teacher = self.scale * self._factors.fold_in(users) @ self._factors.items.t()
        return torch.where(known[:, None], teacher, found.cpu())

    def state_dict(self) -> dict[str, Any]:
        """What was fitted."""
        parts = {"features": self._features, "factors": self._factors}
        return {"net": self._net.state_dict(), "items": self._items, **parts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave."""
        self._features, self._factors, self._items = state["features"], state["factors"], state["items"]
        with torch.random.fork_rng():
            self._net = Net(self._features.width, self.als.factors, self.hidden)
        self._net.load_state_dict(state["net"])
        self._net.eval()


def balanced(users: Tensor, items: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Vectors whose inner products are `scale` times those of the given ones, users' as long as items' on the whole.

    Vectors of ALS are long on one side and short on the other, by its regularization; identification compares users
    with one another, in the unit of scores.

    Args:
        users: [U, D].
        items: [I, D].
        scale: above 0.
    """
    length = [vectors.square().sum(1)[vectors.any(1)].mean() for vectors in (users, items)]
    ratio = (length[1] / length[0]).sqrt()
    return users * (scale * ratio).sqrt(), items * (scale / ratio).sqrt()


def teacher_weight(count: Tensor, mean: Tensor, qualified: float) -> Tensor:
    """[U] float32, how much each user's teacher counts.

    Args:
        count: [U] int64, items of each user.
        mean: scalar, the mean of `count` over those who have any.
        qualified: see `ALDI`.

    Example:
        >>> teacher_weight(torch.tensor([0, 2, 4, 8]), torch.tensor(4.0), 1.0)
        tensor([0.0000, 0.4621, 0.7616, 0.7616])
    """
    if qualified == 0:
        return torch.ones(len(count))
    return (qualified * (count / mean).clamp(max=1)).tanh().float()


def draw_pairs(history: Tensor, candidates: Tensor, pairs: int, generator: torch.Generator) -> Tensor:
    """[2, B, P] int64, items that users have chosen, and candidates that they have not, drawn evenly.

    Args:
        history: [B, I] bool, at least one of each user and not all candidates.
        candidates: [I] bool.
        pairs: P.
        generator: source of the draws.
    """
    return torch.stack(
        [
            torch.multinomial(among.float(), pairs, replacement=True, generator=generator)
            for among in (history, candidates & ~history)
        ]
    )


def inner_products(users: Tensor, items: Tensor) -> Tensor:
    """[2, B, P], each of [B, D] users with its own of the [2, B, P, D] items."""
    return (users[:, None] * items).sum(-1)


def supervised_loss(gap: Tensor) -> Tensor:
    """BPR: -log sigmoid of how far the chosen item of each pair is above the other one, its mean over all pairs."""
    return softplus(-gap).mean()


def rating_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Distance of scores: |student - teacher| of both items of a pair, added up; the mean over [2, B, P] pairs."""
    return (student - teacher).abs().sum(0).mean()


def aligning_loss(student: Tensor, teacher: Tensor, weight: Tensor) -> Tensor:
    """Cross entropy between two sigmoids, the mean over logits of any shape; least where the logits are the same.

    Args:
        student: logits.
        teacher: logits, of the same shape.
        weight: of each logit; of a shape that broadcasts.
    """
    each = binary_cross_entropy_with_logits(student, teacher.sigmoid(), reduction="none")
    return (weight * each).mean()


def identity(vectors: Tensor) -> Tensor:
    """[B], how far each vector's squared length is above its mean inner product with the [B, D] vectors of the others.

    Example:
        >>> identity(torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 1.0]]))
        tensor([3.0000, 0.5000, 0.5000])
    """
    own = vectors.square().sum(1)
    others = vectors @ vectors.sum(0) - own
    return own - others / max(len(vectors) - 1, 1)


class Net(nn.Module):
    """The student's towers of users and items, each with one hidden layer.

    Args:
        features: A.
        factors: D.
        hidden: width of the hidden layers.
    """

    def __init__(self, features: int, factors: int, hidden: int) -> None:
        super().__init__()
        self.of_features, self.from_features = SparseLinear(features, hidden), nn.Linear(hidden, factors)
        self.items = nn.Sequential(nn.Linear(factors, hidden), nn.Tanh(), nn.Linear(hidden, factors))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.of_features.weight.device

    def users(self, features: Matrix) -> Tensor:
        """[B, D], from [B, A] features."""
        found: Tensor = self.from_features(self.of_features(features).tanh())
        return found
