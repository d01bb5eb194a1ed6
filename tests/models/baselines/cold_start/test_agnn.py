"""AGNN's parts, each against a loop over users, pairs of features or neighbours."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor

from gnnrec.data.synthetic import synthetic
from gnnrec.models.baselines import AGNN
from gnnrec.models.baselines.cold_start import agnn
from gnnrec.models.baselines.cold_start.agnn import nearest, pairs, unlikely, weighted_sums
from gnnrec.models.baselines.cold_start.fit import FitConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges, TrainingData, UserBatch

NONE = torch.empty(0, dtype=torch.int64)


def some_rows(size: int, seed: int) -> Any:
    """A sparse [size, 6], about half of it 0; the last row is empty."""
    generator = np.random.default_rng(seed)
    dense = generator.normal(size=(size, 6)) * (generator.random((size, 6)) < 0.5)
    dense[-1] = 0
    return sparse.csr_array(dense)


def small() -> tuple[TrainingData, UserBatch]:
    made = make_split(synthetic(5, num_users=60), UnseenUsers(test=0.2, validation=0.2, support=2), 5)
    return made.train, made.validation.users


def fitted(**options: Any) -> tuple[AGNN, TrainingData, UserBatch]:
    train, users = small()
    model = AGNN(**{"width": 4, "neighbours": 3, "fit": FitConfig(epochs=2)} | options)
    model.fit(train, None, 3)
    return model, train, users


def test_interactions_are_the_products_of_all_pairs_of_features() -> None:
    rows, values = some_rows(5, seed=2), torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
    sums, products = torch.zeros(5, 3), torch.zeros(5, 3)
    for user, row in enumerate(torch.from_numpy(rows.toarray()).float()):
        for a in range(6):
            sums[user] += row[a] * values[a]
            for b in range(a + 1, 6):
                products[user] += row[a] * values[a] * row[b] * values[b]
    torch.testing.assert_close(weighted_sums(rows, values), sums)
    torch.testing.assert_close(pairs(rows, values), products)


def brute_force(queries: np.ndarray, known: np.ndarray, count: int, own: list[int]) -> list[list[int]]:
    """The neighbours of each user, from all cosines, the first of equals first."""
    found = []
    for query, me in zip(queries, own, strict=True):
        cosine = {}
        for row, other in enumerate(known):
            product = np.linalg.norm(query) * np.linalg.norm(other)
            cosine[row] = round(float(query @ other / product), 6) if product and row != me else 0.0
        order = sorted((row for row in cosine if cosine[row] > 0), key=lambda row: (-cosine[row], row))
        found.append(order[:count])
    return found


@pytest.mark.parametrize("at_once", [1, 50, 2**22])
@pytest.mark.parametrize("count", [1, 4, 30])
def test_neighbours_are_those_with_the_largest_cosine(
    at_once: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agnn, "_AT_ONCE", at_once)  # one user at a time, two, or all
    known = sparse.csr_array(sparse.vstack([some_rows(12, seed=3)] * 2))  # each row twice, so that there are ties
    for queries, own in ((some_rows(7, seed=4), None), (known, np.arange(24))):
        rows, kept = nearest(queries, known, count, own)
        assert rows.shape == kept.shape == (queries.shape[0], min(count, 24))
        me = [-1] * queries.shape[0] if own is None else own.tolist()
        expected = brute_force(queries.toarray(), known.toarray(), count, me)
        assert [row[mask].tolist() for row, mask in zip(rows, kept, strict=True)] == expected


def test_nobody_is_its_own_neighbour_and_a_twin_is() -> None:
    known = sparse.csr_array(np.array([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]]))
    rows, kept = nearest(known, known, 3, own=np.arange(4))
    assert [row[mask].tolist() for row, mask in zip(rows, kept, strict=True)] == [[1], [0], [], []]


def test_training_users_are_not_among_their_own_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    def spied(*arguments: Any, **named: Any) -> tuple[Tensor, Tensor]:
        found.append(nearest(*arguments, **named))
        return found[-1]

    monkeypatch.setattr(agnn, "nearest", spied)
    _, train, _ = fitted()
    (rows, kept), *others = found
    assert not others
    assert len(rows) == len(train.users.items.row.unique())
    assert kept.any()
    assert not ((rows == torch.arange(len(rows))[:, None]) & kept).any()


def test_gates_weigh_each_entry_of_each_neighbour() -> None:
    model, _, _ = fitted()
    net, generator = model._net, torch.Generator().manual_seed(6)
    own, near = torch.randn(3, 4, generator=generator), torch.randn(3, 2, 4, generator=generator)
    kept = torch.tensor([[True, True], [False, True], [False, False]])
    with torch.no_grad():
        found = net.aggregated(own, near, kept)
        for user in range(3):
            mine = [near[user, place] for place in range(2) if kept[user, place]]
            taken, mean = torch.zeros(4), torch.zeros(4)
            for one in mine:
                gate = torch.sigmoid(net.aggregate_gate.weight @ torch.cat([own[user], one]) + net.aggregate_gate.bias)
                taken += one * gate / len(mine)
                mean += one / len(mine)
            gate = torch.sigmoid(net.filter_gate.weight @ torch.cat([own[user], mean]) + net.filter_gate.bias)
            total = own[user] * (1 - gate) + taken
            torch.testing.assert_close(found[user], torch.where(total > 0, total, 0.01 * total))


def test_the_autoencoder_is_measured_by_its_divergence_and_the_distance_to_the_preference() -> None:
    model, _, _ = fitted()
    net, generator = model._net, torch.Generator().manual_seed(9)
    attributes, own, noise = (torch.randn(3, 4, generator=generator) for _ in range(3))
    with torch.no_grad():
        made, loss = net.generated(attributes, own, noise)
        mean, log_variance = net.posterior(attributes)
    drawn_from = torch.distributions.Normal(mean, (log_variance / 2).exp())
    standard = torch.distributions.Normal(torch.zeros(4), torch.ones(4))
    divergence = torch.distributions.kl_divergence(drawn_from, standard).sum(1)
    torch.testing.assert_close(loss, divergence + ((made - own) ** 2).sum(1))


def test_the_loss_is_the_mean_over_a_users_items_of_a_softmax_over_all() -> None:
    # e^0 + e^0 + e^(log 2) = 4: chances 1/4, 1/4, 1/2. User 0 has items 0 and 2, user 1 item 2.
    scores = torch.tensor([0.0, 0.0, 2.0]).where(torch.tensor([True, True, False]), torch.tensor(2.0).log())
    chosen = torch.tensor([[True, False, True], [False, False, True]])
    expected = torch.tensor([(torch.tensor(4.0).log() + torch.tensor(2.0).log()) / 2, torch.tensor(2.0).log()])
    torch.testing.assert_close(unlikely(scores.expand(2, 3), chosen), expected)


def test_a_score_follows_from_the_neighbours_that_are_read() -> None:
    model, train, users = fitted()
    net = model._net
    features = model.state_dict()["features"]
    active = train.users.items.row.unique()
    known, rows = features(train.users)[active.numpy()], features(users)
    read = brute_force(rows.toarray(), known.toarray(), 3, [-1] * len(users))
    with torch.no_grad():
        theirs = net.fused(net.preference, net.attributes(known))
        attributes = net.attributes(rows)
        own = net.fused(net.decoder(net.encoder(attributes)[:, :4]), attributes)
        for user, score in enumerate(model.score(users)):
            near = theirs[read[user]][None]
            vector = net.aggregated(own[user][None], near, torch.ones(near.shape[:2], dtype=torch.bool))[0]
            torch.testing.assert_close(score, net.items @ vector + net.bias, atol=1e-4, rtol=1e-4)


def test_known_items_are_not_read() -> None:
    model, _, users = fitted()
    assert len(users.items)
    assert torch.equal(model.score(users), model.score(replace(users, items=Edges(NONE, NONE))))


def test_what_the_neighbours_prefer_counts() -> None:
    model, _, users = fitted()
    before = model.score(users)
    with torch.no_grad():
        model._net.preference.mul_(2)  # nothing else reads the vectors of training users
    assert not torch.allclose(before, model.score(users))


@pytest.mark.parametrize("masked", [0.0, 1.0])
def test_all_or_none_may_be_masked(masked: float) -> None:
    model, _, users = fitted(masked=masked)
    assert model.score(users).isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"neighbours": 0}, "neighbours must be at least 1, got 0"),
        ({"masked": -0.1}, "masked must be at least 0 and at most 1, got -0.1"),
        ({"masked": 1.1}, "masked must be at least 0 and at most 1, got 1.1"),
        ({"reconstruction": -1.0}, "reconstruction must be at least 0, got -1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AGNN(**options)
