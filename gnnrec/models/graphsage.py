"""GraphSAGE: a graph encoder, trained for an objective, perhaps pretrained by link prediction, as a recommender."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias

import numpy as np
import torch
from pydantic import Discriminator, Tag
from torch import Tensor, nn
from torch_geometric.data import HeteroData

import gnnrec.nn.conv
from gnnrec.errors import ConfigError
from gnnrec.graph.sampling import NumNeighbors
from gnnrec.graph.sharding import Shard, own_shard
from gnnrec.models.ranking_task import RankingTask
from gnnrec.models.rating_points import Point, median_cuts, predicted_and_rated
from gnnrec.models.rating_task import RatingTask
from gnnrec.models.saving import load_model, save_model
from gnnrec.models.selection import Fold
from gnnrec.nn.decoder import DecoderConfig
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.options.resolve import check_layer_options, resolve
from gnnrec.options.search_space import Choice, Integer, Log, SearchSpace, Uniform
from gnnrec.runtime import distributed, seeds
from gnnrec.runtime.devices import CPU
from gnnrec.splits.folds import selection_folds
from gnnrec.training.feedback import mixed_batches
from gnnrec.training.loop import side_by_side
from gnnrec.training.loop import train as run_stage
from gnnrec.training.pretrain import PretrainConfig, pretrain
from gnnrec.training.pretrained import PARTS, Carried, MatchConfig, Part, Pretrained
from gnnrec.training.ranking import RankingConfig
from gnnrec.training.rating import RatingConfig
from gnnrec.training.tracking import Tracker
from gnnrec.training.transfer import take_weights
from gnnrec.views import ITEM, USER, TestSet, TrainingData, UserBatch

Task: TypeAlias = RankingTask | RatingTask
REGRESSION = 128
"""Width of the regression beside the layers, where it is not given."""
WITHOUT_CHOICE = 0.7
"""Weight of the encoder's prediction of a rating, where there was nobody to choose it on."""


def _objective(value: Any) -> str:
    found = value.get("objective", "ranking") if isinstance(value, Mapping) else getattr(value, "objective", "ranking")
    return str(found)


Finetune = Annotated[
    Annotated[RankingConfig, Tag("ranking")] | Annotated[RatingConfig, Tag("rating")], Discriminator(_objective)
]


class GraphSAGE:
    """A graph encoder that gives a vector to any user, seen or not, from that user's edges alone.

    Source: Hamilton, Ying, Leskovec, "Inductive Representation Learning on Large Graphs", NeurIPS 2017. Differs: the
        graph is heterogeneous, users have no table, and training hides whole histories; for ratings
        with `finetune.signed_edges`, one relation per sign after van den Berg, Kipf, Welling, "Graph Convolutional
        Matrix Completion", KDD Deep Learning Day 2018.
    Shapes: B users -> [B, I] scores.

    Args:
        encoder: shape of the encoder.
        pretrain: link prediction over every relation, before; None leaves it out. On the interactions that are then
            learned from anyway, it has moved NDCG@10 by less than .005; what pays is another platform, `pretrained`.
        finetune: the objective: `objective: ranking` (scores are logarithms of unnormalised probabilities) or `rating`
            (predictions, within the range of the training values).
        choose_on: held-out users that epochs are chosen on, at least; where there are fewer validation users (and
            nothing of their histories is known), training users are held out in turn too, in at most 8 folds in all.
        members: ensemble members: encoders that are trained from different weights in the final fit, and averaged.
        num_neighbors: edges drawn per target and relation in training (one number, or one per relation name); None
            propagates over the whole graph in each step, which is faster until the graph no longer fits the caches.
        decoder: what scores items from the encoder's vectors of a user and of its recent items.
        events: the kinds of events beside the predicted one that are edges of the graph, each of a type of its own;
            None for all. A decoder that reads recent items gets the user's own among these, except `PairWise`, which
            gets none of them; ratings are predicted without events.
        pretrained: folder of an encoder of `gnnrec pretrain` to start from, which matches what is the same by names and
            words; or of a saved model of a run, whose layers are taken by relation, vectors by the ids of items and
            values.
        keep: what of an encoder of `gnnrec pretrain` is taken: the vectors of attribute values, those of items with
            their popularity, the layers.
        freeze: which of them training leaves as they are.
        match: how its attributes and items are found.
        zero_shot: whether nothing is learned from the interactions of this platform; `finetune.epochs` must be 0.
    """

    supports_cold_users = True
    chooses_on_validation = True
    search_space: ClassVar[SearchSpace] = {
        "encoder.channels": Choice((16, 32, 64, 128)),
        "encoder.layers": Integer(1, 3),
        "encoder.dropout": Uniform(0, 0.6),
        "pretrain.learning_rate": Log(1e-3, 0.02),
        "finetune.learning_rate": Log(1e-3, 0.02),
        "finetune.weight_decay": Log(1e-3, 1),
        "finetune.history_dropout": Uniform(0.1, 1, when={"finetune.objective": "ranking"}),
        "finetune.half_life": Choice((None, 0.03, 0.1, 0.3, 1.0), when={"finetune.target": "next"}),
        "finetune.unobserved_weight": Log(0.03, 1.0, when={"finetune.objective": "rating"}),
        "finetune.item_shrinkage": Log(1, 30, when={"finetune.objective": "rating"}),
    }

    def __init__(
        self,
        *,
        encoder: EncoderConfig = EncoderConfig(),  # noqa: B008  (frozen)
        pretrain: PretrainConfig | None = None,
        finetune: Finetune = RankingConfig(),  # noqa: B008
        choose_on: int = 300,
        members: int = 1,
        num_neighbors: int | dict[str, int] | None = None,
        pretrained: Path | None = None,
        decoder: DecoderConfig = DecoderConfig(),  # noqa: B008
        events: tuple[str, ...] | None = None,
        keep: tuple[Part, ...] = PARTS,
        freeze: tuple[Part, ...] = (),
        match: MatchConfig = MatchConfig(),  # noqa: B008
        zero_shot: bool = False,
    ) -> None:
        try:
            self._layer_class = resolve(encoder.layer, gnnrec.nn.conv)
        except ConfigError as error:
            raise ConfigError(f"encoder.layer: {error}") from None
        options = check_layer_options(self._layer_class, encoder.layer_options, at="encoder.layer_options")
        if choose_on < 0 or members < 1:
            raise ValueError(f"choose_on must be at least 0 and members at least 1, got {choose_on} and {members}")
        if num_neighbors is not None and finetune.objective == "rating":
            raise ValueError(f"num_neighbors: must be left out for ratings, got {num_neighbors}")
        for number in num_neighbors.values() if isinstance(num_neighbors, dict) else [num_neighbors]:
            if number is not None and number < 1:
                raise ValueError(f"num_neighbors: must be at least 1, got {number}; leave it out to take all edges")
        reads = decoder.make(encoder.channels).reads_history
        if encoder.regression is None:
            parts = {"encoder": encoder, "finetune": finetune, "decoder": decoder}
            given = {name: part.model_dump() for name, part in parts.items()}
            encoder = EncoderConfig(**self.adapted({**given, "zero_shot": zero_shot})["encoder"])
        assert encoder.regression is not None
        if reads and (not isinstance(finetune, RankingConfig) or finetune.loss != "softmax"):
            kind = finetune.objective if finetune.objective != "ranking" else finetune.loss
            raise ValueError(
                f"decoder: must be Dot with {kind}; {decoder.name} is trained by ranking with softmax alone"
            )
        if reads and isinstance(finetune, RankingConfig) and finetune.balance is not None:
            raise ValueError("finetune.balance: must be left out with a decoder that reads histories; take Dot")
        if (encoder.linear or encoder.regression) and (
            not isinstance(finetune, RankingConfig) or finetune.loss != "softmax" or reads
        ):
            name = "linear" if encoder.linear else "regression"
            raise ValueError(f"encoder.{name}: must be 0 unless items are ranked with softmax and the decoder Dot")
        if encoder.linear and encoder.regression:
            raise ValueError("encoder.linear and encoder.regression: set one of them to 0")
        if isinstance(finetune, RankingConfig) and finetune.new_items and not encoder.linear:
            raise ValueError("finetune.new_items: needs a linear path; set encoder.linear, for example to 128")
        if pretrained is None and (keep != PARTS or freeze or match != MatchConfig() or zero_shot):
            raise ValueError(
                "keep, freeze, match and zero_shot need a pretrained encoder; name its folder by pretrained"
            )
        if zero_shot and (not isinstance(finetune, RankingConfig) or finetune.epochs or pretrain is not None):
            raise ValueError("zero_shot: nothing is trained; set finetune.epochs to 0 and pretrain to null")
        if pretrained is not None and finetune.objective == "rating" and freeze:
            raise ValueError("freeze: must be left out for ratings; finetune.freeze_attributes keeps those of values")
        self.keep, self.freeze, self.match, self.zero_shot = keep, freeze, match, zero_shot
        self.decoder = decoder
        self.events = events
        self.encoder = encoder.model_copy(update={"layer_options": options})
        self.pretrain = pretrain
        self.finetune = finetune
        self.choose_on = choose_on
        self.members = members
        self.num_neighbors: NumNeighbors = num_neighbors
        self.pretrained = pretrained
        self.predicts_ratings = finetune.objective == "rating"
        self.log_scores = not self.predicts_ratings
        self.trains_in_processes = isinstance(finetune, RankingConfig) and not (
            reads or finetune.needs_times or encoder.linear or finetune.balance is not None
        )
        self.tracker = Tracker()
        self.placement = CPU
        self.best_params: dict[str, Any] = {}
        self.loaded: dict[str, Any] = {}
        self._carried: Carried | None = None
        self._tasks: list[Any]
        self._point: Point | None = None
        self._residual_weight = WITHOUT_CHOICE

    @staticmethod
    def adapted(options: Mapping[str, Any]) -> dict[str, Any]:
        """The options as JSON, with the width of the regression filled in where it was left out."""
        encoder, finetune = options["encoder"], options["finetune"]
        if encoder["regression"] is not None:
            return dict(options)
        can = finetune["objective"] == "ranking" and finetune["loss"] == "softmax" and not encoder["linear"]
        whole = can and finetune["target"] == "rest" and finetune["half_life"] is None and not options["zero_shot"]
        width = REGRESSION if whole and options["decoder"]["name"] == "Dot" else 0
        return {**options, "encoder": {**encoder, "regression": width}}

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON."""
        return {
            "encoder": self.encoder.model_dump(mode="json"),
            "pretrain": None if self.pretrain is None else self.pretrain.model_dump(mode="json"),
            "finetune": self.finetune.model_dump(mode="json"),
            "choose_on": self.choose_on,
            "members": self.members,
            "num_neighbors": self.num_neighbors,
            "pretrained": None if self.pretrained is None else str(self.pretrained),
            "decoder": self.decoder.model_dump(mode="json"),
            "events": self.events,
            "keep": list(self.keep),
            "freeze": list(self.freeze),
            "match": self.match.model_dump(mode="json"),
            "zero_shot": self.zero_shot,
        }

    @property
    def tables(self) -> dict[str, int]:
        """Node type -> rows of its learned table, for the audit."""
        tables: dict[str, int] = self._tasks[0].tables
        return tables

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Pretrains and fine-tunes; see `Recommender.fit`.

        Chosen on the validation users are the epochs of both stages and, for ratings, what the encoder's prediction is
        multiplied by and the cut points of a median. Where these users are few (`choose_on`), training users are held
        out in turn as well, each time with an encoder of its own that is trained without them, and the choice is made
        on all held-out users together.

        Raises:
            ConfigError: ratings are to be predicted, and the interactions have no values.
            TrainingError: a loss is not a number.
        """
        if validation is None:
            self.build(train, seed)
            self._train(None, seed)
        else:
            folds = selection_folds(train, validation, self.choose_on, seed)
            first = self.fit_folds([Fold(part, test, test) for part, test in folds], seed)[0]
            self._tasks, self._point, self._residual_weight = first._tasks, first._point, first._residual_weight

    def fit_folds(self, folds: Sequence[Fold], seed: int) -> "list[GraphSAGE]":
        """One model for each fold, trained together, so that one early stopping serves all of them.

        Returns:
            The models; `best_params` of each, and of this one, holds what was chosen on the held-out users.
        """
        first = folds[0]
        if isinstance(self.finetune, RatingConfig):
            cuts = None if self.finetune.cut_points == "choose" else self.finetune.cut_points
            self._point = point = Point.of(self.finetune.predict, first.train, cuts, first.test)
            folds = [replace(f, train=point.learned(f.train), test=point.for_selection(_bare(f.test))) for f in folds]
        self._tasks = [self._task(fold.train, seed, seed) for fold in folds]
        self._check_num_neighbors(self._tasks[0])
        chooses = bool(self.encoder.regression) and self.encoder.regression_shares is None
        for task in self._tasks if chooses else ():
            task.shares = torch.zeros_like(task.shares)  # layers learn by themselves
        epochs = self._train(folds, seed)
        finetune = self.finetune.model_copy(update={"epochs": epochs["finetune"]})
        if isinstance(finetune, RatingConfig):
            finetune = self._choose_for_ratings(finetune, folds)
        self.best_params = {"finetune": finetune}
        if self.pretrain is not None:
            self.best_params["pretrain"] = self.pretrain.model_copy(update={"epochs": epochs["pretrain"]})
        if chooses:
            shares = RankingTask.best_shares(self._tasks, folds, seed)
            self.best_params["encoder"] = self.encoder.model_copy(update={"regression_shares": shares})
            for task in self._tasks:
                task.shares = torch.tensor(shares)
        return [self._with([task], finetune) for task in self._tasks]

    def update(
        self,
        train: TrainingData,
        *,
        fresh: Tensor,
        steps: int = 0,
        seed: int = 0,
        learning_rate: float | None = None,
    ) -> None:
        """Takes in new interactions, users and items without training anew.

        The graph is built again and its vectors are computed with the weights that are there: an item that nobody had
        chosen gets its vector from its attributes and its first users. Item biases move with popularity, counts along
        paths are counted again, and the regression is solved again. With `steps`, the weights are then trained on
        batches of which half is drawn from the users with new interactions and half from the others, so that nothing
        is forgotten.

        Args:
            train: all that may be learned from, old and new, with the same bins. Nodes are told apart by their ids:
                new users, items and values of attributes may be among them.
            fresh: [U] bool, the users of `train` with new interactions.
            steps: of training; 0 for none.
            seed: source of the draws.
            learning_rate: of these steps; None for a tenth of `finetune.learning_rate`: the first steps of an optimizer
                that begins anew move every weight by as much.

        Raises:
            ConfigError: the objective is no ranking, there is a linear path, or an older version saved the model.
            TrainingError: a loss is not a number.
        """
        if not isinstance(self.finetune, RankingConfig) or not hasattr(self._tasks[0], "start_bias"):
            raise ConfigError("update: needs a model of the ranking objective, saved by this version; run it again")
        if self.encoder.linear:
            raise ConfigError("update: a model with a linear path (encoder.linear) learns no more; run it again on all")
        anywhere = self.encoder.model_copy(update={"init": "random"})  # all weights are taken over
        updated = []
        for number, old in enumerate(self._tasks):
            task = self._task(train, seed, seed, anywhere, carries=False)
            task.take(old)
            updated.append(task)
            if steps:
                count = torch.bincount(train.users.items.row, minlength=train.num_users)
                draws = seeds.generator(seed, f"update {number}")
                batches = list(mixed_batches(count, fresh, steps, self.finetune.batch_users, draws))
                rate = self.finetune.learning_rate / 10 if learning_rate is None else learning_rate
                once = self.finetune.model_copy(update={"epochs": 1, "learning_rate": rate})
                losses = functools.partial(task.losses, Shard.whole(task.block), self.num_neighbors, batches=batches)
                with torch.random.fork_rng(), self.placement.deterministic():
                    run_stage(task.head, losses, None, once, "update", seed, Tracker(), self.placement)
            task.precompute()
        self._tasks = updated

    def score(self, users: UserBatch) -> Tensor:
        """Scores every item: [B, I] float32; see `Recommender.score`."""
        if self._point is None:
            return torch.stack([task.score(users) for task in self._tasks]).mean(0).cpu()
        means = self._means(self._tasks, self._point.known(users.with_events(())))
        return torch.from_numpy(self._point.read(means)).float()

    def carried(self) -> Pretrained:
        """What another platform can use of the fitted encoder; of an ensemble, of its first member."""
        found: Pretrained = self._tasks[0].carried()
        return found

    def embed(self, users: UserBatch) -> Tensor:
        """[B, D] float32, the vectors of B users from what is known of them; of an ensemble, its first member's."""
        known = users if self._point is None else self._point.known(users.with_events(()))
        vectors: Tensor = self._tasks[0].embed(known)
        return vectors.cpu()

    def item_vectors(self) -> Tensor | None:
        """[I, Q] float32 whose inner products with `query` are the scores; None where they are not."""
        if self.predicts_ratings:
            return None
        vectors = [task.item_vectors() for task in self._tasks]
        return None if vectors[0] is None else torch.cat(vectors, dim=1).cpu()

    def query(self, users: UserBatch) -> Tensor:
        """[B, Q] float32, to be multiplied with `item_vectors`."""
        return torch.cat([task.query(users) for task in self._tasks], dim=1).cpu() / len(self._tasks)

    def state_dict(self) -> dict[str, Any]:
        """What was fitted: of each ensemble member its weights and precomputed vectors."""
        tasks = [task.state_dict() for task in self._tasks]
        return {"tasks": tasks, "point": self._point, "residual_weight": self._residual_weight}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave; nothing is drawn, and no training data is needed."""

        def task(one: dict[str, Any]) -> RankingTask | RatingTask:
            if isinstance(self.finetune, RatingConfig):
                return RatingTask.from_state(self.finetune, self.encoder, self._layer_class, one)
            how = (self.finetune, self.encoder, self._layer_class, self.decoder)
            return RankingTask.from_state(*how, one, self.events)

        self._tasks = [task(one) for one in state["tasks"]]
        self._point, self._residual_weight = state["point"], state["residual_weight"]

    def build(self, train: TrainingData, seed: int) -> HeteroData | None:
        """Builds graph and encoders, without any training; `fit` begins with it.

        Returns:
            The graph, for the audit; None with `zero_shot`, whose graph holds no interaction at all.
        """
        self._point = None
        if isinstance(self.finetune, RatingConfig):
            cuts = None if self.finetune.cut_points == "choose" else self.finetune.cut_points
            self._point = Point.of(self.finetune.predict, train, cuts)
            self._residual_weight = _weight_of(self.finetune)
            train = self._point.learned(train)
        weights_seeds = [seed, *(seeds.integer(seed, f"member {j}") for j in range(1, self.members))]
        self._tasks = [self._task(train, seed, each) for each in weights_seeds]
        self._check_num_neighbors(self._tasks[0])
        taken = getattr(self._tasks[0], "taken", None)
        self.loaded = {} if taken is None else taken.report
        graph: HeteroData = self._tasks[0].graph
        return None if self.zero_shot else graph

    def _encoder_to_carry(self) -> Carried | None:
        """The encoder of `gnnrec pretrain` in the folder `pretrained`; None where there is a saved model, or nothing.

        Raises:
            ConfigError: the folder cannot be read, is of a saved model where an encoder's options are given, or of an
                encoder where edges are to be drawn.
        """
        if self.pretrained is None or self._carried is not None:
            return self._carried
        loaded = load_model(_model_folder(self.pretrained))
        if isinstance(loaded, Pretrained):
            if self.num_neighbors is not None:
                raise ConfigError("model.num_neighbors: edges are not drawn with a pretrained encoder; leave it out")
            how = self.match.attributes, self.match.items, self.pretrained
            self._carried = Carried(loaded, self.keep, *how)
        elif self.keep != PARTS or self.freeze or self.match != MatchConfig() or self.zero_shot:
            raise ConfigError(
                f"model.pretrained: {self.pretrained}: is a saved model, but keep, freeze, match and zero_shot need an "
                "encoder; make one with gnnrec pretrain"
            )
        return self._carried

    def _task(
        self,
        train: TrainingData,
        seed: int,
        weights_seed: int,
        encoder: EncoderConfig | None = None,
        *,
        carries: bool = True,
    ) -> Any:
        encoder = self.encoder if encoder is None else encoder
        how: Any = {
            "pretrained": self.pretrain is not None,
            "seed": seed,
            "weights_seed": weights_seed,
            "device": self.placement.device,
        }
        if isinstance(self.finetune, RatingConfig):
            return RatingTask(train.with_events(()), self.finetune, encoder, self._layer_class, **how)
        if self.zero_shot:
            train = _without_interactions(train)
            encoder = encoder.model_copy(update={"init": "random"})
        how["carried"] = self._encoder_to_carry() if carries else None
        return RankingTask(train, self.finetune, encoder, self._layer_class, self.decoder, events=self.events, **how)

    def _check_num_neighbors(self, task: Any) -> None:
        """Raises ConfigError where a number is given for a relation that the graph does not have."""
        names = {edge_type[1] for edge_type in task.block.adjacency}
        given = self.num_neighbors if isinstance(self.num_neighbors, Mapping) else {}
        for name in given:
            if name not in names:
                there = ", ".join(sorted(names))
                raise ConfigError(f"model.num_neighbors: {name!r} is no relation of the graph; there are {there}")

    def _train(self, folds: Sequence[Fold] | None, seed: int) -> dict[str, int]:
        """Trains all tasks; with folds, chooses the epochs of each stage on the held-out users. Returns the epochs."""
        tasks, tracker = self._tasks, self.tracker
        epochs: dict[str, int] = {}
        with torch.random.fork_rng(), self.placement.deterministic():
            if self.pretrained is not None and self._encoder_to_carry() is None:
                for task in tasks:
                    self.loaded = take_weights(task.head.encoder, task.train.ids, *_weights_of(self.pretrained))
            shards = [self._shard(task) for task in tasks]
            if self.pretrain is not None:
                epochs["pretrain"] = self._pretrain(self.pretrain, shards, choose=folds is not None, seed=seed)
                if tracker.folder is not None and folds is None:
                    head, ids = tasks[0].head, {t: list(i) for t, i in tasks[0].train.ids.items()}
                    save_model({"head": head.state_dict(), "ids": ids}, tracker.folder / "pretrained")
            frozen = _attribute_tables(tasks) if self.finetune.freeze_attributes else []
            frozen += [one for task in tasks for part in self.freeze for one in _weights_in(part, task)]
            for table in frozen:
                table.requires_grad_(False)
            each = [
                functools.partial(_losses, task, shard, self.num_neighbors)
                for task, shard in zip(tasks, shards, strict=True)
            ]
            epochs["finetune"] = run_stage(
                nn.ModuleList(task.head for task in tasks),
                side_by_side(each),
                None if folds is None else type(tasks[0]).measure(tasks, folds, seed),
                self.finetune,
                "finetune",
                seed,
                tracker,
                self.placement,
            )
            for table in frozen:
                table.requires_grad_(True)
        for task in tasks:
            task.precompute()
        return epochs

    def _pretrain(self, config: PretrainConfig, shards: Sequence[Shard], *, choose: bool, seed: int) -> int:
        """Pretrains each task; returns the epochs of the first one."""
        prefix, epochs = self.tracker.prefix, []
        for place, (task, shard) in enumerate(zip(self._tasks, shards, strict=True)):
            self.tracker.prefix = prefix + (f"{place}/" if place else "")
            epochs.append(
                pretrain(
                    task.head.encoder,
                    shard,
                    task.edges,
                    config,
                    choose=choose,
                    num_neighbors=self.num_neighbors,
                    seed=seed,
                    tracker=self.tracker,
                    placement=self.placement,
                    train_on=task.train,
                )
            )
        self.tracker.prefix = prefix
        return epochs[0]

    def _shard(self, task: Any) -> Shard:
        """What this process trains on; of one process, all."""
        if distributed.count() == 1 or self.predicts_ratings:
            return Shard.whole(task.block)
        return own_shard(task.graph_for_shards, sampled=self.num_neighbors is not None).to(self.placement.device)

    def _means(self, tasks: Sequence[RatingTask], users: UserBatch) -> np.ndarray:
        """[B, I] float64, the predicted means of ratings, within the range of the training values."""
        encoded = torch.stack([task.encoded(users) for task in tasks]).mean(0)
        return (tasks[0].base(users) + self._residual_weight * encoded).clamp(*tasks[0].range).numpy()

    def _choose_for_ratings(self, finetune: RatingConfig, folds: Sequence[Fold]) -> RatingConfig:
        """The weight of the encoder's prediction, and the cut points with the least absolute error."""
        assert self._point is not None
        if finetune.residual_weight == "choose":
            weight = RatingTask.best_weight(self._tasks, folds)
            finetune = finetune.model_copy(update={"residual_weight": weight})
        if finetune.predict == "median" and finetune.cut_points == "choose":
            models = [self._with([task], finetune) for task in self._tasks]
            pairs = [
                predicted_and_rated(functools.partial(model._means, model._tasks), fold.test)
                for model, fold in zip(models, folds, strict=True)
            ]
            predicted, rated = np.concatenate(pairs, axis=1)
            cuts = tuple(median_cuts(predicted, rated, self._point.values))
            finetune = finetune.model_copy(update={"cut_points": cuts})
            self._point = replace(self._point, cuts=cuts)
        return finetune

    def _with(self, tasks: list[Any], finetune: RankingConfig | RatingConfig) -> "GraphSAGE":
        """A fitted model of some tasks."""
        model = GraphSAGE(
            encoder=self.best_params.get("encoder", self.encoder),
            pretrain=self.pretrain,
            finetune=finetune,
            choose_on=self.choose_on,
            decoder=self.decoder,
            events=self.events,
        )
        model._tasks, model._point, model.best_params = tasks, self._point, self.best_params
        model.placement = self.placement
        if isinstance(finetune, RatingConfig):
            model._residual_weight = _weight_of(finetune)
        return model


def _bare(test: TestSet) -> TestSet:
    """The queries without events."""
    return replace(test, users=test.users.with_events(()))


def _weight_of(finetune: RatingConfig) -> float:
    return WITHOUT_CHOICE if finetune.residual_weight == "choose" else finetune.residual_weight


def _losses(task: Task, shard: Shard, num_neighbors: NumNeighbors, generator: torch.Generator) -> Iterator[Tensor]:
    return task.losses(shard, num_neighbors, generator)


def _attribute_tables(tasks: Sequence[Any]) -> list[nn.Parameter]:
    """The learned tables of attribute values."""
    encoders = [task.head.encoder for task in tasks]
    return [encoder.table(t).weight for encoder in encoders for t in encoder.node_types if t not in (USER, ITEM)]


def _weights_in(part: str, task: Any) -> Iterable[nn.Parameter]:
    """The weights of a part of the encoder that may be frozen."""
    encoder = task.head.encoder
    if part == "attributes":
        return _attribute_tables([task])
    if part == "items":
        return [encoder.table(ITEM).weight]
    inputs = [] if encoder.inputs is None else encoder.inputs.parameters()
    return [*encoder.steps.parameters(), *encoder.norms.parameters(), *inputs]


def _without_interactions(train: TrainingData) -> TrainingData:
    """The training data as if nobody had chosen anything."""
    nothing = train.users.items.take(torch.empty(0, dtype=torch.int64))
    return replace(train, users=replace(train.users, items=nothing).with_events(()))


def _model_folder(path: Path) -> Path:
    return path / "model" if (path / "model").is_dir() else path


def _weights_of(path: Path) -> tuple[dict[str, Tensor], dict[str, list[Any]], Path]:
    """Weights and ids of a saved model, which is GraphSAGE or has it as a component."""
    loaded = load_model(_model_folder(path))
    if isinstance(loaded, Mapping):
        return loaded["head"], loaded["ids"], path
    models = [loaded, *getattr(loaded, "models", {}).values()]
    for model in models:
        if isinstance(model, GraphSAGE):
            state = model.state_dict()["tasks"][0]
            return state["head"], state["ids"], path
    raise ConfigError(f"model.pretrained: {path}: holds {type(loaded).__name__}; name a run of GraphSAGE")
