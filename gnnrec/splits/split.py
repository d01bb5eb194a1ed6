"""Dataset -> Split: who is in training, validation and test, and what of a held-out user is support and what target."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from gnnrec.data.dataset import Dataset
from gnnrec.errors import ConfigError
from gnnrec.runtime import seeds
from gnnrec.splits.bins import bin_labels, bin_number, fit_bounds
from gnnrec.views import USER, Edges, EdgeType, Relation, TestSet, TrainingData, UserBatch

TRAIN, VALIDATION, TEST = 0, 1, 2
VALIDATION_SUPPORT, TEST_SUPPORT = 3, 4
UNUSED = 5


class _SplitConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UnseenUsers(_SplitConfig):
    """Held-out users have no interaction in training. Either a fraction `test`, or one of `folds`."""

    kind: Literal["unseen_users"] = "unseen_users"
    test: float | None = Field(None, gt=0, lt=1)
    """Share of users in test; leave it out when `folds` is given."""
    folds: int | None = Field(None, ge=2)
    """Number of folds that the permuted users are cut into; the test users are one fold."""
    fold: int | None = Field(None, ge=0)
    """Which fold is the test part; left out, the run's seed modulo `folds`."""
    validation: float = Field(0.1, gt=0, lt=1)
    """Share of all users in validation, cut from the training users."""
    train_share: float = Field(1.0, gt=0, le=1)
    """Share of the training and of the validation users that is used, to learn from few; the others are nowhere. A
    smaller share is part of a larger one."""
    support: int = Field(0, ge=0)
    """Interactions of each held-out user that a model may see."""
    seed: int | None = Field(None, ge=0)
    """Seed of the permutation of users; left out, the run's seed."""


class FromFile(_SplitConfig):
    """Test users are listed in a file, one id a line; validation users in another, or drawn from the rest."""

    kind: Literal["file"] = "file"
    test: Path
    """File of test user ids, relative to the config file."""
    validation: Annotated[float, Field(gt=0, lt=1)] | Path = 0.1
    """Share of all users in validation, cut from the training users; or a file of validation user ids."""
    rank_validation_items: bool = True
    """Whether items that validation users chose, but no training user, are ranked for the test users. Published splits
    rank what is in their training file."""
    support: int = Field(0, ge=0)
    """Interactions of each held-out user that a model may see."""
    seed: int | None = Field(None, ge=0)
    """Seed of the permutation of users; left out, the run's seed."""


class UnseenItems(_SplitConfig):
    """Held-out items have no interaction in training; users are known; only the held-out items are ranked."""

    kind: Literal["unseen_items"] = "unseen_items"
    test: float = Field(0.2, gt=0, lt=1)
    """Share of items in test."""
    validation: float = Field(0.1, gt=0, lt=1)
    """Share of items in validation."""
    seed: int | None = Field(None, ge=0)
    """Seed of the permutation of items; left out, the run's seed."""


class WarmInteractions(_SplitConfig):
    """Held-out interactions of users who are in training (warm start, for comparison)."""

    kind: Literal["interactions"] = "interactions"
    test: float = Field(0.2, gt=0, lt=1)
    """Share of interactions in test."""
    validation: float = Field(0.1, gt=0, lt=1)
    """Share of interactions in validation."""
    seed: int | None = Field(None, ge=0)
    """Seed of the permutation of interactions; left out, the run's seed."""


SplitConfig = Annotated[
    UnseenUsers | FromFile | UnseenItems | WarmInteractions,
    Field(discriminator="kind"),
]


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


def make_split(dataset: Dataset, config: UnseenUsers | FromFile | UnseenItems | WarmInteractions, seed: int) -> Split:
    """Cuts a data set into training, validation and test.

    Args:
        dataset: the data.
        config: how to cut; see the config classes of this module.
        seed: the run's seed, used for what the config leaves open.

    Returns:
        A split whose test part is sealed.

    Raises:
        ConfigError: the parts do not fit, or a test user of the file is not in the data.
    """
    permutation_seed = seed if config.seed is None else config.seed
    random = np.random.RandomState(permutation_seed)  # numpy's old generator: published folds are written with it
    user_part = torch.zeros(dataset.num_users, dtype=torch.int64)
    item_part = torch.zeros(dataset.num_items, dtype=torch.int64)
    edge_part = torch.zeros(len(dataset.interactions), dtype=torch.int64)
    reveal_order = None
    if isinstance(config, WarmInteractions):
        _mark(edge_part, random.permutation(len(edge_part)), config.test, config.validation)
        _keep_known(dataset, edge_part)
    elif isinstance(config, UnseenItems):
        _mark(item_part, random.permutation(dataset.num_items), config.test, config.validation)
        edge_part = item_part[dataset.interactions.item]
    else:
        test, validation = _held_out_users(dataset, config, seed, random)
        user_part[test] = TEST
        user_part[validation] = VALIDATION
        edge_part = user_part[dataset.interactions.user]
        if config.support:
            reveal_order = _mark_support(dataset, edge_part, config.support, permutation_seed)
        if isinstance(config, UnseenUsers) and config.train_share < 1:
            _leave_out(user_part, config.train_share, permutation_seed)
            edge_part[user_part[dataset.interactions.user] == UNUSED] = UNUSED
    rank_validation_items = not isinstance(config, FromFile) or config.rank_validation_items
    return Split(dataset, user_part, edge_part, item_part, rank_validation_items, reveal_order)


def _mark(part: Tensor, order: np.ndarray, test: float, validation: float) -> None:
    if test + validation >= 1:
        raise ConfigError(f"split: test {test} and validation {validation} leave nothing to train on")
    cut = int(test * len(order))
    part[order[:cut]] = TEST
    part[order[cut : cut + int(validation * len(order))]] = VALIDATION


def _leave_out(user_part: Tensor, share: float, seed: int) -> None:
    """Leaves all but a share of the training and of the validation users out, at least one of each staying."""
    for part in (TRAIN, VALIDATION):
        users = (user_part == part).nonzero().flatten()
        order = torch.randperm(len(users), generator=seeds.generator(seed, f"train share {part}"))
        user_part[users[order[max(1, round(share * len(users))) :]]] = UNUSED


def _keep_known(dataset: Dataset, edge_part: Tensor) -> None:
    """A warm target needs a user who is in training: the interactions of the others go back to training."""
    known = torch.zeros(dataset.num_users, dtype=torch.bool)
    known[dataset.interactions.user[edge_part == TRAIN]] = True
    edge_part[~known[dataset.interactions.user]] = TRAIN


def _held_out_users(
    dataset: Dataset, config: UnseenUsers | FromFile, seed: int, random: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(config, UnseenUsers) and config.fold is not None and config.folds is None:
        raise ConfigError(f"split.fold: {config.fold} has no meaning without folds; give folds, or leave fold out")
    num_users = dataset.num_users
    order = random.permutation(num_users)
    if isinstance(config, FromFile):
        test = _read_users(dataset, config.test, "test")
        rest = order[~np.isin(order, test)]
        if isinstance(config.validation, Path):
            validation = _read_users(dataset, config.validation, "validation")
            _check_disjoint(dataset, config.validation, validation, test)
            return test, validation
    elif config.folds is not None:
        if config.test is not None:
            raise ConfigError("split: give either test or folds, not both")
        folds = np.array_split(order, config.folds)
        fold = seed % config.folds if config.fold is None else config.fold
        if fold >= config.folds:
            raise ConfigError(f"split.fold: {fold} is not among the folds 0 to {config.folds - 1}")
        test, rest = folds[fold], np.concatenate([folds[(fold + i) % config.folds] for i in range(1, config.folds)])
    elif config.test is not None:
        cut = int(config.test * num_users)
        test, rest = order[:cut], order[cut:]
    else:
        raise ConfigError("split: unseen_users needs test (a share of the users, e.g. 0.2) or folds (e.g. 5)")
    assert isinstance(config.validation, float)
    num_validation = int(config.validation * num_users)
    if num_validation >= len(rest):
        raise ConfigError(f"split.validation: {config.validation} of {num_users} users leaves none to train on")
    return test, rest[:num_validation]


def _read_users(dataset: Dataset, path: Path, part: str) -> np.ndarray:
    if not path.is_file():
        raise ConfigError(f"split.{part}: {path}: no such file; it must list one {part} user id a line")
    lines = pd.Series(path.read_text(encoding="utf-8").splitlines(), dtype="str").str.strip()
    wanted = lines[lines != ""]
    index = dataset.ids[USER].get_indexer(pd.Index(wanted))
    if (index < 0).any():
        line = wanted.index[index < 0][0]
        raise ConfigError(f"{path}: line {line + 1}: user {wanted[line]!r} is not in {dataset.name}")
    return index


def _check_disjoint(dataset: Dataset, path: Path, validation: np.ndarray, test: np.ndarray) -> None:
    both = np.intersect1d(validation, test)
    if len(both):
        user = dataset.ids[USER][both[0]]
        raise ConfigError(
            f"split.validation: {path}: user {user!r} is a test user too; take it out of one of the files"
        )


def _mark_support(dataset: Dataset, edge_part: Tensor, support: int, seed: int) -> Tensor:
    """Takes the first interactions of one random order per user, so that the support of k lies in that of k + 1.

    Returns:
        [E] float64, the order.
    """
    held_out = (edge_part != TRAIN).nonzero().flatten()
    key = torch.rand(len(edge_part), generator=seeds.generator(seed, "support"), dtype=torch.float64)
    user = dataset.interactions.user[held_out]
    order = np.lexsort((key[held_out].numpy(), user.numpy()))
    sorted_user = user.numpy()[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_user, sorted_user, side="left")
    chosen = held_out[torch.from_numpy(order[rank < support])]
    edge_part[chosen] = torch.where(edge_part[chosen] == VALIDATION, VALIDATION_SUPPORT, TEST_SUPPORT)
    return key
