"""What a metric declares, and how its function becomes one number."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from gnnrec.evaluation.metrics.metric_input import KIND_OF, KINDS, Kind, MetricInput
from gnnrec.options.messages import nearest

RATINGS = "ratings"
"""The column of results with the number of each user's ratings."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric: a pure function of arrays, and all that evaluation, tables and searches have to know of it.

    Attributes:
        name: as configs and results have it, without the length of the list.
        needs: fields of `MetricInput` that the function is given, in the order of its parameters. They also decide
            whether ranked lists, the order of rated items or predicted ratings are measured; a metric without any of
            these is one number of all users, in an evaluation of any kind.
        function: by `mean_over`, gives [U] one value per user ("users"), [R] one value per rating ("ratings"), or one
            number of all lists together (None).
        higher_is_better: None where neither is: a table marks no best row.
        mean_over: what the metric is a mean over. Of a mean over ratings, users are weighted by their ratings, and
            results keep each user's sum.
        takes_length: whether it is measured at each list length of `evaluate.at`; `ndcg@10`, but `mrr`.
        root: whether the root of a mean over ratings is taken.
        column: of a mean over ratings, where results keep each user's sum; left out, the name.
        bounds: lowest and highest value of the function, where it has both.
        relative: whether a user's value hangs on the other users, as where each is compared with all others (`auc`).

    Raises:
        ValueError: the parts do not fit each other.

    Example:
        >>> share = Metric(
        ...     name="share", needs=("hits",), function=lambda hits: hits.float().mean(1), higher_is_better=True
        ... )
        >>> share.measure(MetricInput(num_users=2, hits=torch.tensor([[True, False], [True, True]])))
        (0.75, tensor([0.5000, 1.0000]))
    """

    name: str
    needs: tuple[str, ...]
    function: Callable[..., Any]
    higher_is_better: bool | None
    mean_over: Literal["users", "ratings"] | None = "users"
    takes_length: bool = True
    root: bool = False
    column: str = ""
    bounds: tuple[float, float] | None = None
    relative: bool = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"a metric's name is a word of letters, digits and _, got {self.name!r}")
        for need in self.needs:
            if need not in KIND_OF:
                raise ValueError(
                    f"{self.name}: needs unknown {need!r}.{nearest(need, KIND_OF)} Allowed: {', '.join(KIND_OF)}"
                )
        kinds = {kind for need in self.needs if (kind := KIND_OF[need]) is not None}
        if len(kinds) > 1 or not self.needs or (not kinds and (self.takes_length or self.mean_over is not None)):
            raise ValueError(
                f"{self.name}: needs must hold fields of one of {', '.join(KINDS)}, "
                f"got {', '.join(self.needs) or 'nothing'}"
            )
        if (self.mean_over == "ratings") != (self.kind == "ratings"):
            raise ValueError(f"{self.name}: a mean over ratings needs error or rating, and the other way round")
        if self.takes_length and self.kind == "ratings":
            raise ValueError(f"{self.name}: ratings stand in no list, so takes_length must be False")
        if (self.root or self.column) and self.mean_over != "ratings":
            raise ValueError(f"{self.name}: root and column are of means over ratings only")

    @property
    def kind(self) -> Kind | None:
        """What it is measured over; None for a number of the users themselves, which any evaluation has."""
        return next((kind for need in self.needs if (kind := KIND_OF[need]) is not None), None)

    @property
    def sums(self) -> str:
        """Of a mean over ratings, the column with each user's sum."""
        return self.column or self.name

    def measure(self, given: MetricInput) -> tuple[float, Tensor | None]:
        """The metric's value, and what it has of each user.

        Args:
            given: with the fields that the metric needs; lists have the length that is measured.

        Returns:
            The value; and [U] the value of each user, or the sum over its ratings, or None where it has neither.
        """
        found = self.function(*(self._needed(given, need) for need in self.needs))
        if self.mean_over is None:
            return float(found), None
        if self.mean_over == "users":
            return float(found.double().mean()), found
        sums = _sum_by_user(found, given)
        mean = sums.sum() / _sum_by_user(torch.ones_like(found), given).sum()
        return float(mean.sqrt() if self.root else mean), sums

    def _needed(self, given: MetricInput, need: str) -> Any:
        value = getattr(given, need)
        assert value is not None, f"{self.name} needs {need}, which was not prepared"
        return value


def ratings_of_users(given: MetricInput) -> Tensor:
    """[U] float64, how many ratings each user has."""
    assert given.rating_user is not None
    return _sum_by_user(torch.ones(len(given.rating_user), dtype=torch.float64), given)


def _sum_by_user(values: Tensor, given: MetricInput) -> Tensor:
    """[U], the sum of the values of each user's ratings."""
    assert given.rating_user is not None
    return torch.zeros(given.num_users, dtype=values.dtype).index_add(0, given.rating_user, values)
