"""The one object that metrics are fed by."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from scipy.sparse import csr_array
from torch import Tensor

Kind = Literal["lists", "rated", "ratings", "classes"]
KINDS: Mapping[Kind, str] = {
    "lists": "ranked lists of positive items",
    "rated": "the rated items of each user",
    "ratings": "every held-out rating",
    "classes": "the one item of each user",
}
"""What a metric may be measured over, as messages say it. The kinds differ in their users, so they are not mixed."""


def _array(kind: Kind | None, *axes: str) -> Any:
    return field(default=None, metadata={"kind": kind, "axes": axes})


@dataclass(frozen=True, kw_only=True)
class MetricInput:
    """What metrics may use of U evaluated users; a field is None where no metric of the evaluation needs it.

    A field's metadata holds the kind of evaluation that fills it (None: any) and its axes, so that no other place has
    to list the fields.

    Attributes:
        num_users: U.
        hits: [U, K] bool, whether the item at each place of the list is relevant; an empty place is no hit.
        num_relevant: [U] int64, relevant items of each user, at least 1.
        items: [U, K] int64, items of each list, best first; -1 at a place that stayed empty.
        candidates: [I] bool, the items that are ranked.
        first_rank: [U] int64, rank of the best placed relevant item in the whole ranking, from 1.
        gains: [U, K] float32, 2 ** rating - 1 of the rated items in the order of the scores; 0 after the last one.
        ideal_gains: [U, K] float32, the same in the best order there is; the first one is above 0.
        error: [R] float64, prediction minus rating.
        rating: [R] float32.
        rating_user: [R] int64, which of the U users each rating is of; always there for this kind.
        score: [U, C] float32, of each of C candidates.
        probability: [U, C] float64, of models whose scores are logarithms of probabilities; rows add up to 1.
        label: [U] int64, the column of the one item that is relevant to the user.
        popularity: [I] float32, how many training users chose each item.
        num_training_users: [] int64.
        item_features: [I, A] float64, the weight of each item's edge to each attribute value; a row without entries
            is an item of which nothing is known.
        relevant_features: [U, A] float64, the sum over the user's relevant items of their rows of `item_features`, each
            divided by its sum.
        item_groups: [I, G] float64, the shares of an item's values of the attribute `evaluate.group_items_by`; a row
            adds up to 1, or to 0 where the item has none.
        vectors: [U, D] float32, the users' vectors, of models that have them.
        groups: [U] int64, the user's value of the attribute `evaluate.group_by`; -1 where it has none.
    """

    num_users: int
    hits: Tensor | None = _array("lists", "users", "places")
    num_relevant: Tensor | None = _array("lists", "users")
    items: Tensor | None = _array("lists", "users", "places")
    candidates: Tensor | None = _array("lists", "items")
    first_rank: Tensor | None = _array("lists", "users")
    gains: Tensor | None = _array("rated", "users", "places")
    ideal_gains: Tensor | None = _array("rated", "users", "places")
    error: Tensor | None = _array("ratings", "ratings")
    rating: Tensor | None = _array("ratings", "ratings")
    rating_user: Tensor | None = _array("ratings", "ratings")
    score: Tensor | None = _array("classes", "users", "classes")
    probability: Tensor | None = _array("classes", "users", "classes")
    label: Tensor | None = _array("classes", "users")
    popularity: Tensor | None = _array(None, "items")
    num_training_users: Tensor | None = _array(None)
    item_features: csr_array | None = _array(None, "items", "features")
    relevant_features: csr_array | None = _array(None, "users", "features")
    item_groups: csr_array | None = _array(None, "items", "groups")
    vectors: Tensor | None = _array(None, "users", "width")
    groups: Tensor | None = _array(None, "users")

    def cut(self, length: int) -> "MetricInput":
        """The same with lists of `length` places."""
        whole = {name: getattr(self, name) for name, axes in AXES.items() if "places" in axes}
        return replace(self, **{name: value[:, :length] for name, value in whole.items() if value is not None})


KIND_OF: Mapping[str, Kind | None] = {f.name: f.metadata["kind"] for f in fields(MetricInput) if f.metadata}
"""What a metric may need -> the kind of evaluation that has it; None: every kind."""
AXES: Mapping[str, tuple[str, ...]] = {f.name: f.metadata["axes"] for f in fields(MetricInput) if f.metadata}
