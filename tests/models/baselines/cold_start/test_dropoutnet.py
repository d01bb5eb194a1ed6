"""What cold-start models begin with, and DropoutNet: vectors of the factorization that are left out."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.graph.matrices import histories
from gnnrec.models.baselines import ALS, DropoutNet
from gnnrec.models.baselines.cold_start.fit import FitConfig
from gnnrec.models.baselines.cold_start.start import ALSConfig, Factors, FeatureConfig, SparseLinear
from gnnrec.splits import UnseenUsers, make_split

pytest.importorskip("implicit", reason="the factorization needs gnnrec[mf]")
SPLIT = make_split(synthetic(5, num_users=150), UnseenUsers(test=0.1, validation=0.2, support=3), 5)
TRAIN, USERS = SPLIT.train, SPLIT.validation.users
NOTHING = torch.empty(0, dtype=torch.int64)
FAST = FitConfig(learning_rate=0.01, epochs=60, batch_users=16)


def test_the_factorization_is_that_of_als() -> None:
    config = ALSConfig(factors=6, regularization=0.5, alpha=3.0, iterations=7)
    factors, als = Factors(TRAIN, config, 5), ALS(**config.model_dump())
    als.fit(TRAIN, None, 5)
    np.testing.assert_array_equal(factors.items.numpy(), als._item_vectors)


def test_a_fold_in_solves_the_weighted_least_squares_of_one_user() -> None:
    config = ALSConfig(factors=6, regularization=0.5, alpha=3.0)
    factors = Factors(TRAIN, config, 5)
    found, items = factors.fold_in(USERS), factors.items.double().numpy()
    for user in range(3):
        known = histories(USERS, TRAIN.num_items).toarray()[user]
        confidence = np.where(known > 0, 3.0, 1.0)
        system = items.T @ (confidence[:, None] * items) + 0.5 * np.eye(6)
        expected = np.linalg.solve(system, items.T @ (confidence * known))
        np.testing.assert_allclose(found[user].numpy(), expected, rtol=1e-3, atol=1e-5)
    bare = replace(USERS, items=USERS.items.take(NOTHING))
    assert not factors.fold_in(bare).any()
    assert not factors.mean_of_items(bare).any()


def test_the_mean_of_items_by_a_loop() -> None:
    factors = Factors(TRAIN, ALSConfig(factors=4), 5)
    found = factors.mean_of_items(USERS)
    for user in range(len(USERS)):
        own = USERS.items.node[USERS.items.row == user]
        torch.testing.assert_close(found[user], factors.items[own].mean(0))


def test_a_sparse_layer_is_a_linear_one() -> None:
    features = FeatureConfig(idf=True).of(TRAIN)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        layer = SparseLinear(features.width, 7)
        torch.nn.init.normal_(layer.bias)
    rows = features(USERS)
    expected = torch.from_numpy(rows.toarray()).float() @ layer.weight + layer.bias
    torch.testing.assert_close(layer(rows), expected)


def fitted(**options: Any) -> DropoutNet:
    model = DropoutNet(als=ALSConfig(factors=8), hidden=32, fit=FAST, **options)
    model.fit(TRAIN, None, 5)
    return model


def test_with_all_vectors_it_gives_back_the_factorization() -> None:
    model = fitted(left_out=0.0, by_items=0.0)
    factors = model._factors
    with torch.no_grad():
        rows = model._features(TRAIN.users)
        given_back = model._net.users(factors.users, rows) @ model._net.items(factors.items).t()
    wanted = factors.users @ factors.items.t()
    assert float((given_back - wanted).square().mean()) < 0.1 * float(wanted.var())


def test_where_all_vectors_are_left_out_nothing_is_learned_of_them() -> None:
    untrained, never, sometimes = (
        DropoutNet(als=ALSConfig(factors=8), left_out=left_out, by_items=0.0, fit=FitConfig(epochs=epochs))
        for left_out, epochs in ((1.0, 0), (1.0, 3), (0.5, 3))
    )
    for model in (untrained, never, sometimes):
        model.fit(TRAIN, None, 5)
    assert torch.equal(never._net.of_users.weight, untrained._net.of_users.weight)
    assert not torch.equal(never._net.of_features.weight, untrained._net.of_features.weight)
    assert not torch.equal(sometimes._net.of_users.weight, untrained._net.of_users.weight)


def test_known_items_count_beside_features() -> None:
    model = fitted(left_out=0.3, by_items=0.5)
    bare = replace(USERS, items=USERS.items.take(NOTHING))
    gained = model.score(USERS) - model.score(bare)
    own = torch.zeros(len(USERS), TRAIN.num_items, dtype=torch.bool)
    own[USERS.items.row, USERS.items.node] = True
    assert float(gained[own].mean()) > float(gained[~own].mean())
    nobody = replace(bare, relations={})
    assert len(torch.unique(model.score(nobody), dim=0)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [({"hidden": 0}, "hidden"), ({"left_out": -0.1}, "left_out"), ({"left_out": 0.7, "by_items": 0.4}, "by_items")],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DropoutNet(**options)
