"""The rating objective: a squared or absolute error on the residuals that biases leave of ratings."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from gnnrec.graph.block import Block
from gnnrec.nn.encoder import Encoder
from gnnrec.training.loop import LoopConfig
from gnnrec.views import INTERACTS, ITEM, USER, Edges, EdgeType, UserBatch, reverse

LIKES: EdgeType = (USER, "likes", ITEM)
DISLIKES: EdgeType = (USER, "dislikes", ITEM)
"""A rating above what biases expect, and any other."""
Predict = Literal["mean", "median", "gain"]
MOST_STEPS = 40
"""Steps of an epoch: with more users, a batch has more of them. A step over the whole graph costs about the
same for few of them."""


class RatingConfig(LoopConfig):
    """An error of predicted ratings."""

    objective: Literal["rating"] = "rating"
    """Ratings are predicted."""

    loss: Literal["squared", "absolute"] = "squared"
    """Error of each rating; the same error is looked at on the validation users."""
    epochs: int = Field(60, ge=0)
    """Passes over the training users; with validation users, at most this many."""
    ema_decay: float = Field(0.97, ge=0, lt=1)
    """Decay per step of the running average of the weights that is measured and kept; 0 keeps the last weights."""
    weight_decay: float = Field(0.1, ge=0)
    """Decoupled weight decay of AdamW."""
    batch_users: int = Field(128, ge=1)
    """Users of one step, at least; an epoch takes 40 steps at most."""
    history_dropout: float = Field(1.0, ge=0, le=1)
    """Share of a batch's users all of whose ratings are hidden; of the others, a random part stays."""
    unobserved_weight: float = Field(0.2, ge=0)
    """Weight of the squared prediction for a pair of user and item, rated or not, against the error of one rating: as
    if each pair had a share of a rating that biases explain. Predictions without evidence stay small."""
    freeze_attributes: bool = False
    """Whether the tables of attribute values keep their pretrained vectors."""
    signed_edges: bool = False
    """Whether ratings are edges of the graph, above and below what biases expect as two relations; otherwise they are
    ground truth alone, and a user's known ratings move nothing but its bias. With it, `history_dropout` should be below
    1, and for users without any rating it did not pay (MovieLens-100K)."""
    user_shrinkage: float = Field(3.0, ge=0)
    """Ratings with the mean user's bias that are added to each user."""
    item_shrinkage: float = Field(5.0, ge=0)
    """Ratings with the expected value that are added to each item."""
    rater_shrinkage: float | None = Field(20.0, ge=0)
    """See `item_values`."""
    residual_weight: float | Literal["choose"] = "choose"
    """What the encoder's prediction is multiplied by before it is added to the biases; `choose` finds it on the
    validation users by least squares, and takes .7 where there are none."""
    predict: Predict = "mean"
    """Which point of a rating's distribution, see `gnnrec.models.rating_points.Point`."""
    cut_points: tuple[float, ...] | Literal["choose"] = "choose"
    """Of the median: predictions from which on the next value is predicted; `choose` finds them on the validation
    users, and rounds to the nearest value where there are none."""

    @model_validator(mode="after")
    def _ascending(self) -> "RatingConfig":
        cuts = self.cut_points
        if cuts != "choose" and (self.predict != "median" or list(cuts) != sorted(cuts)):
            raise ValueError(f"cut_points must ascend, and are for `predict: median` alone, got {cuts}, {self.predict}")
        return self


class ItemRater(nn.Module):
    """Predicts what biases leave of a rating: inner product of the encoder's vectors, times a scale that starts at 0.

    Shapes: [B, D] users and [I, D] items -> [B, I].

    Args:
        encoder: the encoder.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.logit_scale = nn.Parameter(torch.zeros(()))

    def score(self, user: Tensor, item: Tensor) -> Tensor:
        """[B, D] and [I, D] -> [B, I]."""
        return self.logit_scale * (user @ item.t())


def by_sign(graph: HeteroData, liked: Tensor) -> HeteroData:
    """The graph with two relations, likes and dislikes, in the place of the interactions.

    Source: van den Berg, Kipf, Welling, "Graph Convolutional Matrix Completion", KDD Deep Learning Day 2018, section
        2.3, one relation per rating. Differs: two relations, cut at what biases expect of each rating, so that they do
        not repeat the biases of item and user.

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
            if "share" in graph[edge_type]:
                parted[edge_type].share = graph[edge_type].share
    for edge_type, chosen in ((LIKES, liked), (DISLIKES, ~liked)):
        edges = graph[INTERACTS].edge_index[:, chosen]
        parted[edge_type].edge_index, parted[reverse(edge_type)].edge_index = edges, edges.flip(0)
    return parted


def with_signed_edges(users: UserBatch, liked: Tensor) -> UserBatch:
    """The users with their known items in the relations of `by_sign` ([E] bool), for `Encoder.attach`."""

    def bare(chosen: Tensor) -> Edges:
        return Edges(users.items.row[chosen], users.items.node[chosen])

    signed: Mapping[EdgeType, Edges] = {LIKES: bare(liked), DISLIKES: bare(~liked)}
    return replace(users, items=bare(torch.zeros_like(liked)), relations={**users.relations, **signed})


def rating_losses(
    rater: ItemRater, block: Block, ratings: Edges, config: RatingConfig, generator: torch.Generator
) -> Iterator[Tensor]:
    """One epoch: the loss of each batch of users.

    Each step hides from the graph all ratings of some of the users of a batch and a random part of those of the others;
    the hidden ones are the queries. No message starts at a user of the batch, as none does at a user who is attached.

    Args:
        rater: encoder with its scale.
        block: the whole graph, with the interactions as signed edges, or without them.
        ratings: [E], on the rater's device, the training interactions; the weight is the residual that biases leave of
            the rating.
        config: settings.
        generator: source of the draws.
    """
    assert ratings.weight is not None
    residual, num_users, device = ratings.weight, block.num_targets[USER], ratings.row.device
    liked = residual > 0
    active = torch.bincount(ratings.row, minlength=num_users).nonzero().flatten()
    order = active[torch.randperm(len(active), generator=generator).to(device)]
    for users in order.split(max(config.batch_users, -(-len(order) // MOST_STEPS))):
        part = torch.rand(len(users), generator=generator)
        part[torch.rand(len(users), generator=generator) < config.history_dropout] = 1.0
        share, place = torch.zeros(num_users, device=device), torch.full((num_users,), -1, device=device)
        share[users], place[users] = part.to(device), torch.arange(len(users), device=device)
        hidden = torch.rand(len(ratings), generator=generator).to(device) < share[ratings.row]  # [E]
        if not hidden.any():
            continue
        queries = ratings.take(hidden)
        assert queries.weight is not None
        seen = block.hide(LIKES, ~hidden[liked]).hide(DISLIKES, ~hidden[~liked]).without_messages_from(place >= 0)
        x = rater.encoder([seen] * rater.encoder.config.layers)
        assert x[USER] is not None
        assert x[ITEM] is not None
        predicted = rater.score(x[USER][users], x[ITEM])  # [B, I]
        error = predicted[place[queries.row], queries.node] - queries.weight
        loss = error.square().sum() if config.loss == "squared" else error.abs().sum()
        yield (loss + config.unobserved_weight * predicted.square().sum()) / len(queries)
