"""Rounds of all clients are central training; failures leave sums right in the mean; masks change nothing."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import TrainingError
from gnnrec.federated import rounds
from gnnrec.federated.clients import flat, hide_part, shared_parameters
from gnnrec.federated.rounds import (
    FederatedConfig,
    clients_of,
    draw_round,
    federated_losses,
    secure_popularity,
    server_optimizer,
    with_gradient,
)
from gnnrec.models.federated_graphsage import FederatedGraphSAGE
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import INTERACTS, ITEM, USER, TrainingData, reverse

ENCODER = EncoderConfig(channels=8, layers=2, dropout=0.0, init="random", regression=0)


def training(seed: int = 3) -> TrainingData:
    return make_split(synthetic(seed, num_users=40), UnseenUsers(test=0.1, validation=0.1), seed).train


def built(train: TrainingData, config: FederatedConfig, seed: int = 3) -> FederatedGraphSAGE:
    model = FederatedGraphSAGE(encoder=ENCODER, federated=config)
    model.build(train, seed)
    return model


def slope(loss: Tensor, model: FederatedGraphSAGE) -> Tensor:
    """[P], the gradient of a loss."""
    return flat(torch.autograd.grad(loss, shared_parameters(model._head), materialize_grads=True))


def trained(model: FederatedGraphSAGE, epochs: int, generator: torch.Generator) -> Tensor:
    """[P], the parameters after so many epochs."""
    head = model._head
    optimizer = server_optimizer(model.federated, shared_parameters(head))
    for _ in range(epochs):
        for loss in federated_losses(head, model._public, model._users, model.federated, generator):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return flat([p.detach() for p in shared_parameters(head)])


def central(model: FederatedGraphSAGE, train: TrainingData, steps: int, generator: torch.Generator) -> Tensor:
    """The same model on all users' data in one place, written apart: means by dense matrices, cross-entropy of torch.

    Two steps of SAGEConv, from values and items to users, and from items to categories and back, added up over
    relations, with layer normalisation and ReLU between them, as `Encoder` documents.
    """
    head, encoder = model._head, model._head.encoder
    kind = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[model.federated.server]
    optimizer = kind(head.parameters(), lr=model.federated.learning_rate, weight_decay=0.0)
    users = train.users
    sizes = {USER: len(users), **{t: len(ids) for t, ids in train.ids.items()}}

    def mean_matrix(source: Tensor, target: Tensor, edge_type: tuple[str, str, str]) -> Tensor:
        dense = torch.zeros(sizes[edge_type[2]], sizes[edge_type[0]])
        dense[target, source] = 1
        return dense / dense.sum(1, keepdim=True).clamp(min=1)

    fixed = {reverse(t): mean_matrix(e.node, e.row, reverse(t)) for t, e in users.relations.items() if t[2] != USER}
    for relation in train.relations:
        one, other = relation.edge_index
        fixed[relation.type] = mean_matrix(one, other, relation.type)
        fixed[reverse(relation.type)] = mean_matrix(other, one, reverse(relation.type))
    for _ in range(steps):
        draw_round(len(clients_of(users, 1)), model.federated, generator)  # draws of a round that all clients are in
        known, asked = hide_part(users, model.federated.history_dropout, generator)
        means = {**fixed, reverse(INTERACTS): mean_matrix(known.items.node, known.items.row, reverse(INTERACTS))}
        x = {t: torch.zeros(sizes[USER], 8) if t == USER else encoder.table(t).weight for t in sizes}
        for depth, layers in enumerate(encoder.steps):
            new = dict(x)
            for target in sizes:
                received = [
                    functional.linear(
                        means[t] @ x[t[0]], layers[" ".join(t)].lin_l.weight, layers[" ".join(t)].lin_l.bias
                    )
                    + functional.linear(x[t[2]], layers[" ".join(t)].lin_r.weight)
                    for t in means
                    if t[2] == target and " ".join(t) in layers
                ]
                if received:
                    new[target] = x[target] + torch.stack(received).sum(0)
                    if depth == 0:
                        new[target] = encoder.norms[0]["type " + target](new[target]).relu()
            x = new
        scores = head.logit_scale * (x[USER] @ x[ITEM].t()) + head.bias + head.no_interactions
        loss = functional.cross_entropy(scores[asked.row], asked.node)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return flat([p.detach() for p in shared_parameters(head)])


@pytest.fixture
def in_double() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def moved_and_apart(server: str, rate: float) -> tuple[float, float]:
    """How far ten rounds have moved any parameter, and how far they are from ten central steps."""
    config = FederatedConfig(participation=1.0, learning_rate=rate, server=server)  # type: ignore[arg-type]
    train = training()
    start, one, other = (built(train, config) for _ in range(3))
    federated = trained(one, 10, torch.Generator().manual_seed(1))
    in_one_place = central(other, train, 10, torch.Generator().manual_seed(1))
    at_first = flat([p.detach() for p in shared_parameters(start._head)])
    return (federated - at_first).abs().max().item(), (federated - in_one_place).abs().max().item()


def test_ten_rounds_of_all_clients_are_ten_steps_of_central_gradient_descent() -> None:
    moved, apart = moved_and_apart("sgd", 1.0)
    assert moved > 0.05
    assert apart < 1e-5


@pytest.mark.usefixtures("in_double")
def test_ten_rounds_of_all_clients_are_ten_steps_of_central_adamw() -> None:
    """In float64: a vector that is added to all items changes no softmax, so along it both gradients are rounding
    errors, which Adam divides by their own size."""
    moved, apart = moved_and_apart("adamw", 0.01)
    assert moved > 0.05
    assert apart < 1e-5


def test_clients_one_by_one_with_masks_give_what_a_batch_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow way: each client its own gradient, masked, added up; the draws of what is hidden are the same."""
    train = training()
    hidden = hide_part(built(train, FederatedConfig())._users, 0.7, torch.Generator().manual_seed(9))

    def same(users: object, dropout: float, generator: torch.Generator) -> object:
        rows = torch.isin(train.users.index, users.index).nonzero().flatten()  # type: ignore[attr-defined]
        place = torch.full((len(train.users),), -1)
        place[rows] = torch.arange(len(rows))
        own = hidden[1].take(torch.isin(hidden[1].row, rows))
        return hidden[0].take(rows), type(own)(place[own.row], own.node)

    monkeypatch.setattr(rounds, "hide_part", same)
    found = []
    for how in ("plain", "masked"):
        config = FederatedConfig(participation=0.5, secure_sum=how, dropout=0.2)
        model = built(train, config)
        model._head.logit_scale.data.fill_(1.0)
        first = next(
            federated_losses(model._head, model._public, model._users, config, torch.Generator().manual_seed(4))
        )
        found.append((first.item(), slope(first, model)))
    (plain, one), (masked, other) = found
    assert masked == pytest.approx(plain, rel=1e-5)
    assert (one - other).abs().max() <= 1e-5 * one.abs().max()


def test_an_average_of_clients_after_one_local_step_is_a_step_along_their_mean_gradient() -> None:
    """FedAvg with one local step, all clients and the server's rate 1: p - rate * sum n g / sum n, by a loop."""
    train = training()
    config = FederatedConfig(
        algorithm="fedavg",
        participation=1.0,
        server="sgd",
        learning_rate=1.0,
        local_learning_rate=0.05,
        history_dropout=1.0,  # nothing is left to chance
        client_users=3,
    )
    model = built(train, config)
    model._head.logit_scale.data.fill_(1.0)
    parameters, users = shared_parameters(model._head), train.users
    wanted, total = torch.zeros(sum(p.numel() for p in parameters), dtype=torch.float64), 0
    for own in clients_of(users, 3):
        known, asked = hide_part(users.take(own), 1.0, torch.Generator())
        summed, _ = rounds.gradient(model._head, model._public, known, asked)
        wanted += summed.double() / len(asked) * len(asked)  # mean over the client, times its interactions
        total += len(asked)
    before = flat([p.detach().clone() for p in parameters])
    after = trained(model, 1, torch.Generator().manual_seed(2))
    assert torch.allclose(after - before, (-0.05 * wanted / total).float(), atol=1e-6)


def test_failures_leave_both_sums_right_in_the_mean() -> None:
    """Over all ways in which four clients can fail, each with its chance, by enumeration."""
    update = torch.tensor([[1.0, -2.0], [0.5, 4.0], [3.0, 0.0], [-1.0, 1.0]])
    weight, dropout = torch.tensor([1.0, 5.0, 2.0, 4.0]), 0.3
    sums, weights = torch.zeros(2), torch.zeros(())
    for arrived in itertools.product([0.0, 1.0], repeat=4):
        there = torch.tensor(arrived)
        chance = torch.where(there > 0, 1 - dropout, dropout).prod()
        sums += chance * (there[:, None] * weight[:, None] * update).sum(0)
        weights += chance * (there * weight).sum()
    assert torch.allclose(sums, (1 - dropout) * (weight[:, None] * update).sum(0))
    assert torch.allclose(weights, (1 - dropout) * weight.sum())


def test_failures_leave_the_mean_update_right_in_the_mean() -> None:
    """Gradients of drawn rounds with failures, averaged, are that of all clients."""
    train = training()
    everybody = FederatedConfig(participation=1.0, history_dropout=1.0)
    some = FederatedConfig(participation=0.5, dropout=0.4, history_dropout=1.0)
    model = built(train, everybody)
    model._head.logit_scale.data.fill_(1.0)

    def gradients(config: FederatedConfig, epochs: int) -> Tensor:
        generator, found = torch.Generator().manual_seed(6), []
        for _ in range(epochs):
            for loss in federated_losses(model._head, model._public, model._users, config, generator):
                found.append(slope(loss, model))
        return torch.stack(found)

    right, drawn = gradients(everybody, 1)[0], gradients(some, 150)
    error = drawn.std(0) / len(drawn) ** 0.5
    assert len(drawn) > 280
    assert ((drawn.mean(0) - right).abs() / error.clamp(min=1e-9)).median() < 1.5  # half lie within .67 by chance
    assert (drawn.mean(0) - right).norm() < 0.1 * (drawn - right).norm(dim=1).mean()


def test_a_round_in_which_too_few_arrive_is_lost() -> None:
    train = training()
    config = FederatedConfig(participation=0.2, dropout=0.9, min_clients=3)
    model = built(train, config)
    losses = list(federated_losses(model._head, model._public, model._users, config, torch.Generator().manual_seed(2)))
    assert len(losses) < config.rounds == 5


def test_rounds_of_an_epoch_and_clients_of_a_round() -> None:
    users = training().users
    assert len(users) == 32
    assert [len(own) for own in clients_of(users, 5)] == [5, 5, 5, 5, 5, 5, 2]
    config = FederatedConfig(participation=0.1, dropout=0.25)
    assert config.rounds == 10
    generator, drawn, failed = torch.Generator().manual_seed(8), torch.zeros(60), 0
    for _ in range(2000):
        chosen, arrived = draw_round(60, config, generator)
        assert len(chosen) == 6
        drawn[chosen] += 1
        failed += int((~arrived).sum())
    assert drawn.mean() == 200
    assert drawn.std() == pytest.approx((2000 * 0.1 * 0.9) ** 0.5, rel=0.3)
    assert failed / 12_000 == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("how", ["plain", "masked"])
def test_popularity_is_counted_by_a_sum_over_clients(how: str) -> None:
    train = training()
    config = FederatedConfig(secure_sum=how, client_users=2)  # type: ignore[arg-type]
    found = secure_popularity(train.users, train.num_items, config, torch.Generator().manual_seed(1))
    assert torch.equal(found, train.popularity)


def test_a_loss_with_a_given_gradient() -> None:
    model = built(training(), FederatedConfig())
    parameters = shared_parameters(model._head)
    wanted = torch.randn(sum(p.numel() for p in parameters), generator=torch.Generator().manual_seed(1))
    loss = with_gradient(model._head, wanted, torch.tensor(2.5))
    assert loss.item() == pytest.approx(2.5, abs=1e-5)
    assert torch.allclose(slope(loss, model), wanted)


def test_an_update_that_is_no_number_stops_a_masked_round() -> None:
    config = FederatedConfig(secure_sum="masked", participation=0.5)
    model = built(training(), config)
    model._head.bias.data[0] = float("nan")
    with pytest.raises(TrainingError, match="not finite"):
        next(federated_losses(model._head, model._public, model._users, config, torch.Generator().manual_seed(1)))
