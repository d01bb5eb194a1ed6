"""Rounds of federated training: who takes part, what the server gets, and the step that it takes."""

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from gnnrec.federated.clients import gradient, hide_part, local_training, shared_parameters, summed_loss, unflat
from gnnrec.federated.secure_sum import SecureSum, masked_sum, plain_sum
from gnnrec.graph.block import Block
from gnnrec.training.loop import LoopConfig
from gnnrec.training.ranking import ItemRanker
from gnnrec.views import UserBatch

SUMS: Mapping[str, SecureSum] = {"plain": plain_sum, "masked": masked_sum}


class FederatedConfig(LoopConfig):
    """Rounds between a server and the clients that hold the users."""

    algorithm: Literal["fedsgd", "fedavg"] = "fedsgd"
    """What clients send: `fedsgd` the gradient of their loss at the server's parameters, `fedavg` what training of
    their own has changed."""
    participation: float = Field(0.1, gt=0, le=1)
    """Share of the clients that is drawn for a round; at 1, `fedsgd` is central training on all users at each step."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Chance of a client in a round to fail before it has sent anything."""
    min_clients: int = Field(2, ge=1)
    """A round in which fewer clients arrive is lost: a sum of one is that one's. With fewer clients in a round anyway,
    all of them must arrive."""
    client_users: int = Field(1, ge=1)
    """Users that a client holds."""
    secure_sum: Literal["plain", "masked"] = "plain"
    """How the server gets sums: `plain` of vectors that it could see, `masked` of such with masks that cancel, where
    each client's vector is computed by itself."""
    server: Literal["adamw", "sgd"] = "adamw"
    """How the server steps along the mean of what clients send: with `sgd` and a learning rate of 1, `fedavg` takes on
    the mean of the clients' parameters."""
    epochs: int = Field(60, ge=0)
    """An epoch has so many rounds that a client takes part in one of them on average: 1 / participation, rounded. With
    validation users, at most this many."""
    learning_rate: float = Field(0.01, gt=0)
    """Step size of the server."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay of AdamW; with `sgd`, not decoupled."""
    ema_decay: float = Field(0.97, ge=0, lt=1)
    """Decay per round of the running average of the parameters that is measured and kept; 0 keeps the last ones."""
    local_epochs: int = Field(1, ge=1)
    """Steps of a client's own training in a round, of `fedavg`."""
    local_learning_rate: float = Field(0.1, gt=0)
    """Step size of these."""
    history_dropout: float = Field(0.7, ge=0, le=1)
    """Share of users whose whole history is hidden when they are learned from; of the others, a random part stays."""

    @property
    def rounds(self) -> int:
        """Rounds of an epoch."""
        return max(1, round(1 / self.participation))


def clients_of(users: UserBatch, client_users: int) -> list[Tensor]:
    """The rows of each client's users, [b] int64; users without a history are at none: nothing is learned from them."""
    active = torch.bincount(users.items.row, minlength=len(users)).nonzero().flatten()
    return list(active.split(client_users))


def secure_popularity(users: UserBatch, num_items: int, config: FederatedConfig, generator: torch.Generator) -> Tensor:
    """[I] float32, the number of users with each item, as a sum over clients, all of whom take part."""
    if config.secure_sum == "plain":
        return torch.bincount(users.items.node, minlength=num_items).float()
    clients = clients_of(users, config.client_users)
    counts = torch.stack([torch.bincount(users.take(own).items.node, minlength=num_items) for own in clients])
    return masked_sum(counts, torch.ones(len(clients), dtype=torch.bool), generator).float()


def draw_round(clients: int, config: FederatedConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The clients of a round, [C] int64, ascending, each at most once, and which of them arrive, [C] bool."""
    count = max(1, round(config.participation * clients))
    chosen = torch.randperm(clients, generator=generator)[:count].sort().values
    return chosen, torch.rand(count, generator=generator) >= config.dropout


def federated_losses(
    ranker: ItemRanker, public: Block, users: UserBatch, config: FederatedConfig, generator: torch.Generator
) -> Iterator[Tensor]:
    """One epoch: for each round that is not lost, a loss whose gradient is the mean of what the clients have sent.

    Means weigh clients by what is hidden of their users (`fedsgd`) or by their numbers of interactions (`fedavg`);
    both the sum of what is sent and that of the weights reach the server by the secure sum. A client fails whatever it
    holds, so both sums are, but for a factor, right in the mean over failures, and so, up to one over the number of
    clients, is their ratio.

    Source: McMahan et al., AISTATS 2017, Algorithm 1 (FederatedSGD, FederatedAveraging); the server's optimizer after
        Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 2.

    Args:
        ranker: the server's parameters.
        public: the relations between items and values, on the ranker's device.
        users: all training users, client after client.
        config: settings.
        generator: source of the draws.
    """
    clients = clients_of(users, config.client_users)
    for _ in range(config.rounds if clients else 0):
        chosen, arrived = draw_round(len(clients), config, generator)
        if int(arrived.sum()) < min(config.min_clients, len(chosen)):
            continue
        rows = [clients[client] for client in chosen.tolist()]
        if config.algorithm == "fedsgd" and config.secure_sum == "plain":  # the sum of gradients, see `summed_loss`
            own = users.take(torch.cat([one for one, there in zip(rows, arrived.tolist(), strict=True) if there]))
            known, asked = hide_part(own, config.history_dropout, generator)
            yield summed_loss(ranker, public, known, asked) / max(len(asked), 1)
            continue
        size = sum(p.numel() for p in shared_parameters(ranker))
        sent = torch.zeros(len(rows), size + 2, device=ranker.bias.device)
        for client, there in enumerate(arrived.tolist()):
            if there:
                sent[client] = _update(ranker, public, users.take(rows[client]), config, generator)
        total = SUMS[config.secure_sum](sent, arrived, generator).to(sent)
        weight = total[-1].clamp(min=torch.finfo(total.dtype).tiny)
        yield with_gradient(ranker, total[:-2] / weight, total[-2] / weight)


def _update(
    ranker: ItemRanker, public: Block, users: UserBatch, config: FederatedConfig, generator: torch.Generator
) -> Tensor:
    """[P + 2] what a client sends: its update and its loss, both times its weight, and the weight."""
    if config.algorithm == "fedsgd":
        known, asked = hide_part(users, config.history_dropout, generator)
        summed, loss = gradient(ranker, public, known, asked)
        return torch.cat([summed, loss[None], loss.new_tensor([len(asked)])])
    how = config.history_dropout, config.local_epochs, config.local_learning_rate
    change, loss = local_training(ranker, public, users, *how, generator)
    weight = len(users.items)
    return torch.cat([-change * weight, loss[None].to(change) * weight, change.new_tensor([weight])])


def with_gradient(ranker: ItemRanker, wanted: Tensor, value: Tensor) -> Tensor:
    """A scalar of a given value whose gradient with respect to the shared parameters is given, [P]."""
    parameters = shared_parameters(ranker)
    linear = torch.stack([(p * g).sum() for p, g in zip(parameters, unflat(wanted, parameters), strict=True)]).sum()
    return value + linear - linear.detach()


def server_optimizer(config: FederatedConfig, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The server's optimizer."""
    if config.server == "sgd":
        return torch.optim.SGD(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
