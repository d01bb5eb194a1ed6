"""GraphRecommender: encoder, pretraining and fine-tuning under the contract of a recommender."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

import gnnrec.layers
from gnnrec import seeds
from gnnrec.copying import Mixed, choose_shares, mix, neighbour_choices
from gnnrec.data.dataset import ITEM, USER, EdgeType
from gnnrec.encoder import Encoder, EncoderConfig, Vectors, whole_graph
from gnnrec.errors import ConfigError
from gnnrec.evaluate import EvaluateConfig, evaluate
from gnnrec.finetune import FinetuneConfig, ItemRanker, finetune
from gnnrec.graph import INTERACTS, build_graph, node_counts
from gnnrec.known import HeldOut, Training, Users
from gnnrec.pretrain import PretrainConfig, pretrain
from gnnrec.resolve import check_layer_options, resolve
from gnnrec.sampling import FanOut
from gnnrec.search_space import Choice, Integer, Log, SearchSpace, Uniform
from gnnrec.spectral import SpectralRegression, Spectrum, decompose, start_vectors
from gnnrec.tracking import Tracker

REGRESSION = "regression"
REGULARIZATIONS = (0.3, 1.0, 3.0, 10.0, 30.0)


class GraphRecommender:
    """A graph encoder that gives a vector to any user, seen or not, from that user's edges alone.

    Source: Hamilton, Ying, Leskovec, "Inductive Representation Learning on Large Graphs", NeurIPS 2017. Differs: the
        graph is heterogeneous, users have no features and no table, and training hides whole histories.
    Shapes: B users -> [B, I] scores.

    Args:
        encoder: shape of the encoder.
        pretrain: link prediction over every relation; None leaves it out.
        finetune: ranking loss on the interactions.
        shares: path -> its share in the score, the rest being the encoder's. Paths are `regression` (see
            `gnnrec.spectral`) and the names of the relations along which the choices of neighbours are copied (see
            `gnnrec.copying`; `interacts`: users with an item in common). `choose` picks the shares on the validation
            users; without such users, the encoder speaks alone.
        regularization: of the regression; `choose` picks it on the validation users.
        fan_out: edges drawn per target and relation in training (one number, or one per relation name); None
            propagates over the whole graph in each step, which is faster until the graph no longer fits the caches.
        pretrained: a `model.pt` or `pretrained.pt` of another run, whose weights to start from: layers by relation, the
            vectors of items and attribute values by their ids.
    """

    scores_unseen_users = True
    predicts_values = False
    chooses_on_validation = True
    search_space: ClassVar[SearchSpace] = {
        "encoder.channels": Choice((32, 64, 128)),
        "encoder.layers": Integer(2, 3),
        "encoder.dropout": Uniform(0, 0.6),
        "pretrain.learning_rate": Log(1e-3, 0.02),
        "finetune.learning_rate": Log(1e-3, 0.02),
        "finetune.weight_decay": Log(1e-3, 1),
        "finetune.cold_share": Uniform(0.3, 1),
    }

    def __init__(
        self,
        *,
        encoder: EncoderConfig = EncoderConfig(),  # noqa: B008  (frozen)
        pretrain: PretrainConfig | None = PretrainConfig(),  # noqa: B008
        finetune: FinetuneConfig = FinetuneConfig(),  # noqa: B008
        shares: dict[str, float] | Literal["choose"] = "choose",
        regularization: float | Literal["choose"] = "choose",
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
        if shares != "choose" and not (all(share >= 0 for share in shares.values()) and sum(shares.values()) <= 1):
            raise ValueError(f"shares: each must be at least 0, and all together at most 1, got {shares}")
        if regularization != "choose" and not regularization > 0:
            raise ValueError(f"regularization: must be above 0, got {regularization}")
        self.shares = shares
        self.regularization = regularization
        self.fan_out: FanOut = fan_out
        self.pretrained = pretrained
        self.tracker = Tracker()
        self.chosen: dict[str, Any] = {}
        self.loaded: dict[str, int] = {}
        self._ranker: ItemRanker

    @property
    def tables(self) -> dict[str, int]:
        """Node type -> rows of its learned table, for the audit."""
        encoder = self._ranker.encoder
        return {t: encoder.table(t).num_embeddings for t in encoder.node_types if t != USER}

    def fit(self, train: Training, validation: HeldOut | None, seed: int) -> None:
        """Pretrains and fine-tunes; see `Recommender.fit`.

        Chosen on the validation users are the epochs of both stages, and how much the paths beside the encoder say.

        Raises:
            TrainingError: a loss is not a number.
        """
        chosen: dict[str, Any] = {}
        with torch.random.fork_rng():
            self.build(train, seed)
            if self.pretrained is not None:
                self._load_pretrained(self.pretrained)
            if self.pretrain_config is not None:
                chosen["pretrain.epochs"] = pretrain(
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
            chosen["finetune.epochs"] = finetune(
                self._ranker,
                self._block,
                train,
                self.finetune_config,
                measure=None if validation is None else self._measure(validation, train.candidates, seed),
                fan_out=self.fan_out,
                seed=seed,
                tracker=self.tracker,
            )
        self._remember()
        if validation is not None:
            self.chosen = chosen | self._choose_paths(train, validation, seed)

    def score(self, users: Users) -> Tensor:
        """Scores every item: [B, I] float32; see `Recommender.score`."""
        with torch.no_grad():
            score = self._ranker.score(self.embed(users), self._items)
        shares = {path: share for path, share in self._shares.items() if share > 0}
        return mix(score, self._choices(users, tuple(shares)), tuple(shares.values())) if shares else score

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
        self._spectrum = decompose(train, self.encoder_config.channels, seed)
        self._prepare_paths(train, self._spectrum)
        types = graph.node_types
        outputs = types if self.pretrain_config is not None else ("user", "item")
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(seed, "weights"))
            encoder = Encoder(node_counts(graph), graph.edge_types, self.encoder_config, self.layer_class, outputs)
            if self.encoder_config.start == "spectral":
                encoder.table(ITEM).weight.data.copy_(start_vectors(self._spectrum, self.encoder_config.channels))
            self._ranker = ItemRanker(encoder, train.popularity)
        self._ranker.eval()
        return graph

    def _prepare_paths(self, train: Training, spectrum: Spectrum) -> None:
        """What the paths beside the encoder need, and their shares as far as the options say."""
        self._relations = {path[1]: path for path in (INTERACTS, *train.users.relations)}
        given = {} if self.shares == "choose" else self.shares
        for name in given:
            if name != REGRESSION and name not in self._relations:
                known = ", ".join((REGRESSION, *self._relations))
                raise ConfigError(f"model.shares: no path {name!r}; there are {known}")
        self._shares = dict(given)
        if self.regularization != "choose" and (self.shares == "choose" or given.get(REGRESSION)):
            self._regression = SpectralRegression(train, spectrum, self.regularization)

    def _choices(self, users: Users, paths: Sequence[str]) -> Tensor:
        """[K, B, I], what each path expects of each user."""
        copied = [self._relations[path] for path in paths if path != REGRESSION]
        choices = iter(neighbour_choices(self._block, users, copied))
        return torch.stack([self._regression(users) if path == REGRESSION else next(choices) for path in paths])

    def _choose_paths(self, train: Training, validation: HeldOut, seed: int) -> dict[str, Any]:
        """Picks regularization and shares on the validation users; returns those that the options left open."""
        if self.shares != "choose":
            return {}
        users, chosen = validation.users, {}
        with torch.no_grad():
            score = self._ranker.score(self.embed(users), self._items)

        def measure(choices: Tensor, shares: Sequence[float]) -> float:
            mixed = Mixed(users, score, choices, shares)
            config = EvaluateConfig(metrics=["ndcg"], at=[10])
            return evaluate(mixed, validation, train.candidates, config, seed).metrics["ndcg@10"] or 0.0

        paths = [name for name, path in self._relations.items() if path != INTERACTS and len(users.relations[path])]
        if paths:  # there is something to regress on
            if self.regularization == "choose":
                maps = {r: SpectralRegression(train, self._spectrum, r) for r in REGULARIZATIONS}
                chosen["regularization"] = max(maps, key=lambda r: measure(maps[r](users)[None], [1.0]))
                self._regression = maps[chosen["regularization"]]
            paths = [REGRESSION, *paths]
        if len(users.items):
            paths.append(INTERACTS[1])
        choices = self._choices(users, paths) if paths else torch.empty(0, *score.shape)
        shares = choose_shares(len(paths), lambda tried: measure(choices, tried))
        self._shares = dict(zip(paths, shares, strict=True))
        return {**chosen, "shares": self._shares}

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
