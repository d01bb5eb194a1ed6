"""How good lists are after so many events of their users, with intervals."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
import torch

from gnnrec.evaluation.metrics.accuracy import hit, ndcg
from gnnrec.evaluation.statistics import paired_bootstrap
from gnnrec.experiment.paired import RESAMPLES

LENGTH = 10
"""Items of a list."""
FEWEST = 10
"""Users from which on an interval is told: one of very few users is too short."""


def quality(items: Sequence[str], remaining: Set[str]) -> tuple[float, float]:
    """NDCG and hit of a list, as the evaluation has them.

    Args:
        items: ids, best first.
        remaining: items to find, at least one.

    Example:
        >>> ndcg, hit = quality(["a", "b"], {"b"})  # a hit at rank 2: 1 / log2(3)
        >>> round(ndcg, 4), hit
        (0.6309, 1.0)
    """
    hits = torch.zeros(1, LENGTH, dtype=torch.bool)
    for place, item in enumerate(items[:LENGTH]):
        hits[0, place] = item in remaining
    number = torch.tensor([len(remaining)])
    return float(ndcg(hits, number)), float(hit(hits, number))


@dataclass(frozen=True)
class Measured:
    """Two lists for one user after some events, the service's and the popular items, and a third one of before.

    Attributes:
        ndcg: of the list.
        hit: of it, 0 or 1.
        popular_ndcg: of the popular items.
        popular_hit: of them.
        first_ndcg: of the user's first list, the items chosen since left out of it: what there would be without events.
        seconds: until the list was there.
    """

    ndcg: float
    hit: float
    popular_ndcg: float
    popular_hit: float
    first_ndcg: float
    seconds: float


@dataclass(frozen=True)
class Interval:
    """A mean over users with its 95 % interval.

    Attributes:
        mean: over the users.
        low: lower end; None of fewer than `FEWEST` users.
        high: upper end, likewise.
    """

    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def sign(self) -> int:
        """1 where all of the interval is above 0, -1 where all of it is below, else 0."""
        if self.low is None or self.high is None:
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


@dataclass(frozen=True)
class Row:
    """What was measured after a number of events.

    Attributes:
        events: known of each user.
        users: with something left to find.
        ndcg: of the lists.
        hit: share of lists with at least one item to find.
        popular_ndcg: of the popular items, for the same users.
        popular_hit: likewise.
        better: difference of both NDCG, user by user.
        gain: NDCG minus that of the first lists, without what was chosen since; None without events.
        milliseconds: median time until a list was there.
    """

    events: int
    users: int
    ndcg: Interval
    hit: Interval
    popular_ndcg: Interval
    popular_hit: Interval
    better: Interval
    gain: Interval | None
    milliseconds: float


class Scores:
    """What was measured so far.

    Attributes:
        draws: of users, for an interval that is to last.
    """

    draws = RESAMPLES

    def __init__(self) -> None:
        self._of: dict[int, list[Measured]] = {}
        self._rows: tuple[tuple[int, int], list[Row]] = ((0, 0), [])

    def __len__(self) -> int:
        """Number of lists."""
        return sum(map(len, self._of.values()))

    def add(self, events: int, measured: Measured) -> None:
        """Takes what was measured of a user, once for each number of events."""
        self._of.setdefault(events, []).append(measured)

    def rows(self, resamples: int = RESAMPLES) -> list[Row]:
        """A row for each number of events, ascending.

        Args:
            resamples: draws of users for each interval.
        """
        key = (len(self), resamples)
        if self._rows[0] != key:
            self._rows = (key, [_row(events, self._of[events], resamples) for events in sorted(self._of)])
        return self._rows[1]


def _row(events: int, some: Sequence[Measured], resamples: int) -> Row:
    def column(name: str) -> np.ndarray:
        return np.array([getattr(one, name) for one in some])

    def mean(values: np.ndarray) -> Interval:
        if len(values) < FEWEST:
            return Interval(float(values.mean()))
        one = values[:, None]
        found = paired_bootstrap(one, np.zeros_like(one), np.ones_like(one), resamples=resamples)
        return Interval(found.mean, found.low, found.high)

    return Row(
        events=events,
        users=len(some),
        ndcg=mean(column("ndcg")),
        hit=mean(column("hit")),
        popular_ndcg=mean(column("popular_ndcg")),
        popular_hit=mean(column("popular_hit")),
        better=mean(column("ndcg") - column("popular_ndcg")),
        gain=mean(column("ndcg") - column("first_ndcg")) if events else None,
        milliseconds=1000 * float(np.median(column("seconds"))),
    )


def conclusion(rows: Sequence[Row]) -> str:
    """What one and five events bring, and from how many on the list is better than popular items: one sentence."""
    if not rows:
        return "Nothing was measured."
    last = rows[-1].events
    told = [row for row in rows if row.events in (1, 5 if last >= 5 else last) and row.gain is not None]
    parts = [_brings(row) for row in told]
    if parts:
        parts[0] += ", compared with the list from the profile alone"
    text = "; ".join([*parts, _better(rows)])
    return f"{text[0].upper()}{text[1:]}."


def _brings(row: Row) -> str:
    assert row.gain is not None
    who = "one event" if row.events == 1 else f"{row.events} events"
    verb = "brings" if row.events == 1 else "bring"
    if row.gain.low is None or row.gain.high is None:
        return f"what {who} {verb} cannot be said with {row.users} users"
    numbers = f"95 % interval {row.gain.low:+.3f} to {row.gain.high:+.3f}, {row.users} users"
    if row.gain.sign == 0:
        return f"{who} {verb} no difference that stands out from chance ({row.gain.mean:+.3f} NDCG@10, {numbers})"
    return f"{who} {verb} {row.gain.mean:+.3f} NDCG@10 ({numbers})"


def _better(rows: Sequence[Row]) -> str:
    told = [row for row in rows if row.better.low is not None]
    if not told:
        return f"whether the list is better than popular items cannot be said with {rows[0].users} users"
    better = [row.events for row in told if row.better.sign > 0]
    worse = [row.events for row in told if row.better.sign < 0]
    behind = f", and worse with {_numbers(worse)}" if worse else ""
    if not better:
        return f"the list is at no number of events clearly better than popular items{behind}"
    if better == [row.events for row in told][-len(better) :]:
        start = "with no event known, and after each one" if better[0] == 0 else f"from {_events(better[0])} on"
        return f"the list is better than popular items {start}{behind}"
    return f"the list is better than popular items with {_numbers(better)}{behind}, and else not clearly"


def _events(number: int) -> str:
    return "1 event" if number == 1 else f"{number} events"


def _numbers(some: Sequence[int]) -> str:
    return f"{', '.join(map(str, some))} events"
