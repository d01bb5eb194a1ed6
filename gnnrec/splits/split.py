"""A split: the part of each user and each interaction, and its views: training data and test sets."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import pandas as pd
import torch
from torch import Tensor

from gnnrec.data.dataset import Dataset, Numeric
from gnnrec.data.features.text import fitted
from gnnrec.errors import ConfigError
from gnnrec.splits.bins import bin_labels, bin_number, fit_bounds, fit_knots, knot_labels, to_knots
from gnnrec.splits.kshot import reveal
from gnnrec.splits.parts import LATER, TEST, TEST_SUPPORT, TRAIN, UNUSED, VALIDATION, VALIDATION_SUPPORT
from gnnrec.views import ITEM, USER, Edges, EdgeType, Features, Relation, TestSet, TrainingData, UserBatch

Parts = tuple[int, ...]


class SealedError(RuntimeError):
    """The test part was read before it was opened."""


@dataclass(frozen=True)
class Split:
    """A data set, and the part of each user, item and interaction; checked when it is constructed.

    `train` and `validation` are for model selection; `full` (both together) is for the final fit; `test` is sealed
    until `open_test` is called, and its edges to other users point into `full`.

    Attributes:
        dataset: the data set that is split.
        user_part: [U] int64, TRAIN, VALIDATION, TEST or UNUSED.
        edge_part: [E] int64, TRAIN, VALIDATION (target), TEST (target), VALIDATION_SUPPORT,
            TEST_SUPPORT, LATER or UNUSED.
        item_part: [I] int64, TRAIN everywhere but with `unseen_items`, whose held-out items have VALIDATION or TEST,
            and with `temporal`, where items that first appear after validation's or test's moment have LATER or
            UNUSED: their relations and numbers are not known before.
        rank_validation_items: whether items with interactions of validation users alone are ranked for test users.
        reveal_order: [E] float64, the sort key of a user's support; None for the order of the interactions.
        moments: the moments from which on interactions are validation's and test's, in the data's unit of time; None
            where the split is not one by time.
        by_time: whether `reveal_order` is the order of time; then training users' histories are in it, too.
        ranked_among_all: whether held-out items are ranked among those of training, too.
        next_item: whether held-out users are asked for the first of their targets alone, in `reveal_order`.
        shown: how many items of each support are shown, the others masked; None for all.
    """

    dataset: Dataset
    user_part: Tensor
    edge_part: Tensor
    item_part: Tensor
    rank_validation_items: bool = True
    reveal_order: Tensor | None = None
    moments: tuple[int, int] | None = None
    by_time: bool = False
    next_item: bool = False
    ranked_among_all: bool = False
    shown: int | None = None
    _opened: list[str] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        user_part = self.user_part[self.dataset.interactions.user]
        for part, name in ((VALIDATION, "validation"), (TEST, "test")):
            wrong = (user_part == part) & ~self._belongs(self.edge_part, part) & (self.edge_part != UNUSED)
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
        """Training users only: the training data of model selection."""
        return self._training((TRAIN,), (TRAIN,), (LATER, UNUSED))

    @cached_property
    def full(self) -> TrainingData:
        """Training and validation users: the training data of the final fit."""
        edge_parts = (TRAIN, VALIDATION, VALIDATION_SUPPORT, LATER)
        return self._training((TRAIN, VALIDATION), edge_parts, (UNUSED,))

    @cached_property
    def validation(self) -> TestSet:
        """Validation users, with edges into `train`."""
        return self._held_out(VALIDATION, self.train)

    @cached_property
    def test(self) -> TestSet:
        """Test users, with edges into `full`.

        Raises:
            SealedError: the test part has not been opened.
        """
        if not self._opened:
            raise SealedError("the test users are sealed: choose on split.validation, then call split.open_test(why)")
        return self._held_out(TEST, self.full)

    def open_test(self, why: str) -> None:
        """Unseals the test part; `why` is the model selection that came before."""
        self._opened.append(why)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the data and of the part of each user, item and interaction."""
        digest = hashlib.sha256(self.dataset.checksum.encode())
        for part in (self.user_part, self.edge_part, self.item_part, self.reveal_order):
            digest.update(b"" if part is None else part.numpy().tobytes())
        return digest.hexdigest()

    def _training(self, user_parts: Parts, edge_parts: Parts, no_item_parts: Parts) -> TrainingData:
        index = torch.isin(self.user_part, torch.tensor(user_parts)).nonzero().flatten()
        known = ~torch.isin(self.item_part, torch.tensor(no_item_parts))
        edges = torch.isin(self.edge_part, torch.tensor(edge_parts))
        order = self.reveal_order if self.by_time else None
        moment = None if self.moments is None else self.moments[1 if VALIDATION in user_parts else 0]
        return training_data(self.dataset, index, edges, None if known.all() else known, order, moment=moment)

    def _held_out(self, part: int, train: TrainingData) -> TestSet:
        data = self.dataset
        relations, _ = _binned(data, train.bounds)
        wanted = self.edge_part == part
        new = (self.user_part == part).any()
        index = (self.user_part == part).nonzero().flatten() if new else data.interactions.user[wanted].unique()
        if new:
            support = self._belongs(self.edge_part, part) & ~wanted
        else:  # warm users: the support is their history in the training data
            known = (TRAIN,) if part == VALIDATION else (TRAIN, VALIDATION, LATER)
            support = torch.isin(self.edge_part, torch.tensor(known))
        users = _user_batch(data, relations, index, train.users.index, support)
        users = replace(users, features=_user_features(data, train.users.index, index))
        seen = {k: e.take(train.usable[k[2]][e.node]) for k, e in users.relations.items()}
        row = _places(index, data.num_users)[data.interactions.user]
        ground_truth = _interactions(data, row).take(wanted & (row >= 0))
        items = users.items
        if self.reveal_order is not None and (new or self.by_time):
            items = items.take(self.reveal_order[support & (row >= 0)].argsort(stable=True))
        if self.next_item and self.reveal_order is not None:
            order = self.reveal_order[wanted & (row >= 0)].argsort()
            order = order[ground_truth.row[order].argsort(stable=True)]
            ground_truth = ground_truth.take(order)
            first = torch.ones(len(ground_truth), dtype=torch.bool)
            first[1:] = ground_truth.row[1:] != ground_truth.row[:-1]
            ground_truth = ground_truth.take(first)
        asked = replace(users, items=items, relations=seen)
        held_out = self.item_part == part
        items_too = self.candidates(part, train) if held_out.any() else None
        found = TestSet(asked, ground_truth, next_item=self.next_item, held_out_items=items_too)
        if self.by_time:
            return found.in_time()
        found = replace(found, users=found.users.without_events())  # which events came first, nobody knows
        return found if self.shown is None else reveal(found, self.shown)

    def candidates(self, part: int, train: TrainingData) -> Tensor:
        """[I] bool, the items to rank: the held-out items where there are any, else (or besides) those in training."""
        held_out = self.item_part == part
        if held_out.any():
            return held_out | train.candidates if self.ranked_among_all else held_out
        return train.candidates if self.rank_validation_items else self.train.candidates


def training_data(
    data: Dataset,
    users: Tensor,
    interactions: Tensor,
    items: Tensor | None = None,
    order: Tensor | None = None,
    bounds: Mapping[tuple[str, str], tuple[float, ...]] | None = None,
    moment: int | None = None,
) -> TrainingData:
    """What a model is fitted on.

    Args:
        data: the data set.
        users: [U'] int64, the training users.
        interactions: [E] bool, those of them that may be learned from.
        items: [I] bool, those whose relations and numbers are known; None for all.
        order: [E] float64, sort key of the interactions; None for the order in which they stand.
        bounds: of the bins of numeric attributes, as `TrainingData` has them; None fits them on these users.
        moment: the first time whose events are not known; None for none.
    """
    if items is not None:
        data = _of_items(data, items)
    bounds = bounds or {(a.node_type, a.name): _fitted(a, users) for a in data.numeric}
    relations, ids = _binned(data, bounds)
    batch = _user_batch(data, relations, users, users, interactions)
    batch = replace(batch, features=_user_features(data, users, users))
    if moment is not None:
        batch = batch.before(torch.full((len(users),), moment))
    if order is not None:
        chosen = interactions & (_places(users, data.num_users)[data.interactions.user] >= 0)
        batch = replace(batch, items=batch.items.take(order[chosen].argsort()))
    candidates = torch.zeros(data.num_items, dtype=torch.bool)
    candidates[batch.items.node] = True
    return TrainingData(
        users=batch,
        ids={t: ids[t] for t in ids if t != USER},
        relations=tuple(r for r in relations if r.source != USER),
        bounds=bounds,
        candidates=candidates,
        titles=data.titles,
        features=tuple(fitted(one, candidates) for one in data.features),
        values=data.values,
        interpolated=tuple(r.type for r in relations if r.type[:2] in _with_knots(data)),
        fitted_bounds=tuple(a.name for a in data.numeric if a.node_type == USER and a.bounds is None),
    )


def users_of(data: Dataset, train: TrainingData, index: Tensor) -> UserBatch:
    """Users with their edges to what training knows, and without interactions.

    Args:
        data: the data set.
        train: what a model was fitted on.
        index: [B] int64, the users.
    """
    relations, _ = _binned(data, train.bounds)
    nothing = torch.zeros(len(data.interactions), dtype=torch.bool)
    users = _user_batch(data, relations, index, train.users.index, nothing)
    seen = {k: e.take(train.usable[k[2]][e.node]) for k, e in users.relations.items()}
    return replace(users, relations=seen, features=_user_features(data, train.users.index, index))


def _of_items(data: Dataset, known: Tensor) -> Dataset:
    """The data set without relations and numbers of items that are not known."""
    relations = []
    for relation in data.relations:
        kept = torch.ones(relation.edge_index.shape[1], dtype=torch.bool)
        for node_type, node in zip((relation.source, relation.target), relation.edge_index, strict=True):
            if node_type == ITEM:
                kept &= known[node]
        relations.append(relation.take(kept))
    numeric = []
    for one in data.numeric:
        kept = known[one.node] if one.node_type == ITEM else torch.ones(len(one.node), dtype=torch.bool)
        numeric.append(replace(one, node=one.node[kept], number=one.number[kept]))
    features = tuple(one.of(known) for one in data.features)
    return replace(data, relations=tuple(relations), numeric=tuple(numeric), features=features)


def _user_features(data: Dataset, train: Tensor, index: Tensor) -> tuple[Features, ...]:
    """What describes the users `index`, by encoders that are fitted on the users `train`, where they are fitted."""
    known = _places(train, data.num_users) >= 0
    return tuple(fitted(one, known).take(index) for one in data.user_features)


def _places(index: Tensor, size: int) -> Tensor:
    """[size] int64, the position of each node in `index`, -1 for one that is not in it."""
    place = torch.full((size,), -1, dtype=torch.int64)
    place[index] = torch.arange(len(index))
    return place


def _binned(
    data: Dataset, bounds: Mapping[tuple[str, str], tuple[float, ...]]
) -> tuple[list[Relation], dict[str, pd.Index]]:
    """Relations and ids with the numeric attributes as edges to bins or knots, whose type has the attribute's name."""
    relations, ids = list(data.relations), dict(data.ids)
    for a in data.numeric:
        limits = bounds[a.node_type, a.name]
        node_type = value_type(a.node_type, a.name, ids)
        if a.knots is None:
            edge_index = torch.stack([a.node, torch.from_numpy(bin_number(a.number.numpy(), limits))])
            ids[node_type] = pd.Index(bin_labels(limits))
            relations.append(Relation(a.node_type, a.name, node_type, edge_index))
        else:
            knot, weight = map(torch.from_numpy, to_knots(a.number.numpy(), limits))
            edge_index = torch.stack([a.node[: len(knot), None].expand_as(knot), knot])[:, weight > 0]
            ids[node_type] = pd.Index(knot_labels(limits))
            relations.append(Relation(a.node_type, a.name, node_type, edge_index, weight[weight > 0]))
    return relations, ids


def _fitted(numeric: Numeric, users: Tensor) -> tuple[float, ...]:
    """Bounds of bins, or knots: quantiles over the training users, or over all items that are known."""
    if numeric.bounds is not None:
        return numeric.bounds
    own = numeric.number[torch.isin(numeric.node, users)] if numeric.node_type == USER else numeric.number
    if numeric.knots is not None:
        return fit_knots(own.numpy(), numeric.knots)
    return fit_bounds(own.numpy(), numeric.bins or 1)


def _with_knots(data: Dataset) -> set[tuple[str, str]]:
    """(node type, name) of the numeric attributes that have knots."""
    return {(a.node_type, a.name) for a in data.numeric if a.knots is not None}


def value_type(node_type: str, attribute: str, taken: Mapping[str, pd.Index]) -> str:
    """The node type of an attribute's values: its name, prefixed with the owner where that is taken.

    Example:
        >>> value_type("item", "age", {"user": pd.Index([]), "age": pd.Index([])})
        'item_age'
    """
    return attribute if attribute not in taken else f"{node_type}_{attribute}"


def _user_batch(data: Dataset, relations: list[Relation], index: Tensor, friends: Tensor, chosen: Tensor) -> UserBatch:
    """The users `index` with the interactions `chosen`, their edges to users of `friends`, and to other nodes."""
    place = _places(index, data.num_users)
    friend = _places(friends, data.num_users)
    edges: dict[EdgeType, Edges] = {}
    for relation in relations:
        if relation.source == USER:
            source, target = relation.edge_index
            node = friend[target] if relation.target == USER else target
            row = place[source]
            edges[relation.type] = Edges(row, node, relation.weight, relation.time).take((row >= 0) & (node >= 0))
    row = place[data.interactions.user]
    return UserBatch(index, _interactions(data, row).take(chosen & (row >= 0)), edges)


def _interactions(data: Dataset, row: Tensor) -> Edges:
    """All interactions as edges from rows ([E] int64) to items."""
    own = data.interactions
    return Edges(row, own.item, own.value, own.time)
