"""Clients hide, learn and send: against one client after the other, and by hand."""

import pytest
import torch
from torch import Tensor

from gnnrec.data.synthetic import synthetic
from gnnrec.federated.clients import flat, gradient, hide_part, local_training, shared_parameters, summed_loss
from gnnrec.models.federated_graphsage import FederatedGraphSAGE
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges, TrainingData, UserBatch

ENCODER = EncoderConfig(channels=8, layers=2, dropout=0.0, init="random", regression=0)


def training(seed: int = 7) -> TrainingData:
    return make_split(synthetic(seed, num_users=40), UnseenUsers(test=0.1, validation=0.1), seed).train


def built(train: TrainingData, seed: int = 7) -> FederatedGraphSAGE:
    """A model whose logit scale is not 0, so that every parameter has a gradient."""
    model = FederatedGraphSAGE(encoder=ENCODER)
    model.build(train, seed)
    model._head.logit_scale.data.fill_(1.5)
    return model


def one_user(known: UserBatch, asked: Edges, row: int) -> tuple[UserBatch, Edges]:
    own = asked.take(asked.row == row)
    return known.take(torch.tensor([row])), Edges(torch.zeros_like(own.row), own.node)


def test_what_is_hidden_and_what_is_shown_are_the_history() -> None:
    users = training().users
    known, asked = hide_part(users, 0.4, torch.Generator().manual_seed(5))

    def pairs(*parts: Edges) -> list[tuple[int, int]]:
        return sorted(pair for e in parts for pair in zip(e.row.tolist(), e.node.tolist(), strict=True))

    assert pairs(known.items, asked) == pairs(users.items)
    hidden = torch.bincount(asked.row, minlength=len(users))
    whole = torch.bincount(users.items.row, minlength=len(users))
    assert (hidden >= 1).all()  # of each user something is asked for
    assert 0.1 < (hidden == whole).float().mean() < 0.8
    assert known.relations == users.relations
    all_hidden, _ = hide_part(users, 1.0, torch.Generator().manual_seed(5))
    assert len(all_hidden.items) == 0


def test_a_batch_has_the_sum_of_its_users_gradients() -> None:
    model = built(training())
    head, public = model._head, model._public
    known, asked = hide_part(model._users, 0.5, torch.Generator().manual_seed(2))
    single = [gradient(head, public, *one_user(known, asked, row)) for row in range(len(known))]
    whole, loss = gradient(head, public, known, asked)
    slow = torch.stack([one for one, _ in single]).double().sum(0)
    assert loss.item() == pytest.approx(sum(value.item() for _, value in single), rel=1e-5)
    assert (whole - slow).abs().max() <= 1e-5 * slow.abs().max()
    names = [name for name, p in head.named_parameters() if p.requires_grad]
    parts = slow.split([p.numel() for p in shared_parameters(head)])
    unused = {name for name, part in zip(names, parts, strict=True) if not part.any()}
    assert unused == {name for name in names if ".steps.0." in name and name.endswith("user.lin_r.weight")}


def test_the_loss_of_a_client_does_not_depend_on_who_else_is_there() -> None:
    model = built(training())
    known, asked = hide_part(model._users, 0.5, torch.Generator().manual_seed(2))
    own = [summed_loss(model._head, model._public, *one_user(known, asked, row)).item() for row in (3, 9)]
    rows = torch.tensor([3, 9])
    edges = Edges(*torch.stack([asked.row, asked.node])[:, torch.isin(asked.row, rows)])
    both = summed_loss(model._head, model._public, known.take(rows), Edges((edges.row == 9).long(), edges.node))
    assert both.item() == pytest.approx(sum(own), rel=1e-5)


def test_one_local_step_is_a_step_along_the_gradient_and_leaves_the_server_as_it_is() -> None:
    model = built(training())
    head, public, own = model._head, model._public, model._users.take(torch.tensor([4, 11]))
    before = flat([p.detach().clone() for p in shared_parameters(head)])
    known, asked = hide_part(own, 0.3, torch.Generator().manual_seed(6))
    summed, loss = gradient(head, public, known, asked)
    change, mean = local_training(head, public, own, 0.3, 1, 0.05, torch.Generator().manual_seed(6))
    assert torch.equal(flat([p.detach() for p in shared_parameters(head)]), before)
    assert mean.item() == pytest.approx(loss.item() / len(asked))
    assert torch.allclose(change, -0.05 * summed / len(asked), atol=1e-6)


def test_more_local_steps_lower_the_loss_of_the_client() -> None:
    model = built(training())
    own = model._users.take(torch.arange(5))

    def loss_after(change: Tensor) -> float:
        head, public = model._head, model._public
        known, asked = hide_part(own, 1.0, torch.Generator().manual_seed(1))
        parameters = shared_parameters(head)
        before = [p.detach().clone() for p in parameters]
        torch.nn.utils.vector_to_parameters(flat([p.detach() for p in before]) + change, parameters)
        value = summed_loss(head, public, known, asked).item()
        torch.nn.utils.vector_to_parameters(flat(before), parameters)
        return value

    losses = []
    for epochs in (1, 4, 16):
        change, _ = local_training(
            model._head, model._public, own, 1.0, epochs, 0.5, torch.Generator().manual_seed(epochs)
        )
        losses.append(loss_after(change))
    assert losses[0] > losses[1] > losses[2]
