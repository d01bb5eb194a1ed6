"""GAR: its two losses against loops, and that each player gets the gradient of its own loss alone."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy import sparse
from torch import Tensor

from gnnrec.data.synthetic import synthetic
from gnnrec.models.baselines import GAR
from gnnrec.models.baselines.cold_start.fit import FitConfig
from gnnrec.models.baselines.cold_start.gar import _Net, generator_loss, recommender_loss, two_losses
from gnnrec.models.baselines.cold_start.start import ALSConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges

pytest.importorskip("implicit", reason="the factorization needs gnnrec[mf]")
PAIRS = ((0, 1, 3), (0, 2, 0), (2, 4, 4))
"""User, chosen item, other item."""


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def game() -> tuple[_Net, Tensor, Any, Tensor]:
    """Players, and three users and five items for them: real vectors, features, items."""
    with torch.random.fork_rng():
        torch.manual_seed(6)
        net = _Net(4, 3, 5)
    features = sparse.csr_array(drawn(3, 4, seed=7).numpy())
    return net, drawn(3, 3, seed=8), features, drawn(5, 3, seed=9)


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


def mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()


def test_the_recommenders_loss_by_hand() -> None:
    # 1 - 0.5 * 2 - 0.5 * 4 = -2 and 3 - 0 - 0 = 3
    chosen, other, generated = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 0.0]), torch.tensor([4.0, 0.0])
    wanted = (softplus(2) + softplus(-3)) / 2
    assert float(recommender_loss(chosen, other, generated, 0.5)) == pytest.approx(wanted, rel=1e-5)


def test_the_generators_loss_by_hand() -> None:
    # Generated - chosen is 3 and -3; squared distances are 1 + 4 and 0.
    chosen, generated = torch.tensor([1.0, 3.0]), torch.tensor([4.0, 0.0])
    real, vectors = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0, 4.0], [3.0, 4.0]])
    wanted = 0.75 * (softplus(-3) + softplus(3)) / 2 + 0.25 * (5 + 0) / 2
    assert float(generator_loss(chosen, generated, real, vectors, 0.25)) == pytest.approx(wanted, rel=1e-5)


def test_each_player_gets_the_gradient_of_its_own_loss_alone() -> None:
    net, real, features, items = game()
    alpha, beta = 0.3, 0.8
    row, node, other = torch.tensor(PAIRS).t()
    two_losses(net, real, features, items, row, node, other, alpha, beta).backward()
    found = {name: parameter.grad for name, parameter in net.named_parameters()}

    # Each loss on its own, pair after pair, nothing held still; then the gradient of the player whose loss it is.
    def score(vector: Tensor, item: int) -> Tensor:
        return net.recommender.users(vector) @ net.recommender.items(items[item])

    vectors = net.generator(features)
    against = [beta * score(real[u], j) + (1 - beta) * score(vectors[u], i) - score(real[u], i) for u, i, j in PAIRS]
    of_recommender = mean([torch.log(1 + torch.exp(one)) for one in against])
    ahead = mean([torch.log(1 + torch.exp(score(real[u], i) - score(vectors[u], i))) for u, i, _ in PAIRS])
    near = mean([(vectors[user] - real[user]).square().sum() for user in range(3)])
    of_generator = (1 - alpha) * ahead + alpha * near
    for player, loss in (("generator", of_generator), ("recommender", of_recommender)):
        parameters = dict(getattr(net, player).named_parameters())
        gradients = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True)
        assert len(gradients) > 0
        for name, gradient in zip(parameters, gradients, strict=True):
            assert gradient.abs().sum() > 0
            torch.testing.assert_close(found[f"{player}.{name}"], gradient, rtol=1e-4, atol=1e-6)
    # Without holding still, the recommender would get another one: the players do pull in two directions.
    weight = net.recommender.users[0].weight
    (sum_of_both,) = torch.autograd.grad(of_generator + of_recommender, [weight])
    assert not torch.allclose(sum_of_both, found["recommender.users.0.weight"])  # type: ignore[arg-type]


def test_the_value_is_the_sum_of_both_losses() -> None:
    net, real, features, items = game()
    row, node, other = torch.tensor(PAIRS).t()
    vectors = net.generator(features)
    users, fakes, towers = net.recommender.users(real), net.recommender.users(vectors), net.recommender.items(items)
    chosen, unchosen, generated = (
        torch.stack([one[user] @ towers[item] for user, item in pairs])
        for one, pairs in (
            (users, [(u, i) for u, i, _ in PAIRS]),
            (users, [(u, j) for u, _, j in PAIRS]),
            (fakes, [(u, i) for u, i, _ in PAIRS]),
        )
    )
    wanted = recommender_loss(chosen, unchosen, generated, 0.8) + generator_loss(chosen, generated, real, vectors, 0.3)
    found = two_losses(net, real, features, items, row, node, other, 0.3, 0.8)
    torch.testing.assert_close(found, wanted)


def test_where_the_distance_is_all_the_generator_comes_near_the_real_vectors() -> None:
    train = make_split(synthetic(5), UnseenUsers(test=0.2), 5).train
    distance = []
    for epochs in (0, 40):
        model = GAR(als=ALSConfig(factors=4), alpha=1.0, fit=FitConfig(epochs=epochs, batch_users=16))
        model.fit(train, None, 5)
        real = model._factors.users / model._factors.users.square().mean().sqrt()
        vectors = model._net.generator(model._features(train.users)).detach()
        distance.append(float((vectors - real).square().sum(1).mean()))
    assert distance[1] < 0.7 * distance[0]


def test_known_items_take_the_place_of_features() -> None:
    split = make_split(synthetic(5), UnseenUsers(test=0.2, validation=0.2), 5)
    model = GAR(als=ALSConfig(factors=4), fit=FitConfig(epochs=1))
    model.fit(split.train, None, 5)
    users = split.validation.users.take(torch.arange(4))
    # Users 0 and 1 have an item, 2 and 3 have none.
    known = replace(users, items=Edges(torch.tensor([0, 1]), torch.tensor([3, 9])))
    without_features = replace(known, relations={})
    one, other = model.score(known), model.score(without_features)
    torch.testing.assert_close(one[:2], other[:2])
    assert not torch.allclose(one[2:], other[2:])
    assert not torch.allclose(one[0], one[1])


def test_unseen_users_get_items_of_their_group() -> None:
    split = make_split(synthetic(5, num_users=160), UnseenUsers(test=0.1, validation=0.2), 5)
    model = GAR()
    model.fit(split.train, None, 5)
    users = split.validation.users
    best = model.score(users).topk(8).indices
    assert float((best % 4 == users.index[:, None] % 4).float().mean()) > 0.5  # chance 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"alpha": 1.5}, "alpha must be from 0 to 1, got 1.5"),
        ({"beta": -0.5}, "beta must be from 0 to 1, got -0.5"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GAR(**options)
