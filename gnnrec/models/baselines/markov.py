"""A first-order Markov chain: what was chosen next, after the item that the user chose last."""

from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.graph.histories import Histories, time_order
from gnnrec.options.search_space import Choice, Log, SearchSpace
from gnnrec.views import TestSet, TrainingData, UserBatch


class MarkovChain:
    """The chance that an item comes next, given the last one alone; for a user without items, that it comes first.

    p(j | i) = (n(i, j) + smoothing * p(j)) / (n(i) + smoothing), where n(i, j) counts the training users who chose j
    right after i, n(i) those who went on after i, and p(j) is the item's share in all interactions. A user's first item
    comes after a state that stands for the beginning.

    Source: Rendle, Freudenthaler, Schmidt-Thieme, "Factorizing Personalized Markov Chains for Next-Basket
        Recommendation", WWW 2010, section 4.1 (maximum likelihood, one chain for all users). Differs: smoothed by
        popularity, a state for the beginning, and a half-life.
    Shapes: users B, items I -> scores [B, I], probabilities.

    Args:
        smoothing: users at popularity that are added to each state; above 0.
        half_life: the age at which an interaction counts half, as a share of the time from the first interaction to
            the last one; above 0. None counts all the same.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    search_space: ClassVar[SearchSpace] = {
        "smoothing": Log(0.1, 1000),
        "half_life": Choice((None, 0.03, 0.1, 0.3, 1.0)),
    }

    def __init__(self, *, smoothing: float = 10.0, half_life: float | None = None) -> None:
        if not smoothing > 0:
            raise ValueError(f"smoothing must be above 0, got {smoothing}")
        if half_life is not None and not half_life > 0:
            raise ValueError(f"half_life must be above 0, or none to count all the same; got {half_life}")
        self.smoothing = smoothing
        self.half_life = half_life
        self.best_params: dict[str, Any] = {}

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Counts; nothing is chosen and nothing is drawn.

        Raises:
            ConfigError: the interactions have no times.
        """
        if train.users.items.time is None:
            raise ConfigError(
                "MarkovChain needs the time of each interaction, and the data have none; name a column of times in "
                "data.interactions.time, or use ItemKNN"
            )
        size = train.num_items
        own = Histories.of(train.users.items, train.num_users, self.half_life)
        weight = np.ones(len(own.item)) if own.weight is None else own.weight.double().numpy()
        item = own.item.numpy()
        before = np.where(own.place.numpy() > 0, np.roll(item, 1), size)  # the state `size` is the beginning
        moves = sparse.coo_array((weight, (before, item)), shape=(size + 1, size))
        self._moves = sparse.csr_array(moves)
        popularity = np.bincount(item, weight, size)
        self._popularity = popularity / popularity.sum()

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, probabilities."""
        size = len(self._popularity)
        order = time_order(users.items)
        state = torch.full((len(users),), size)
        row = users.items.row[order]
        last = torch.ones(len(row), dtype=torch.bool)
        last[:-1] = row[1:] != row[:-1]
        state[row[last]] = users.items.node[order][last]
        counts = self._moves[state.numpy()].toarray()
        whole = counts.sum(axis=1, keepdims=True) + self.smoothing
        return torch.from_numpy(((counts + self.smoothing * self._popularity) / whole).astype(np.float32))
