"""One encoder on one training part, with the paths beside it."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from gnnrec.errors import ConfigError
from gnnrec.graph.block import Block, whole_graph
from gnnrec.graph.build import build_graph, node_counts
from gnnrec.graph.merge import AttributeMerge
from gnnrec.models.copying import SIMILAR, STAGES, mix, neighbour_choices, similar_items
from gnnrec.models.denoising import DENOISING, DenoisingRegression, penalty_of
from gnnrec.models.spectral_regression import SpectralRegression
from gnnrec.nn.encoder import Encoder, EncoderConfig, Vectors
from gnnrec.nn.init import Spectrum, attribute_vectors, decompose, start_vectors
from gnnrec.runtime import seeds
from gnnrec.training.ranking import ItemRanker
from gnnrec.views import INTERACTS, ITEM, USER, EdgeType, TrainingData, UserBatch

REGRESSION = "regression"
"""The path that `gnnrec.nn.init` computes."""

Shares: TypeAlias = Mapping[int, Mapping[str, float]]
"""From so many known items on -> path -> its share."""


def by_stage(users: UserBatch, stages: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """Users by how many of their items are known: the least number of each stage, and the rows of its users.

    Args:
        users: B users.
        stages: least numbers of known items, in any order; users with fewer than any of them are left out.
    """
    known = torch.bincount(users.items.row, minlength=len(users))
    for least, following in itertools.pairwise([*sorted(stages), torch.iinfo(torch.int64).max]):
        rows = ((known >= least) & (known < following)).nonzero().flatten()
        if len(rows):
            yield least, rows


@dataclass(frozen=True)
class Part:
    """A training part as an encoder sees it.

    Attributes:
        train: the training users, many attribute columns folded into one.
        folding: how they are folded.
        graph: of them alone.
        block: the same graph, ready for message passing.
        rank: singular vectors of their histories, at most.
        seed: of these.
    """

    train: TrainingData
    folding: AttributeMerge
    graph: HeteroData
    block: Block
    rank: int
    seed: int

    @classmethod
    def of(cls, train: TrainingData, rank: int, seed: int) -> "Part":
        """Builds all that an encoder needs, from the training users and nothing else."""
        folding = AttributeMerge(train)
        folded = folding.training(train)
        graph = build_graph(folded)
        return cls(folded, folding, graph, whole_graph(graph), rank, seed)

    @cached_property
    def spectrum(self) -> Spectrum:
        """The singular vectors of the training users' histories, computed when somebody asks for them."""
        return decompose(self.train, self.rank, self.seed)

    @cached_property
    def denoising(self) -> Callable[[int, float], DenoisingRegression]:
        """Number of known items and penalty -> the regression from them; the last few that were asked for are kept."""
        kept = functools.lru_cache(maxsize=len(STAGES) - 1)
        return kept(lambda shown, penalty: DenoisingRegression(self.train, shown, penalty, self.seed))

    @property
    def edges(self) -> dict[EdgeType, Tensor]:
        """The relations that link prediction asks for, without their reverses: [2, E] int64 each."""
        relations = (relation.type for relation in self.train.relations)
        return {t: self.graph[t].edge_index for t in (INTERACTS, *self.train.users.relations, *relations)}


class Member:
    """One encoder, and the paths beside it, on one training part; several of them are averaged, or choose together.

    Shapes: B users -> [B, I] scores.

    Args:
        part: what it learns from.
        config: shape of the encoder.
        layer_class: the class that `config.layer` names.
        outputs: node types whose vectors are read.
        seed: of the weights.
    """

    def __init__(
        self,
        part: Part,
        config: EncoderConfig,
        layer_class: Callable[..., nn.Module],
        outputs: Sequence[str],
        seed: int,
    ) -> None:
        self.part = part
        self.relations = {path[1]: path for path in (INTERACTS, *part.train.users.relations)}
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(seed, "weights"))
            encoder = Encoder(node_counts(part.graph), part.graph.edge_types, config, layer_class, outputs)
        if config.start == "spectral":
            starts = attribute_vectors(part.train, part.spectrum, config.channels)
            for node_type, start in {**starts, ITEM: start_vectors(part.spectrum, config.channels)}.items():
                encoder.table(node_type).weight.data.copy_(start)
        self.ranker = ItemRanker(encoder, part.train.popularity)
        self.ranker.eval()

    def regress(self, regularization: float) -> None:
        """Fits the regression beside the encoder."""
        self._regression = SpectralRegression(self.part.train, self.part.spectrum, regularization)

    @torch.no_grad()
    def precompute(self) -> None:
        """Computes what an unseen user hears from: once, whenever the weights have changed."""
        self.ranker.eval()
        encoder = self.ranker.encoder
        self._states: list[Vectors] = encoder.states(self.part.block)
        last = encoder([self.part.block] * encoder.config.layers, outputs=(ITEM,))[ITEM]
        assert last is not None
        self._items = last

    @torch.no_grad()
    def embed(self, users: UserBatch) -> Tensor:
        """[B, D] float32, the vectors of B users from what is known of them."""
        return self.ranker.encoder.attach(self._states, self.part.folding.users(users))

    @torch.no_grad()
    def item_vectors(self) -> Tensor:
        """[I, D + 1] float32, the items as the encoder alone scores them, their bias in the last column."""
        return torch.cat([self._items, (self.ranker.bias + self.ranker.unseen)[:, None]], dim=1)

    @torch.no_grad()
    def query(self, users: UserBatch) -> Tensor:
        """[B, D + 1] float32 whose inner products with `item_vectors` are the encoder's scores."""
        return torch.nn.functional.pad(self.ranker.gain * self.embed(users), (0, 1), value=1.0)

    @torch.no_grad()
    def score(self, users: UserBatch, shares: Shares) -> Tensor:
        """[B, I] float32: the encoder's scores, mixed with the paths that have a share."""
        score = self.ranker.score(self.embed(users), self._items)
        for least, rows in by_stage(users, list(shares)):
            used = {path: share for path, share in shares[least].items() if share > 0}
            if used:
                choices = self.choices(users.take(rows), tuple(used), least)
                score[rows] = mix(score[rows], choices, tuple(used.values()))
        return score

    def choices(self, users: UserBatch, paths: Sequence[str], least: int = 0) -> Tensor:
        """[K, B, I], what each path expects of each user; `least` of their items are known of all of them."""
        users = self.part.folding.users(users)
        if not paths:
            return torch.empty(0, len(users), self.part.train.num_items)
        copied = iter(
            neighbour_choices(self.part.block, users, [self.relations[p] for p in paths if p in self.relations])
        )
        own = {
            REGRESSION: lambda: self._regression(users),
            SIMILAR: lambda: similar_items(self.part.block, users),
        }

        def expected(path: str) -> Tensor:
            penalty = penalty_of(path)
            if penalty is not None:
                return self.part.denoising(max(least, 1), penalty)(users)
            return own[path]() if path in own else next(copied)

        return torch.stack([expected(path) for path in paths])

    def useful_paths(self) -> list[str]:
        """Paths that begin at more than a user's items."""
        known = self.part.train.users.relations
        paths = [name for name, path in self.relations.items() if path != INTERACTS and len(known[path])]
        return [REGRESSION, *paths] if paths else []

    def history_paths(self) -> list[str]:
        """Paths that begin at a user's known items."""
        return [INTERACTS[1], SIMILAR]

    def check_paths(self, paths: Sequence[str]) -> None:
        """Refuses a path that the data does not have.

        Raises:
            ConfigError: names the path and those there are.
        """
        there_are = [REGRESSION, *self.history_paths(), *(name for name, t in self.relations.items() if t != INTERACTS)]
        for name in paths:
            if name not in there_are and penalty_of(name) is None:
                known = ", ".join([*there_are, f"{DENOISING}@ and a penalty above 0"])
                raise ConfigError(f"model.shares: no path {name!r}; there are {known}")


def tables(member: Member) -> dict[str, int]:
    """Node type -> rows of the learned table, for the audit."""
    encoder = member.ranker.encoder
    rows = {t: encoder.table(t).num_embeddings for t in encoder.node_types if t != USER}
    return member.part.folding.unmerged(rows)
