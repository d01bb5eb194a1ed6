"""AGNN: preference vectors of newcomers, generated from their attributes, and a gated mean over users alike."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gnnrec.graph.adjacency import Adjacency
from gnnrec.graph.matrices import Matrix, histories
from gnnrec.models.baselines.cold_start.fit import FitConfig, fit
from gnnrec.models.baselines.cold_start.start import SEARCHED, FeatureConfig
from gnnrec.options.search_space import Choice, Integer, Log, SearchSpace, Uniform
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import CPU
from gnnrec.training.tracking import Tracker
from gnnrec.views import TestSet, TrainingData, UserBatch

_AT_ONCE = 2**22
"""Similarities that are computed at once: 32 MiB."""
_STEPS = 1_000_000
"""Cosines are compared in steps of one millionth, so that users who are equally similar are so on every machine."""


class AGNN:
    """An encoder of users by their attributes alone: interactions of values, a generated preference, users alike.

    Products of pairs of a user's attribute values make its attribute vector. Each training user has a preference
    vector; a variational autoencoder generates one from the attribute vector where there is none. Both vectors
    together are mixed, through two gates, with those of the training users with the nearest features. The score is the
    product with an item's vector, plus its bias, which starts at log popularity.

    Known items of a newcomer are not read: it is scored by its features alone, as the paper's users are. A training
    user who is asked about again is taken for a newcomer, too. In training, the preference vectors of a share of each
    batch are generated, as at test, and nobody is its own neighbour.

    Source: Qian, Liang, Li, Xiong, Attribute Graph Neural Networks for Strict Cold Start Recommendation, TKDE 2022
        (arXiv 1912.12398), the attribute interaction layer, the gated GNN layer and the eVAE; the reconstruction of the
        eVAE as in the authors' code, where what is generated is compared with the preference vector alone. Differs:
        items are ranked by a softmax over all of them, the paper predicts ratings; items are warm and have vectors in
        the place of their own attribute graph; the score is the inner product without the network beside it;
        neighbours are the nearest by attributes alone, all of them in each step, where the paper draws some by
        attributes and preferences, and a user is not among its own, as in the authors' code; training users are masked
        at random, the authors' code masks none; AdamW, and a running average of its weights.
    Shapes: users B, features A, neighbours K, width D -> vectors [B, D], of neighbours [B, K, D] -> scores [B, I].

    Args:
        features: how attributes become features.
        width: entries of all vectors.
        neighbours: training users alike that are read, at most; only those with something in common count.
        masked: share of a batch's users whose preference vector is generated, not their own.
        reconstruction: weight of the loss of the autoencoder.
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
        "width": Choice((32, 64, 128)),
        "neighbours": Integer(5, 80, log=True),
        "masked": Uniform(0.2, 1.0),
        "reconstruction": Log(1e-3, 1),
    }

    def __init__(
        self,
        *,
        features: FeatureConfig = FeatureConfig(),  # noqa: B008  (frozen)
        width: int = 64,
        neighbours: int = 20,
        masked: float = 0.5,
        reconstruction: float = 0.1,
        fit: FitConfig = FitConfig(learning_rate=0.006, ema_decay=0.97),  # noqa: B008
    ) -> None:
        for name, number in (("width", width), ("neighbours", neighbours)):
            if number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        if not 0 <= masked <= 1:
            raise ValueError(f"masked must be at least 0 and at most 1, got {masked}")
        if not reconstruction >= 0:
            raise ValueError(f"reconstruction must be at least 0, got {reconstruction}")
        self.features, self.width, self.neighbours = features, width, neighbours
        self.masked, self.reconstruction, self.fit_config = masked, reconstruction, fit
        self.tracker = Tracker()
        self.placement = CPU
        self.best_params: dict[str, Any] = {}

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON."""
        numbers = {name: getattr(self, name) for name in ("width", "neighbours", "masked", "reconstruction")}
        parts = {"features": self.features, "fit": self.fit_config}
        return {**numbers, **{name: part.model_dump(mode="json") for name, part in parts.items()}}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Looks up the neighbours, then trains; the epochs are chosen on the validation users.

        Raises:
            TrainingError: a loss is not a number.
        """
        self._features = self.features.of(train)
        active = np.flatnonzero(np.bincount(train.users.items.row.numpy(), minlength=train.num_users))
        self._rows = self._features(train.users)[active]  # [U, A], U with interactions
        history = histories(train.users, train.num_items)[active]
        device = self.placement.device
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(seed, "weights"))
            self._net = _Net(self._features.width, len(active), train.num_items, self.width)
        self._net.bias.data.copy_((train.popularity + 1).log())
        self._net.to(device)
        near, kept = nearest(self._rows, self._rows, self.neighbours, own=np.arange(len(active)))

        def losses(generator: torch.Generator) -> Iterator[Tensor]:
            for batch in torch.randperm(len(active), generator=generator).split(self.fit_config.batch_users):
                masked = (torch.rand(len(batch), 1, generator=generator) < self.masked).to(device)
                noise = torch.randn(len(batch), self.width, generator=generator).to(device)
                own = self._net.preference[batch.to(device)]
                attributes = self._net.attributes(self._rows[batch.numpy()])
                generated, off = self._net.generated(attributes, own, noise)
                vector = self._net.fused(torch.where(masked, generated, own), attributes)
                scores = self._scores(vector, near[batch], kept[batch])
                chosen = torch.from_numpy(history[batch.numpy()].toarray() > 0).to(device)
                yield (unlikely(scores, chosen) + self.reconstruction * off).mean()

        self.best_params = fit(
            self._net, losses, self.score, self.fit_config, train, validation, seed, self.tracker, self.placement
        )

    @torch.no_grad()
    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, logarithms of unnormalised probabilities."""
        rows = self._features(users)
        near, kept = nearest(rows, self._rows, self.neighbours)
        attributes = self._net.attributes(rows)
        generated = self._net.decoder(self._net.posterior(attributes)[0])
        return self._scores(self._net.fused(generated, attributes), near, kept).cpu()

    def _scores(self, vector: Tensor, near: Tensor, kept: Tensor) -> Tensor:
        """[B, I], from [B, D] vectors of users and their neighbours, [B, K] rows of training users and which count."""
        net, device = self._net, vector.device
        read, place = near.unique(return_inverse=True)
        theirs = net.fused(net.preference[read.to(device)], net.attributes(self._rows[read.numpy()]))
        final: Tensor = net.aggregated(vector, theirs[place.to(device)], kept.to(device))
        return final @ net.items.t() + net.bias

    def state_dict(self) -> dict[str, Any]:
        """What was fitted."""
        return {"net": self._net.state_dict(), "features": self._features, "rows": self._rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave."""
        self._features, self._rows = state["features"], state["rows"]
        with torch.random.fork_rng():
            size = (self._features.width, self._rows.shape[0], len(state["net"]["bias"]), self.width)
            self._net = _Net(*size)
        self._net.load_state_dict(state["net"])
        self._net.eval()


def nearest(queries: Matrix, known: Matrix, count: int, own: np.ndarray | None = None) -> tuple[Tensor, Tensor]:
    """The rows with the largest cosine, the first of those that are equally similar.

    Args:
        queries: [B, A], users.
        known: [U, A], training users.
        count: how many, at most.
        own: [B] int64, the row of each user itself, which is none of its neighbours; None where none is there.

    Returns:
        [B, K] int64 rows, the most similar first, K at most `count` and U; and [B, K] bool, whether the cosine is above
        0: others are no neighbours, and stand there to fill the places.
    """
    size, lengths = known.shape[0], _unit(known)
    count = min(count, size)
    rows, kept = [np.empty((0, count), np.int64)], [np.empty((0, count), bool)]
    step = max(_AT_ONCE // max(size, 1), 1)
    for start in range(0, queries.shape[0], step):
        part = _unit(queries[start : start + step]).toarray()
        similarity = np.rint((lengths @ part.T).T * _STEPS).astype(np.int64)  # [b, U]
        if own is not None:
            similarity[np.arange(len(part)), own[start : start + step]] = 0
        key = similarity * size - np.arange(size)  # no two of a row are equal
        best = np.argpartition(-key, count - 1, axis=1)[:, :count] if count else key[:, :0]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(key, best, 1), axis=1), 1)
        rows.append(best)
        kept.append(np.take_along_axis(similarity, best, 1) > 0)
    return torch.from_numpy(np.concatenate(rows)), torch.from_numpy(np.concatenate(kept))


def _unit(rows: Matrix) -> Matrix:
    """Each row divided by its length; a row of zeros stays."""
    length = np.sqrt((rows * rows).sum(axis=1))
    return sparse.csr_array(rows.multiply(1 / np.where(length > 0, length, 1)[:, None]))


def weighted_sums(rows: Matrix, values: Tensor) -> Tensor:
    """[B, D], the sum of the vectors of each row's features, times their values: a sparse [B, A] times [A, D]."""
    entries = rows.tocoo()
    edge_index = torch.from_numpy(np.stack([entries.col, entries.row]).astype(np.int64))
    weight = torch.from_numpy(entries.data.astype(np.float32))
    return Adjacency(edge_index, rows.shape[1], rows.shape[0], weight=weight).to(values.device).sum(values)


def pairs(rows: Matrix, values: Tensor) -> Tensor:
    """[B, D], the sum over pairs of a row's features of the products of their vectors, times their values.

    Source: He, Chua, Neural Factorization Machines for Sparse Predictive Analytics, SIGIR 2017, bi-interaction pooling.
    """
    squares = weighted_sums(sparse.csr_array(rows * rows), values.square())
    return (weighted_sums(rows, values).square() - squares) / 2


def unlikely(scores: Tensor, chosen: Tensor) -> Tensor:
    """[B], the mean over each user's items of minus the logarithm of the softmax over all items; both are [B, I]."""
    return -(scores.log_softmax(1) * chosen).sum(1) / chosen.sum(1)


class _Net(nn.Module):
    """Vectors of attribute values, training users and items, the autoencoder, and the gates."""

    def __init__(self, features: int, num_users: int, num_items: int, width: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.randn(features, width) * width**-0.5)
        self.preference = nn.Parameter(torch.randn(num_users, width) * width**-0.5)
        self.items = nn.Parameter(torch.randn(num_items, width) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(num_items))
        self.of_pairs, self.of_sum = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.encoder = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2 * width))
        self.decoder = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.fusion = nn.Linear(2 * width, width)
        self.aggregate_gate, self.filter_gate = nn.Linear(2 * width, width), nn.Linear(2 * width, width)

    def attributes(self, rows: Matrix) -> Tensor:
        """[B, D], from [B, A] features."""
        of_pairs = self.of_pairs(pairs(rows, self.values))
        return leaky_relu(of_pairs + self.of_sum(weighted_sums(rows, self.values)))

    def posterior(self, attributes: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of what a preference is generated from: [B, D] each."""
        mean, log_variance = self.encoder(attributes).chunk(2, dim=1)
        return mean, log_variance

    def generated(self, attributes: Tensor, own: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Preference vectors generated from [B, D] attribute vectors with [B, D] noise, and the autoencoder's loss.

        Returns:
            [B, D], and [B]: the divergence from a standard normal distribution, and the squared distance to `own`.
        """
        mean, log_variance = self.posterior(attributes)
        found: Tensor = self.decoder(mean + (log_variance / 2).exp() * noise)
        divergence = (log_variance.exp() + mean.square() - 1 - log_variance).sum(1) / 2
        return found, divergence + (found - own).square().sum(1)

    def fused(self, preference: Tensor, attributes: Tensor) -> Tensor:
        """[B, D], of both vectors together."""
        found: Tensor = self.fusion(torch.cat([preference, attributes], dim=1))
        return found

    def aggregated(self, own: Tensor, near: Tensor, kept: Tensor) -> Tensor:
        """[B, D], from a user's own [B, D] and its neighbours' [B, K, D], of which those in [B, K] count.

        The aggregate gate decides, for each neighbour and entry, how much is taken; the filter gate how much of the
        user's own vector is dropped, seeing the mean of its neighbours.
        """
        share = kept / kept.sum(1, keepdim=True).clamp(min=1)  # [B, K]
        both = torch.cat([own[:, None].expand_as(near), near], dim=2)  # [B, K, 2 D]
        taken = (share[:, :, None] * near * self.aggregate_gate(both).sigmoid()).sum(1)
        mean = (share[:, :, None] * near).sum(1)
        dropped = self.filter_gate(torch.cat([own, mean], dim=1)).sigmoid()
        return leaky_relu(own * (1 - dropped) + taken)
