"""The ranking objective on one training graph: graph, encoder and item biases of one GraphSAGE model."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from gnnrec.errors import ConfigError
from gnnrec.graph.block import whole_graph
from gnnrec.graph.build import build_graph, node_counts
from gnnrec.graph.histories import Histories
from gnnrec.graph.merge import AttributeMerge
from gnnrec.graph.paths import Paths
from gnnrec.graph.sampling import NumNeighbors
from gnnrec.graph.sharding import Shard
from gnnrec.models.attached import AttachedEncoder, take_users, widths, word_maps
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.models.selection import Fold, by_bucket
from gnnrec.nn.decoder import DecoderConfig, Recent, query
from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.nn.init import attribute_vectors, decompose, start_vectors, user_places
from gnnrec.nn.linear import LinearPath, described
from gnnrec.nn.regression import KNOWN, RegressionPath, near_known
from gnnrec.runtime import distributed, seeds
from gnnrec.runtime.devices import CPU
from gnnrec.training.loop import Measured
from gnnrec.training.pretrained import Carried, Pretrained, take_memory
from gnnrec.training.ranking import ItemRanker, RankingConfig, balanced, ranking_losses
from gnnrec.training.sequence import PathsOfFolds, sequence_losses
from gnnrec.training.transfer import take_weights
from gnnrec.views import INTERACTS, ITEM, USER, Edges, EdgeType, TestSet, TrainingData, UserBatch

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
"""What is tried of what the regression counts."""
FEWEST = 30
"""Held-out users of whom a share is learned, at least."""
WITHOUT_CHOICE = 0.5
"""What it counts where there was nobody to choose it on."""
PART = 1024
"""Users whose histories are decoded at once."""


class RankingTask:
    """What a GraphSAGE model trains and scores with, for the order of items.

    Args:
        train: the training users.
        config: settings of the objective.
        encoder: shape of the encoder.
        layer_class: the class that `encoder.layer` names.
        decoder: settings of the decoder.
        events: the kinds of events that the graph has; None for all.
        pretrained: whether the vectors of every node type are read, as link prediction does.
        seed: of the truncated SVD.
        weights_seed: of the initial weights.
        device: where to train and score.
        carried: a pretrained encoder to start from, and what of it is kept.

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
        decoder: DecoderConfig = DecoderConfig(),  # noqa: B008  (frozen)
        *,
        events: Sequence[str] | None = None,
        pretrained: bool,
        seed: int,
        weights_seed: int,
        device: torch.device = CPU.device,
        carried: Carried | None = None,
    ) -> None:
        self.config, self.events = config, events
        train = train.with_events(events)
        self.user_weight: Tensor | None = None
        if config.balance is not None:
            self.user_weight = balanced(train.users, config.balance, config.balance_power).to(device)
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
            shape = node_counts(merged), merged.edge_types, encoder, layer_class, outputs
            made = Encoder(*shape, self.train.interpolated, widths(train.users))
        places = None
        if encoder.init == "svd":
            svd = decompose(self.train, encoder.channels, seed)
            places = user_places(svd, encoder.channels)
            starts = attribute_vectors(self.train, svd, encoder.channels)
            for node_type, start in {**starts, ITEM: start_vectors(svd, encoder.channels)}.items():
                made.table(node_type).weight.data.copy_(start)
        take_users(made, train, device, places)
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(weights_seed, "decoder"))
            decodes: Any = decoder.make(encoder.channels)
        self.last = decoder.last
        has_events = bool(train.users.events)
        if has_events and distributed.count() > 1:
            raise ConfigError("trainer.devices: with several kinds of events, training takes one process; set it to 1")
        if train.users.features and distributed.count() > 1:
            raise ConfigError("trainer.devices: with features of users, training takes one process; set it to 1")
        wants_histories = config.needs_times or decodes.reads_history or has_events
        reads_events = decodes.reads_history and not getattr(decodes, "scores_pairs", False)
        self.kinds: tuple[EdgeType, ...] = tuple(train.users.events) if reads_events else ()
        self.histories = _histories(train, config, self.kinds) if wants_histories else None
        self.paths: Paths | None = None
        self.paths_of_folds: PathsOfFolds | None = None
        if getattr(decodes, "scores_pairs", False):
            assert self.histories is not None
            everybody = torch.ones(train.num_users, dtype=torch.bool)
            self.paths = Paths.of(self.train, self.histories, everybody, config.half_life)
            self.paths_of_folds = PathsOfFolds(self.train, self.histories, int(decodes.folds), config.half_life)
            decodes.take_paths(self.paths.mixed, train.num_users)
        popularity = self.train.popularity
        if self.histories is not None and self.histories.weight is not None:
            popularity = self.histories.weighted_counts(popularity)
        self.taken = None if carried is None else carried.into(made, self.train)
        self.expected = None if self.taken is None else self.taken.expected
        if self.expected is not None:
            popularity = self.expected(popularity)
        self.regression = RegressionPath.of(self.train, encoder.regression, seed) if encoder.regression else None
        self.shares = _shares(encoder)
        linear = None
        if encoder.linear:
            read = self.train.attribute_types if encoder.linear_reads == "all" else ()
            values = {t: len(self.train.ids[t[2]]) for t in read}
            described_by = described(self.train)
            linear = LinearPath(train.num_items, described_by, encoder.linear, values, self.train.interpolated)
            linear.start(self.train, seed)
        self.head = ItemRanker(made, popularity, decodes, len(self.kinds), linear).to(device)
        made.memory = {key: memory.to(device) for key, memory in made.memory.items()}
        self.start_bias = self.head.bias.detach().clone()
        if self.taken is not None:
            self.head.bias.data += self.taken.bias.to(device)
            if self.taken.logit_scale is not None:
                self.head.logit_scale.data.copy_(self.taken.logit_scale)
        self.head.eval()
        self.tables = merge.unmerged({t: made.table(t).num_embeddings for t in made.node_types if t != USER})
        own = {t: list(i) for t, i in self.train.ids.items()}
        self._attached = AttachedEncoder(made, merge, tuple(outputs), own, word_maps(self.train))

    def losses(
        self,
        shard: Shard,
        num_neighbors: NumNeighbors,
        generator: torch.Generator,
        batches: Iterable[Tensor] | None = None,
    ) -> Iterator[Tensor]:
        """One epoch; see `ranking_losses` and `sequence_losses`."""
        if self.head.decoder.reads_history:
            assert self.histories is not None
            return sequence_losses(
                self.head,
                shard,
                self.histories,
                self.config,
                self.last,
                num_neighbors,
                generator,
                self.paths_of_folds,
                batches,
            )
        histories, weight = self.histories, self.user_weight
        return ranking_losses(
            self.head, shard, self.train, self.config, num_neighbors, generator, histories, batches, weight
        )

    def take(self, old: "RankingTask") -> None:
        """Takes the weights of a task on fewer interactions, by relation and by ids of nodes.

        Item biases move with popularity. An item that the old task does not know begins with that of its popularity; a
        value of an attribute, and an item, with the vectors that a new task draws.
        """
        at_first, before = self.head.bias.detach().clone(), old.head.bias.detach().to(self.head.bias.device)
        no_interactions = self.head.no_interactions
        state = old.head.state_dict()
        theirs, own = old._attached.ids, self._attached.ids
        take_weights(self.head.encoder, own, state, theirs, Path("the old model"))
        row = {one: place for place, one in enumerate(theirs[ITEM])}
        place = torch.tensor([row.get(one, -1) for one in own[ITEM]], device=before.device)
        known = place >= 0
        if old.expected is not None:
            self.expected = old.expected.of(place.cpu())
            fresh = ItemRanker(self.head.encoder, self.expected(self.train.popularity))
            at_first, no_interactions = fresh.bias.detach().to(before.device), fresh.no_interactions.to(before.device)
        take_memory(self.head.encoder, own, old.head.encoder, theirs)
        moved = before[place] + (at_first - old.start_bias.to(before.device)[place])
        mine = self.head.state_dict()  # with the encoder's weights, which were just taken
        self.shares = old.shares
        others = {k: v for k, v in state.items() if not k.startswith("encoder.") and v.shape == mine[k].shape}
        bias = {"bias": torch.where(known, moved, at_first), "no_interactions": no_interactions}
        self.head.load_state_dict({**mine, **others, **bias})

    def precompute(self) -> None:
        """Computes all that scoring needs of the graph: after training, and whenever weights have changed."""
        self.head.eval()
        self._attached.precompute(self.block)
        with torch.no_grad():
            self._biases = self.head.bias + self.head.no_interactions
            if self.head.linear is not None:
                self._add_linear(self.head.linear)

    def _add_linear(self, linear: LinearPath) -> None:
        """The linear path's vectors follow those of the encoder; a new item has these alone, and their bias."""
        linear.precompute(self.block)
        of_layers, new = self._attached.items, self.head.no_interactions < 0
        items = torch.cat([of_layers, linear.items()], dim=1)
        if self.config.new_items == 1:
            new = torch.ones_like(new)
        if self.config.new_items:
            as_new, biases = linear.new_items()
            items = torch.where(new[:, None], torch.cat([torch.zeros_like(of_layers), as_new], dim=1), items)
            self._biases = torch.where(new, biases, self._biases)
        self._attached.items = items

    @torch.no_grad()
    def embed(self, users: UserBatch) -> Tensor:
        """[B, D] float32, on the task's device, as all vectors and scores are; what the decoder makes of histories."""
        users = users.with_events(self.events)
        if not self.head.decoder.reads_history:
            vectors = self._attached.embed(users)
            if self.head.linear is not None:
                return torch.cat([vectors, self.head.linear.attached(self._attached.merged(users))], dim=1)
            if self.regression is None or not self.shares.any():
                return vectors
            count = torch.bincount(users.items.row, minlength=len(users))
            share: Tensor = (near_known(count) @ self.shares)[:, None]
            regressed = share * self.regression.users(self._attached.merged(users))
            both: Tensor = torch.cat([vectors, regressed.to(vectors.device)], dim=1)
            return both
        nothing = users.items.take(torch.empty(0, dtype=torch.int64))
        bare = replace(users, items=nothing).without_events()
        vectors, items = self._attached.embed(bare), self._attached.items
        recent = Recent.of(users.items, len(users), self.last, self._events_of(users))
        parts = zip(vectors.split(PART), torch.arange(len(users)).split(PART), strict=True)
        kinds = self.head.kinds
        return torch.cat([query(self.head.decoder, own, recent.take(rows), items, kinds) for own, rows in parts])

    def _items(self) -> Tensor:
        """[I, D], the vectors of items that `embed` is compared with."""
        items: Tensor = self._attached.items
        if self.regression is None or not self.shares.any():
            return items
        both: Tensor = torch.cat([items, self.regression.items.to(items.device)], dim=1)
        return both

    def _events_of(self, users: UserBatch) -> list[Edges]:
        """The users' events of each kind that the decoder reads."""
        nothing = users.items.take(torch.empty(0, dtype=torch.int64))
        return [users.relations.get(kind, nothing) for kind in self.kinds]

    @torch.no_grad()
    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, logarithms of unnormalised probabilities."""
        if self.head.linear is None:
            scores = self.head.score(self.embed(users), self._items())
        else:
            scores = self.head.scaled(self.embed(users)) @ self._attached.items.t() + self._biases
        if self.paths is None:
            return scores
        recent = Recent.of(users.items, len(users), self.last)
        place = torch.bincount(users.items.row, minlength=len(users))
        reached = self.paths.reached(recent.item, recent.count, place, self._attached.merged(users))
        added: Tensor = self.head.decoder.add_pairs(scores, reached, place)
        return added

    @torch.no_grad()
    def item_vectors(self) -> Tensor | None:
        """[I, D + 1] float32, the items' vectors, their bias in the last column; None where pairs are scored."""
        if self.paths is not None:
            return None
        return torch.cat([self._items(), self._biases[:, None]], dim=1)

    @torch.no_grad()
    def query(self, users: UserBatch) -> Tensor:
        """[B, D + 1] float32 whose inner products with `item_vectors` are the scores."""
        return nn.functional.pad(self.head.scaled(self.embed(users)), (0, 1), value=1.0)

    def carried(self) -> Pretrained:
        """What another platform can use, as of `gnnrec.training.pretrained`."""
        bias = self.head.bias.detach() - self.start_bias
        return Pretrained.of(self.head.encoder, self.block, self.train, bias, self.head.logit_scale)

    def state_dict(self) -> dict[str, Any]:
        """Weights and precomputed vectors: all that `from_state` needs."""
        head: dict[str, Any] = {"head": self.head.state_dict(), "start_bias": self.start_bias, "kinds": self.kinds}
        head["biases"], head["expected"] = self._biases, self.expected
        if self.head.linear is not None:
            head["linear"] = self.head.linear.extra()
        head["regression"], head["shares"] = self.regression, self.shares
        return {**head, **self._attached.state_dict(), "paths": self.paths}

    @classmethod
    def from_state(
        cls,
        config: RankingConfig,
        encoder: EncoderConfig,
        layer_class: Callable[..., nn.Module],
        decoder: DecoderConfig,
        state: dict[str, Any],
        events: Sequence[str] | None = None,
    ) -> "RankingTask":
        """A task that scores as the saved one does; there is no graph to train on."""
        task = object.__new__(cls)
        task.config, task.events = config, events
        task._attached = AttachedEncoder.from_state(encoder, layer_class, state)
        task.last, task.paths, task.histories, task.paths_of_folds = decoder.last, state["paths"], None, None
        decodes: Any = decoder.make(encoder.channels)
        if task.paths is not None:
            decodes.take_paths(task.paths.mixed, 1)  # the number is among the weights
        task.kinds, task.expected = state.get("kinds", ()), state.get("expected")
        count = len(state["head"]["bias"])
        task.regression, task.shares = state.get("regression"), state.get("shares", _shares(encoder))
        linear = None
        if encoder.linear:  # models that were saved before 0.3 have the parts one by one
            extra = state.get("linear") or {"sources": state["sources"], "values": state.get("linear_values")}
            size = len(state["head"]["linear.to_target"])
            linear = LinearPath.from_extra(count, size, encoder.linear, extra)
        task.head = ItemRanker(task._attached.encoder, torch.ones(count), decodes, len(task.kinds), linear)
        task.head.load_state_dict(state["head"])
        task.head.eval()
        task._biases = state.get("biases", task.head.bias.detach() + task.head.no_interactions)
        if "start_bias" in state:  # models that were saved before there was one score, and learn no more
            task.start_bias = state["start_bias"]
        return task

    @staticmethod
    def best_shares(tasks: Sequence["RankingTask"], folds: Sequence[Fold], seed: int) -> tuple[float, ...]:
        """What the regression is to count after each number of known items: the best on all held-out users.

        First one share for all numbers, where it gains more than its standard error over users; then, of each number,
        its own, where that gains more than its standard error over the first. Few users say little of one number, and
        what counts after two items hardly differs from what counts after five. Of fewer than `FEWEST` users nothing is
        learned: the regression counts nothing.
        """
        measured: list[tuple[np.ndarray, np.ndarray]] = []  # of each number, [S, Q], and [Q] whose query it is
        for least in (0, *KNOWN):
            values, person = [[np.empty(0)] for _ in SHARES], [np.empty(0, np.int64)]
            for task, fold in zip(tasks, folds, strict=True):
                rows = dict(by_bucket(fold.test.users)).get(least)
                for part in () if rows is None else rows.split(PART):
                    test = fold.test.take(part)
                    ndcg = HeldOutNDCG(test, test.candidates(fold.train), seed, task.head.bias.device)
                    asked = test.users.index if test.person is None else test.person
                    person.append(asked[ndcg.prepared[0]].numpy())
                    for place, share in enumerate(SHARES):
                        task.shares = torch.full((1 + len(KNOWN),), share)
                        values[place].append(ndcg(task.score(test.users)))
            measured.append((np.stack([np.concatenate(one) for one in values]), np.concatenate(person)))
        every = np.concatenate([own for own, _ in measured], axis=1)
        common = _surely_best(every, np.concatenate([person for _, person in measured]), 0)
        return tuple(SHARES[_surely_best(own, person, common)] for own, person in measured)

    @staticmethod
    def measure(tasks: Sequence["RankingTask"], folds: Sequence[Fold], seed: int) -> Callable[[], Measured]:
        """NDCG@10 over the held-out users of all folds, each scored by the model that was trained without them."""
        device = tasks[0].head.bias.device
        prepared = [HeldOutNDCG(fold.test, fold.test.candidates(fold.train), seed, device) for fold in folds]
        place = _persons([fold.test for fold in folds], prepared)

        def measured() -> Measured:
            values, by_likelihood = [], tasks[0].config.choose_by == "likelihood"
            for task, fold, ndcg in zip(tasks, folds, prepared, strict=True):
                task.precompute()
                scores = task.score(fold.test.users)
                values.append(ndcg.likelihood(scores) if by_likelihood else ndcg(scores))
            every, name = np.concatenate(values), "log-likelihood" if by_likelihood else "ndcg@10"
            if not tasks[0].config.standard_errors:
                return {name: float(every.mean())}
            count = np.bincount(place)
            return {name: torch.from_numpy(np.bincount(place, every) / count)}

        return measured


def _surely_best(quality: np.ndarray, person: np.ndarray, otherwise: int, fewest: int = FEWEST) -> int:
    """The row with the best mean over people, where it leads another row by more than its standard error, or that row.

    Args:
        quality: [S, Q], of each query with each of S shares.
        person: [Q] int64, whose query it is.
        otherwise: the other row.
        fewest: people that it takes.

    Example:
        >>> quality = np.array([[0.1, 0.2, 0.3, 0.3], [0.2, 0.3, 0.5, 0.5], [0.9, 0.0, 0.1, 0.1]])
        >>> _surely_best(quality, np.array([4, 7, 9, 9]), 0, fewest=3)
        1
    """
    people, place = np.unique(person, return_inverse=True)
    if len(people) < fewest:
        return otherwise
    mean = np.stack([np.bincount(place, one) for one in quality]) / np.bincount(place)  # [S, P]
    best = int(mean.mean(axis=1).argmax())
    gain = mean[best] - mean[otherwise]
    return best if gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)) else otherwise


def _shares(encoder: EncoderConfig) -> Tensor:
    """[1 + K] float32, what the regression counts by number of known items."""
    return torch.tensor(encoder.regression_shares or (WITHOUT_CHOICE,) * (1 + len(KNOWN)))


def _persons(tests: Sequence[TestSet], prepared: Sequence[HeldOutNDCG]) -> np.ndarray:
    """[Q] int64, the number of the user that each measured query of several test sets is of."""
    found, size = [np.empty(0, np.int64)], 0
    for test, ndcg in zip(tests, prepared, strict=True):
        index = test.users.index if test.person is None else test.person
        person = np.unique(index.numpy(), return_inverse=True)[1]
        found.append(size + person[ndcg.prepared[0].numpy()])
        size += len(test.users)
    return np.unique(np.concatenate(found), return_inverse=True)[1]


def _histories(train: TrainingData, config: RankingConfig, kinds: Sequence[EdgeType] = ()) -> Histories:
    """The training users' histories, with events of some kinds among them.

    Raises:
        ConfigError: an option needs times, and the data have none.
    """
    if config.needs_times and train.users.items.time is None:
        option = "target: next" if config.target == "next" else "half_life"
        raise ConfigError(
            f"model.finetune.{option} needs the time of each interaction, and the data have none; name a column of "
            "times in data.interactions.time, or leave it out"
        )
    events = [train.users.relations[kind] for kind in kinds]
    return Histories.of(train.users.items, train.num_users, config.half_life, events)
