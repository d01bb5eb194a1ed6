"""The ranking objective on one training graph: graph, encoder and item biases of one GraphSAGE model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from gnnrec.graph.block import whole_graph
from gnnrec.graph.build import build_graph, node_counts
from gnnrec.graph.merge import AttributeMerge
from gnnrec.graph.sampling import NumNeighbors
from gnnrec.graph.sharding import Shard
from gnnrec.models.attached import AttachedEncoder
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.models.selection import Fold
from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.nn.init import attribute_vectors, decompose, start_vectors
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import CPU
from gnnrec.training.ranking import ItemRanker, RankingConfig, ranking_losses
from gnnrec.views import INTERACTS, ITEM, USER, EdgeType, TrainingData, UserBatch


class RankingTask:
    """What a GraphSAGE model trains and scores with, for the order of items.

    Args:
        train: the training users.
        config: settings of the objective.
        encoder: shape of the encoder.
        layer_class: the class that `encoder.layer` names.
        pretrained: whether the vectors of every node type are read, as link prediction does.
        seed: of the truncated SVD.
        weights_seed: of the initial weights.
        device: where to train and score.

    Attributes:
        train: the training users, many attribute columns merged into one relation.
        block: their graph, ready for message passing.
        edges: the relations that link prediction predicts, without their reverses: [2, E] int64 each.
        head: encoder and item biases.
        graph: as the audit reads it, attribute columns unmerged.
        tables: node type -> rows of its learned table.
    """

    def __init__(
        self,
        train: TrainingData,
        config: RankingConfig,
        encoder: EncoderConfig,
        layer_class: Callable[..., nn.Module],
        *,
        pretrained: bool,
        seed: int,
        weights_seed: int,
        device: torch.device = CPU.device,
    ) -> None:
        self.config = config
        merge = AttributeMerge(train)
        self.train = merge.training(train)
        merged = build_graph(self.train)
        self.graph: HeteroData = build_graph(train) if merge.needed else merged
        self.graph_for_shards = merged
        self.block = whole_graph(merged).to(device)
        relations = (relation.type for relation in self.train.relations)
        self.edges: Mapping[EdgeType, Tensor] = {
            t: merged[t].edge_index.to(device) for t in (INTERACTS, *self.train.users.relations, *relations)
        }
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(weights_seed, "weights"))
            outputs = merged.node_types if pretrained else (USER, ITEM)
            made = Encoder(node_counts(merged), merged.edge_types, encoder, layer_class, outputs)
        if encoder.init == "svd":
            svd = decompose(self.train, encoder.channels, seed)
            starts = attribute_vectors(self.train, svd, encoder.channels)
            for node_type, start in {**starts, ITEM: start_vectors(svd, encoder.channels)}.items():
                made.table(node_type).weight.data.copy_(start)
        self.head = ItemRanker(made, self.train.popularity).to(device)
        self.head.eval()
        self.tables = merge.unmerged({t: made.table(t).num_embeddings for t in made.node_types if t != USER})
        self._attached = AttachedEncoder(made, merge, tuple(outputs), {t: list(i) for t, i in self.train.ids.items()})

    def losses(self, shard: Shard, num_neighbors: NumNeighbors, generator: torch.Generator) -> Iterator[Tensor]:
        """One epoch; see `ranking_losses`."""
        return ranking_losses(self.head, shard, self.train, self.config, num_neighbors, generator)

    def precompute(self) -> None:
        """Computes all that scoring needs of the graph: after training, and whenever weights have changed."""
        self.head.eval()
        self._attached.precompute(self.block)

    def embed(self, users: UserBatch) -> Tensor:
        """[B, D] float32, on the task's device, as all vectors and scores are."""
        return self._attached.embed(users)

    @torch.no_grad()
    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, logarithms of unnormalised probabilities."""
        return self.head.score(self.embed(users), self._attached.items)

    @torch.no_grad()
    def item_vectors(self) -> Tensor:
        """[I, D + 1] float32, the items' vectors, their bias in the last column."""
        return torch.cat([self._attached.items, (self.head.bias + self.head.no_interactions)[:, None]], dim=1)

    @torch.no_grad()
    def query(self, users: UserBatch) -> Tensor:
        """[B, D + 1] float32 whose inner products with `item_vectors` are the scores."""
        return nn.functional.pad(self.head.logit_scale * self.embed(users), (0, 1), value=1.0)

    def state_dict(self) -> dict[str, Any]:
        """Weights and precomputed vectors: all that `from_state` needs."""
        return {"head": self.head.state_dict(), **self._attached.state_dict()}

    @classmethod
    def from_state(
        cls, config: RankingConfig, encoder: EncoderConfig, layer_class: Callable[..., nn.Module], state: dict[str, Any]
    ) -> "RankingTask":
        """A task that scores as the saved one does; there is no graph to train on."""
        task = object.__new__(cls)
        task.config = config
        task._attached = AttachedEncoder.from_state(encoder, layer_class, state)
        task.head = ItemRanker(task._attached.encoder, torch.ones(len(state["head"]["bias"])))
        task.head.load_state_dict(state["head"])
        task.head.eval()
        return task

    @staticmethod
    def measure(tasks: Sequence["RankingTask"], folds: Sequence[Fold], seed: int) -> Callable[[], dict[str, float]]:
        """NDCG@10 over the held-out users of all folds, each scored by the model that was trained without them."""
        device = tasks[0].head.bias.device
        prepared = [HeldOutNDCG(fold.test, fold.train.candidates, seed, device) for fold in folds]

        def measured() -> dict[str, float]:
            values = []
            for task, fold, ndcg in zip(tasks, folds, prepared, strict=True):
                task.precompute()
                values.append(ndcg(task.score(fold.test.users)))
            return {"ndcg@10": float(np.concatenate(values).mean())}

        return measured
