"""The contract of a way to put lists into another order."""

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from gnnrec.reranking.pool import Items, Pool

GRID = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Strengths that are tried in turn."""


class Reranking(BaseModel):
    """The `rerank` part of a config: the first places of each list are chosen anew among the best items.

    A way is a subclass in a module of this folder, listed in the folder's `__init__`. A config names it by its field
    `method`, a `Literal` with a default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    strength: Annotated[float, Field(ge=0, le=1)] | Literal["choose"] = "choose"
    """From 0, which changes nothing, to 1. `choose` takes the largest of a few strengths that loses at most `most_lost`
    on the validation users."""
    most_lost: float = Field(0.01, ge=0, lt=1)
    """Share of NDCG@10 on the validation users that a chosen strength may lose."""
    pool: int = Field(100, ge=1)
    """Best items of each user that a list is chosen from."""
    places: int = Field(20, ge=1)
    """Places of the list that are chosen anew; the rest of the pool follows in its old order."""

    uses_values: ClassVar[bool] = False
    """Whether attribute values of items are needed."""
    uses_taste: ClassVar[bool] = False
    """Whether it is needed which attribute values a user is expected to choose."""

    @model_validator(mode="after")
    def _enough(self) -> "Reranking":
        if self.places > self.pool:
            raise ValueError(f"places: {self.places} cannot be chosen among a pool of {self.pool}; raise pool")
        return self

    @abstractmethod
    def order(self, pool: Pool, items: Items, strength: float) -> Tensor:
        """Chooses the first places of each list.

        Args:
            pool: of B users.
            items: what is known of them.
            strength: above 0.

        Returns:
            [B, K] int64, places in the pool, no place twice, those that hold an item before empty ones; K is the
            smaller of `places` and P.
        """


class ByVectors(Reranking):
    """A way that asks how alike items are."""

    by: Literal["attributes", "model"] = "attributes"
    """What makes items alike: shared values of their attributes, or the vectors that the model gives them."""

    @property
    def by_attributes(self) -> bool:
        """Whether attributes of items are needed."""
        return self.by == "attributes"
