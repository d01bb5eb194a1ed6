"""Training of an encoder for ratings: a squared or absolute error on what biases leave of them."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from gnnrec.graph.block import Block
from gnnrec.nn.encoder import Encoder
from gnnrec.training.loop import LoopConfig, train
from gnnrec.training.tracking import Tracker
from gnnrec.views import INTERACTS, ITEM, USER, Edges, EdgeType, UserBatch, reverse

LIKES: EdgeType = (USER, "likes", ITEM)
DISLIKES: EdgeType = (USER, "dislikes", ITEM)
"""A rating above what biases expect, and any other."""
MOST_STEPS = 40
"""Steps of an epoch: with more users, more of them are asked about at once. A step over the whole graph costs about the
same for few of them."""


class RatingFinetuneConfig(LoopConfig):
    """An error of predicted ratings."""

    loss: Literal["squared", "absolute"] = "squared"
    """Error of each rating; the same error is looked at on the validation users."""
    epochs: int = Field(60, ge=0)
    """Passes over the training users; with validation users, at most this many."""
    ema_decay: float = Field(0.97, ge=0, lt=1)
    """Decay per step of the running average of the weights that is measured and kept; 0 keeps the last weights."""
    weight_decay: float = Field(0.1, ge=0)
    """Decoupled weight decay of AdamW."""
    batch_users: int = Field(128, ge=1)
    """Users asked about in one step, at least; an epoch takes 40 steps at most."""
    history_dropout: float = Field(1.0, ge=0, le=1)
    """Share of the asked users who show none of their ratings; the others show a random part."""
    quiet: float = Field(0.2, ge=0)
    """Weight of the squared prediction for a pair of user and item, rated or not, against the error of one rating: as
    if each pair had a share of a rating that biases explain. It keeps small what no rating speaks for."""


class ItemRater(nn.Module):
    """Predicts what biases leave of a rating: inner product of the encoder's vectors, times a gain that starts at 0.

    Shapes: [B, D] users and [I, D] items -> [B, I].

    Args:
        encoder: the encoder.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.gain = nn.Parameter(torch.zeros(()))

    def score(self, user: Tensor, item: Tensor) -> Tensor:
        """[B, D] and [I, D] -> [B, I]."""
        return self.gain * (user @ item.t())


def by_opinion(graph: HeteroData, liked: Tensor) -> HeteroData:
    """The graph with two relations, likes and dislikes, in the place of the interactions.

    Source: van den Berg, Kipf, Welling, "Graph Convolutional Matrix Completion", KDD Deep Learning Day 2018, section
        2.3, one relation per rating. Differs: two relations, cut at what biases expect of each rating, so that they do
        not say again how good an item is or how mean a user.

    Args:
        graph: from `build_graph`.
        liked: [E] bool, in the order of the interactions.
    """
    parted = HeteroData()
    for node_type in graph.node_types:
        parted[node_type].num_nodes = graph[node_type].num_nodes
    for edge_type in graph.edge_types:
        if edge_type not in (INTERACTS, reverse(INTERACTS)):
            parted[edge_type].edge_index = graph[edge_type].edge_index
    for edge_type, chosen in ((LIKES, liked), (DISLIKES, ~liked)):
        edges = graph[INTERACTS].edge_index[:, chosen]
        parted[edge_type].edge_index, parted[reverse(edge_type)].edge_index = edges, edges.flip(0)
    return parted


def with_opinions(users: UserBatch, liked: Tensor) -> UserBatch:
    """The users with their known items in the relations of `by_opinion` ([E] bool), for `Encoder.attach`."""

    def bare(chosen: Tensor) -> Edges:
        return Edges(users.items.row[chosen], users.items.node[chosen])

    opinions: Mapping[EdgeType, Edges] = {LIKES: bare(liked), DISLIKES: bare(~liked)}
    return replace(users, items=bare(torch.zeros_like(liked)), relations={**users.relations, **opinions})


def finetune_ratings(
    raters: Sequence[ItemRater],
    blocks: Sequence[Block],
    parts: Sequence[Edges],
    config: RatingFinetuneConfig,
    *,
    measure: Callable[[], dict[str, float]] | None,
    seed: int,
    tracker: Tracker,
) -> int:
    """Trains encoders and gains in place, side by side, each on a training part of its own.

    Each step takes a batch of training users, hides from the graph all ratings of some and a random part of those of
    the others, and asks for what was hidden. The asked users only listen, as a user does who is not in the graph.

    Args:
        raters: M encoders with their gains.
        blocks: the whole graph of each, interactions parted by opinion.
        parts: [E], the training interactions of each; the weight is what biases leave of the rating.
        config: settings.
        measure: value on held-out users, higher is better; None trains for exactly `config.epochs`.
        seed: the run's seed.
        tracker: where to report.

    Returns:
        The number of epochs of the final state.
    """

    def epoch(generator: torch.Generator) -> Iterator[Tensor]:
        each = [
            _steps(rater, block, ratings, config, generator)
            for rater, block, ratings in zip(raters, blocks, parts, strict=True)
        ]
        for step in itertools.zip_longest(*each):
            yield torch.stack([loss for loss in step if loss is not None]).mean()

    return train(nn.ModuleList(raters), epoch, measure, config, "finetune", seed, tracker)


def _steps(
    rater: ItemRater, block: Block, ratings: Edges, config: RatingFinetuneConfig, generator: torch.Generator
) -> Iterator[Tensor]:
    """One epoch of one encoder: the loss of each batch of users."""
    assert ratings.weight is not None
    residual, num_users = ratings.weight, block.num_targets[USER]
    liked = residual > 0
    active = torch.bincount(ratings.row, minlength=num_users).nonzero().flatten()
    order = active[torch.randperm(len(active), generator=generator)]
    for users in order.split(max(config.batch_users, -(-len(order) // MOST_STEPS))):
        part = torch.rand(len(users), generator=generator)
        part[torch.rand(len(users), generator=generator) < config.history_dropout] = 1.0
        share, place = torch.zeros(num_users), torch.full((num_users,), -1)
        share[users], place[users] = part, torch.arange(len(users))
        hidden = torch.rand(len(ratings), generator=generator) < share[ratings.row]  # [E]
        if not hidden.any():
            continue
        asked = ratings.take(hidden)
        assert asked.weight is not None
        seen = block.hide(LIKES, ~hidden[liked]).hide(DISLIKES, ~hidden[~liked]).silence(place >= 0)
        x = rater.encoder([seen] * rater.encoder.config.layers)
        assert x[USER] is not None
        assert x[ITEM] is not None
        predicted = rater.score(x[USER][users], x[ITEM])  # [B, I]
        error = predicted[place[asked.row], asked.node] - asked.weight
        loss = error.square().sum() if config.loss == "squared" else error.abs().sum()
        yield (loss + config.quiet * predicted.square().sum()) / len(asked)
