"""Heater: its losses and experts against loops, and which part of a loss reaches which weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor

from gnnrec.data.synthetic import synthetic
from gnnrec.models.baselines import Heater
from gnnrec.models.baselines.cold_start.fit import FitConfig
from gnnrec.models.baselines.cold_start.heater import Net, distance, interaction_error
from gnnrec.models.baselines.cold_start.start import ALSConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges, TrainingData, UserBatch

pytest.importorskip("implicit", reason="the factorization needs gnnrec[mf]")
SEED = 5


def data() -> tuple[TrainingData, UserBatch]:
    split = make_split(synthetic(SEED), UnseenUsers(test=0.2, validation=0.2), SEED)
    return split.train, split.validation.users


def fitted(train: TrainingData, *, epochs: int = 3, **options: Any) -> Heater:
    fit = FitConfig(epochs=epochs, batch_users=16, learning_rate=0.03)
    model = Heater(hidden=8, als=ALSConfig(factors=6), fit=fit, **options)
    model.fit(train, None, SEED)
    return model


def moved(train: TrainingData, **options: Any) -> set[str]:
    """Names of the layers that three epochs change."""
    before, after = (fitted(train, epochs=epochs, **options)._net.state_dict() for epochs in (0, 3))
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_the_error_of_interactions_is_the_weighted_mean_over_all_pairs() -> None:
    scores = torch.randn(3, 5, generator=torch.Generator().manual_seed(SEED))
    target = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 1, 0, 0], [1, 1, 1, 0, 0]]).float()
    total = weights = 0.0
    for user in range(3):
        for item in range(5):
            weight = 1.0 if target[user, item] == 1 else 0.3
            total += weight * (float(scores[user, item]) - float(target[user, item])) ** 2
            weights += weight
    assert float(interaction_error(scores, target, 0.3)) == pytest.approx(total / weights, rel=1e-6)


def test_the_distance_is_that_of_each_user_squared() -> None:
    # (1 - 0)^2 + (2 - 0)^2 = 5 and (3 - 3)^2 + (1 - 4)^2 = 9; their mean is 7.
    one, other = torch.tensor([[1.0, 2.0], [3.0, 1.0]]), torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert float(distance(one, other)) == 7


def test_a_gate_adds_up_what_the_experts_make_of_the_features() -> None:
    torch.manual_seed(SEED)
    net = Net(features=4, factors=3, hidden=2, experts=2)
    rows = np.array([[1.0, 0, 0.5, 0], [0, 0, 0, 0], [0, 2.0, 0, 1.0]])
    with torch.no_grad():
        net.gate.bias.normal_()
        net.experts.bias.normal_()
    found = net.transform(sparse.csr_array(rows))
    layers = [part.detach().double().numpy() for part in (net.gate.weight, net.gate.bias)]
    layers += [part.detach().double().numpy() for part in (net.experts.weight, net.experts.bias)]
    for user in range(3):
        vector = np.zeros(3)
        for expert in range(2):
            columns = slice(3 * expert, 3 * expert + 3)
            gate = np.tanh(rows[user] @ layers[0][:, expert] + layers[1][expert])
            vector += gate * np.tanh(rows[user] @ layers[2][:, columns] + layers[3][columns])
        np.testing.assert_allclose(found[user].detach().numpy(), np.tanh(vector), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"warm": 1.0, "similarity": 0.0}, {"users", "items"}),  # the networks see no features
        ({"warm": 1.0, "similarity": 0.1}, {"users", "items", "experts", "gate"}),
        ({"warm": 0.5, "similarity": 0.0}, {"users", "items", "experts", "gate"}),
    ],
)
def test_features_learn_from_interactions_where_they_are_given_and_from_similarity(
    options: dict[str, float], expected: set[str]
) -> None:
    train, _ = data()
    assert moved(train, **options) == expected


def test_similarity_draws_the_experts_to_the_factorization() -> None:
    train, _ = data()

    def away(model: Heater) -> float:
        own = model._of_users(model._factors.users)
        return float(distance(model._net.transform(model._features(train.users)).detach(), own))

    options = {"warm": 1.0, "similarity": 1.0}
    assert away(fitted(train, epochs=15, **options)) < 0.8 * away(fitted(train, epochs=0, **options))


def test_users_without_items_teach_nothing() -> None:
    train, _ = data()
    without = train.users.index % 4 == 3  # a club of its own: its column belongs to them alone
    users = replace(train.users, items=train.users.items.take(~without[train.users.items.row]))
    silent = replace(train, users=users)
    start, end = (fitted(silent, epochs=epochs) for epochs in (0, 3))
    rows = start._features(users).toarray() != 0
    theirs = rows[without.numpy()].any(0) & ~rows[~without.numpy()].any(0)
    assert theirs.sum() == 1
    column = torch.from_numpy(theirs)
    for name in ("gate", "experts"):
        before, after = (getattr(model._net, name).weight for model in (start, end))
        assert torch.equal(before[column], after[column])
        assert not torch.equal(before[~column], after[~column])


def test_known_items_take_the_place_of_the_features() -> None:
    train, users = data()
    model = fitted(train)
    bare = UserBatch(users.index, users.items, {t: e.take(e.row < 0) for t, e in users.relations.items()})
    row = torch.arange(0, len(users), 2)  # every second user has one known item
    items = Edges(row, row % train.num_items)

    def scores(batch: UserBatch, known: Edges) -> Tensor:
        return model.score(replace(batch, items=known))

    assert torch.allclose(scores(users, items)[::2], scores(bare, items)[::2], atol=1e-6)
    assert torch.allclose(scores(users, items)[1::2], model.score(users)[1::2], atol=1e-6)
    assert not torch.allclose(model.score(users), model.score(bare), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"experts": 0}, "experts must be at least 1, got 0"),
        ({"warm": -0.1}, "warm must be between 0 and 1, got -0.1"),
        ({"warm": 1.5}, "warm must be between 0 and 1, got 1.5"),
        ({"similarity": -1.0}, "similarity must be at least 0, got -1"),
        ({"unobserved": 0.0}, "unobserved must be above 0, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Heater(**options)
