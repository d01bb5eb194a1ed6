"""A split: the part of each user and each interaction, and the views of it that models and evaluations get."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd
import torch
from torch import Tensor

from gnnrec.data.dataset import Dataset
from gnnrec.errors import ConfigError
from gnnrec.splits.bins import bin_labels, bin_number, fit_bounds
from gnnrec.splits.parts import TEST, TEST_SUPPORT, TRAIN, VALIDATION, VALIDATION_SUPPORT
from gnnrec.views import USER, Edges, EdgeType, Relation, TestSet, TrainingData, UserBatch


class SealedError(RuntimeError):
    """The test part was asked for before the choice was made."""


@dataclass(frozen=True)
class Split:
    """A data set, and for each user and each interaction the part it belongs to. It checks itself when made.

    `train` and `validation` are for choosing; `full` (both together) is for the final fit; `test` is sealed until
    `open_test` is called, and its edges to other users point into `full`.

    Attributes:
        dataset: the data that is split.
        user_part: [U] int64, TRAIN, VALIDATION, TEST or UNUSED.
        edge_part: [E] int64, TRAIN, VALIDATION (target), TEST (target), VALIDATION_SUPPORT,
            TEST_SUPPORT or UNUSED.
        item_part: [I] int64, TRAIN everywhere but with `unseen_items`.
        rank_validation_items: whether the test users are ranked items of validation users that no training user chose.
        reveal_order: [E] float64, a user's support is revealed in the ascending order of these; None for the order of
            the interactions.
    """

    dataset: Dataset
    user_part: Tensor
    edge_part: Tensor
    item_part: Tensor
    rank_validation_items: bool = True
    reveal_order: Tensor | None = None
    _opened: list[str] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        user_part = self.user_part[self.dataset.interactions.user]
        for part, name in ((VALIDATION, "validation"), (TEST, "test")):
            wrong = (user_part == part) & ~self._belongs(self.edge_part, part)
            if wrong.any():
                user = self.dataset.ids[USER][int(self.dataset.interactions.user[wrong][0])]
                raise ValueError(f"{int(wrong.sum())} interactions of {name} users are in another part, e.g. of {user}")
            if not (self.edge_part == part).any():
                if self._belongs(self.edge_part, part).any():
                    raise ConfigError(f"split: the {name} part has no interaction left to find; make support smaller")
                raise ConfigError(f"split: the {name} part has no interaction to find; make it larger")
        if not (self.edge_part == TRAIN).any():
            raise ConfigError("split: the training part has no interaction; make test and validation smaller")

    @staticmethod
    def _belongs(edge_part: Tensor, part: int) -> Tensor:
        return (edge_part == part) | (edge_part == (VALIDATION_SUPPORT if part == VALIDATION else TEST_SUPPORT))

    @cached_property
    def train(self) -> TrainingData:
        """Training users only: what a model is fitted on while its settings are chosen."""
        return self._training((TRAIN,), (TRAIN,))

    @cached_property
    def full(self) -> TrainingData:
        """Training and validation users: what a model is fitted on once its settings are chosen."""
        return self._training((TRAIN, VALIDATION), (TRAIN, VALIDATION, VALIDATION_SUPPORT))

    @cached_property
    def validation(self) -> TestSet:
        """Validation users, as seen from `train`."""
        return self._held_out(VALIDATION, self.train)

    @cached_property
    def test(self) -> TestSet:
        """Test users, as seen from `full`.

        Raises:
            SealedError: the test part has not been opened.
        """
        if not self._opened:
            raise SealedError("the test users are sealed: choose on split.validation, then call split.open_test(why)")
        return self._held_out(TEST, self.full)

    def open_test(self, why: str) -> None:
        """Breaks the seal of the test part; `why` says after which choice."""
        self._opened.append(why)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the data and of the part of each user, item and interaction."""
        digest = hashlib.sha256(self.dataset.checksum.encode())
        for part in (self.user_part, self.edge_part, self.item_part, self.reveal_order):
            digest.update(b"" if part is None else part.numpy().tobytes())
        return digest.hexdigest()

    def _training(self, user_parts: tuple[int, ...], edge_parts: tuple[int, ...]) -> TrainingData:
        data = self.dataset
        index = torch.isin(self.user_part, torch.tensor(user_parts)).nonzero().flatten()
        bounds = {
            (a.node_type, a.name): a.bounds
            if a.bounds is not None
            else fit_bounds(
                (a.number[torch.isin(a.node, index)] if a.node_type == USER else a.number).numpy(), a.bins or 1
            )
            for a in data.numeric
        }
        relations, ids = _binned(data, bounds)
        chosen = torch.isin(self.edge_part, torch.tensor(edge_parts))
        users = _known(data, relations, index, index, chosen)
        candidates = torch.zeros(data.num_items, dtype=torch.bool)
        candidates[users.items.node] = True
        return TrainingData(
            users=users,
            ids={t: ids[t] for t in ids if t != USER},
            relations=tuple(r for r in relations if r.source != USER),
            bounds=bounds,
            candidates=candidates,
            titles=data.titles,
        )

    def _held_out(self, part: int, train: TrainingData) -> TestSet:
        data = self.dataset
        relations, _ = _binned(data, train.bounds)
        asked = self.edge_part == part
        new = (self.user_part == part).any()
        index = (self.user_part == part).nonzero().flatten() if new else data.interactions.user[asked].unique()
        if new:
            support = self._belongs(self.edge_part, part) & ~asked
        else:  # the users are known, and so is their history in the training that the model was fitted on
            known = (TRAIN,) if part == VALIDATION else (TRAIN, VALIDATION)
            support = torch.isin(self.edge_part, torch.tensor(known))
        users = _known(data, relations, index, train.users.index, support)
        seen = {k: e.take(train.reachable[k[2]][e.node]) for k, e in users.relations.items()}
        row = _places(index, data.num_users)[data.interactions.user]
        target = Edges(row, data.interactions.item, data.interactions.value).take(asked & (row >= 0))
        items = users.items
        if new and self.reveal_order is not None:
            items = items.take(self.reveal_order[support].argsort(stable=True))
        return TestSet(UserBatch(users.index, items, seen), target)

    def candidates(self, part: int, train: TrainingData) -> Tensor:
        """[I] bool, the items to rank: those seen in training, or with `unseen_items` those held out."""
        held_out = self.item_part == part
        if held_out.any():
            return held_out
        return train.candidates if self.rank_validation_items else self.train.candidates


def _places(index: Tensor, size: int) -> Tensor:
    """[size] int64, the place of each node in `index`, -1 for one that is not in it."""
    place = torch.full((size,), -1, dtype=torch.int64)
    place[index] = torch.arange(len(index))
    return place


def _binned(
    data: Dataset, bounds: Mapping[tuple[str, str], tuple[float, ...]]
) -> tuple[list[Relation], dict[str, pd.Index]]:
    """Relations and ids with the numeric attributes as edges to bins; the bin's node type has the attribute's name."""
    relations, ids = list(data.relations), dict(data.ids)
    for a in data.numeric:
        limits = bounds[a.node_type, a.name]
        edge_index = torch.stack([a.node, torch.from_numpy(bin_number(a.number.numpy(), limits))])
        node_type = value_type(a.node_type, a.name, ids)
        ids[node_type] = pd.Index(bin_labels(limits))
        relations.append(Relation(a.node_type, a.name, node_type, edge_index))
    return relations, ids


def value_type(node_type: str, attribute: str, taken: Mapping[str, pd.Index]) -> str:
    """The node type of an attribute's values: the attribute's name, with the owner before it where that is taken.

    Example:
        >>> value_type("item", "age", {"user": pd.Index([]), "age": pd.Index([])})
        'item_age'
    """
    return attribute if attribute not in taken else f"{node_type}_{attribute}"


def _known(data: Dataset, relations: list[Relation], index: Tensor, friends: Tensor, chosen: Tensor) -> UserBatch:
    """What is known of the users `index`: edges to users of `friends` and to other nodes; the interactions `chosen`."""
    place = _places(index, data.num_users)
    friend = _places(friends, data.num_users)
    edges: dict[EdgeType, Edges] = {}
    for relation in relations:
        if relation.source == USER:
            source, target = relation.edge_index
            node = friend[target] if relation.target == USER else target
            row = place[source]
            edges[relation.type] = Edges(row, node, relation.weight).take((row >= 0) & (node >= 0))
    row = place[data.interactions.user]
    items = Edges(row, data.interactions.item, data.interactions.value).take(chosen & (row >= 0))
    return UserBatch(index, items, edges)
