"""Kinds of split that hold out users: a share or a fold of them, or those listed in a file."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from gnnrec.data.columns import positions
from gnnrec.data.dataset import Dataset
from gnnrec.data.delimited import Format
from gnnrec.data.textfile import TextFile
from gnnrec.errors import ConfigError
from gnnrec.runtime import seeds
from gnnrec.splits.kind import SplitKind
from gnnrec.splits.parts import TEST, TEST_SUPPORT, TRAIN, UNUSED, VALIDATION, VALIDATION_SUPPORT, permutation
from gnnrec.splits.split import Split
from gnnrec.splits.temporal import in_time_order
from gnnrec.splits.unseen_values import UnseenValues
from gnnrec.views import USER

NO_SEPARATOR = "\x1f"
"""Where nothing separates two cells: a sign that no id holds."""


class Labelled(BaseModel):
    """A budget of users whose interactions are known to training: labels cost money, profiles do not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    users: int | None = Field(None, ge=2)
    """So many users, drawn; validation users are among them, as large a share as of all."""
    per_item: int | None = Field(None, ge=1)
    """Or so many users of each item."""
    others: Literal["left out", "kept"] = "left out"
    """What becomes of the other ones: in no part, or training users without interactions, for pretraining on what is
    known of them."""

    @model_validator(mode="after")
    def _one(self) -> "Labelled":
        if (self.users is None) == (self.per_item is None):
            raise ValueError("labelled: give users or per_item, how many")
        return self

    def apply(self, dataset: Dataset, user_part: Tensor, edge_part: Tensor, seed: int) -> None:
        """Takes the interactions of the others away; a smaller budget is a part of a larger one.

        Args:
            dataset: the data.
            user_part: [U] int64, written to in place.
            edge_part: [E] int64, written to in place.
            seed: of the draw.
        """
        order = torch.randperm(dataset.num_users, generator=seeds.generator(seed, "labelled"))
        open_to = (user_part == TRAIN) | (user_part == VALIDATION)
        order = order[open_to[order]]
        if self.users is not None:
            chosen = order[: self.users]
        else:
            place = torch.empty(dataset.num_users, dtype=torch.int64)
            place[order] = torch.arange(len(order))
            own = open_to[dataset.interactions.user].nonzero().flatten()
            user, item = dataset.interactions.user[own], dataset.interactions.item[own]
            first = torch.from_numpy(np.lexsort((place[user].numpy(), item.numpy())))
            start = torch.searchsorted(item[first].contiguous(), item[first].contiguous())
            assert self.per_item is not None
            chosen = user[first[torch.arange(len(first)) - start < self.per_item]]
        unlabelled = open_to.clone()
        unlabelled[chosen] = False
        edge_part[unlabelled[dataset.interactions.user]] = UNUSED
        user_part[unlabelled] = TRAIN if self.others == "kept" else UNUSED
        for part, name in ((TRAIN, "train on"), (VALIDATION, "choose on")):
            if not (user_part[chosen] == part).any():
                raise ConfigError(f"split.labelled: {len(chosen)} users leave none to {name}; take more")


class UnseenUsers(SplitKind):
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
    """Share of the training and of the validation users that is used; the others are in no part. A smaller share is a
    subset of a larger one."""
    support: int = Field(0, ge=0)
    """Interactions of each held-out user that are its support."""
    reveal: Literal["random", "time"] = "random"
    """Which interactions are the support: drawn ones, or the first in time. Training still knows what others chose
    later; `temporal` does not."""
    target: Literal["rest", "next"] = "rest"
    """What is asked for: all that is not support, or the one item that follows it in the order of time."""
    labelled: Labelled | None = None
    """Of how many training and validation users the interactions are known."""
    unseen_values: UnseenValues | None = None
    """Values of an attribute that held-out users alone have."""
    seed: int | None = Field(None, ge=0, lt=2**32)
    """Seed of the permutation of users; left out, the run's seed."""

    @model_validator(mode="after")
    def _next_in_time(self) -> "UnseenUsers":
        if self.target == "next" and self.reveal != "time":
            raise ValueError("target: next needs reveal: time")
        return self

    @property
    def support_size(self) -> int:
        """See `SplitKind`."""
        return self.support

    def make(self, dataset: Dataset, seed: int) -> Split:
        """Holds out users with all their interactions; `train_share` leaves some of the others out."""
        own_seed = seed if self.seed is None else self.seed
        test, rest = self._test_users(permutation(dataset.num_users, own_seed), seed)
        user_part = _user_part(dataset, test, _first(rest, self.validation, dataset.num_users))
        if self.unseen_values is not None:
            dataset = self.unseen_values.hide(dataset, user_part, own_seed)
        edge_part = user_part[dataset.interactions.user]
        in_time = self.reveal == "time"
        order = in_time_order(dataset) if in_time else None
        reveal_order = _mark_support(dataset, edge_part, self.support, own_seed, order)
        if self.train_share < 1:
            enough = torch.bincount(dataset.interactions.user, minlength=dataset.num_users) > self.support
            _leave_out(user_part, self.train_share, own_seed, enough)
            edge_part[user_part[dataset.interactions.user] == UNUSED] = UNUSED
        if self.labelled is not None:
            self.labelled.apply(dataset, user_part, edge_part, own_seed)
        item_part = torch.zeros(dataset.num_items, dtype=torch.int64)
        return Split(
            dataset,
            user_part,
            edge_part,
            item_part,
            reveal_order=reveal_order,
            by_time=in_time,
            next_item=self.target == "next",
        )

    def _test_users(self, order: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The test users; and the others, of whom the first will validate."""
        if self.fold is not None and self.folds is None:
            raise ConfigError(f"split.fold: {self.fold} has no meaning without folds; give folds, or leave fold out")
        if self.folds is not None:
            if self.test is not None:
                raise ConfigError("split: give either test or folds, not both")
            folds = np.array_split(order, self.folds)
            fold = seed % self.folds if self.fold is None else self.fold
            if fold >= self.folds:
                raise ConfigError(f"split.fold: {fold} is not among the folds 0 to {self.folds - 1}")
            return folds[fold], np.concatenate([folds[(fold + i) % self.folds] for i in range(1, self.folds)])
        if self.test is None:
            raise ConfigError("split: unseen_users needs test (a share of the users, e.g. 0.2) or folds (e.g. 5)")
        cut = int(self.test * len(order))
        return order[:cut], order[cut:]


class FromFile(SplitKind):
    """Test users are listed in a file, one id a line; validation users in another, or drawn from the rest."""

    kind: Literal["file"] = "file"
    test: Path
    """File of test user ids, relative to the config file."""
    validation: Annotated[float, Field(gt=0, lt=1)] | Path = 0.1
    """Share of all users in validation, cut from the training users; or a file of validation user ids."""
    encoding: str = "utf-8"
    """Of both files; a file that begins with a byte order mark needs none."""
    rank_validation_items: bool = True
    """Whether items with interactions of validation users alone are ranked for the test users. Published splits rank
    the items of their training file."""
    support: int = Field(0, ge=0)
    """Interactions of each held-out user that are its support."""
    labelled: Labelled | None = None
    """Of how many training and validation users the interactions are known."""
    seed: int | None = Field(None, ge=0, lt=2**32)
    """Seed of the permutation of users; left out, the run's seed."""

    @property
    def support_size(self) -> int:
        """See `SplitKind`."""
        return self.support

    @property
    def has_paths(self) -> bool:
        """See `SplitKind`."""
        return True

    def with_folder(self, folder: Path) -> "FromFile":
        """See `SplitKind`."""
        paths = {"test": folder / self.test}
        if isinstance(self.validation, Path):
            paths["validation"] = folder / self.validation
        return self.model_copy(update=paths)

    def make(self, dataset: Dataset, seed: int) -> Split:
        """Holds out the listed users with all their interactions."""
        own_seed = seed if self.seed is None else self.seed
        test = _read_users(dataset, self.test, self.encoding, "test")
        if isinstance(self.validation, Path):
            validation = _read_users(dataset, self.validation, self.encoding, "validation")
            _check_disjoint(dataset, self.validation, validation, test)
        else:
            order = permutation(dataset.num_users, own_seed)
            validation = _first(order[~np.isin(order, test)], self.validation, dataset.num_users)
        user_part = _user_part(dataset, test, validation)
        edge_part = user_part[dataset.interactions.user]
        reveal_order = _mark_support(dataset, edge_part, self.support, own_seed)
        if self.labelled is not None:
            self.labelled.apply(dataset, user_part, edge_part, own_seed)
        item_part = torch.zeros(dataset.num_items, dtype=torch.int64)
        return Split(dataset, user_part, edge_part, item_part, self.rank_validation_items, reveal_order)


def _first(rest: np.ndarray, share: float, num_users: int) -> np.ndarray:
    """Validation users: the first of `rest`, a share of all users."""
    num_validation = int(share * num_users)
    if num_validation >= len(rest):
        raise ConfigError(f"split.validation: {share} of {num_users} users leaves none to train on")
    return rest[:num_validation]


def _user_part(dataset: Dataset, test: np.ndarray, validation: np.ndarray) -> Tensor:
    user_part = torch.zeros(dataset.num_users, dtype=torch.int64)
    user_part[test] = TEST
    user_part[validation] = VALIDATION
    return user_part


def _leave_out(user_part: Tensor, share: float, seed: int, enough: Tensor) -> None:
    """Keeps a share of the training and of the validation users, at least one of each; the others become UNUSED.

    Args:
        user_part: [U] int64, written to in place.
        share: that is kept.
        seed: of the draw.
        enough: [U] bool, users with more interactions than are their support: of validation users, who are few, the
            others come last, since nothing can be asked of them.
    """
    for part in (TRAIN, VALIDATION):
        users = (user_part == part).nonzero().flatten()
        order = torch.randperm(len(users), generator=seeds.generator(seed, f"train share {part}"))
        if part == VALIDATION:
            order = order[(~enough[users[order]]).int().argsort(stable=True)]
        user_part[users[order[max(1, round(share * len(users))) :]]] = UNUSED


def _read_users(dataset: Dataset, path: Path, encoding: str, part: str) -> np.ndarray:
    """[U] int64, the listed users; blank lines are left out."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise ConfigError(f"split.{part}: {path}: {what}; it must list one {part} user id a line")
    if not path.read_bytes().strip():
        return np.empty(0, dtype=np.int64)
    one_column = Format(separator=NO_SEPARATOR, encoding=encoding, header=("user",))
    file = TextFile(path, f"split.{part}", {"user": "user"}, False, one_column, missing=())
    listed = file.frame["user"]
    index = positions(dataset.ids[USER], listed)
    unknown = (index < 0) & (listed != "").to_numpy(bool)
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ConfigError(f"{path}: line {file.line(row)}: user {listed[row]!r} is not in {dataset.name}")
    return np.unique(index[index >= 0])


def _check_disjoint(dataset: Dataset, path: Path, validation: np.ndarray, test: np.ndarray) -> None:
    both = np.intersect1d(validation, test)
    if len(both):
        user = dataset.ids[USER][both[0]]
        raise ConfigError(
            f"split.validation: {path}: user {user!r} is a test user too; take it out of one of the files"
        )


def _mark_support(
    dataset: Dataset, edge_part: Tensor, support: int, seed: int, key: Tensor | None = None
) -> Tensor | None:
    """Marks the first interactions of each user in one order: the support of k is part of that of k + 1.

    Args:
        dataset: the data set.
        edge_part: [E] int64, written to in place.
        support: interactions of each user.
        seed: draws the order.
        key: [E] float64, the order; None draws one.

    Returns:
        [E] float64, the order; None where one is drawn and `support` is 0.
    """
    if not support:
        return key
    held_out = (edge_part != TRAIN).nonzero().flatten()
    if key is None:
        key = torch.rand(len(edge_part), generator=seeds.generator(seed, "support"), dtype=torch.float64)
    user = dataset.interactions.user[held_out]
    order = np.lexsort((key[held_out].numpy(), user.numpy()))
    sorted_user = user.numpy()[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_user, sorted_user, side="left")
    chosen = held_out[torch.from_numpy(order[rank < support])]
    edge_part[chosen] = torch.where(edge_part[chosen] == VALIDATION, VALIDATION_SUPPORT, TEST_SUPPORT)
    return key
