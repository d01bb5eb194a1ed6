"""The regression path: its closed form, its parts, leaving a user out, and the same vectors in a graph and outside."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import optimize, sparse

from gnnrec.data.synthetic import synthetic
from gnnrec.graph.matrices import UserFeatures, histories
from gnnrec.nn import regression
from gnnrec.nn.regression import KNOWN, NONE, Regression, RegressionPath, System, near_known
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import USER, Edges, TrainingData, UserBatch

SEED = 3
WIDTH = 6


def train_of(*, friends: bool = True, num_users: int = 60) -> TrainingData:
    data = synthetic(SEED, num_users=num_users, num_items=24)
    if not friends:
        data = replace(data, relations=tuple(r for r in data.relations if r.name != "friend"))
    return make_split(data, UnseenUsers(test=0.2, validation=0.2), SEED).full


def features_of(train: TrainingData) -> UserFeatures:
    return UserFeatures(train, edge_weights="log", idf=True, normalise="length")


def expected_system(train: TrainingData, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums over users of the expected products of inputs, and of inputs and histories: the slow way, user by user."""
    history = histories(train.users, train.num_items).toarray()
    size = history.shape[1]
    product, cross = np.zeros((size + side.shape[1] + 1,) * 2), np.zeros((size + side.shape[1] + 1, size))
    for own, values in zip(history, side, strict=True):
        n = own.sum()
        states = [(NONE, 0.0, 1.0)]
        for known in KNOWN:
            shown = max(min(known, n), 1)
            states.append(((1 - NONE) / len(KNOWN), min(known / max(n, 1), 1.0), shown**-0.5))
        for share, chance, scale in states:
            mean = np.r_[chance * scale * own, values, 1]
            second = np.outer(mean, mean)
            for item in np.flatnonzero(own):  # each item is drawn apart from the others
                second[item, item] = chance * scale**2
            product += share * second
            cross += share * np.outer(mean, own)
    return product, cross


def test_the_start_is_the_ridge_regression_over_all_draws_of_known_items() -> None:
    train = train_of(friends=False)
    features = features_of(train)
    side = features(train.users).toarray()
    product, cross = expected_system(train, side)
    penalty = np.r_[np.full(24, regression.OF_ITEMS), np.full(side.shape[1], regression.OF_VALUES), 1e-3]
    popularity = histories(train.users, 24).toarray().mean(axis=0)
    root = np.sqrt(np.maximum(popularity, 1e-12) / popularity.max()).clip(min=1e-3)
    direct = np.linalg.solve(product + np.diag(penalty), cross / root)
    found = Regression(train, features, 24, SEED)  # as many directions as there are items
    order = np.r_[found.items, 24 + found.values, len(direct) - 1]
    np.testing.assert_allclose((found.weights @ found.directions.T), direct[order], rtol=1e-6, atol=1e-8)


def test_fewer_directions_are_the_best_of_their_number() -> None:
    train = train_of(friends=False)
    features = features_of(train)
    whole, few = (Regression(train, features, width, SEED) for width in (24, 4))
    size = whole.inputs.shape[1]
    factor = np.linalg.cholesky(np.linalg.inv(whole.system.solve(np.eye(size))))  # the metric in which errors count
    left, values, right = np.linalg.svd(factor.T @ (whole.weights @ whole.directions.T), full_matrices=False)
    best = (left[:, :4] * values[:4]) @ right[:4]
    np.testing.assert_allclose(factor.T @ (few.weights @ few.directions.T), best, atol=1e-4)


def test_a_user_is_left_out_by_the_formula_as_by_solving_again() -> None:
    found = Regression(train_of(), features_of(train_of()), 24, SEED)
    users, (solved, missed) = found.users, found.left_out
    gram = np.linalg.inv(found.system.solve(np.eye(found.inputs.shape[1])))
    cross = (found.inputs.T @ found.target).toarray()
    some = found.inputs.toarray()
    for place, user in list(enumerate(users.tolist()))[::9]:
        own = some[user]
        again = np.linalg.solve(gram - np.outer(own, own), cross - np.outer(own, found.target[[user]].toarray()))
        formula = some[user] @ found.weights + (some[user] @ solved[:, place]) * missed[place]
        np.testing.assert_allclose(formula @ found.directions.T, own @ again, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5)])
def test_a_system_is_solved_whichever_side_is_smaller(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(SEED)
    rows, penalty = random.normal(size=shape), random.uniform(0.1, 2, shape[1])
    right = random.normal(size=(shape[1], 3))
    expected = np.linalg.solve(rows.T @ rows + np.diag(penalty), right)
    np.testing.assert_allclose(System(sparse.csr_array(rows), penalty).solve(right), expected)


def test_a_vector_is_the_sum_of_its_parts() -> None:
    train = train_of()
    path = RegressionPath.of(train, WIDTH, SEED)
    users = torch.arange(1, train.num_users, 3)
    bare = torch.arange(2, train.num_users, 9)
    batch = train.users
    kept = torch.rand(len(batch.items), generator=torch.Generator().manual_seed(1)) < 0.5
    has = ~torch.isin(torch.arange(train.num_users), bare)
    relations = {t: e.take(has[e.row]) for t, e in batch.relations.items()}
    batch = UserBatch(batch.index, batch.items.take(kept), relations)
    found = path.users(batch)
    rows = features_of(train)(batch).toarray()
    items, friends = batch.items, batch.relations[USER, "friend", USER]
    for user in {*users.tolist(), *bare.tolist()}:
        known = items.node[items.row == user]
        history = path.source[known].sum(0) / max(len(known), 1) ** 0.5
        rest = torch.from_numpy(rows[user]).float() @ path.values
        theirs = friends.node[friends.row == user].tolist()
        for friend in theirs:
            rest = rest + path.places[friend] / len(theirs)
        rest = rest - path.mean if rows[user].any() or theirs else rest
        low = [k for k in (0, *KNOWN) if k <= len(known)][-1]
        high = next((k for k in KNOWN if k > len(known)), low)
        part = 0 if high == low else (np.log1p(len(known)) - np.log1p(low)) / (np.log1p(high) - np.log1p(low))
        gain = (1 - part) * path.gains[(0, *KNOWN).index(low)] + part * path.gains[(0, *KNOWN).index(high)]
        torch.testing.assert_close(found[user], gain[0] * history + gain[1] * rest, rtol=1e-4, atol=1e-5)
    assert not found[bare][torch.bincount(items.row, minlength=train.num_users)[bare] == 0].any()


def test_gains_are_interpolated_on_the_logarithm_of_the_number() -> None:
    near = near_known(torch.tensor([0.0, 1.0, 3.0, 50.0, 400.0]))
    part = (np.log(4) - np.log(3)) / (np.log(6) - np.log(3))
    expected = torch.zeros(5, 1 + len(KNOWN))
    expected[0, 0] = expected[1, 1] = expected[3, -1] = expected[4, -1] = 1
    expected[2, 2], expected[2, 3] = 1 - part, part
    torch.testing.assert_close(near, expected)


@pytest.mark.parametrize("known", [0, 4])
def test_the_start_finds_the_items_of_a_newcomer_s_group(known: int) -> None:
    """Of four groups, chance is a quarter."""
    data = synthetic(SEED, num_users=200, num_items=40)
    split = make_split(data, UnseenUsers(test=0.2, validation=0.2, support=known), SEED)
    path = RegressionPath.of(split.train, 16, SEED)
    users = split.validation.users
    if known:  # items alone
        users = UserBatch(users.index, users.items, {t: _none(e) for t, e in users.relations.items()})
    bias = (split.train.popularity + 0.1).log()
    with torch.no_grad():
        top = (bias + path.users(users) @ path.items.T).topk(5).indices
    group = users.index[:, None] % 4
    assert float((top % 4 == group).float().mean()) > 0.7


def _none(edges: Edges) -> Edges:
    return edges.take(torch.empty(0, dtype=torch.int64))


def test_what_is_not_among_the_most_frequent_starts_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regression, "MOST_ITEMS", 10)
    monkeypatch.setattr(regression, "MOST_VALUES", 3)
    train = train_of()
    path = RegressionPath.of(train, WIDTH, SEED)
    assert int(path.source.any(1).sum()) == 10
    assert int(path.values.any(1).sum()) == 3
    assert int(path.items.any(1).sum()) > 10  # all are compared with


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_the_likeliest_gains_are_those_of_another_solver(scale: float) -> None:
    generator = np.random.default_rng(7)
    start = torch.from_numpy(generator.normal(size=(6, 9))).float()
    start[0, 3] = start[4, 1] = -torch.inf  # known already
    history, rest = (torch.from_numpy(scale * generator.normal(size=(6, 9))).float() for _ in range(2))
    wanted = torch.tensor([[0, 0, 1, 2, 3, 3, 3, 4, 5], [2, 8, 1, 7, 0, 4, 5, 6, 2]])
    size = torch.linspace(0.3, 1, 9)

    def loss(gains: np.ndarray) -> float:
        logits = start.double() + (gains[0] * history.double() + gains[1] * rest.double()) * size.double()
        return -float(logits.log_softmax(1)[wanted[0], wanted[1]].mean())

    asked = regression._Asked(start, history, rest, wanted)
    expected = optimize.minimize(loss, np.ones(2), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10}).x
    np.testing.assert_allclose(asked.likeliest(size).numpy(), expected, atol=2e-3 / scale)


def test_a_part_that_says_nothing_has_its_first_gain() -> None:
    start, wanted = torch.zeros(2, 3), torch.tensor([[0, 1], [0, 2]])
    asked = regression._Asked(start, torch.eye(3)[[0, 2]], torch.zeros(2, 3), wanted)
    assert float(asked.likeliest(torch.ones(3))[1]) == 1.0
