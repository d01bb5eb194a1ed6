"""GraphRecommender: encoder, pretraining and fine-tuning under the contract of a recommender."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

import gnnrec.nn.conv
from gnnrec.errors import ConfigError
from gnnrec.graph.build import build_graph
from gnnrec.graph.sampling import NumNeighbors
from gnnrec.graph.sharding import Shard, own_shard
from gnnrec.models.choosing import choose_paths, measured
from gnnrec.models.member import REGRESSION, Member, Part, Shares, tables
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.options.resolve import check_layer_options, resolve
from gnnrec.options.search_space import Choice, Integer, Log, SearchSpace, Uniform
from gnnrec.runtime import distributed, seeds
from gnnrec.splits.folds import selection_folds
from gnnrec.training.pretrain import PretrainConfig, pretrain
from gnnrec.training.ranking import FinetuneConfig, finetune
from gnnrec.training.tracking import Tracker
from gnnrec.training.transfer import take_weights
from gnnrec.views import ITEM, USER, TestSet, TrainingData, UserBatch


class GraphRecommender:
    """A graph encoder that gives a vector to any user, seen or not, from that user's edges alone.

    Source: Hamilton, Ying, Leskovec, "Inductive Representation Learning on Large Graphs", NeurIPS 2017. Differs: the
        graph is heterogeneous, users have no features and no table, and training hides whole histories.
    Shapes: B users -> [B, I] scores.

    Args:
        encoder: shape of the encoder.
        pretrain: link prediction over every relation; None leaves it out.
        finetune: ranking loss on the interactions.
        shares: number of known items from which on they hold -> path -> its share in the score, the rest being the
            encoder's: `{0: {friend: 0.2}}`. Paths are `regression` (see `gnnrec.nn.init`), the names of the relations
            along which the choices of neighbours are copied (`interacts`: users with an item in common),
            `similar_items` (see `gnnrec.models.copying` for both) and `denoising@` with a penalty (see
            `gnnrec.models.denoising`). `choose` picks the shares on the validation users; without such users, the
            encoder speaks alone.
        regularization: of the regression; `choose` picks it on the validation users.
        choose_on: held-out users that a choice is made on, at least; where there are fewer validation users (and
            nothing of their histories is known), training users are held out in turn too, in at most 8 cuts in all.
        members: encoders that are trained from different weights in the final fit, and averaged.
        num_neighbors: edges drawn per target and relation in training (one number, or one per relation name); None
            propagates over the whole graph in each step, which is faster until the graph no longer fits the caches.
        pretrained: a `model.pt` or `pretrained.pt` of another run, whose weights to start from: layers by relation, the
            vectors of items and attribute values by their ids.
    """

    supports_cold_users = True
    predicts_ratings = False
    chooses_on_validation = True
    trains_in_processes = True
    search_space: ClassVar[SearchSpace] = {
        "encoder.channels": Choice((32, 64, 128)),
        "encoder.layers": Integer(2, 3),
        "encoder.dropout": Uniform(0, 0.6),
        "pretrain.learning_rate": Log(1e-3, 0.02),
        "finetune.learning_rate": Log(1e-3, 0.02),
        "finetune.weight_decay": Log(1e-3, 1),
        "finetune.history_dropout": Uniform(0.3, 1),
    }

    def __init__(
        self,
        *,
        encoder: EncoderConfig = EncoderConfig(),  # noqa: B008  (frozen)
        pretrain: PretrainConfig | None = PretrainConfig(),  # noqa: B008
        finetune: FinetuneConfig = FinetuneConfig(),  # noqa: B008
        shares: dict[int, dict[str, float]] | Literal["choose"] = "choose",
        regularization: float | Literal["choose"] = "choose",
        choose_on: int = 300,
        members: int = 1,
        num_neighbors: int | dict[str, int] | None = None,
        pretrained: Path | None = None,
    ) -> None:
        try:
            self.layer_class = resolve(encoder.layer, gnnrec.nn.conv)
        except ConfigError as error:
            raise ConfigError(f"encoder.layer: {error}") from None
        options = check_layer_options(self.layer_class, encoder.layer_options, at="encoder.layer_options")
        self.encoder_config = encoder.model_copy(update={"layer_options": options})
        self.pretrain_config = pretrain
        self.finetune_config = finetune
        given = {} if shares == "choose" else shares
        for of_stage in given.values():
            if not (all(share >= 0 for share in of_stage.values()) and sum(of_stage.values()) <= 1):
                raise ValueError(f"shares: each must be at least 0, and all together at most 1, got {of_stage}")
        if regularization == "choose" and any(of_stage.get(REGRESSION) for of_stage in given.values()):
            raise ValueError("regularization: must be a number where shares give the regression a share, got 'choose'")
        if regularization != "choose" and not regularization > 0:
            raise ValueError(f"regularization: must be above 0, got {regularization}")
        if choose_on < 0 or members < 1:
            raise ValueError(f"choose_on must be at least 0 and members at least 1, got {choose_on} and {members}")
        self.choose_on = choose_on
        self.members = members
        self.shares = shares
        self.regularization = regularization
        self.num_neighbors: NumNeighbors = num_neighbors
        self.pretrained = pretrained
        self.tracker = Tracker()
        self.chosen: dict[str, Any] = {}
        self.loaded: dict[str, int] = {}
        self._members: list[Member]
        self._shares: Shares

    @property
    def tables(self) -> dict[str, int]:
        """Node type -> rows of its learned table, for the audit."""
        return tables(self._members[0])

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Pretrains and fine-tunes; see `Recommender.fit`.

        Chosen on the validation users are the epochs of both stages, and how much the paths beside the encoder say.
        Where these users are few (`choose_on`), training users are held out in turn as well, each time with an encoder
        of its own that is trained without them, and the choice is made on all held-out users together.

        Raises:
            TrainingError: a loss is not a number.
        """
        cuts = [] if validation is None else selection_folds(train, validation, self.choose_on, seed)
        with torch.random.fork_rng():
            if cuts:
                parts = [Part.of(cut, self.encoder_config.channels, seed) for cut, _ in cuts]
                self._set_up([self._member(part, seed) for part in parts])
            else:
                self.build(train, seed)
            if self.pretrained is not None:
                for member in self._members:
                    self.loaded = take_weights(member.ranker.encoder, member.part.train.ids, self.pretrained)
            shards = [self._shard(member.part) for member in self._members]
            epochs = self._pretrain(shards, choose=bool(cuts), seed=seed)
            if self.tracker.folder is not None and not cuts and self.pretrain_config is not None:
                Tracker.write(self.tracker.folder / "pretrained.pt", self.state_dict())
            held_out = [asked for _, asked in cuts]
            finetune_epochs = finetune(
                [member.ranker for member in self._members],
                shards,
                [member.part.train for member in self._members],
                self.finetune_config,
                measure=(lambda: measured(self._members, held_out, seed)) if cuts else None,
                num_neighbors=self.num_neighbors,
                seed=seed,
                tracker=self.tracker,
            )
        self._remember()
        if cuts:
            self.chosen = {**epochs, "finetune.epochs": finetune_epochs}
            if self.shares == "choose":
                chosen = choose_paths(self._members, held_out, self.regularization, seed)
                self._shares = chosen["shares"]
                by_name = {str(least): of_stage for least, of_stage in self._shares.items()}  # as JSON has them
                self.chosen |= {**chosen, "shares": by_name}
            self._members = self._members[:1]

    def score(self, users: UserBatch) -> Tensor:
        """Scores every item: [B, I] float32; see `Recommender.score`."""
        return torch.stack([member.score(users, self._shares) for member in self._members]).mean(0)

    def embed(self, users: UserBatch) -> Tensor:
        """[B, D] float32, the vectors of B users from what is known of them; of several members, the first one's."""
        return self._members[0].embed(users)

    def item_vectors(self) -> Tensor | None:
        """[I, Q] float32 whose inner products with `query` are the scores; None where other paths speak too."""
        if any(share > 0 for of_stage in self._shares.values() for share in of_stage.values()):
            return None
        return torch.cat([member.item_vectors() for member in self._members], dim=1)

    def query(self, users: UserBatch) -> Tensor:
        """[B, Q] float32, what `item_vectors` is asked with."""
        return torch.cat([member.query(users) for member in self._members], dim=1) / len(self._members)

    def state_dict(self) -> dict[str, Any]:
        """Weights, and the ids that the rows of the tables stand for: all that `load_state_dict` needs."""
        ids = {t: list(ids) for t, ids in self._members[0].part.train.ids.items()}
        return {"weights": [member.ranker.state_dict() for member in self._members], "ids": ids}

    def load_state_dict(self, train: TrainingData, state: Mapping[str, Any]) -> None:
        """Takes the weights of a finished run; `train` must be what that run was fitted on."""
        self.build(train, seed=0)
        for member, weights in zip(self._members, state["weights"], strict=True):
            member.ranker.load_state_dict(weights)
        self._remember()

    def build(self, train: TrainingData, seed: int) -> HeteroData:
        """Builds graph and encoder, without any training; `fit` begins with it. Returns the graph, for the audit."""
        part = Part.of(train, self.encoder_config.channels, seed)
        seeds_of_members = [seed, *(seeds.integer(seed, f"member {j}") for j in range(1, self.members))]
        self._set_up([self._member(part, s) for s in seeds_of_members])
        return build_graph(train) if part.folding.needed else part.graph  # the audit knows columns as they are

    def _member(self, part: Part, seed: int) -> Member:
        outputs = part.graph.node_types if self.pretrain_config is not None else (USER, ITEM)
        return Member(part, self.encoder_config, self.layer_class, outputs, seed)

    def _set_up(self, members: list[Member]) -> None:
        """Takes new members, with shares and regression as far as the options say."""
        self._members = members
        self._shares = {} if self.shares == "choose" else self.shares
        paths = {path for of_stage in self._shares.values() for path, share in of_stage.items() if share > 0}
        for member in members:
            member.check_paths([path for of_stage in self._shares.values() for path in of_stage])
            if self.regularization != "choose" and (self.shares == "choose" or REGRESSION in paths):
                member.regress(self.regularization)

    def _shard(self, part: Part) -> Shard:
        """What this process trains on; of one process, all."""
        if distributed.count() == 1:
            return Shard.whole(part.block)
        return own_shard(part.graph, sampled=self.num_neighbors is not None)

    def _pretrain(self, shards: Sequence[Shard], *, choose: bool, seed: int) -> dict[str, int]:
        """Pretrains each member; returns the epochs of the first one, if there are any."""
        if self.pretrain_config is None:
            return {}
        prefix, epochs = self.tracker.prefix, []
        for place, (member, shard) in enumerate(zip(self._members, shards, strict=True)):
            self.tracker.prefix = prefix + (f"{place}/" if place else "")
            epochs.append(
                pretrain(
                    member.ranker.encoder,
                    shard,
                    member.part.edges,
                    self.pretrain_config,
                    choose=choose,
                    num_neighbors=self.num_neighbors,
                    seed=seed,
                    tracker=self.tracker,
                )
            )
        self.tracker.prefix = prefix
        return {"pretrain.epochs": epochs[0]}

    def _remember(self) -> None:
        for member in self._members:
            member.precompute()
