"""MeLU: a network whose last layers take a few gradient steps on what is known of a user before they score items."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gnnrec.graph.matrices import Matrix, histories
from gnnrec.models.baselines.cold_start.fit import FitConfig, fit
from gnnrec.models.baselines.cold_start.start import SEARCHED, FeatureConfig, SparseLinear
from gnnrec.options.search_space import Choice, Integer, Log, SearchSpace
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import CPU
from gnnrec.training.tracking import Tracker
from gnnrec.views import TestSet, TrainingData, UserBatch

ASKED = 50
"""Most items of a user that one step of training asks for; which ones is drawn anew in each epoch."""
_AT_ONCE = 2**23
"""Entries of the largest tensor while scores are computed: 32 MiB, of which there are a few."""
_NEVER = -1e9


class MeLU:
    """The score of an item is that of a small network on vectors of user and item, adapted to the user's known items.

    A user's vector is made from its features, an item has a vector and a bias of its own; the decision layers (one
    hidden layer on both, and an output) give the score. The local update takes gradient steps of the decision layers
    alone, by the loss of the user's known items; the global update changes everything, by the loss of the user's other
    items after the local one. Without known items there is no local update: features alone count.

    The loss of an item is `log(1 + sum_j exp(s_j - s_i))` over items j that are not the user's: the softmax of each
    item against all of those. They are drawn by popularity, and the logarithm of how often an item is drawn is taken
    from its score; the local update's are drawn once and kept.

    Source: Lee, Im, Jang, Cho, Chung, MeLU: Meta-Learned User Preference Estimator for Cold-Start Recommendation, KDD
        2019, section 3 and Algorithm 1; Finn, Abbeel, Levine, Model-Agnostic Meta-Learning, ICML 2017. Differs: items
        are ranked, by a softmax in the place of the squared error of ratings, since there are no ratings to predict,
        and the softmax compares the items of a list, which a cross-entropy of single items does not; items have vectors
        of their own in the place of their attributes' and a bias, which starts at log popularity; one hidden layer, so
        that all items can be scored; how many items are known in training varies, none among them; the local loss is
        the sum over the known items divided by at least `known`, not their mean, so that a single item takes a small
        step; the gradient goes through the local update (second order); AdamW, and a running average of its weights.
    Shapes: users B, features A, width D, hidden H -> adapted layers [B, H, D] -> scores [B, I].

    Args:
        features: how attributes become features.
        width: entries of the vectors of users and items.
        hidden: width of the hidden decision layer.
        local_rate: step size of the local update.
        local_steps: steps of the local update.
        known: most items that the local update is given in training, how many is drawn from 0 to this for each user;
            and what the sum of their losses is divided by at least.
        others: items that a user's items are compared with, in each of the two updates; all, where there are no more.
        fit: how long and how fast it trains.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    log_scores = True
    chooses_on_validation = True
    search_space: ClassVar[SearchSpace] = {
        **{name: option for name, option in SEARCHED.items() if not name.startswith("als.")},
        "width": Choice((16, 32, 64)),
        "hidden": Choice((16, 32, 64)),
        "local_rate": Log(0.1, 30),
        "local_steps": Integer(1, 3),
    }

    def __init__(
        self,
        *,
        features: FeatureConfig = FeatureConfig(),  # noqa: B008  (frozen)
        width: int = 32,
        hidden: int = 32,
        local_rate: float = 3.0,
        local_steps: int = 1,
        known: int = 10,
        others: int = 512,
        fit: FitConfig = FitConfig(learning_rate=0.01, weight_decay=0.1, ema_decay=0.97),  # noqa: B008
    ) -> None:
        least_one = {"width": width, "hidden": hidden, "local_steps": local_steps, "others": others}
        for name, number in least_one.items():
            if number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        if not local_rate > 0:
            raise ValueError(f"local_rate must be above 0, got {local_rate}")
        if known < 0:
            raise ValueError(f"known must be at least 0, got {known}")
        self.features, self.width, self.hidden = features, width, hidden
        self.local_rate, self.local_steps, self.known, self.others = local_rate, local_steps, known, others
        self.fit_config = fit
        self.tracker = Tracker()
        self.placement = CPU
        self.best_params: dict[str, Any] = {}

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON."""
        numbers = {
            name: getattr(self, name) for name in ("width", "hidden", "local_rate", "local_steps", "known", "others")
        }
        parts = {"features": self.features, "fit": self.fit_config}
        return {**numbers, **{name: part.model_dump(mode="json") for name, part in parts.items()}}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Trains; the epochs are chosen on the validation users.

        Raises:
            TrainingError: a loss is not a number.
        """
        self._features = self.features.of(train)
        device = self.placement.device
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(seed, "weights"))
            self._net = _Net(self._features.width, train.num_items, self.width, self.hidden)
        self._net.bias.data.copy_((train.popularity + 1).log())
        self._net.to(device)
        chance = (train.popularity + 1) * train.candidates
        self._others = drawn(chance, self.others, seeds.generator(seed, "others"))
        rows, history = self._features(train.users), histories(train.users, train.num_items)
        active = torch.bincount(train.users.items.row, minlength=train.num_users).nonzero().flatten()

        def losses(generator: torch.Generator) -> Iterator[Tensor]:
            order = active[torch.randperm(len(active), generator=generator)]
            for batch in order.split(self.fit_config.batch_users):
                some = batch.numpy()
                support, asked = split(history[some], self.known, generator)
                columns = drawn(chance, self.others, generator)
                own = torch.from_numpy(history[some].toarray() > 0)  # [B, I]
                user = self._net.of_features(rows[some])
                layers = self._adapted(user, support)
                yield self._loss(layers, user, asked, columns, own).mean()

        self.best_params = fit(
            self._net, losses, self.score, self.fit_config, train, validation, seed, self.tracker, self.placement
        )

    @torch.no_grad()
    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, logarithms of unnormalised probabilities."""
        num_items = len(self._net.bias)
        known = histories(users, num_items)
        rows, found = self._features(users), [torch.empty(0, num_items)]
        for batch in torch.arange(len(users)).split(max(_AT_ONCE // (num_items * self.hidden), 1)):
            some = batch.numpy()
            user = self._net.of_features(rows[some])
            layers = self._adapted(user, Items.of(known[some]))
            found.append((layers(user, self._net.items) + self._net.bias).cpu())
        return torch.cat(found)

    def _adapted(self, user: Tensor, support: "Items") -> "Layers":
        """The decision layers of each user after the local update; in training, a gradient leads through it."""
        own = torch.zeros(len(user), len(self._net.bias), dtype=torch.bool)
        own[support.mask.nonzero()[:, 0], support.node[support.mask]] = True
        through = torch.is_grad_enabled()
        with torch.enable_grad():
            layers = self._net.layers(len(user))
            for _ in range(self.local_steps if support.node.shape[1] else 0):
                loss = self._loss(layers, user, support, self._others, own, least=max(self.known, 1))
                layers = layers.step(loss, self.local_rate, through=through)
        return layers

    def _loss(
        self, layers: "Layers", user: Tensor, asked: "Items", others: "Drawn", own: Tensor, least: int = 1
    ) -> Tensor:
        """[B], of some items of each user against drawn ones; those that are the user's own ([B, I]) do not count."""
        net, device = self._net, user.device
        node, mask, column = asked.node.to(device), asked.mask.to(device), others.node.to(device)
        of_asked = layers(user, net.items[node]) + net.bias[node]  # [B, K]
        of_others = layers(user, net.items[column]) + net.bias[column] - others.log_times.to(device)  # [B, N]
        return against_others(of_asked, mask, of_others, own[:, others.node].to(device), least)

    def state_dict(self) -> dict[str, Any]:
        """What was fitted."""
        others = {"node": self._others.node, "log_times": self._others.log_times}
        return {"net": self._net.state_dict(), "features": self._features, "others": others}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave."""
        self._features, self._others = state["features"], Drawn(**state["others"])
        with torch.random.fork_rng():
            self._net = _Net(self._features.width, len(state["net"]["bias"]), self.width, self.hidden)
        self._net.load_state_dict(state["net"])
        self._net.eval()


@dataclass(frozen=True)
class Items:
    """Some items of each user, padded to the length of the longest list.

    Attributes:
        node: [B, K] int64, 0 where there is none.
        mask: [B, K] bool, where there is one.
    """

    node: Tensor
    mask: Tensor

    @staticmethod
    def of(history: Matrix) -> "Items":
        """All items of each row."""
        row, place = _places(history)
        return _padded(row, torch.from_numpy(history.indices.astype("int64")), place, history.shape[0])


@dataclass(frozen=True)
class Drawn:
    """Items that stand for all of them.

    Attributes:
        node: [N] int64, an item as often as it was drawn.
        log_times: [N] float32, the logarithm of how often an item is drawn on average.
    """

    node: Tensor
    log_times: Tensor


def drawn(chance: Tensor, count: int, generator: torch.Generator) -> Drawn:
    """Items drawn with replacement, or each item with a chance once where there are no more than `count`.

    Source: importance sampling: the sum over all items of exp(s) is, on average, the sum over the drawn ones of
        exp(s - log_times).

    Args:
        chance: [I] float32, at least 0; proportional to the chance of each item.
        count: N.
        generator: to draw from.
    """
    node = chance.nonzero().flatten()
    if len(node) <= count:
        return Drawn(node, torch.zeros(len(node)))
    node = chance.multinomial(count, replacement=True, generator=generator)
    return Drawn(node, (count * chance[node] / chance.sum()).log())


def split(history: Matrix, most: int, generator: torch.Generator) -> tuple[Items, Items]:
    """Splits each user's items at random into 0 to `most` known ones and those that are asked for.

    At least one item is asked for, and at most `ASKED`; the rest is in neither part.

    Args:
        history: [B, I], each row with at least one item.
        most: known items of a user.
        generator: to draw from.
    """
    row, place = _places(history)
    order = (row + torch.rand(len(row), generator=generator, dtype=torch.float64)).argsort()  # shuffled within a row
    node = torch.from_numpy(history.indices.astype("int64"))[order]
    size = torch.bincount(row, minlength=history.shape[0])
    count = torch.randint(0, most + 1, size.shape, generator=generator).minimum(size - 1)[row]  # [E]
    known, asked = place < count, (place >= count) & (place < count + ASKED)
    return (
        _padded(row[known], node[known], place[known], len(size)),
        _padded(row[asked], node[asked], (place - count)[asked], len(size)),
    )


def _places(history: Matrix) -> tuple[Tensor, Tensor]:
    """The row of each entry, and its place within the row: [E] int64 each."""
    first = torch.from_numpy(history.indptr.astype("int64"))
    row = torch.arange(len(first) - 1).repeat_interleave(first.diff())
    return row, torch.arange(len(row)) - first[row]


def _padded(row: Tensor, node: Tensor, place: Tensor, num_users: int) -> Items:
    shape = (num_users, int(place.max()) + 1 if len(place) else 0)
    items = Items(torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.bool))
    items.node[row, place], items.mask[row, place] = node, True
    return items


def against_others(asked: Tensor, mask: Tensor, others: Tensor, own: Tensor, least: int = 1) -> Tensor:
    """The mean over a user's items i of `log(1 + sum_j exp(s_j - s_i))`, over others j.

    Args:
        asked: [B, K] scores of the user's items.
        mask: [B, K] bool, which of them there are.
        others: [B, N] scores of items to compare with.
        own: [B, N] bool, which of those are the user's own and do not count.
        least: what the sum over the items is divided by at least.

    Returns:
        [B], 0 for a user without items.
    """
    total = others.masked_fill(own, _NEVER).logsumexp(1, keepdim=True)  # [B, 1]
    return (softplus(total - asked) * mask).sum(1) / mask.sum(1).clamp(min=least)


@dataclass(frozen=True)
class Layers:
    """Decision layers of B users, each with weights of its own.

    The hidden layer reads the user's vector and the item's, concatenated; its weight is kept in two parts, so that the
    part of the user is computed once, not for each item.

    Attributes:
        of_user: [B, H, D].
        of_item: [B, H, D].
        bias: [B, H].
        out: [B, H].
    """

    of_user: Tensor
    of_item: Tensor
    bias: Tensor
    out: Tensor

    def __call__(self, user: Tensor, items: Tensor) -> Tensor:
        """[B, N] scores, from [B, D] users and [N, D] items, or [B, N, D] where each user has items of its own."""
        base = (self.of_user @ user[:, :, None]) + self.bias[:, :, None]  # [B, H, 1]
        hidden = (self.of_item @ items.mT + base).relu()  # [B, H, N]
        scores: Tensor = (self.out[:, None] @ hidden)[:, 0]
        return scores

    def step(self, loss: Tensor, rate: float, *, through: bool) -> "Layers":
        """The layers after a step down the gradient of each user's loss ([B]), which depends on the user's alone.

        Args:
            loss: [B].
            rate: of the step.
            through: whether the gradient keeps its own graph, so that a loss of the result is differentiated twice.
        """
        parts = (self.of_user, self.of_item, self.bias, self.out)
        slopes = torch.autograd.grad(loss.sum(), parts, create_graph=through)
        return Layers(*(part - rate * slope for part, slope in zip(parts, slopes, strict=True)))


class _Net(nn.Module):
    """Vectors of users and items, and the decision layers that every user starts with."""

    def __init__(self, features: int, num_items: int, width: int, hidden: int) -> None:
        super().__init__()
        self.of_features = SparseLinear(features, width)
        self.items = nn.Parameter(torch.randn(num_items, width) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(num_items))
        self.of_user = nn.Parameter(torch.randn(hidden, width) * width**-0.5)
        self.of_item = nn.Parameter(torch.randn(hidden, width) * width**-0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.out = nn.Parameter(torch.randn(hidden) * hidden**-0.5)

    def layers(self, count: int) -> Layers:
        """The same layers for each of some users."""
        parts = (self.of_user, self.of_item, self.hidden_bias, self.out)
        return Layers(*(part.expand(count, *part.shape) for part in parts))
