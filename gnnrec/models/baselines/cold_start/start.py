"""What cold-start models begin with: features of users, and vectors of a factorization of the training users."""

from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from gnnrec.graph.adjacency import Adjacency
from gnnrec.graph.matrices import EdgeWeights, Matrix, Normalise, UserFeatures, as_csr_matrix, histories
from gnnrec.models.implicit_models import fit_library, library_model
from gnnrec.options.search_space import Choice, Integer, Log, SearchSpace
from gnnrec.views import TrainingData, UserBatch

SEARCHED: SearchSpace = {
    "features.edge_weights": Choice(("ignore", "log")),
    "features.idf": Choice((False, True)),
    "als.factors": Integer(16, 128, log=True),
    "als.regularization": Log(1e-3, 100),
    "als.alpha": Log(0.5, 50),
    "fit.learning_rate": Log(3e-4, 0.01),
    "fit.weight_decay": Log(1e-4, 0.3),
}
"""What a search may try of the options that these models have in common."""


class FeatureConfig(BaseModel):
    """How users become rows of features, see `gnnrec.graph.matrices.UserFeatures`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    friends: bool = False
    """Also a feature for each training user, 1 where the user has an edge to them."""
    edge_weights: EdgeWeights = "ignore"
    """What an attribute edge counts: 1, log(1 + its weight), or its weight."""
    idf: bool = False
    """A value counts by the logarithm of its rarity."""
    normalise: Normalise = "length"
    """What a user's features are divided by: nothing, their sum, or their Euclidean length."""

    def of(self, train: TrainingData) -> UserFeatures:
        """The columns of some training data."""
        return UserFeatures(train, **self.model_dump())


class ALSConfig(BaseModel):
    """The factorization of the training users' histories, as the baseline `ALS` has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    factors: int = Field(64, ge=1)
    """Entries of each vector."""
    regularization: float = Field(0.01, ge=0)
    """Weight of the squared vectors."""
    alpha: float = Field(10.0, gt=0)
    """Confidence of an interaction, against 1 for everything else."""
    iterations: int = Field(15, ge=1)
    """Alternations."""


class Factors:
    """Vectors of ALS.

    Source: Hu, Koren, Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008, equation 4.

    Args:
        train: whose histories are factorized.
        config: how.
        seed: of the vectors that it starts from.

    Attributes:
        users: [U, D] float32, of the training users.
        items: [I, D] float32.

    Raises:
        ConfigError: the library implicit is not installed.
    """

    def __init__(self, train: TrainingData, config: ALSConfig, seed: int) -> None:
        self._options = config.model_dump()
        model = fit_library("als", "AlternatingLeastSquares", self._options, train.with_events(()), seed)
        self.users = torch.from_numpy(np.ascontiguousarray(model.user_factors))
        self.items = torch.from_numpy(np.ascontiguousarray(model.item_factors))

    def fold_in(self, users: UserBatch) -> Tensor:
        """[B, D] float32, what the last step of ALS gives to each user's known items; 0 for a user without any."""
        known = as_csr_matrix(histories(users, len(self.items)))
        found = torch.zeros(len(users), self.items.shape[1])
        row = np.flatnonzero(np.diff(known.indptr))
        if len(row):
            model = library_model("als", "AlternatingLeastSquares", self._options)
            model.item_factors = self.items.numpy()
            vectors: Any = model.recalculate_user(np.arange(len(row)), known[row])
            found[torch.from_numpy(row)] = torch.from_numpy(np.asarray(vectors))
        return found

    def mean_of_items(self, users: UserBatch) -> Tensor:
        """[B, D] float32, the mean vector of each user's known items; 0 for a user without any."""
        edges = torch.stack([users.items.node, users.items.row])
        return Adjacency(edges, len(self.items), len(users)).mean(self.items)


class SparseLinear(nn.Module):
    """A linear layer on sparse rows.

    Shapes: a sparse matrix [B, A] -> [B, H] float32.

    Args:
        inputs: A.
        outputs: H.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.normal_(self.weight, std=outputs**-0.5)

    def forward(self, rows: Matrix) -> Tensor:
        """[B, H]."""
        entries = rows.tocoo()
        edge_index = torch.from_numpy(np.stack([entries.col, entries.row]).astype(np.int64))
        weight = torch.from_numpy(entries.data.astype(np.float32))
        edges = Adjacency(edge_index, rows.shape[1], rows.shape[0], weight=weight)
        return edges.to(self.weight.device).sum(self.weight) + self.bias
