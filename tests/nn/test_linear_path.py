"""The linear path: its closed forms, what a new item's score hangs on, and the map it starts from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.graph.adjacency import Adjacency
from gnnrec.graph.matrices import histories
from gnnrec.models.baselines import ContentRidge
from gnnrec.nn.features import REGULARIZATIONS, start_map
from gnnrec.nn.linear import PENALTY, LinearPath, described
from gnnrec.splits import UnseenItems, make_split
from gnnrec.views import EdgeType, Features, TrainingData


def train_of(seed: int = 2, width: int = 6) -> TrainingData:
    """Made data with a feature of every item but each fifth, held-out items among them."""
    drawn = torch.randn(40, width, generator=torch.Generator().manual_seed(seed))
    known = torch.arange(40) % 5 != 0
    feature = Features("item", "picture", drawn * known[:, None], known)
    data = replace(synthetic(seed, num_users=80), features=(feature,))
    return make_split(data, UnseenItems(test=0.2, validation=0.2), seed).train


def edges_of(train: TrainingData) -> Adjacency:
    items = train.users.items
    return Adjacency(torch.stack([items.node, items.row]), train.num_items, train.num_users)


def test_what_describes_items_is_centred_over_those_that_were_chosen() -> None:
    train = train_of()
    found, seen = described(train), train.popularity > 0
    assert found.shape == (40, 4 + 6)
    assert found[seen].mean(0).abs().max() < 1e-6
    assert found[~seen].mean(0).abs().max() > 0.01
    bare = replace(train, features=(), relations=())
    assert described(bare).shape == (40, 0)


def test_a_map_starts_from_the_ridge_regression_that_leave_one_out_prefers() -> None:
    generator = torch.Generator().manual_seed(5)
    x, noise = (torch.randn(40, width, generator=generator) for width in (3, 2))
    wanted, known = x @ torch.randn(3, 2, generator=generator) + 0.3 * noise, torch.arange(40) < 30
    own, target = x[known].double().numpy(), wanted[known].double().numpy()

    def solve(penalty: float, rows: np.ndarray) -> np.ndarray:
        return np.linalg.solve(own[rows].T @ own[rows] + penalty * np.eye(3), own[rows].T @ target[rows])

    def error(penalty: float) -> float:
        rows = np.arange(30)
        return sum(float(((target[i] - own[i] @ solve(penalty, rows[rows != i])) ** 2).sum()) for i in rows)

    best = min(REGULARIZATIONS, key=error)
    assert start_map(x, wanted, known).numpy() == pytest.approx(solve(best, np.arange(30)), abs=1e-5)
    assert not start_map(x, wanted, known & False).any()
    assert start_map(x[:, :0], wanted, known).shape == (0, 2)


def test_with_enough_directions_its_first_half_is_the_ridge_regression() -> None:
    train = train_of()
    path = LinearPath(train.num_items, described(train), 20)  # ten directions of ten columns
    path.start(train, 3)
    ridge = ContentRidge(regularization=PENALTY, idf=True, normalise="length")
    ridge.fit(train, None, 3)
    expected = ridge.score(train.users).numpy()
    degree = np.maximum(histories(train.users, train.num_items).sum(axis=1), 1)
    with torch.no_grad():
        user = path.users(edges_of(train))[:, :10]
        found = (user @ path.new_items()[0][:, :10].T).numpy() * np.sqrt(degree)[:, None]
    expected = expected - expected.mean(axis=1, keepdims=True)  # the ridge's own constant for each user
    found = found - found.mean(axis=1, keepdims=True)
    size = (found * expected).sum() / (expected**2).sum()  # one size for all, found on histories
    assert size > 0
    assert found == pytest.approx(size * expected, abs=1e-3 * np.abs(size * expected).max())


def test_an_item_starts_at_its_place_in_the_decomposition_and_a_new_one_where_its_description_says() -> None:
    train = train_of()
    path = LinearPath(train.num_items, described(train), 16)
    path.start(train, 3)
    seen = train.popularity > 0
    assert (~seen).any()
    with torch.no_grad():
        both = torch.stack([path.sources(), path.items()])
        of_description = path.new_items()[0]
    assert both[0].equal(both[1])
    torch.testing.assert_close(both[0][~seen], of_description[~seen])
    torch.testing.assert_close(both[0][:, :8], of_description[:, :8])
    assert not torch.allclose(both[0][seen][:, 8:], of_description[seen][:, 8:], atol=0.01)


def test_the_score_of_a_new_item_hangs_on_its_description_alone() -> None:
    train = train_of()
    path = LinearPath(train.num_items, described(train), 16)
    path.start(train, 3)
    with torch.no_grad():
        users = path.users(edges_of(train))
        before = path.score_new(users)
        path.target += 7
        torch.testing.assert_close(path.score_new(users), before)
        expected = users @ path.to_target.T @ path.features.T
        expected += path.features @ path.to_bias + path.bias
    torch.testing.assert_close(before, expected, rtol=1e-4, atol=1e-4)


def test_a_user_is_the_sum_of_its_items_over_the_root_of_their_number() -> None:
    path = LinearPath(3, torch.zeros(3, 0), 2)
    path.source.data = torch.tensor([[1.0, 0.0], [0.0, 3.0], [5.0, 5.0]])
    edges = Adjacency(torch.tensor([[0, 1, 2], [0, 0, 2]]), 3, 3)
    with torch.no_grad():
        found = path.users(edges)
    assert found.flatten().tolist() == pytest.approx([0.5**0.5, 3 * 0.5**0.5, 0, 0, 5, 5])


def test_users_may_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    train = train_of()
    paths = [LinearPath(train.num_items, described(train), 12) for _ in range(2)]
    paths[0].start(train, 3)
    monkeypatch.setattr("gnnrec.nn.linear.PART", 7)
    paths[1].start(train, 3)
    with torch.no_grad():
        alike = [path.new_items()[0][:, :6] @ path.new_items()[0][:, :6].T for path in paths]
    torch.testing.assert_close(alike[0], alike[1], rtol=1e-3, atol=1e-4)


def test_too_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnnrec.nn.linear.MOST_COLUMNS", 9)
    with pytest.raises(ConfigError, match="linear: items have 10 attribute values and features, at most 9"):
        described(train_of())


def test_without_a_description_all_of_it_is_the_decomposition() -> None:
    train = replace(train_of(), features=(), relations=())
    path = LinearPath(train.num_items, described(train), 8)
    path.start(train, 3)
    with torch.no_grad():
        items = path.items()
    assert (items[train.popularity > 0].abs().sum(1) > 0).all()
    assert not items[train.popularity == 0].any()


def values_of(train: TrainingData) -> tuple[dict[EdgeType, int], dict[EdgeType, Adjacency]]:
    """The relations to attribute values, with their sizes, and their edges to the training users."""
    counts = {t: len(train.ids[t[2]]) for t in train.attribute_types}
    edges = {t: train.users.relations[t] for t in counts}
    ends = {t: torch.stack([e.node, e.row]) for t, e in edges.items()}
    return counts, {t: Adjacency(ends[t], counts[t], train.num_users) for t in counts}


def test_a_newcomer_starts_where_a_ridge_regression_puts_users_with_its_values() -> None:
    train = train_of(4)
    counts, edges = values_of(train)
    path = LinearPath(train.num_items, described(train), 12, counts)
    path.start(train, 3)
    rows = np.concatenate([np.zeros((train.num_users, n)) for n in counts.values()], axis=1)
    first = 0
    for edge_type, count in counts.items():
        known = train.users.relations[edge_type]
        rows[known.row.numpy(), first + known.node.numpy()] = 1
        first += count
    rows /= np.sqrt(rows.sum(axis=1, keepdims=True).clip(min=1))
    with torch.no_grad():
        vectors = path.users(edges_of(train)).double().numpy()
        found = path.newcomers(edges).double().numpy()
    mean = vectors.mean(axis=0)
    some = [
        rows @ np.linalg.solve(rows.T @ rows + penalty * np.eye(rows.shape[1]), rows.T @ (vectors - mean))
        for penalty in REGULARIZATIONS
    ]
    assert min(np.abs(found - mean - one).max() for one in some) < 1e-4
    assert np.abs(found - mean).max() > 0.01


def test_a_user_begins_with_the_vector_of_a_newcomer() -> None:
    age, club = ("user", "age", "age"), ("user", "club", "club")
    path = LinearPath(2, torch.zeros(2, 0), 2, {age: 2, club: 1})
    path.source.data = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    path.values.data = torch.tensor([[4.0, 0.0], [0.0, 8.0], [2.0, 2.0]])
    path.everybody.data = torch.tensor([0.5, 0.0])
    items = Adjacency(torch.tensor([[0, 1], [0, 0]]), 2, 3)
    values = {
        age: Adjacency(torch.tensor([[0, 1], [0, 1]]), 2, 3),
        club: Adjacency(torch.tensor([[0], [0]]), 1, 3),
    }
    root = 2**0.5
    with torch.no_grad():
        found = path.users(items, values)
    newcomer = [0.5 + 6 / root, 2 / root]
    expected = [(newcomer[0] + 1) / root, (newcomer[1] + 2) / root, 0.5, 8, 0.5, 0]
    assert found.flatten().tolist() == pytest.approx(expected)


def test_the_bias_of_a_new_item_starts_from_what_a_ridge_regression_says_of_popularity() -> None:
    train = train_of(6)
    features, seen = described(train), train.popularity > 0
    path = LinearPath(train.num_items, features, 8)
    path.start(train, 3)
    own, count = features[seen].double().numpy(), train.popularity[seen].double().numpy()
    wanted = count / count.mean() - 1
    some = [
        features.numpy() @ np.linalg.solve(own.T @ own + penalty * np.eye(own.shape[1]), own.T @ wanted)
        for penalty in REGULARIZATIONS
    ]
    with torch.no_grad():
        found = (features @ path.to_bias).numpy()
    sizes = [float(found @ one / (one @ one)) for one in some]
    assert min(np.abs(found - size * one).max() for size, one in zip(sizes, some, strict=True)) < 1e-4
    assert all(size > 0 for size in sizes)
