"""A linear path beside the layers: items and users in a space that starts from closed forms."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gnnrec.errors import ConfigError
from gnnrec.graph.adjacency import Adjacency
from gnnrec.graph.block import Block
from gnnrec.graph.matrices import UserFeatures, histories, item_features
from gnnrec.nn.features import start_map
from gnnrec.views import INTERACTS, Edges, EdgeType, TrainingData, UserBatch, reverse

PENALTY = 10.0
"""Of the ridge regression that the first half of the space starts from; rows of features have length 1."""
CALIBRATED_ON, CALIBRATED_SCORES = 1000, 20_000_000
"""Training users on whom the sizes of both halves are found, and scores of items for them, about as many at most."""
PART = 16_384
"""Users whose histories are multiplied at once."""
MOST_COLUMNS = 10_000
"""Attribute values and features of items together: a dense system of so many equations is solved."""


def described(train: TrainingData) -> Tensor:
    """[I, F] float32, what describes each item: its attribute values, rare ones counting more, and its features.

    Attribute values together and each feature have rows of length about 1; the mean over the items that somebody chose
    is taken off.

    Raises:
        ConfigError: there are too many values.
    """
    matrix = item_features(train, idf=True, normalise="length")
    if matrix.shape[1] > MOST_COLUMNS:
        raise ConfigError(
            f"encoder.linear: items have {matrix.shape[1]:,} attribute values and features, at most {MOST_COLUMNS:,} "
            "are taken; name fewer in data.use or in the attributes of items, or set it to 0"
        )
    rows = matrix.toarray()
    seen = train.popularity.numpy() > 0
    return torch.from_numpy(rows - rows[seen].mean(axis=0) if seen.any() else rows).float()


class LinearPath(nn.Module):
    """Vectors of items and users that are linear in what is known of them.

    An item has a vector as a source, which it adds to the users who chose it, and one as a target, which users are
    compared with. Each is a row of a table, which a new item lacks, plus a linear map of what describes the item; so is
    the bias of a new item. A user's vector is the sum of its items' vectors, over the square root of their number.
    Where attribute values are read too, the sum begins with the vector of a user without history: the same for all,
    plus the sum of the vectors of its values over the square root of their number.

    Both start from closed forms, so that training can only add. In the first half of the space, inner products are
    those of a ridge regression from what describes items to each user's choices, in its `width / 2` leading directions:
    with X = P diag(s) Q', Z = P diag(s / sqrt(s^2 + penalty)) and the right singular vectors V of the histories times
    Z, both vectors of an item are its row of Z V. In the second half they are the item's place in a truncated SVD of
    the histories; for a new one, the prediction of that place by a ridge regression from its description. The vectors
    of values are those of a ridge regression from the values of training users to their vectors.

    Source: Izenman, Reduced-rank regression for the multivariate linear model, Journal of Multivariate Analysis 5
        (1975), with the penalty of Hoerl and Kennard (1970); Cremonesi et al., RecSys 2010, for the other half.
        Differs: the whole is trained on the objective of the encoder.
    Shapes: [I, F] descriptions -> items [I, L], users [B, L].

    Args:
        num_items: I.
        features: [I, F] float32, as of `described`.
        width: L.
        values: relation from users to attribute values -> number of values; those that are read.
        interpolated: those of these relations whose edges have weights, see `TrainingData`.
    """

    def __init__(
        self,
        num_items: int,
        features: Tensor,
        width: int,
        values: Mapping[EdgeType, int] | None = None,
        interpolated: Collection[EdgeType] = (),
    ) -> None:
        super().__init__()
        self.register_buffer("features", features, persistent=False)
        size = features.shape[1]
        self.source, self.target = (nn.Parameter(torch.zeros(num_items, width)) for _ in range(2))  # tables
        self.from_source, self.to_target = (nn.Parameter(torch.zeros(size, width)) for _ in range(2))  # maps
        self.to_bias, self.bias = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.zeros(()))
        self.value_counts, self.interpolated = dict(values or {}), tuple(interpolated)
        self._sources: Tensor | None = None
        if self.value_counts:
            self.values = nn.Parameter(torch.zeros(sum(self.value_counts.values()), width))  # relation after relation
            self.everybody = nn.Parameter(torch.zeros(width))

    features: Tensor

    def start(self, train: TrainingData, seed: int) -> None:
        """Takes the closed forms of the training users."""
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        from gnnrec.nn.init import decompose, start_vectors  # scikit-learn takes a second to import

        width, seen = self.source.shape[1], train.popularity > 0
        first = min(width // 2, self.features.shape[1])
        if first:
            with threadpool_limits(1, "blas"):  # with several threads the last bits differ
                weight = torch.from_numpy(self._ridge(train, seen, first)).float()
            for part in (self.from_source, self.to_target):
                part.data[:, :first] = weight
        vectors = start_vectors(decompose(train, width - first, seed), width - first)
        weight = start_map(self.features, vectors, seen)
        for table, part in ((self.source, self.from_source), (self.target, self.to_target)):
            part.data[:, first:] = weight
            table.data[:, first:] = (vectors - self.features @ weight) * seen[:, None]
        if seen.any():
            self.to_bias.data.copy_(self._biases(train.popularity, seen))
        self._calibrate(train, first)
        if self.value_counts:
            self._start_values(train)

    def _biases(self, popularity: Tensor, seen: Tensor) -> Tensor:
        """[F], a ridge regression from descriptions to popularity, times what makes its softmax likeliest.

        Of popularity itself, not of its logarithm: the head of a list hangs on the few items that many will choose.
        """
        count = popularity / popularity[seen].mean()
        weight = start_map(self.features, (count - 1)[:, None], seen)[:, 0]
        predicted, share = (self.features @ weight)[seen], count[seen] / count[seen].sum()
        return weight * max(
            (float(size) for size in 2.0 ** torch.arange(-4, 4, 0.5)),
            key=lambda size: float((share * (size * predicted).log_softmax(0)).sum()),
        )

    def _ridge(self, train: TrainingData, seen: Tensor, first: int) -> np.ndarray:
        """[F, L / 2], from a description to the leading directions of the ridge regression."""
        features, size = self.features.double().numpy(), self.features.shape[1]
        own = features[seen.numpy()]
        square, axes = np.linalg.eigh(own.T @ own + PENALTY * np.eye(size))
        half = axes / np.sqrt(square)  # [F, F], from a description to a row of Z
        rows, history, total = features @ half, histories(train.users, train.num_items), np.zeros((size, size))
        for part in range(0, train.num_users, PART):
            by_user = history[part : part + PART] @ rows
            total += by_user.T @ by_user
        found: np.ndarray = half @ np.linalg.eigh(total)[1][:, ::-1][:, :first]
        return found

    def sources(self) -> Tensor:
        """[I, L], the vectors of items that users are made of."""
        return self.source + self.features @ self.from_source

    def items(self) -> Tensor:
        """[I, L], the vectors of items that users are compared with."""
        return self.target + self.features @ self.to_target

    def new_items(self) -> tuple[Tensor, Tensor]:
        """[I, L] vectors and [I] biases of the items as if all were new: by what describes them alone."""
        return self.features @ self.to_target, self.features @ self.to_bias + self.bias

    def score_new(self, users: Tensor) -> Tensor:
        """[B, L] users -> [B, I], scores of the items as if all were new."""
        items, biases = self.new_items()
        return users @ items.T + biases

    def in_graph(self, block: Block, users: Tensor) -> Tensor:
        """[B, L], the vectors of training users ([B] int64, no user twice) from the edges that are visible."""
        values = {t: block.adjacency[reverse(t)].reaching(users) for t in self.value_counts}
        return self.users(block.adjacency[reverse(INTERACTS)].reaching(users), values)

    def precompute(self, block: Block) -> None:
        """Computes the sources once for all newcomers."""
        self._sources = self.sources()

    def attached(self, users: UserBatch) -> Tensor:
        """[B, L], the vectors of users who are not in the graph, after `precompute`."""
        assert self._sources is not None
        nothing = Edges(*torch.empty(2, 0, dtype=torch.int64))

        def to_users(edges: Edges, count: int, weight: Tensor | None = None) -> Adjacency:
            device = self.source.device
            weight = None if weight is None else weight.to(device)
            return Adjacency(torch.stack([edges.node, edges.row]).to(device), count, len(users), weight=weight)

        values = {}
        for t, count in self.value_counts.items():
            edges = users.relations.get(t, nothing)
            values[t] = to_users(edges, count, edges.weight if t in self.interpolated else None)
        return self.users(to_users(users.items, len(self.source)), values, self._sources)

    def extra(self) -> dict[str, Any]:
        """What `from_extra` needs besides the weights."""
        return {"sources": self._sources, "values": self.value_counts, "interpolated": self.interpolated}

    @classmethod
    def from_extra(cls, num_items: int, size: int, width: int, extra: Mapping[str, Any]) -> "LinearPath":
        """A path of the saved shape, for newcomers alone; its weights are still to be loaded.

        Args:
            num_items: I.
            size: F.
            width: L.
            extra: from `extra`.
        """
        path = cls(num_items, torch.empty(0, size), width, extra["values"], extra.get("interpolated", ()))
        path._sources = extra["sources"]
        return path

    def users(
        self, edges: Adjacency, values: Mapping[EdgeType, Adjacency] | None = None, sources: Tensor | None = None
    ) -> Tensor:
        """[B, L], the vectors of users.

        Args:
            edges: from items to the users.
            values: relation -> edges from attribute values to the users, where they are read.
            sources: as of `sources`, where they are computed already.
        """
        total = edges.sum(self.sources() if sources is None else sources)
        if values:
            total = total + self.newcomers(values)
        return total * edges.degree().clamp(min=1).rsqrt()[:, None]

    def newcomers(self, values: Mapping[EdgeType, Adjacency]) -> Tensor:
        """[B, L], the vectors of users without history; `values` as in `users`."""
        tables = dict(zip(self.value_counts, self.values.split(list(self.value_counts.values())), strict=True))
        total, count = self.everybody.new_zeros(()), self.everybody.new_zeros(())
        for edge_type, edges in values.items():
            total, count = total + edges.sum(tables[edge_type]), count + edges.degree()
        return self.everybody + total * count.clamp(min=1).rsqrt()[:, None]

    @torch.no_grad()
    def _start_values(self, train: TrainingData) -> None:
        """The ridge regression from attribute values to the vectors of the training users, and their mean."""
        edges = Adjacency(
            torch.stack([train.users.items.node, train.users.items.row]), train.num_items, len(train.users)
        )
        vectors, known = self.users(edges), edges.degree() > 0
        names = [edge_type[1] for edge_type in self.value_counts]
        bare = replace(train, values=())  # values alone, not their words
        rows = UserFeatures(bare, attributes=names, normalise="length")(train.users)
        mean = vectors[known].mean(0)
        self.everybody.copy_(mean)
        self.values.copy_(start_map(rows, vectors - mean, known))

    @torch.no_grad()
    def _calibrate(self, train: TrainingData, first: int) -> None:
        """Multiplies each half so that the softmax of its scores fits the other half of histories best."""
        most = max(1, min(CALIBRATED_ON, CALIBRATED_SCORES // train.num_items))
        users = train.users.take(torch.arange(train.num_users)[:: max(1, train.num_users // most)])
        shown = torch.arange(len(users.items)) % 2 == 0
        edge_index = torch.stack([users.items.node, users.items.row])
        edges = Adjacency(edge_index[:, shown], train.num_items, len(users))
        asked = users.items.take(~shown)
        known = torch.zeros(len(users), train.num_items, dtype=torch.bool)
        known[users.items.row[shown], users.items.node[shown]] = True
        out = known | (train.popularity == 0)
        start = (train.popularity + 0.1).log()
        sources, targets = self.sources(), self.items()
        for part in (slice(0, first), slice(first, None)):
            if not len(asked) or not sources[:, part].any():
                continue
            score = self.users(edges, sources=sources[:, part]) @ targets[:, part].T  # [B, I]
            unit = score[asked.row, asked.node].abs().mean().clamp(min=1e-12)

            def loss(size: float, score: Tensor = score) -> float:
                chance = (size * score + start).masked_fill(out, -torch.inf).log_softmax(1)
                return -float(chance[asked.row, asked.node].mean())

            size = min((float(step / unit) for step in 2.0 ** torch.arange(-4, 6)), key=loss)
            for parameter in (self.source, self.target, self.from_source, self.to_target):
                parameter.data[:, part] *= size**0.5
