"""Erased: a recommender that does not see an attribute of users, and whose vectors do not tell it."""

from dataclasses import replace
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.models.selection import BUCKETS, by_bucket
from gnnrec.nn.erasure import Erasure, erase
from gnnrec.options.messages import nearest
from gnnrec.runtime import seeds
from gnnrec.splits.kshot import reveal_ground_truth
from gnnrec.views import ITEM, USER, TestSet, TrainingData, UserBatch

HANDED_ON = ("loaded", "tables", "trains_in_processes")
"""What a recommender may have, and this one has where its model does."""
MOST, FEWEST = 20_000, 50
"""Training users whose vectors are read of each history length, at most; and at least, else the shorter one serves."""
BATCH = 1024


class EraseConfig(BaseModel):
    """An attribute of users that a model is not to know, and not to find out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attribute: str
    """Its name. The model gets nothing of it, neither in training nor of a new user."""
    strength: float = Field(1.0, ge=0, le=1)
    """How much is taken back of what the other attributes and the history tell of it: 0 hides the attribute alone, 1
    leaves nothing that a linear function of the vector could tell."""


class Erased:
    """A recommender that does not see an attribute of users, and whose vectors no linear function tells it from.

    The model is fitted without the attribute. Then vectors of training users are computed as those of newcomers are,
    with 0, 1, 2, 5, 10, 20 and 50 of their items, and for each of these lengths the smallest affine change is found
    after which the attribute and the vector are uncorrelated (`gnnrec.nn.erasure`). Scores are inner products of the
    changed vectors. The attribute of training users is read for that; of a new user it is never needed.

    Shapes: B users -> [B, I] scores.

    Args:
        model: whose scores are inner products of `query` and `item_vectors`.
        how: the attribute.

    Raises:
        ConfigError: the model has no such vectors.
    """

    predicts_ratings = False

    def __init__(self, model: Any, how: EraseConfig) -> None:
        if model.predicts_ratings or not hasattr(model, "query"):
            raise ConfigError(
                f"erase: needs scores that are inner products, and those of {type(model).__name__} are not; take "
                "GraphSAGE that ranks, or hide the attribute alone: data.use names the others"
            )
        self.model, self.how = model, how
        self.best_params: dict[str, Any] = {}
        self.erasures: dict[int, Erasure] = {}

    def __getattr__(self, name: str) -> Any:
        if name in HANDED_ON:
            return getattr(self.model, name)
        raise AttributeError(f"{type(self).__name__} has no {name}")

    @property
    def options(self) -> dict[str, Any]:
        """The attribute as a config has it, and the class of the model, for people to read."""
        return {"class": type(self.model).__name__, "erase": self.how.model_dump(mode="json")}

    @property
    def supports_cold_users(self) -> bool:
        """As of the model."""
        return bool(self.model.supports_cold_users)

    @property
    def log_scores(self) -> bool:
        """As of the model."""
        return bool(getattr(self.model, "log_scores", False))

    @property
    def chooses_on_validation(self) -> bool:
        """As of the model."""
        return bool(getattr(self.model, "chooses_on_validation", False))

    @property
    def tracker(self) -> Any:
        """Of the model."""
        return self.model.tracker

    @tracker.setter
    def tracker(self, tracker: Any) -> None:
        self.model.tracker = tracker

    @property
    def placement(self) -> Any:
        """Of the model."""
        return self.model.placement

    @placement.setter
    def placement(self, placement: Any) -> None:
        self.model.placement = placement

    def build(self, train: TrainingData, seed: int) -> Any:
        """The graph of the model, which does not hold the attribute; None where it has none."""
        hidden = replace(train, users=self._hidden(train.users, check=True))
        return self.model.build(hidden, seed) if hasattr(self.model, "build") else None

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Fits the model without the attribute, and then the change of the vectors.

        Raises:
            ConfigError: there is no such attribute, or some users have several values of it.
        """
        hidden = replace(train, users=self._hidden(train.users, check=True))
        held_out = None if validation is None else replace(validation, users=self._hidden(validation.users))
        self.model.fit(hidden, held_out, seed)
        self.best_params = dict(self.model.best_params)
        if self.model.item_vectors() is None:
            raise ConfigError(f"erase: {type(self.model).__name__} scores pairs with this decoder; take Dot")
        self.erasures = self._fitted(train.users, seed)

    @torch.no_grad()
    def query(self, users: UserBatch) -> Tensor:
        """[B, Q] float32, the changed vectors, to be multiplied with `item_vectors`."""
        vectors: Tensor = self.model.query(self._hidden(users)).clone()
        for least, rows in by_bucket(users, list(self.erasures)):
            vectors[rows] = self.erasures[least](vectors[rows], self.how.strength)
        return vectors

    def embed(self, users: UserBatch) -> Tensor:
        """[B, Q] float32, the vectors that scores are made of."""
        return self.query(users)

    def item_vectors(self) -> Tensor:
        """[I, Q] float32."""
        vectors: Tensor = self.model.item_vectors()
        return vectors

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32; see `Recommender.score`."""
        return self.query(users) @ self.item_vectors().T

    def _fitted(self, users: UserBatch, seed: int) -> dict[int, Erasure]:
        """Number of known items from which on it counts -> the change."""
        edges = next(e for (_, name, _), e in users.relations.items() if name == self.how.attribute)
        rows = edges.row[torch.randperm(len(edges), generator=seeds.generator(seed, "erasure"))[:MOST]].sort().values
        if not len(rows):
            return {}
        some = users.take(rows)
        bare = TestSet(some.copies(torch.arange(len(rows))), some.items)
        longer = reveal_ground_truth(bare, BUCKETS[1:], seed)
        found: dict[int, Erasure] = {}
        known = torch.bincount(longer.users.items.row, minlength=len(longer.users))
        for length in BUCKETS:
            each = bare.users if length == 0 else longer.users.take((known == length).nonzero().flatten())
            if len(each) >= FEWEST or length == 0:
                vectors = [self.model.query(self._hidden(each.take(r))) for r in torch.arange(len(each)).split(BATCH)]
                own = next(e for (_, name, _), e in each.relations.items() if name == self.how.attribute)
                found[length] = erase(torch.cat(vectors), own.node[own.row.argsort()])
        return found

    def _hidden(self, users: UserBatch, *, check: bool = False) -> UserBatch:
        """The users without a value of the attribute."""
        named = {t: e for t, e in users.relations.items() if t[2] not in (USER, ITEM)}
        hidden = {t: e.take(torch.empty(0, dtype=torch.int64)) for t, e in named.items() if t[1] == self.how.attribute}
        if check and not hidden:
            names = [name for _, name, _ in named]
            raise ConfigError(
                f"erase.attribute: {self.how.attribute!r} is no attribute of users."
                f"{nearest(self.how.attribute, names)} Allowed: {', '.join(names) or 'none, users have no attributes'}"
            )
        several = [e for t, e in named.items() if t in hidden and len(e) and int(torch.bincount(e.row).max()) > 1]
        if check and several:
            raise ConfigError(
                f"erase.attribute: some users have several values of {self.how.attribute!r} (a number between knots is "
                "two); take an attribute with one value a user, or bins"
            )
        return replace(users, relations={**users.relations, **hidden})
