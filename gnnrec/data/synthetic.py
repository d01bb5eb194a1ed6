"""Synthetic data with a known answer: users of a group choose its items, and an attribute reveals the group."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gnnrec.data.dataset import Dataset, Interactions, Numeric, symmetric
from gnnrec.runtime import seeds
from gnnrec.views import ITEM, USER, Relation


def synthetic(
    seed: int,
    num_users: int = 60,
    num_items: int = 40,
    groups: int = 4,
    choices: int = 8,
    friends: int = 3,
    loyalty: float = 0.9,
    skew: float = 0.5,
) -> Dataset:
    """Users, items and attributes with a known structure.

    - User `u` belongs to group `u % groups`, item `i` to group `i % groups`. An item that a user chooses is of the
      user's group with probability `loyalty` and of any other group otherwise. Of a list that is the same for all
      users, about `1 / groups` is in a user's group: that is chance.
    - Of the items of a group, the one in place r is chosen with a probability proportional to `(r + 1) ** -skew`, so
      items 0 to `groups - 1` are the most popular ones. Values are 4 or 5 within the group and 1 to 3 outside;
      times are seconds in a random order.
    - User attributes: `club` (value `club <group>`) reveals the group; `colour` (four values, missing for every tenth
      user) and the numeric `age` (18 to 79, four quantile bins, missing for every seventh) are independent of it.
    - Relation `friend` between users, symmetric, within the group with probability `loyalty`.
    - Item attribute `category` reveals the item's group, under names of its own.

    Args:
        seed: same arguments and seed, same data.
        num_users: at least 2 in each group.
        num_items: at least one in each group; items beyond a multiple of `groups` are never chosen.
        groups: number of groups.
        choices: draws per user; a repeated draw counts once, so a user has at most so many interactions.
        friends: draws of friends per user.
        loyalty: probability that a chosen item or a friend is of the user's own group.
        skew: 0 makes all items of a group equally popular.
    """
    random = seeds.numpy_generator(seed, "made")  # another name of the stage would draw other data
    user = np.repeat(np.arange(num_users), choices)
    places = num_items // groups
    popularity = np.arange(1, places + 1) ** -skew
    place = random.choice(places, len(user), p=popularity / popularity.sum())
    item = place * groups + _group(user % groups, groups, loyalty, random)
    user, item = np.unique(np.stack([user, item]), axis=1)
    inside = user % groups == item % groups
    value = np.where(inside, random.integers(4, 6, len(user)), random.integers(1, 4, len(user)))

    one = np.repeat(np.arange(num_users), friends)
    other = random.integers(num_users // groups, size=len(one)) * groups + _group(one % groups, groups, loyalty, random)
    friend, _ = symmetric(_tensor(np.stack([one, other])))

    everyone = np.arange(num_users)
    with_colour = everyone[everyone % 10 != 9]
    with_age = everyone[everyone % 7 != 6]
    return Dataset(
        name="synthetic",
        ids={
            USER: pd.Index([f"user {u}" for u in range(num_users)]),
            ITEM: pd.Index([f"item {i}" for i in range(num_items)]),
            "club": pd.Index([f"club {g}" for g in range(groups)]),
            "colour": pd.Index(["blue", "green", "red", "yellow"]),
            "category": pd.Index([f"category {g}" for g in range(groups)]),
        },
        interactions=Interactions(
            _tensor(user),
            _tensor(item),
            torch.from_numpy(value).float(),
            _tensor(random.permutation(len(user))),
        ),
        relations=(
            Relation(USER, "club", "club", _tensor(np.stack([everyone, everyone % groups]))),
            Relation(
                USER, "colour", "colour", _tensor(np.stack([with_colour, random.integers(4, size=len(with_colour))]))
            ),
            Relation(USER, "friend", USER, friend),
            Relation(
                ITEM, "category", "category", _tensor(np.stack([np.arange(num_items), np.arange(num_items) % groups]))
            ),
        ),
        numeric=(
            Numeric(
                USER,
                "age",
                _tensor(with_age),
                torch.from_numpy(random.integers(18, 80, len(with_age)).astype(np.float64)),
                bins=4,
            ),
        ),
        titles=tuple(f"Title of item {i}" for i in range(num_items)),
    )


def _group(own: np.ndarray, groups: int, loyalty: float, random: np.random.Generator) -> np.ndarray:
    """The own group with probability `loyalty`, else one of the others."""
    shift = np.where(random.random(len(own)) < loyalty, 0, random.integers(1, max(groups, 2), len(own)))
    return (own + shift) % groups


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64))
