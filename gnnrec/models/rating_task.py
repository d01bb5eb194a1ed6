"""The rating objective on one training graph: biases in closed form, and an encoder of what they leave."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from gnnrec.graph.block import whole_graph
from gnnrec.graph.build import build_graph, node_counts
from gnnrec.graph.merge import AttributeMerge
from gnnrec.graph.sampling import NumNeighbors
from gnnrec.graph.sharding import Shard
from gnnrec.models.attached import AttachedEncoder, take_users, widths, word_maps
from gnnrec.models.rating_effects import (
    expected_item_bias,
    fit_biases,
    item_values,
    known_user_bias,
    ratings_of,
    residual_directions,
)
from gnnrec.models.selection import Fold
from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import CPU
from gnnrec.training.rating import (
    DISLIKES,
    LIKES,
    ItemRater,
    RatingConfig,
    by_sign,
    rating_losses,
    with_signed_edges,
)
from gnnrec.views import ITEM, USER, Edges, EdgeType, TestSet, TrainingData, UserBatch, reverse


class RatingTask:
    """What a GraphSAGE model trains and scores with, for ratings: value of the item + bias of the user + encoder.

    An item's value is its bias, shrunk to what its popularity and attributes lead to expect. The encoder predicts what
    biases leave, from the edges of the user alone.

    Args and attributes: as `RankingTask`; interactions need values.
    """

    def __init__(
        self,
        train: TrainingData,
        config: RatingConfig,
        encoder: EncoderConfig,
        layer_class: Callable[..., nn.Module],
        *,
        pretrained: bool,
        seed: int,
        weights_seed: int,
        device: torch.device = CPU.device,
    ) -> None:
        self.config = config
        ratings = ratings_of(train)
        plain = fit_biases(ratings, config.user_shrinkage, config.item_shrinkage)
        expected = expected_item_bias(train, ratings, plain)
        biases = fit_biases(ratings, config.user_shrinkage, config.item_shrinkage, expected)
        residual = biases.residual(ratings)
        self.range = ratings.range
        self._item_value = item_values(ratings, biases, config.rater_shrinkage)
        left = torch.from_numpy(residual).float()
        items = train.users.items
        self._residuals = Edges(items.row.to(device), items.node.to(device), left.to(device))
        self.graph: HeteroData = build_graph(train)
        merge = AttributeMerge(train)
        self.train = merge.training(train)
        signed = by_sign(build_graph(self.train), left > 0)
        names = (LIKES, DISLIKES, *self.train.users.relations, *(relation.type for relation in self.train.relations))
        self.edges: Mapping[EdgeType, Tensor] = {
            t: signed[t].edge_index.to(device) for t in names if signed[t].edge_index.numel()
        }
        if not config.signed_edges:
            for edge_type in (LIKES, DISLIKES):
                del signed[edge_type], signed[reverse(edge_type)]
        self.block = whole_graph(signed).to(device)
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(weights_seed, "weights"))
            outputs = signed.node_types if pretrained else (USER, ITEM)
            shape = node_counts(signed), signed.edge_types, encoder, layer_class, outputs
            made = Encoder(*shape, self.train.interpolated, widths(train.users))
            if encoder.init == "svd":
                start = residual_directions(ratings, residual, encoder.channels, weights_seed)
                made.table(ITEM).weight.data.copy_(torch.from_numpy(0.5 * start))
            take_users(made, train, device)
            self.head = ItemRater(made).to(device)
        self.head.eval()
        self.tables = merge.unmerged({t: made.table(t).num_embeddings for t in made.node_types if t != USER})
        own = {t: list(i) for t, i in self.train.ids.items()}
        self._attached = AttachedEncoder(made, merge, tuple(outputs), own, word_maps(self.train))

    def losses(self, shard: Shard, num_neighbors: NumNeighbors, generator: torch.Generator) -> Iterator[Tensor]:
        """One epoch; see `rating_losses`. Neighbours are never drawn."""
        assert num_neighbors is None
        return rating_losses(self.head, shard.block, self._residuals, self.config, generator)

    def precompute(self) -> None:
        """Computes all that scoring needs of the graph: after training, and whenever weights have changed."""
        self.head.eval()
        self._attached.precompute(self.block)

    def base(self, users: UserBatch) -> Tensor:
        """[B, I] float64, value of the item and bias of the user."""
        return torch.from_numpy(self._item_value + self._bias(users)[:, None])

    @torch.no_grad()
    def encoded(self, users: UserBatch) -> Tensor:
        """[B, I] float32, the encoder's prediction of the residual, on the CPU."""
        return self.head.score(self.embed(users), self._attached.items).cpu()

    def embed(self, users: UserBatch) -> Tensor:
        """[B, D] float32, on the task's device."""
        items = users.items
        expected = self._item_value[items.node.numpy()] + self._bias(users)[items.row.numpy()]
        liked = torch.zeros(len(items), dtype=torch.bool)
        if items.weight is not None:
            liked = items.weight > torch.from_numpy(expected)
        return self._attached.embed(with_signed_edges(users, liked))

    def state_dict(self) -> dict[str, Any]:
        """Weights, biases and precomputed vectors: all that `from_state` needs."""
        own = {"item_value": self._item_value, "range": self.range}
        return {"head": self.head.state_dict(), **own, **self._attached.state_dict()}

    @classmethod
    def from_state(
        cls, config: RatingConfig, encoder: EncoderConfig, layer_class: Callable[..., nn.Module], state: dict[str, Any]
    ) -> "RatingTask":
        """A task that scores as the saved one does; there is no graph to train on."""
        task = object.__new__(cls)
        task.config = config
        task._attached = AttachedEncoder.from_state(encoder, layer_class, state)
        task.head = ItemRater(task._attached.encoder)
        task.head.load_state_dict(state["head"])
        task.head.eval()
        task._item_value, task.range = state["item_value"], state["range"]
        return task

    @staticmethod
    def measure(tasks: Sequence["RatingTask"], folds: Sequence[Fold], seed: int) -> Callable[[], dict[str, float]]:
        """Minus the mean error of the held-out ratings of all folds, biases and encoder together."""

        def measured() -> dict[str, float]:
            errors = []
            for task, fold in zip(tasks, folds, strict=True):
                task.precompute()
                errors.append(_residual(task, fold.test) - _at_target(task.encoded(fold.test.users), fold.test))
            error = torch.cat(errors)
            if tasks[0].config.loss == "squared":
                return {"minus squared error": -float(error.square().mean())}
            return {"minus absolute error": -float(error.abs().mean())}

        return measured

    @staticmethod
    def best_weight(tasks: Sequence["RatingTask"], folds: Sequence[Fold]) -> float:
        """What the encoder's prediction is best multiplied by: least squares, at least 0.

        Each user's own mean residual is left out: it is the user's bias, which no attribute is to explain.
        """
        rows = []
        for task, fold in zip(tasks, folds, strict=True):
            values = torch.stack([_at_target(task.encoded(fold.test.users), fold.test), _residual(task, fold.test)])
            row, users = fold.test.ground_truth.row, len(fold.test.users)
            count = torch.bincount(row, minlength=users).clamp(min=1)
            mean = torch.zeros(2, users, dtype=torch.float64).index_add(1, row, values) / count
            rows.append((values - mean[:, row]).numpy())
        encoded, residual = np.concatenate(rows, axis=1)
        weight, _ = nnls(encoded[:, None], residual)
        return round(float(weight[0]), 3)

    def _bias(self, users: UserBatch) -> np.ndarray:
        """[B] biases of the users against the mean user's."""
        return known_user_bias(users.items, self._item_value, np.zeros(len(users)), self.config.user_shrinkage)


def _at_target(values: Tensor, test: TestSet) -> Tensor:
    """[E] float64, the values ([B, I]) of the ratings in the ground truth."""
    return values[test.ground_truth.row, test.ground_truth.node].double()


def _residual(task: RatingTask, test: TestSet) -> Tensor:
    """[E] float64, what biases leave of the ratings in the ground truth."""
    assert test.ground_truth.weight is not None
    return test.ground_truth.weight - _at_target(task.base(test.users), test)
