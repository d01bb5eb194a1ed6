"""What a client computes of its own users: what it hides from itself, its loss, its gradient, its local training."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gnnrec.graph.block import Block
from gnnrec.nn.encoder import Encoder, Vectors
from gnnrec.training.ranking import ItemRanker, random_places, shown_counts
from gnnrec.views import ITEM, USER, Edges, UserBatch


def hide_part(users: UserBatch, history_dropout: float, generator: torch.Generator) -> tuple[UserBatch, Edges]:
    """Hides the whole histories of some users and a random part of those of the others, as central training does.

    Args:
        users: B users with their histories.
        history_dropout: chance to hide a user's whole history.
        generator: source of the draws.

    Returns:
        The users with what is shown of them, and the edges that are hidden, which are asked for.
    """
    items = users.items.take(users.items.row.argsort(stable=True))
    count = torch.bincount(items.row, minlength=len(users))
    shown = shown_counts(count.clamp(min=1), history_dropout, generator)
    hidden = random_places(items.row, generator) >= shown[items.row]
    return replace(users, items=items.take(~hidden)), items.take(hidden)


def shared_vectors(encoder: Encoder, public: Block) -> tuple[list[Vectors], Tensor]:
    """What every client computes alike, from the shared parameters and the public relations of items.

    Args:
        encoder: without relations that begin at users.
        public: the relations between items, and between items and values; no user is in it.

    Returns:
        The vectors before each step, for `Encoder.attach`, and [I, D] those of items after the last one.
    """
    x: Vectors = encoder.initial()
    states: list[Vectors] = [x]
    for depth, relations in enumerate(encoder.plan((USER, ITEM))):
        x = encoder.step(depth, x, x, public, [t for t in relations if t[2] != USER])
        states.append(x)
    items = x[ITEM]
    assert items is not None
    return states[:-1], items


def summed_loss(ranker: ItemRanker, public: Block, known: UserBatch, asked: Edges) -> Tensor:
    """The negative logarithms of the softmax over all items at the hidden ones, added up.

    It is a sum over users, each of whom enters through its own edges alone. So the gradient of a batch of many
    clients' users is the sum of the clients' gradients, which is what simulated rounds make use of. With dropout, the
    users of a batch share what is dropped of items' vectors, as clients do that draw it from a seed of the round.

    Args:
        ranker: the shared parameters.
        public: see `shared_vectors`.
        known: B users with what is shown of them.
        asked: the hidden edges.
    """
    states, items = shared_vectors(ranker.encoder, public)
    scores = ranker.score(ranker.encoder.attach(states, known), items)
    device = scores.device
    return -scores.log_softmax(1)[asked.row.to(device), asked.node.to(device)].sum()


def gradient(ranker: ItemRanker, public: Block, known: UserBatch, asked: Edges) -> tuple[Tensor, Tensor]:
    """[P] the gradient of a client's summed loss, one parameter after the other, and the loss."""
    parameters = shared_parameters(ranker)
    loss = summed_loss(ranker, public, known, asked)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return flat(
        [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
    ), loss.detach()


def local_training(
    ranker: ItemRanker,
    public: Block,
    users: UserBatch,
    history_dropout: float,
    epochs: int,
    learning_rate: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """A client's own training: gradient descent on its users, from the server's parameters, which are left unchanged.

    Source: McMahan, Moore, Ramage, Hampson, Aguera y Arcas, "Communication-Efficient Learning of Deep Networks from
        Decentralized Data", AISTATS 2017, Algorithm 1, ClientUpdate, with all of a client's users in one batch.

    Args:
        ranker: the server's parameters.
        public: see `shared_vectors`.
        users: the client's, with their histories.
        history_dropout: see `hide_part`; drawn anew for each step.
        epochs: steps.
        learning_rate: of each step along the gradient of the mean over what is hidden.
        generator: source of the draws.

    Returns:
        [P] what the steps have changed, and the mean loss before the first of them.
    """
    parameters = shared_parameters(ranker)
    before = [p.detach().clone() for p in parameters]
    first = torch.zeros(())
    for epoch in range(epochs):
        known, asked = hide_part(users, history_dropout, generator)
        summed, loss = gradient(ranker, public, known, asked)
        step = summed * (learning_rate / max(len(asked), 1))
        first = loss / max(len(asked), 1) if epoch == 0 else first
        with torch.no_grad():
            for p, part in zip(parameters, unflat(step, parameters), strict=True):
                p.sub_(part)
    with torch.no_grad():
        change = flat([p - old for p, old in zip(parameters, before, strict=True)])
        for p, old in zip(parameters, before, strict=True):
            p.copy_(old)
    return change, first


def shared_parameters(ranker: ItemRanker) -> list[torch.nn.Parameter]:
    """What server and clients share: tables of items and values, layers, item biases, logit scale."""
    return [p for p in ranker.parameters() if p.requires_grad]


def flat(parts: Sequence[Tensor]) -> Tensor:
    """[P], one part after the other."""
    return torch.cat([part.flatten() for part in parts])


def unflat(vector: Tensor, like: list[torch.nn.Parameter]) -> list[Tensor]:
    """The parts of a vector [P] in the shapes of parameters."""
    parts = vector.split([p.numel() for p in like])
    return [part.view_as(p) for part, p in zip(parts, like, strict=True)]
