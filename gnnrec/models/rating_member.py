"""One encoder of ratings, with all that has a closed form beside it: what one training part gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from gnnrec.graph.block import whole_graph
from gnnrec.graph.build import build_graph, node_counts
from gnnrec.graph.matrices import UserFeatures
from gnnrec.graph.merge import AttributeMerge
from gnnrec.models.rating_effects import (
    expected_item_bias,
    fit_biases,
    item_values,
    known_user_bias,
    ratings_of,
    residual_directions,
    value_effects,
)
from gnnrec.nn.encoder import Encoder, EncoderConfig, Vectors
from gnnrec.runtime import seeds
from gnnrec.training.rating import DISLIKES, LIKES, ItemRater, by_opinion, with_opinions
from gnnrec.views import ITEM, USER, Edges, EdgeType, TrainingData, UserBatch, reverse


@dataclass(frozen=True)
class Shrinkages:
    """Ratings that say nothing, added to each user, item, group of raters, and attribute value of an item."""

    user: float
    item: float
    rater: float | None
    effect: float


class RatingMember:
    """Biases and effects of one training part, and an encoder of its graph.

    Attributes:
        graph: as built from the training part, for the audit.
        block: the same graph for the encoder, with interactions parted by opinion, or without them.
        edges: relation -> [2, E] int64, what pretraining predicts; relations without edges are not among them.
        residuals: the training interactions, weighted by what biases leave of them.
        range: smallest and largest value in training.
        rater: encoder and gain, untrained.
    """

    def __init__(
        self,
        train: TrainingData,
        shrinkages: Shrinkages,
        config: EncoderConfig,
        layer_class: Callable[..., nn.Module],
        outputs: Sequence[str] | None,
        opinions: bool,
        seed: int,
    ) -> None:
        ratings = ratings_of(train)
        plain = fit_biases(ratings, shrinkages.user, shrinkages.item)
        expected = expected_item_bias(train, ratings, plain)
        biases = fit_biases(ratings, shrinkages.user, shrinkages.item, expected)
        residual = biases.residual(ratings)
        self.range = ratings.range
        self._item_value = item_values(ratings, biases, shrinkages.rater)
        self._user_shrinkage = shrinkages.user
        self._features = UserFeatures(train)
        self._effects = value_effects(self._features(train.users), ratings, residual, shrinkages.effect)
        left = torch.from_numpy(residual).float()
        self.residuals = Edges(train.users.items.row, train.users.items.node, left)
        self.graph: HeteroData = build_graph(train)
        self._folding = AttributeMerge(train)
        folded = self._folding.training(train)
        parted = by_opinion(build_graph(folded), left > 0)
        names = (LIKES, DISLIKES, *folded.users.relations, *(relation.type for relation in folded.relations))
        self.edges: Mapping[EdgeType, Tensor] = {t: parted[t].edge_index for t in names if parted[t].edge_index.numel()}
        if not opinions:
            for edge_type in (LIKES, DISLIKES):
                del parted[edge_type], parted[reverse(edge_type)]
        self.block = whole_graph(parted)
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(seed, "weights"))
            outputs = parted.node_types if outputs is None else outputs
            encoder = Encoder(node_counts(parted), parted.edge_types, config, layer_class, outputs)
            if config.start == "spectral":
                start = residual_directions(ratings, residual, config.channels, seed)
                encoder.table(ITEM).weight.data.copy_(torch.from_numpy(0.5 * start))
            self.rater = ItemRater(encoder)
        self.rater.eval()

    @property
    def tables(self) -> dict[str, int]:
        """Node type -> rows of its learned table."""
        encoder = self.rater.encoder
        rows = {t: encoder.table(t).num_embeddings for t in encoder.node_types if t != USER}
        return self._folding.unmerged(rows)

    def precompute(self) -> None:
        """Computes what an unseen user hears from: after training, and whenever weights have changed."""
        self.rater.eval()
        encoder = self.rater.encoder
        with torch.no_grad():
            self._states: list[Vectors] = encoder.states(self.block)
            last = encoder([self.block] * encoder.config.layers, outputs=(ITEM,))[ITEM]
        assert last is not None
        self._items = last

    def base(self, users: UserBatch) -> Tensor:
        """[B, I] float64, value of the item and bias of the user."""
        return torch.from_numpy(self._item_value + self._bias(users)[:, None])

    def encoded(self, users: UserBatch) -> Tensor:
        """[B, I] float32, what the encoder adds."""
        with torch.no_grad():
            return self.rater.score(self.embed(users), self._items)

    def effects(self, users: UserBatch) -> Tensor:
        """[B, I] float64, what the users with the same attribute values add."""
        return torch.from_numpy((self._features(users) @ self._effects).toarray())

    def embed(self, users: UserBatch) -> Tensor:
        """[B, D] float32."""
        items = users.items
        expected = self._item_value[items.node.numpy()] + self._bias(users)[items.row.numpy()]
        liked = torch.zeros(len(items), dtype=torch.bool)
        if items.weight is not None:
            liked = items.weight > torch.from_numpy(expected)
        with torch.no_grad():
            return self.rater.encoder.attach(self._states, with_opinions(self._folding.users(users), liked))

    def _bias(self, users: UserBatch) -> np.ndarray:
        """[B] biases of the users against the mean user's."""
        return known_user_bias(users.items, self._item_value, np.zeros(len(users)), self._user_shrinkage)
