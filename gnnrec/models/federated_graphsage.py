"""FederatedGraphSAGE: a graph encoder that is trained while users' data stay with their clients."""

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

import gnnrec.nn.conv
from gnnrec.errors import ConfigError
from gnnrec.federated.clients import shared_vectors
from gnnrec.federated.rounds import FederatedConfig, federated_losses, secure_popularity, server_optimizer
from gnnrec.graph.adjacency import Adjacency
from gnnrec.graph.block import Block
from gnnrec.graph.merge import AttributeMerge
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.options.resolve import check_layer_options, resolve
from gnnrec.options.search_space import Choice, Integer, Log, SearchSpace, Uniform
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import CPU
from gnnrec.training.loop import Measured
from gnnrec.training.loop import train as run_stage
from gnnrec.training.ranking import ItemRanker
from gnnrec.training.tracking import Tracker
from gnnrec.views import INTERACTS, ITEM, USER, EdgeType, TestSet, TrainingData, UserBatch, reverse


class FederatedGraphSAGE:
    """GraphSAGE without messages from users, trained by rounds of gradients or of local training.

    A user's vector comes from its attribute values, its items and what is publicly known of these, all of which its
    client has at hand; an item's from its table and its public relations. Tables of items and values, layers and item
    biases are shared; no edge of a user leaves its client but in sums over clients: of updates, of losses, and of the
    items that users have, which biases start from. With `participation: 1` and `fedsgd` it is the central twin: each
    step takes the gradient of all users' loss.

    Source: McMahan, Moore, Ramage, Hampson, Aguera y Arcas, "Communication-Efficient Learning of Deep Networks from
        Decentralized Data", AISTATS 2017, Algorithm 1, with the encoder of Hamilton, Ying, Leskovec, "Inductive
        Representation Learning on Large Graphs", NeurIPS 2017. Differs from `GraphSAGE`: no messages from users to
        items, values or other users, no SVD of the interactions to start from, no regression, no events.
    Shapes: B users -> [B, I] scores.

    Args:
        encoder: shape of the encoder; `init` must be random, `regression` and `linear` 0.
        federated: the rounds.
        choose_epochs: whether the number of epochs is chosen on validation users; if not, all epochs are trained.
    """

    supports_cold_users = True
    predicts_ratings = False
    log_scores = True
    search_space: ClassVar[SearchSpace] = {
        "encoder.channels": Choice((16, 32, 64)),
        "encoder.layers": Integer(1, 3),
        "encoder.dropout": Uniform(0, 0.6),
        "federated.learning_rate": Log(1e-3, 0.03),
        "federated.weight_decay": Log(1e-3, 1),
        "federated.history_dropout": Uniform(0.1, 1),
    }

    def __init__(
        self,
        *,
        encoder: EncoderConfig = EncoderConfig(layers=2, init="random", regression=0),  # noqa: B008  (frozen)
        federated: FederatedConfig = FederatedConfig(),  # noqa: B008
        choose_epochs: bool = True,
    ) -> None:
        try:
            self._layer_class = resolve(encoder.layer, gnnrec.nn.conv)
        except ConfigError as error:
            raise ConfigError(f"encoder.layer: {error}") from None
        options = check_layer_options(self._layer_class, encoder.layer_options, at="encoder.layer_options")
        if encoder.init != "random":
            raise ValueError("encoder.init: must be random; a truncated SVD needs the interactions in one place")
        for name in ("regression", "linear"):
            if getattr(encoder, name):
                raise ValueError(f"encoder.{name}: must be 0; it is solved from the interactions in one place")
        self.encoder = encoder.model_copy(update={"layer_options": options})
        self.federated = federated
        self.choose_epochs = self.chooses_on_validation = choose_epochs
        self.tracker = Tracker()
        self.placement = CPU
        self.best_params: dict[str, Any] = {}

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON."""
        parts = {"encoder": self.encoder, "federated": self.federated}
        return {**{k: v.model_dump(mode="json") for k, v in parts.items()}, "choose_epochs": self.choose_epochs}

    @property
    def tables(self) -> dict[str, int]:
        """Node type -> rows of its learned table, for the audit."""
        encoder = self._head.encoder
        return self._merge.unmerged({t: encoder.table(t).num_embeddings for t in encoder.node_types if t != USER})

    def build(self, train: TrainingData, seed: int) -> None:
        """Makes the shared parameters, without any training; `fit` begins with it. There is no graph of all users.

        Raises:
            ConfigError: users are described by words, pictures or vectors.
        """
        if train.users.features:
            raise ConfigError(
                "FederatedGraphSAGE: learns nothing from words, pictures and vectors of users; leave them out of the "
                "data, or use GraphSAGE"
            )
        data = train.with_events(())
        self._merge = AttributeMerge(data)
        data = self._merge.training(data)
        relations: dict[EdgeType, Tensor] = {}
        for relation in data.relations:
            relations[relation.type] = relation.edge_index
            relations[reverse(relation.type)] = relation.edge_index.flip(0)
        counts = {t: len(ids) for t, ids in data.ids.items()}
        into_users = [reverse(t) for t in (INTERACTS, *data.attribute_types)]
        edge_types = (*into_users, *relations)
        self._shape = {USER: 0, **counts}, edge_types, data.interpolated
        adjacency = {t: Adjacency(edges, counts[t[0]], counts[t[2]]) for t, edges in relations.items()}
        self._public = Block(adjacency, counts).to(self.placement.device)
        self._users = data.users
        popularity = secure_popularity(
            data.users, data.num_items, self.federated, seeds.generator(seed, "federated popularity")
        )
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(seed, "weights"))
            self._head = self._made(popularity)

    def _made(self, popularity: Tensor) -> ItemRanker:
        counts, edge_types, interpolated = self._shape
        made = Encoder(counts, edge_types, self.encoder, self._layer_class, (USER, ITEM), interpolated)
        head = ItemRanker(made, popularity).to(self.placement.device)
        head.eval()
        return head

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Trains in rounds; with validation users, chooses the epochs on them, by NDCG@10.

        Raises:
            ConfigError: see `build`.
            TrainingError: a loss is not a number, or an update does not fit into masks.
        """
        self.build(train, seed)
        self.best_params = {}
        measure = None
        if validation is not None and self.choose_epochs:
            measure = functools.partial(self._measured, validation, self._ndcg(validation, train, seed))
        with torch.random.fork_rng(), self.placement.deterministic():
            epochs = run_stage(
                self._head,
                functools.partial(federated_losses, self._head, self._public, self._users, self.federated),
                measure,
                self.federated,
                "federated",
                seed,
                self.tracker,
                self.placement,
                functools.partial(server_optimizer, self.federated),
            )
        self._precompute()
        if measure is not None:
            self.best_params = {"federated": self.federated.model_copy(update={"epochs": epochs})}
        del self._users  # the model keeps nothing of them

    def _ndcg(self, validation: TestSet, train: TrainingData, seed: int) -> HeldOutNDCG:
        return HeldOutNDCG(validation, validation.candidates(train), seed, self.placement.device)

    def _measured(self, validation: TestSet, ndcg: HeldOutNDCG) -> Measured:
        self._precompute()
        return {"ndcg@10": float(ndcg(self._scores(validation.users)).mean())}

    @torch.no_grad()
    def _precompute(self) -> None:
        """The vectors that users are attached to, with the weights as they are."""
        self._states, self._items = shared_vectors(self._head.encoder, self._public)

    @torch.no_grad()
    def _scores(self, users: UserBatch) -> Tensor:
        """[B, I] float32, on the model's device."""
        return self._head.score(self._vectors(users), self._items)

    def _vectors(self, users: UserBatch) -> Tensor:
        found: Tensor = self._head.encoder.attach(self._states, self._merge.users(users.with_events(())))
        return found

    def score(self, users: UserBatch) -> Tensor:
        """Scores every item: [B, I] float32, logarithms of unnormalised probabilities; see `Recommender.score`."""
        return self._scores(users).cpu()

    @torch.no_grad()
    def embed(self, users: UserBatch) -> Tensor:
        """[B, D] float32, the vectors of B users from what is known of them."""
        return self._vectors(users).cpu()

    @torch.no_grad()
    def item_vectors(self) -> Tensor:
        """[I, D + 1] float32 whose inner products with `query` are the scores; the last column has the biases."""
        biases = self._head.bias + self._head.no_interactions
        return torch.cat([self._items, biases[:, None]], dim=1).cpu()

    @torch.no_grad()
    def query(self, users: UserBatch) -> Tensor:
        """[B, D + 1] float32, to be multiplied with `item_vectors`."""
        return torch.nn.functional.pad(self._head.scaled(self._vectors(users)), (0, 1), value=1.0).cpu()

    def state_dict(self) -> dict[str, Any]:
        """Weights and precomputed vectors: all that `load_state_dict` needs."""
        fitted = {"head": self._head.state_dict(), "states": self._states, "items": self._items}
        return {**fitted, "shape": self._shape, "merge": self._merge}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave; nothing is drawn, and no training data is needed."""
        self._shape, self._merge = state["shape"], state["merge"]
        with torch.random.fork_rng():
            self._head = self._made(torch.ones(self._shape[0][ITEM]))
        self._head.load_state_dict(state["head"])
        self._states, self._items = state["states"], state["items"]
