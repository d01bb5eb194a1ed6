"""Differentially private training of an encoder and its items: DP-SGD whose unit is a whole user."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from gnnrec.nn.encoder import Encoder
from gnnrec.views import INTERACTS, ITEM, USER, Edges, EdgeType, UserBatch, reverse

Part = Literal["values", "histories", "items", "popularity"]
MOST_SHOWN = 10
"""Most interactions that are shown of a user's history in training."""


class GradientConfig(BaseModel):
    """Steps of gradient descent on noisy sums."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(100, ge=1)
    """Number of steps; each releases one sum."""
    sample_rate: float = Field(0.1, gt=0, le=1)
    """Probability with which each user is in a step, independently of all others and of other steps."""
    clip: float = Field(0.1, gt=0)
    """Largest Euclidean norm of a user's gradient, over all parts together."""
    learning_rate: float = Field(0.001, gt=0)
    """Step size of Adam."""
    parts: tuple[Part, ...] = Field(("values", "histories"), min_length=1)
    """What is trained: vectors of attribute values, the layer of messages from known items, vectors of items,
    log-popularity. The more numbers, the more noise in all."""
    history_dropout: float = Field(0.5, ge=0, le=1)
    """Share of a step's users whose whole history is hidden and asked for; of others, 1 to 10 items are shown."""


class PrivateScorer(nn.Module):
    """One step of GraphSAGE from attribute values and items to users, and inner products with items' vectors.

    z_u = sum over relations r of W_r mean(x_v, v neighbour of u by r), and the score of item i is z_u . x_i + p_i. No
    message starts at a user: training users are no part of the model, and a user's scores hang on its own edges alone.

    Source: Hamilton, Ying, Leskovec, "Inductive Representation Learning on Large Graphs", NeurIPS 2017, Algorithm 1
        with one step. Differs: users have no vector of their own before it, and nothing follows it.
    Shapes: B users -> [B, I].

    Args:
        encoder: of one step, whose relations lead to users by a mean, without a bias.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.popularity = nn.Parameter(torch.zeros(encoder.table(ITEM).num_embeddings))

    def vectors(self, users: UserBatch) -> Tensor:
        """[B, D] vectors of users, from their edges alone."""
        return self.encoder.attach([self.encoder.initial()], users)

    def forward(self, users: UserBatch) -> Tensor:
        """[B, I] scores, logarithms of unnormalised probabilities."""
        return self.vectors(users) @ self.encoder.table(ITEM).weight.t() + self.popularity

    def weight(self, relation: EdgeType) -> Tensor:
        """[D, D], the linear map of one relation."""
        return self.encoder.sums_of(0, [relation])[0][1]

    def of(self, parts: Sequence[Part]) -> list[Tensor]:
        """The weights of some parts."""
        encoder = self.encoder
        weights: dict[Part, list[Tensor]] = {
            "values": [encoder.table(t).weight for t in encoder.node_types if t not in (USER, ITEM)],
            "histories": [self.weight(reverse(INTERACTS))],
            "items": [encoder.table(ITEM).weight],
            "popularity": [self.popularity],
        }
        return [one for part in parts for one in weights[part]]


def clipped_gradients(
    scorer: PrivateScorer, shown: UserBatch, asked: Edges, parts: Sequence[Part], clip: float
) -> list[Tensor]:
    """The sum of the users' gradients, each clipped to a Euclidean norm of at most `clip` over all parts together.

    A user's loss is the cross-entropy of the softmax over all items, averaged over the items asked for. It reads this
    user's edges alone, so that its gradient is this user's contribution and nobody else's. Each gradient is a sum of
    outer products, of r = softmax - asked with z, of the weights of a mean with the gradient before it, and of the
    gradient of z with a mean; its norm follows from inner products of these vectors without being built. The sum is the
    gradient of the losses, each multiplied by its own min(1, clip / norm), a number that no gradient flows through.

    Source: Abadi et al., "Deep Learning with Differential Privacy", CCS 2016, Algorithm 1, with the user as the unit as
        in McMahan et al., "Learning Differentially Private Recurrent Language Models", ICLR 2018; norms from outer
        products as in Goodfellow, "Efficient Per-Example Gradient Computations", 2015.

    Args:
        scorer: its weights.
        shown: B users, with what is shown of their histories.
        asked: edges from their rows to the items asked for; a user without any has a gradient of 0.
        parts: what is trained.
        clip: above 0.

    Returns:
        A gradient for each of `scorer.of(parts)`. One user more or less changes all of them together by a norm of at
        most `clip`.
    """
    item = scorer.encoder.table(ITEM).weight
    z = scorer.vectors(shown)  # [B, D]
    logits = z @ item.t() + scorer.popularity  # [B, I]
    target = _mean_weights(asked, len(shown), len(item))
    known = target.sum(1, keepdim=True)  # 1; 0 for a user of whom nothing is asked
    loss = logits.logsumexp(1) * known[:, 0] - (target * logits).sum(1)
    with torch.no_grad():
        residual = logits.softmax(1) * known - target
        back = residual @ item  # [B, D], the gradient of z
        outer: dict[str, list[tuple[Tensor, Tensor]]] = {ITEM: [(residual, z)]}
        square = torch.zeros(len(shown))
        edges = {reverse(INTERACTS): shown.items} | {reverse(t): e for t, e in shown.relations.items()}
        for relation in scorer.encoder.edge_types:
            table = scorer.encoder.table(relation[0]).weight
            mean = _mean_weights(edges[relation], len(shown), len(table))
            outer.setdefault(relation[0], []).append((mean, back @ scorer.weight(relation)))
            if "histories" in parts and relation[0] == ITEM:
                square += back.square().sum(1) * (mean @ table).square().sum(1)
        for node_type, products in outer.items():
            if ("items" if node_type == ITEM else "values") in parts:
                square += sum((a * b).sum(1) * (x * y).sum(1) for a, x in products for b, y in products)
        if "popularity" in parts:
            square += residual.square().sum(1)
        factor = clip / square.sqrt().clamp(min=clip)  # [B]
    return list(torch.autograd.grad((factor * loss).sum(), scorer.of(parts), materialize_grads=True))


def _mean_weights(edges: Edges, num_users: int, size: int) -> Tensor:
    """[B, N], of each user's neighbours one over their number. Dense: for a batch, never for all users at once."""
    weights = torch.zeros(num_users, size).index_put_((edges.row, edges.node), torch.ones(len(edges)), accumulate=True)
    return weights / weights.sum(1, keepdim=True).clamp(min=1)


def train_privately(
    scorer: PrivateScorer,
    users: UserBatch,
    config: GradientConfig,
    noise_multiplier: float,
    expected: float,
    random: np.random.Generator,
) -> None:
    """Moves the weights along noisy sums of clipped gradients; the mean of the second half of the steps stays.

    Each step draws its users by independent coins (Poisson sampling, as the accountant assumes), and adds noise of
    standard deviation noise_multiplier * clip to the sum of `clipped_gradients`: one release of a Gaussian mechanism of
    sensitivity 1 after division by `clip`. Which part of a history is shown is drawn for each user by itself. Adam and
    the mean of the weights only read what was released.

    Args:
        scorer: changed in place.
        users: all training users.
        config: how to train.
        noise_multiplier: 0 for no noise.
        expected: the users of a step on average, from a noisy count; scales the gradients.
        random: draws users, what is shown, and noise.
    """
    weights = scorer.of(config.parts)
    optimizer = torch.optim.Adam(weights, lr=config.learning_rate)
    mean = [torch.zeros_like(one) for one in weights]
    half = config.steps // 2
    for step in range(config.steps):
        rows = torch.from_numpy(np.flatnonzero(random.random(len(users)) < config.sample_rate))
        shown, asked = _hide(users.take(rows), config.history_dropout, random)
        gradients = clipped_gradients(scorer, shown, asked, config.parts, config.clip)
        for weight, gradient in zip(weights, gradients, strict=True):
            noise = torch.from_numpy(random.standard_normal(weight.shape)).float()
            weight.grad = (gradient + noise_multiplier * config.clip * noise) / expected
        optimizer.step()
        if step >= half:
            for total, weight in zip(mean, weights, strict=True):
                total += weight.detach() / (config.steps - half)
    with torch.no_grad():
        for total, weight in zip(mean, weights, strict=True):
            weight.copy_(total)


def _hide(users: UserBatch, dropout: float, random: np.random.Generator) -> tuple[UserBatch, Edges]:
    """What is shown of each user's history, and what is asked for."""
    count = torch.bincount(users.items.row, minlength=len(users))
    number = torch.from_numpy(random.integers(1, MOST_SHOWN + 1, len(users)))
    number[torch.from_numpy(random.random(len(users)) < dropout)] = 0
    number = torch.minimum(number, (count - 1).clamp(min=0))
    order = np.lexsort((random.random(len(users.items)), users.items.row.numpy()))
    items = users.items.take(torch.from_numpy(order))
    place = torch.arange(len(items)) - (count.cumsum(0) - count)[items.row]
    is_shown = place < number[items.row]
    return replace(users, items=items.take(is_shown)), items.take(~is_shown)
