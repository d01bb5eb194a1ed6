"""Random pools of candidates for tests of re-ranking, with empty places and items of which nothing is known."""

import numpy as np
import torch
from scipy.sparse import csr_array

from gnnrec.evaluation.metrics.beyond_accuracy import shares_of_values
from gnnrec.reranking.pool import Items, Pool, stretched

ITEMS, VALUES = 25, 6


def made(seed: int, users: int = 5, size: int = 12, *, protected: float = 0.3) -> tuple[Pool, Items]:
    """Pools of `users` users, user 1 with few items, and what is known of 25 items."""
    random = np.random.default_rng(seed)
    item = np.stack([random.permutation(ITEMS)[:size] for _ in range(users)])
    item[1, 4:] = -1
    score = torch.from_numpy(-np.sort(-random.normal(size=(users, size)))).float()
    values = (random.random((ITEMS, VALUES)) < 0.4) * random.random((ITEMS, VALUES))
    values[::7] = 0
    taste = random.random((users, VALUES)) * (random.random((users, VALUES)) < 0.7)
    taste[2] = 0
    where = torch.from_numpy(item)
    items = Items(
        values=shares_of_values(csr_array(values)),
        popularity=torch.from_numpy(random.integers(0, 30, ITEMS)).float(),
        protected=torch.from_numpy(random.random(ITEMS) < protected),
    )
    relevance = stretched(score, where >= 0)
    return Pool(where, relevance, torch.arange(users), shares_of_values(csr_array(taste))), items
