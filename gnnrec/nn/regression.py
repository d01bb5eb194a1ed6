"""A regression from all that is known of a user to items, as vectors of users and items."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import linalg, sparse
from torch import Tensor

from gnnrec.graph.adjacency import Adjacency
from gnnrec.graph.matrices import Matrix, UserFeatures, histories, links
from gnnrec.runtime import seeds
from gnnrec.splits.bins import to_knots
from gnnrec.views import Edges, EdgeType, TrainingData, UserBatch

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
NOBODY = 1e-12
"""The share of users that stands for none."""
CALIBRATED_ON, CALIBRATED_SCORES = 1000, 5_000_000
"""Training users on whom floor and gains are found, at most, and their scores, about."""
FLOORS = (0.03, 0.1, 0.3, 1.0)
"""What is tried of what is added to an item's popularity, as a share of the largest."""
SMALLER = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18)
"""What is tried of the likeliest gains: the likelihood is that of all items, a list ends soon."""
STEPS, PRECISE, DAMPED = 20, 1e-3, 1e-6
"""Most steps of the search for gains, the step after which it ends, and what is added to the curvature."""


@dataclass(frozen=True)
class RegressionPath:
    """Vectors of users that are linear in what is known of them, in closed form: items, attribute values, friends.

    A user's vector has two parts. The first is the sum of a vector of each known item over the root of their number.
    The second is the sum of the vectors of its values, weighted as `UserFeatures` does by rarity and the logarithm of
    edge weights, with rows of length 1, plus the mean over its friends of the sum over a friend's items, with other
    vectors and over the root of their number, minus a vector that is the same for all who have any value or friend.
    Both are multiplied by gains that depend on the number of known items, and added. Items are compared with the sum by
    vectors of their own; the inner product is what is added to the logarithm of popularity.

    It is the reduced-rank ridge regression from these inputs to the histories of the training users. Of a training user
    no item is known, with the chance `NONE`, else k random ones; the expected squared error over these draws and over k
    in `KNOWN` is minimised, as the denoising regression does it for one k. The error of an item is divided by the root
    of its popularity. No matrix of inputs by items is made: subspace iteration finds the directions. As logits,
    expected interactions are divided by the root of popularity and a floor. The gains are the likeliest for training
    users, each predicted as if it had been left out of the regression, or smaller ones where their lists are better;
    the floor is that of the best lists. What values and friends bring is taken relative to its mean, which popularity
    stands for. Nothing of it is trained further.

    Source: Izenman, Reduced-rank regression for the multivariate linear model, Journal of Multivariate Analysis 5
        (1975); Steck, Autoencoders that don't overfit towards the Identity, NeurIPS 2020; Jeunen, Van Balen, Goethals,
        Closed-Form Models for Collaborative Filtering with Side-Information, RecSys 2020. Differs: one map for all
        numbers of known items; friends by their histories, so that no user owns a column.
    Shapes: what is known of B users -> [B, L]; items [I, L].

    Attributes:
        source: [I, L] float32, vectors of known items.
        items: [I, L] float32, the vectors that users are compared with.
        values: [A, L] float32, vectors of the columns of `features`.
        mean: [L] float32, what is taken off.
        gains: [1 + K, 2] float32, of both parts, for no known item and for each number in `KNOWN`.
        places: [U, L] float32, what each training user brings to its friends; no row without relations between users.
        features: turns users into rows of their values.
        friends: the relations between users.
    """

    source: Tensor
    items: Tensor
    values: Tensor
    mean: Tensor
    gains: Tensor
    places: Tensor
    features: UserFeatures
    friends: tuple[EdgeType, ...]

    @classmethod
    def of(cls, train: TrainingData, width: int, seed: int) -> "RegressionPath":
        """The regression of some training data."""
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        features = UserFeatures(replace(train, values=()), edge_weights="log", idf=True, normalise="length")
        with threadpool_limits(1, "blas"):  # with several threads the last bits differ
            found = Regression(train, features, width, seed)
        source, items, values, of_friends = (torch.from_numpy(part).float() for part in found.vectors())
        places = torch.zeros(0, source.shape[1])
        if train.user_types:
            own = torch.stack([train.users.items.node, train.users.items.row])
            places = _over_root(Adjacency(own, train.num_items, train.num_users), of_friends)
        mean = torch.from_numpy(found.mean).float()
        return cls(source, items, values, mean, found.gains, places, features, train.user_types)

    def users(self, users: UserBatch) -> Tensor:
        """[B, L] float32, on the CPU, the vectors of users from what is known of them."""
        size, nothing = len(users), Edges(*torch.empty(2, 0, dtype=torch.int64))
        rows = self.features(users)
        rest, number = _weighted(rows).sum(self.values), torch.from_numpy(abs(rows).sum(axis=1))
        if self.friends:
            known = [users.relations.get(t, nothing) for t in self.friends]
            edges = torch.cat([torch.stack([e.node, e.row]) for e in known], dim=1)
            friends = Adjacency(edges, len(self.places), size)
            rest, number = rest + friends.mean(self.places), number + friends.degree()
        rest = rest - (number > 0)[:, None] * self.mean
        items = Adjacency(torch.stack([users.items.node, users.items.row]), len(self.source), size)
        gains = near_known(items.degree()) @ self.gains
        return gains[:, :1] * _over_root(items, self.source) + gains[:, 1:] * rest


def near_known(count: Tensor) -> Tensor:
    """[B, 1 + K] float32, the weights of no item and of each number in `KNOWN`, for numbers of known items.

    Between two of them lies a line, on the logarithm of the number and 1.
    """
    return _near(np.log1p(count.detach().cpu().numpy().astype(np.float64)), np.log1p((0, *KNOWN)))


def _near(number: np.ndarray, knots: np.ndarray) -> Tensor:
    """[N, K] float32, the weights of the knots beside each number."""
    knot, weight = to_knots(number, tuple(knots.tolist()))
    near = np.zeros((len(number), len(knots)), np.float32)
    np.add.at(near, (np.arange(len(number))[:, None], knot), weight)
    return torch.from_numpy(near)


def _weighted(rows: Matrix) -> Adjacency:
    """The entries of a sparse matrix [B, N] as weighted edges from columns to rows."""
    entries = rows.tocoo()
    edge_index = torch.from_numpy(np.stack([entries.col, entries.row]).astype(np.int64))
    weight = torch.from_numpy(entries.data.astype(np.float32))
    return Adjacency(edge_index, rows.shape[1], rows.shape[0], weight=weight)


def _over_root(edges: Adjacency, x: Tensor) -> Tensor:
    """The sums over the targets' sources, over the root of their number."""
    return edges.sum(x) * edges.degree().clamp(min=1).rsqrt()[:, None]


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


class System:
    """The system Z'Z + diag(penalty), solved by the smaller of two: as large as there are columns, or rows.

    Args:
        rows: Z, a sparse [N, A] matrix.
        penalty: [A], above 0.
    """

    def __init__(self, rows: Matrix, penalty: np.ndarray) -> None:
        self._penalty = penalty
        self._rows: Any = None
        if rows.shape[0] < rows.shape[1]:
            self._rows = sparse.csr_array(rows @ sparse.diags_array(1 / penalty))
            matrix: np.ndarray = (rows @ self._rows.T).toarray()
            matrix[np.diag_indices_from(matrix)] += 1
        else:
            matrix = (rows.T @ rows).toarray()
            matrix[np.diag_indices_from(matrix)] += penalty
        self._factor = linalg.cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)

    def solve(self, right: np.ndarray) -> np.ndarray:
        """[A, R], the solution for each column of the right side."""
        if self._rows is None:
            found: np.ndarray = linalg.cho_solve(self._factor, right, check_finite=False)
            return found
        inner = linalg.cho_solve(self._factor, self._rows @ right, check_finite=False)
        found = right / self._penalty[:, None] - self._rows.T @ inner
        return found


class Regression:
    """The closed form that a path starts from.

    Attributes:
        directions: [I, L], orthonormal columns.
        weights: [A, L], from inputs to places along them; the last row is that of the constant.
        mean: [L], of what values and friends bring to users who have any; `has` is [U] bool, who has.
        gains: [1 + K, 2], of both parts of a user's vector, for no known item and for each number in `KNOWN`.
    """

    def __init__(self, train: TrainingData, features: UserFeatures, width: int, seed: int) -> None:
        self.history = histories(train.users, train.num_items)
        self.side = features(train.users)
        count = np.asarray(self.history.sum(axis=1)).ravel()
        self.items = _most(np.asarray(self.history.sum(axis=0)).ravel(), MOST_ITEMS)
        self.values = _most(np.asarray(self.side.astype(bool).sum(axis=0)).ravel(), MOST_VALUES)
        self.popularity = np.maximum(np.asarray(self.history.mean(axis=0)).ravel(), NOBODY)
        root = np.sqrt(self.popularity / self.popularity.max())
        self.target = sparse.csr_array(self.history @ sparse.diags_array(1 / np.maximum(root, 1e-3)))
        self.friends, self._basis = self._of_friends(train, count, width, seed)
        self._solve(_Draws.of(count), width, seed)
        self._calibrate()

    def _of_friends(self, train: TrainingData, count: np.ndarray, width: int, seed: int) -> tuple[Any, Any]:
        """[U, R], the mean of the friends' places among the singular vectors of scaled histories, and [R, I] these."""
        if not train.user_types:
            return np.zeros((len(count), 0)), np.zeros((0, train.num_items))
        from sklearn.utils.extmath import randomized_svd

        scaled = sparse.csr_array(sparse.diags_array(1 / np.sqrt(np.maximum(count, 1))) @ self.history)
        rank = max(1, min(width, min(scaled.shape) - 1))
        _, _, basis = randomized_svd(scaled, rank, random_state=seeds.integer(seed, "friends") % 2**32)
        edges = links(train.users, train)
        mean = sparse.csr_array(sparse.diags_array(1 / np.maximum(edges.sum(axis=1), 1)) @ edges)
        return mean @ (scaled @ basis.T), basis

    def rows(self, known: Matrix, users: np.ndarray | slice) -> Matrix:
        """[B, A], inputs of some training users with these known items."""
        side, friends = self.side[users][:, self.values], self.friends[users]
        others = side, sparse.csr_array(friends), sparse.csr_array(np.ones((len(friends), 1)))
        parts: list[Any] = [known, *others]
        return sparse.csr_array(sparse.hstack(parts))

    def _solve(self, draws: _Draws, width: int, seed: int) -> None:
        own: Any = self.history[:, self.items]
        self.inputs = self.rows(sparse.csr_array(sparse.diags_array(draws.mean) @ own), slice(None))
        size = len(self.items)
        sizes = (size, len(self.values), self.friends.shape[1], 1)
        penalty = np.repeat((OF_ITEMS, OF_VALUES, OF_FRIENDS, OF_CONSTANT), sizes)
        penalty[:size] += own.T @ draws.noise
        spread: Any = sparse.diags_array(np.sqrt((draws.product - draws.mean**2).clip(min=0)))
        nothing = sparse.csr_array((len(draws.mean), len(penalty) - size))
        stacked: Any = sparse.vstack([self.inputs, sparse.hstack([spread @ own, nothing])])
        self.system = System(sparse.csr_array(stacked), penalty)
        rank = min(width + MORE, *self.target.shape, len(penalty))
        block = seeds.numpy_generator(seed, "regression").normal(size=(self.target.shape[1], rank))
        for _ in range(ITERATIONS):
            block, _ = np.linalg.qr(self.target.T @ (self.inputs @ self._coefficients(block)))
        found = self._coefficients(block)
        _, turn = np.linalg.eigh(block.T @ (self.target.T @ (self.inputs @ found)))
        turn = turn[:, ::-1][:, :width]
        self.directions, self.weights = block @ turn, found @ turn
        rest: Any = self.rows(sparse.csr_array((len(draws.mean), size)), slice(None))
        self.has = (abs(self.side).sum(axis=1) > 0) | (abs(self.friends).sum(axis=1) > 0)
        self.mean = (rest @ self.weights - self.weights[-1])[self.has].sum(axis=0) / max(self.has.sum(), 1)

    def _coefficients(self, directions: np.ndarray) -> np.ndarray:
        """[A, R], of the ridge regression from inputs to places along some directions [I, R]."""
        return self.system.solve(self.inputs.T @ (self.target @ directions))

    def vectors(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The vectors of known items, of items that users are compared with, of values, and of friends' items."""
        first, second = len(self.items), len(self.items) + len(self.values)
        third = second + self.friends.shape[1]
        width = self.weights.shape[1]
        source, values = np.zeros((self.history.shape[1], width)), np.zeros((self.side.shape[1], width))
        source[self.items], values[self.values] = self.weights[:first], self.weights[first:second]
        target = self._size[:, None].double().numpy() * self.directions
        return source, target, values, self._basis.T @ self.weights[second:third]

    def _calibrate(self) -> None:
        """Finds how much the scores of items of each popularity count, and gains for each number of known items."""
        most = max(1, min(CALIBRATED_ON, CALIBRATED_SCORES // self.history.shape[1]))
        self.users = np.arange(self.history.shape[0])[:: max(1, self.history.shape[0] // most)]
        mean = self.inputs[self.users]
        solved = self.system.solve(mean.T.toarray())  # [A, B]
        leverage = np.asarray(mean.multiply(solved.T).sum(axis=1)).ravel().clip(max=0.99)
        missed = mean @ self.weights - self.target[self.users] @ self.directions
        self.left_out = solved, missed / (1 - leverage)[:, None]
        share = torch.from_numpy(self.popularity / self.popularity.max()).float()
        self.gains, self._size, best = torch.ones(1 + len(KNOWN), 2), torch.ones(len(share)), -1.0
        for place, known in enumerate((0, *KNOWN)):
            asked = self._asked(known)
            if asked is None:  # nobody has more items
                self.gains[place:] = self.gains[place - 1 : place]
                break
            for size in [self._size] if known else [(share / (share + floor)).sqrt() for floor in FLOORS]:
                gains, quality = asked.gains(size)
                if known or quality > best:
                    best, self._size, self.gains[place] = quality, size, gains

    def _asked(self, known: int) -> "_Asked | None":
        """Some training users of whom so many items are known; None where nobody has more.

        Without a user, the regression's prediction for it differs by the Sherman-Morrison formula.
        """
        own, (solved, missed) = self.history[self.users].tocoo(), self.left_out
        order = np.random.default_rng(known).random(own.nnz)  # which of a user's items are known
        by_user = np.lexsort((order, own.row))
        place = np.empty(own.nnz, np.int64)
        place[by_user] = np.arange(own.nnz) - np.searchsorted(own.row[by_user], own.row[by_user])
        shown = place < known
        wanted = ~shown & (np.bincount(own.row, minlength=own.shape[0]) > known)[own.row]
        if not wanted.any():
            return None
        entries = own.data[shown] / np.sqrt(max(known, 1)), (own.row[shown], own.col[shown])
        history = sparse.csr_array(entries, shape=own.shape)[:, self.items]
        side = self.rows(sparse.csr_array(history.shape), self.users)
        parts: list[Tensor] = []
        for rows in (history, side):
            size = rows.shape[1]
            cross = np.asarray(rows.multiply(solved[:size].T).sum(axis=1)).ravel()
            vectors = rows @ self.weights[:size] + cross[:, None] * missed
            if rows is side:
                # popularity takes the place of the constant
                vectors = vectors - self.weights[-1] - self.has[self.users, None] * self.mean
            parts.append(torch.from_numpy(vectors @ self.directions.T).float())  # [B, I]
        start = torch.from_numpy(np.log(self.history.sum(axis=0) + 0.1)).float().repeat(own.shape[0], 1)
        start[own.row[shown], own.col[shown]] = -torch.inf
        start[:, self.popularity <= NOBODY] = -torch.inf
        edges = torch.from_numpy(np.stack([own.row, own.col])[:, wanted].astype(np.int64))
        return _Asked(start, parts[0], parts[1], edges)


@dataclass(frozen=True)
class _Asked:
    """Users who are left out of the regression, and what they are asked for.

    Attributes:
        start: [B, I] float32, logarithm of popularity; of an item that is known or nobody chose, minus infinity.
        history: [B, I] float32, the regression's scores from known items.
        rest: [B, I] float32, those from all else.
        wanted: [2, P] int64, users and the items that they chose beside the known ones.
    """

    start: Tensor
    history: Tensor
    rest: Tensor
    wanted: Tensor

    def gains(self, size: Tensor) -> tuple[Tensor, float]:
        """[2], the gains of both parts, and NDCG@10 with them: the likeliest, or smaller ones where lists are better.

        Args:
            size: [I] float32, how much the scores of an item count.
        """
        gains = self.likeliest(size)
        wanted = torch.zeros_like(self.start)
        wanted[self.wanted[0], self.wanted[1]] = 1
        likeliest = (gains[0] * self.history + gains[1] * self.rest) * size
        quality = [_ndcg(self.start + smaller * likeliest, wanted) for smaller in SMALLER]
        best = int(np.argmax(quality))
        return SMALLER[best] * gains, quality[best]

    def likeliest(self, size: Tensor) -> Tensor:
        """[2] float32, the gains with which a softmax over all items gives most to the wanted ones, by Newton steps.

        A step that does not raise the likelihood, which is concave, is taken half as far.
        """
        parts = self.history * size, self.rest * size
        user, item = self.wanted
        share = torch.bincount(user, minlength=len(self.start)) / len(user)  # [B], of the pairs
        found = torch.stack([part[user, item].mean() for part in parts])
        gains, step, best = torch.ones(2), torch.zeros(2), torch.inf
        for _ in range(STEPS):
            logits = (self.start + (gains + step)[0] * parts[0] + (gains + step)[1] * parts[1]).log_softmax(1)
            loss = -float(logits[user, item].mean())
            if not loss < best:
                step = step / 2
                continue
            gains, best, chance = gains + step, loss, logits.exp_()
            weighted = [chance * part for part in parts]
            mean = torch.stack([one.sum(1) for one in weighted])  # [2, B]
            square = torch.stack([torch.stack([(one * part).sum(1) for part in parts]) for one in weighted])
            spread = ((square - mean[:, None] * mean[None]) @ share).double()  # [2, 2]
            slope = (found - mean @ share).double()
            step = torch.linalg.solve(spread + DAMPED * torch.eye(2), slope).float()
            if float(step.abs().max()) < PRECISE:
                break
        return gains


def _ndcg(scores: Tensor, wanted: Tensor) -> float:
    """NDCG@10 of users with any wanted item: [B, I] scores, and [B, I] 1 for each wanted item."""
    gain = 1 / torch.arange(2.0, 12.0).log2()
    number = wanted.sum(1)
    found = (wanted.gather(1, scores.topk(min(10, scores.shape[1])).indices) * gain[: scores.shape[1]]).sum(1)
    most = gain.cumsum(0)[number.clamp(1, 10).long() - 1]
    return float((found / most)[number > 0].mean())


def _most(count: np.ndarray, most: int) -> np.ndarray:
    """The most frequent columns, ascending."""
    return np.sort(np.argsort(-count, kind="stable")[:most])
