"""A made platform whose users are described by words and vectors that their choices follow."""

import warnings
from typing import Any

import numpy as np
import pandas as pd

from gnnrec.data.dataset import Dataset
from gnnrec.data.frames import from_frames
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.split import Split

GROUPS = ("card lost", "wrong fee", "new phone", "rate of exchange")
ITEMS_OF_GROUP = 6


class Letters:
    """An encoder of texts: how often each letter is there. It needs no weights."""

    def __call__(self, texts: Any) -> np.ndarray:
        return np.array([[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts], float)


LETTERS = {"text": {"encoder": "described_users.Letters"}}


def frames(seed: int, users: int = 200) -> dict[str, pd.DataFrame]:
    """Users of four groups, who chose three of their group's six items each; a tenth have no words."""
    random = np.random.default_rng(seed)
    group = random.integers(len(GROUPS), size=users)
    words = [f"{GROUPS[one]} {random.integers(9)}" for one in group]
    missing = random.random(users) < 0.1
    taste = np.eye(len(GROUPS))[group] + 0.1 * random.normal(size=(users, len(GROUPS)))
    rows = [
        (user, f"i{group[user] * ITEMS_OF_GROUP + item}")
        for user in range(users)
        for item in random.permutation(ITEMS_OF_GROUP)[:3]
    ]
    return {
        "users": pd.DataFrame(
            {
                "u": range(users),
                "says": np.where(missing, "", words),
                "taste": [" ".join(f"{number:.4f}" for number in row) for row in taste],
            }
        ),
        "chosen": pd.DataFrame(rows, columns=["u", "i"]),
    }


def dataset(seed: int, attributes: dict[str, Any], users: int = 200) -> Dataset:
    """The platform with some columns of users as features."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "feature 'says'")
        return from_frames(
            frames(seed, users),
            interactions={"path": "chosen", "user": "u", "item": "i"},
            users={"path": "users", "id": "u", "attributes": attributes},
        )


def split(seed: int, attributes: dict[str, Any], users: int = 200) -> Split:
    """Its split into training users and unseen ones."""
    return make_split(dataset(seed, attributes, users), UnseenUsers(test=0.25, validation=0.15), seed)
