"""GraphRecommender: encoder, pretraining and fine-tuning under the contract of a recommender."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

import gnnrec.layers
from gnnrec import seeds
from gnnrec.data.dataset import USER, EdgeType
from gnnrec.encoder import Encoder, EncoderConfig, Vectors, whole_graph
from gnnrec.errors import ConfigError
from gnnrec.evaluate import EvaluateConfig, evaluate
from gnnrec.finetune import FinetuneConfig, ItemRanker, finetune
from gnnrec.graph import INTERACTS, build_graph, node_counts
from gnnrec.known import HeldOut, Training, Users
from gnnrec.pretrain import PretrainConfig, pretrain
from gnnrec.resolve import check_layer_options, resolve
from gnnrec.sampling import FanOut
from gnnrec.tracking import Tracker


class GraphRecommender:
    """A graph encoder that gives a vector to any user, seen or not, from that user's edges alone.

    Source: Hamilton, Ying, Leskovec, "Inductive Representation Learning on Large Graphs", NeurIPS 2017. Differs: the
        graph is heterogeneous, users have no features and no table, and training hides whole histories.
    Shapes: B users -> [B, I] scores.

    Args:
        encoder: shape of the encoder.
        pretrain: link prediction over every relation; None leaves it out.
        finetune: ranking loss on the interactions.
        fan_out: edges drawn per target and relation in training (one number, or one per relation name); None
            propagates over the whole graph in each step, which is faster until the graph no longer fits the caches.
        pretrained: a `model.pt` or `pretrained.pt` of another run, whose weights to start from: layers by relation, the
            vectors of items and attribute values by their ids.
    """

    scores_unseen_users = True
    predicts_values = False
    chooses_on_validation = True

    def __init__(
        self,
        *,
        encoder: EncoderConfig = EncoderConfig(),  # noqa: B008  (frozen)
        pretrain: PretrainConfig | None = PretrainConfig(),  # noqa: B008
        finetune: FinetuneConfig = FinetuneConfig(),  # noqa: B008
        fan_out: int | dict[str, int] | None = None,
        pretrained: Path | None = None,
    ) -> None:
        try:
            self.layer_class = resolve(encoder.layer, gnnrec.layers)
        except ConfigError as error:
            raise ConfigError(f"encoder.layer: {error}") from None
        options = check_layer_options(self.layer_class, encoder.layer_options, at="encoder.layer_options")
        self.encoder_config = encoder.model_copy(update={"layer_options": options})
        self.pretrain_config = pretrain
        self.finetune_config = finetune
        self.fan_out: FanOut = fan_out
        self.pretrained = pretrained
        self.tracker = Tracker()
        self.chosen: dict[str, Any] = {}
        self.loaded: dict[str, int] = {}

    @property
    def tables(self) -> dict[str, int]:
        """Node type -> rows of its learned table, for the audit."""
        encoder = self._ranker.encoder
        return {t: encoder.table(t).num_embeddings for t in encoder.node_types if t != USER}

    def fit(self, train: Training, validation: HeldOut | None, seed: int) -> None:
        """Pretrains and fine-tunes; see `Recommender.fit`. The choice is the number of epochs of both stages.

        Raises:
            TrainingError: a loss is not a number.
        """
        with torch.random.fork_rng():
            self.build(train, seed)
            epochs = {}
            if self.pretrained is not None:
                self._load_pretrained(self.pretrained)
            if self.pretrain_config is not None:
                epochs["pretrain.epochs"] = pretrain(
                    self._ranker.encoder,
                    self._block,
                    self._edges,
                    self.pretrain_config,
                    choose=validation is not None,
                    fan_out=self.fan_out,
                    seed=seed,
                    tracker=self.tracker,
                )
                if self.tracker.folder is not None and validation is None:
                    Tracker.write(self.tracker.folder / "pretrained.pt", self.state_dict())
            epochs["finetune.epochs"] = finetune(
                self._ranker,
                self._block,
                train,
                self.finetune_config,
                measure=None if validation is None else self._measure(validation, train.candidates, seed),
                fan_out=self.fan_out,
                seed=seed,
                tracker=self.tracker,
            )
        if validation is not None:
            self.chosen = epochs
        self._remember()

    def score(self, users: Users) -> Tensor:
        """Scores every item: [B, I] float32; see `Recommender.score`."""
        with torch.no_grad():
            return self._ranker.score(self.embed(users), self._items)

    def embed(self, users: Users) -> Tensor:
        """[B, D] float32, the vectors of B users from what is known of them."""
        with torch.no_grad():
            return self._ranker.encoder.attach(self._states, users)

    def state_dict(self) -> dict[str, Any]:
        """Weights, and the ids that the rows of the tables stand for: all that `load_state_dict` needs."""
        return {"weights": self._ranker.state_dict(), "ids": {t: list(ids) for t, ids in self._ids.items()}}

    def load_state_dict(self, train: Training, state: Mapping[str, Any]) -> None:
        """Takes the weights of a finished run; `train` must be what that run was fitted on."""
        self.build(train, seed=0)
        self._ranker.load_state_dict(state["weights"])
        self._remember()

    def build(self, train: Training, seed: int) -> HeteroData:
        """Builds graph and encoder, without any training; `fit` begins with it. Returns the graph, for the audit."""
        self._ids = train.ids
        graph = build_graph(train)
        self._edges: dict[EdgeType, Tensor] = {
            t: graph[t].edge_index
            for t in (INTERACTS, *train.users.relations, *(relation.type for relation in train.relations))
        }
        self._block = whole_graph(graph)
        types = graph.node_types
        outputs = types if self.pretrain_config is not None else ("user", "item")
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(seed, "weights"))
            encoder = Encoder(node_counts(graph), graph.edge_types, self.encoder_config, self.layer_class, outputs)
        self._ranker = ItemRanker(encoder, train.popularity)
        self._ranker.eval()
        return graph

    def _remember(self) -> None:
        """Computes what an unseen user hears from: once, after training."""
        self._ranker.eval()
        encoder = self._ranker.encoder
        with torch.no_grad():
            self._states: list[Vectors] = encoder.states(self._block)
            last = encoder([self._block] * self.encoder_config.layers, outputs=("item",))["item"]
        assert last is not None
        self._items = last

    def _measure(self, validation: HeldOut, candidates: Tensor, seed: int) -> Any:
        config = EvaluateConfig(metrics=["ndcg"], at=[10])

        def measure() -> dict[str, float]:
            self._remember()
            values = evaluate(self, validation, candidates, config, seed).metrics
            return {name: value for name, value in values.items() if value is not None}

        return measure

    def _load_pretrained(self, path: Path) -> None:
        """Copies what fits: layers and norms by name and shape, rows of the tables by id. Counts both in `loaded`."""
        if not path.is_file():
            raise ConfigError(f"model.pretrained: {path}: no such file; name the model.pt or pretrained.pt of a run")
        state = torch.load(path, weights_only=True)
        own = self._ranker.encoder.state_dict()
        theirs = {k.removeprefix("encoder."): v for k, v in state["weights"].items() if k.startswith("encoder.")}
        layers = {
            k: v for k, v in theirs.items() if not k.startswith("tables.") and k in own and v.shape == own[k].shape
        }
        rows = 0
        for node_type, ids in state["ids"].items():
            if node_type not in self._ids:
                continue
            place = torch.from_numpy(pd.Index(ids).get_indexer(self._ids[node_type]))
            table = self._ranker.encoder.table(node_type).weight.data
            name = next(k for k, v in own.items() if v.data_ptr() == table.data_ptr())
            if name in theirs and theirs[name].shape[1] == table.shape[1]:
                table[place >= 0] = theirs[name][place[place >= 0]]
                rows += int((place >= 0).sum())
        if not layers and not rows:
            raise ConfigError(f"model.pretrained: {path}: nothing fits; compare encoder.channels and encoder.layer")
        self._ranker.encoder.load_state_dict({**own, **layers, **{k: v for k, v in own.items() if "tables." in k}})
        self.loaded = {"tensors": len(layers), "table_rows": rows}
