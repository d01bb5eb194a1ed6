"""A linear path beside the layers that starts from a regression: from all that is known of a user to items."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import linalg, sparse
from torch import Tensor, nn

from gnnrec.graph.adjacency import Adjacency
from gnnrec.graph.block import Block
from gnnrec.graph.matrices import Matrix, UserFeatures, histories, links
from gnnrec.runtime import seeds
from gnnrec.splits.bins import to_knots
from gnnrec.views import INTERACTS, Edges, EdgeType, TrainingData, UserBatch, reverse

KNOWN = (1, 2, 5, 10, 20, 50)
"""Numbers of known items that errors are expected over, all alike, beside users without any."""
NONE = 0.5
"""What users without a known item count."""
MOST_ITEMS, MOST_VALUES = 6_000, 4_000
"""The most frequent items and values that the regression reads; a dense system of so many equations is solved."""
OF_ITEMS, OF_VALUES, OF_FRIENDS, OF_CONSTANT = 1.0, 3.0, 1.0, 1e-3
"""Penalties of squared coefficients."""
ITERATIONS, MORE = 5, 16
"""Steps of the subspace iteration, and directions that it follows beside those that are kept."""
CALIBRATED_ON, CALIBRATED_SCORES = 1000, 2_000_000
"""Training users on whom gains are found, at most, and their scores, about."""
FLOORS = (0.03, 0.1, 0.3, 1.0)
"""What is tried of what is added to an item's popularity, as a share of the largest."""
STEPS = 15
"""Of the search for gains; the likelihood is concave in them."""


class RegressionPath(nn.Module):
    """Vectors of users that are linear in what is known of them: items, attribute values, histories of friends.

    A user's vector has two parts. The first is the sum of a vector of each known item over the root of their number.
    The second is the sum of the vectors of its values, weighted as `UserFeatures` does by rarity and the logarithm of
    edge weights, with rows of length 1, plus the mean over its friends of the sum over a friend's items, with other
    vectors and over the root of their number. Both are multiplied by gains that depend on the number of known items,
    and added. Items are compared with the sum by vectors of their own.

    It starts from a closed form: the reduced-rank ridge regression from these inputs to the histories of the training
    users. Of a training user no item is known, with the chance `NONE`, else k random ones; the expected squared error
    over these draws and over k in `KNOWN` is minimised, as the denoising regression does it for one k. The error of an
    item is divided by the root of its popularity. No matrix of inputs by items is made: subspace iteration finds the
    directions. As a logit, beside the logarithm of popularity, an expected interaction is divided by the root of
    popularity and a floor; floor and gains are the likeliest for training users, each predicted as if it had been left
    out of the regression.

    Source: Izenman, Reduced-rank regression for the multivariate linear model, Journal of Multivariate Analysis 5
        (1975); Steck, Autoencoders that don't overfit towards the Identity, NeurIPS 2020; Jeunen, Van Balen, Goethals,
        Closed-Form Models for Collaborative Filtering with Side-Information, RecSys 2020. Differs: one map for all
        numbers of known items; friends by their histories, so that no user owns a column; all of it is trained
        afterwards on the objective of the encoder.
    Shapes: what is known of B users -> [B, L]; items [I, L].

    Args:
        num_items: I.
        width: L.
        features: turns users into rows of their values.
        friends: the relations between users.
    """

    def __init__(self, num_items: int, width: int, features: UserFeatures, friends: Sequence[EdgeType]) -> None:
        super().__init__()
        self.source, self.target = Scaled(num_items, width), Scaled(num_items, width)
        self.values = Scaled(features.width, width)
        self.of_friends = Scaled(num_items if friends else 0, width)
        self.gains = nn.Parameter(torch.ones(1 + len(KNOWN), 2))
        self.features, self.friends = features, tuple(friends)
        self._side: Adjacency | None = None
        self._places: Tensor | None = None

    @classmethod
    def of(cls, train: TrainingData, width: int, seed: int) -> "RegressionPath":
        """The path of some training data, at its start."""
        features = UserFeatures(replace(train, values=()), edge_weights="log", idf=True, normalise="length")
        path = cls(train.num_items, width, features, train.user_types)
        path._side = _adjacency(features(train.users))
        found = _Regression(train, features, width, seed)
        path.gains.data.copy_(found.gains)
        for part, start in zip((path.source, path.target, path.values, path.of_friends), found.starts(), strict=True):
            part.start(torch.from_numpy(start[: len(part.weight)]).float())
        return path

    def items(self) -> Tensor:
        """[I, L], the vectors that users are compared with."""
        return self.target()

    def in_graph(self, block: Block, users: Tensor, origin: Tensor) -> Tensor:
        """[B, L], the vectors of training users from the edges that are visible.

        Args:
            block: the graph.
            users: [B] int64, no user twice.
            origin: [B] int64, the same users as rows of the training users.
        """
        assert self._side is not None
        if self._side.pointer.device != users.device:
            self._side = self._side.to(users.device)
        known = block.adjacency[reverse(INTERACTS)].reaching(users)
        rest = self._side.reaching(origin).sum(self.values())
        if self.friends:
            rest = rest + _mean_of([block.adjacency[t].reaching(users) for t in self.friends], self._of_friends(block))
        return self._joined(known, self.source(), rest)

    def precompute(self, block: Block) -> None:
        """Computes what newcomers read of their friends."""
        self._places = self._of_friends(block) if self.friends else None

    def attached(self, users: UserBatch) -> Tensor:
        """[B, L], the vectors of users who are not in the graph, after `precompute`."""
        source, size = self.source(), len(users)
        device = source.device
        known = Adjacency(torch.stack([users.items.node, users.items.row]).to(device), len(source), size)
        rest = _adjacency(self.features(users)).to(device).sum(self.values())
        if self._places is not None:
            nothing = Edges(*torch.empty(2, 0, dtype=torch.int64))
            edges = [users.relations.get(t, nothing) for t in self.friends]
            ends = [torch.stack([e.node, e.row]).to(device) for e in edges]
            rest = rest + _mean_of([Adjacency(one, len(self._places), size) for one in ends], self._places)
        return self._joined(known, source, rest)

    def _joined(self, known: Adjacency, source: Tensor, rest: Tensor) -> Tensor:
        """[B, L], both parts with their gains."""
        gains = _near(known.degree()) @ self.gains
        return gains[:, :1] * _over_root(known, source) + gains[:, 1:] * rest

    def _of_friends(self, block: Block) -> Tensor:
        """[U, L], what users bring to their friends."""
        return _over_root(block.adjacency[reverse(INTERACTS)], self.of_friends())

    def extra(self) -> dict[str, Any]:
        """What `from_extra` needs besides the weights."""
        return {"features": self.features, "friends": self.friends, "places": self._places}

    @classmethod
    def from_extra(cls, num_items: int, width: int, extra: dict[str, Any]) -> "RegressionPath":
        """A path of the saved shape, for newcomers alone; its weights are still to be loaded."""
        path = cls(num_items, width, extra["features"], extra["friends"])
        path._places = extra["places"]
        return path


class Scaled(nn.Module):
    """A table whose entries are learned in units of their size at the start, so that a step is as large for each table.

    Args:
        rows: N.
        width: L.
    """

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows, width))
        self.register_buffer("unit", torch.ones(()))

    unit: Tensor

    def start(self, values: Tensor) -> None:
        """Begins at some values ([N, L'] float32 with L' at most L); the mean square of those that are not 0 is 1."""
        some = values[values != 0]
        if len(some):
            self.unit.copy_(some.square().mean().sqrt())
        self.weight.data[:, : values.shape[1]] = values / self.unit

    def forward(self) -> Tensor:
        """[N, L], the values."""
        return self.unit * self.weight


def _near(count: Tensor) -> Tensor:
    """[B, 1 + K], the weights of no item and of `KNOWN`, for numbers of known items: a line between two of them."""
    knots = tuple(float(np.log1p(k)) for k in (0, *KNOWN))
    knot, weight = to_knots(np.log1p(count.detach().cpu().numpy().astype(np.float64)), knots)
    near = np.zeros((len(count), len(knots)), np.float32)
    np.add.at(near, (np.arange(len(count))[:, None], knot), weight)
    return torch.from_numpy(near).to(count.device)


def _adjacency(rows: Matrix) -> Adjacency:
    """The entries of a sparse matrix [B, N] as weighted edges from columns to rows."""
    entries = rows.tocoo()
    edge_index = torch.from_numpy(np.stack([entries.col, entries.row]).astype(np.int64))
    weight = torch.from_numpy(entries.data.astype(np.float32))
    return Adjacency(edge_index, rows.shape[1], rows.shape[0], weight=weight)


def _over_root(edges: Adjacency, x: Tensor) -> Tensor:
    """The sums over the targets' sources, over the root of their number."""
    return edges.sum(x) * edges.degree().clamp(min=1).rsqrt()[:, None]


def _mean_of(relations: Sequence[Adjacency], x: Tensor) -> Tensor:
    """The means over the sources of all relations together."""
    total = torch.stack([edges.sum(x) for edges in relations]).sum(0)
    return total / torch.stack([edges.degree() for edges in relations]).sum(0).clamp(min=1)[:, None]


@dataclass(frozen=True)
class _Draws:
    """Of each training user, over the draws of its known items.

    Attributes:
        mean: [U], the expected entry of the scaled history of an item that it chose.
        product: [U], the expected product of the entries of two such items, had they been drawn apart.
        noise: [U], what the expected square of one entry has beyond that.
    """

    mean: np.ndarray
    product: np.ndarray
    noise: np.ndarray

    @classmethod
    def of(cls, count: np.ndarray) -> "_Draws":
        """From the users' numbers of items."""
        chance = np.minimum(np.array(KNOWN)[:, None] / np.maximum(count, 1), 1)  # [K, U]
        size = 1 / np.sqrt(np.minimum(np.array(KNOWN)[:, None], np.maximum(count, 1)))
        share = (1 - NONE) / len(KNOWN)
        entry = chance * size
        return cls(*(share * one.sum(0) for one in (entry, entry**2, entry * size - entry**2)))


class _Regression:
    """The closed form that a path starts from."""

    def __init__(self, train: TrainingData, features: UserFeatures, width: int, seed: int) -> None:
        self._history = histories(train.users, train.num_items)
        self._side = features(train.users)
        count = np.asarray(self._history.sum(axis=1)).ravel()
        self._items = _most(np.asarray(self._history.sum(axis=0)).ravel(), MOST_ITEMS)
        self._values = _most(np.asarray(self._side.astype(bool).sum(axis=0)).ravel(), MOST_VALUES)
        self._popularity = np.maximum(np.asarray(self._history.mean(axis=0)).ravel(), 1e-12)
        self._root = np.sqrt(self._popularity / self._popularity.max())  # [I]
        self._target = sparse.csr_array(self._history @ sparse.diags_array(1 / np.maximum(self._root, 1e-3)))
        self._friends, self._basis = self._of_friends(train, count, width, seed)
        self._own = self._history[:, self._items]
        self._constant = np.ones((len(count), 1))
        self._solve(_Draws.of(count), width, seed)
        self._calibrate()

    def _of_friends(self, train: TrainingData, count: np.ndarray, width: int, seed: int) -> tuple[Any, Any]:
        """[U, R], the mean of the friends' places among the singular vectors of scaled histories, and [R, I] these."""
        if not train.user_types:
            return np.zeros((len(count), 0)), np.zeros((0, train.num_items))
        from sklearn.utils.extmath import randomized_svd

        scaled = sparse.csr_array(sparse.diags_array(1 / np.sqrt(np.maximum(count, 1))) @ self._history)
        rank = max(1, min(width, min(scaled.shape) - 1))
        _, _, basis = randomized_svd(scaled, rank, random_state=seeds.integer(seed, "friends") % 2**32)
        edges = links(train.users, train)
        mean = sparse.csr_array(sparse.diags_array(1 / np.maximum(edges.sum(axis=1), 1)) @ edges)
        return mean @ (scaled @ basis.T), basis

    def _rows(self, known: Matrix, users: np.ndarray | slice) -> Matrix:
        """[B, A], inputs of some training users with these known items."""
        others = self._side[users][:, self._values], self._friends[users], self._constant[users]
        parts: list[Any] = [known, *(sparse.csr_array(one) for one in others)]
        return sparse.csr_array(sparse.hstack(parts))

    def _solve(self, draws: _Draws, width: int, seed: int) -> None:
        self._inputs = self._rows(sparse.csr_array(sparse.diags_array(draws.mean) @ self._own), slice(None))
        gram = (self._inputs.T @ self._inputs).toarray()
        size = len(self._items)
        varying = sparse.diags_array(draws.product - draws.mean**2)
        gram[:size, :size] += (self._own.T @ varying @ self._own).toarray()
        gram[np.arange(size), np.arange(size)] += self._own.T @ draws.noise
        penalties = (OF_ITEMS, OF_VALUES, OF_FRIENDS, OF_CONSTANT)
        sizes = (size, len(self._values), self._friends.shape[1], 1)
        gram[np.diag_indices_from(gram)] += np.repeat(penalties, sizes)
        self._factor = linalg.cholesky(gram, lower=True, overwrite_a=True, check_finite=False)
        rank = min(width + MORE, len(gram), self._target.shape[1])
        block = seeds.numpy_generator(seed, "regression").normal(size=(self._target.shape[1], rank))
        for _ in range(ITERATIONS):
            half, _ = np.linalg.qr(self._half(self._inputs.T @ (self._target @ block)))  # [A, R]
            block = self._target.T @ (self._inputs @ self._half(half, turned=True))  # [I, R]
        left, values, right = np.linalg.svd(block, full_matrices=False)
        self._directions = left[:, :width]  # [I, L]
        self._weights = self._half(half @ (right[:width].T * values[:width]), turned=True)  # [A, L]

    def _half(self, x: np.ndarray, *, turned: bool = False) -> np.ndarray:
        """The Cholesky factor's inverse, or its transpose's, times x."""
        solved: np.ndarray = linalg.solve_triangular(
            self._factor, x, lower=True, trans="T" if turned else "N", check_finite=False
        )
        return solved

    def starts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The vectors of items as sources and as targets, of values, and of items as sources of friends."""
        first, second = len(self._items), len(self._items) + len(self._values)
        third = second + self._friends.shape[1]
        width = self._weights.shape[1]
        source, values = np.zeros((len(self._root), width)), np.zeros((self._side.shape[1], width))
        source[self._items], values[self._values] = self._weights[:first], self._weights[first:second]
        return source, self._targets(self._floor), values, self._basis.T @ self._weights[second:third]

    def _targets(self, floor: float) -> np.ndarray:
        """[I, L], so that inner products are what is added to the logarithm of popularity."""
        share = self._popularity / self._popularity.max()
        found: np.ndarray = self._directions * np.sqrt(share / (share + floor))[:, None]
        return found

    def _calibrate(self) -> None:
        """Finds the likeliest floor, and gains for each number of known items."""
        most = max(1, min(CALIBRATED_ON, CALIBRATED_SCORES // self._history.shape[1]))
        users = np.arange(self._history.shape[0])[:: max(1, self._history.shape[0] // most)]
        mean = self._inputs[users]
        solved = self._half(self._half(mean.T.toarray()), turned=True)  # [A, B]
        leverage = np.asarray(mean.multiply(solved.T).sum(axis=1)).ravel().clip(max=0.99)
        missed = (mean @ self._weights - self._target[users] @ self._directions) / (1 - leverage)[:, None]
        self._left_out = users, solved, missed
        self._floor, best = FLOORS[0], -np.inf
        for floor in FLOORS:
            gains, likelihood = self._gains(0, floor)
            if likelihood > best:
                best, self._floor, of_none = likelihood, floor, gains
        self.gains = torch.stack([of_none, *(self._gains(known, self._floor)[0] for known in KNOWN)])

    def _gains(self, known: int, floor: float) -> tuple[Tensor, float]:
        """[2] the likeliest gains where so many items are known, and the mean log-likelihood of the others.

        Without a user, the regression's prediction for it differs by the Sherman-Morrison formula.
        """
        users, solved, missed = self._left_out
        own = self._history[users].tocoo()
        order = np.random.default_rng(known).random(own.nnz)  # which of a user's items are known
        by_user = np.lexsort((order, own.row))
        place = np.empty(own.nnz, np.int64)
        place[by_user] = np.arange(own.nnz) - np.searchsorted(own.row[by_user], own.row[by_user])
        count = np.bincount(own.row, minlength=len(users))
        shown = place < known
        asked = torch.from_numpy(np.stack([own.row, own.col])[:, ~shown & (count > known)[own.row]].astype(np.int64))
        if not asked.shape[1]:
            return torch.ones(2), -np.inf
        entries = own.data[shown] / np.sqrt(max(known, 1)), (own.row[shown], own.col[shown])
        history = sparse.csr_array(entries, shape=own.shape)[:, self._items]
        nothing = sparse.csr_array(history.shape)
        parts = []
        size = len(self._items)
        side = self._rows(nothing, users)
        for rows, weights in ((history, self._weights[:size]), (side, self._weights)):
            inputs = solved[: rows.shape[1]].T
            cross = np.asarray(rows.multiply(inputs).sum(axis=1)).ravel()
            vectors = rows @ weights + cross[:, None] * missed
            vectors = vectors if weights is not self._weights else vectors - self._weights[-1]
            parts.append(torch.from_numpy(vectors @ self._targets(floor).T).float())  # [B, I]
        out = torch.zeros(own.shape, dtype=torch.bool)
        out[own.row[shown], own.col[shown]] = True
        out |= torch.from_numpy(self._popularity <= 1e-12)
        start = torch.from_numpy(np.log(self._history.sum(axis=0) + 0.1)).float().masked_fill(out, -torch.inf)
        gains = torch.ones(2, requires_grad=True)
        solver = torch.optim.LBFGS([gains], max_iter=STEPS, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            solver.zero_grad()
            chance = (start + gains[0] * parts[0] + gains[1] * parts[1]).log_softmax(1)
            value: Tensor = -chance[asked[0], asked[1]].mean()
            value.backward()
            return value

        solver.step(loss)
        return gains.detach().clone(), -float(loss().detach())


def _most(count: np.ndarray, most: int) -> np.ndarray:
    """The most frequent columns, ascending."""
    return np.sort(np.argsort(-count, kind="stable")[:most])
