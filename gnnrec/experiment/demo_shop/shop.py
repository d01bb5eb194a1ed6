"""A day in the demo shop: newcomers come, are shown a list, choose, and are shown a better one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gnnrec.errors import InputError
from gnnrec.experiment.demo_shop.client import Client
from gnnrec.experiment.demo_shop.newcomers import Newcomer, Newcomers
from gnnrec.experiment.demo_shop.scores import LENGTH, Measured, Scores, conclusion, quality
from gnnrec.runtime import seeds

AT_ONCE = 20
"""Users in the shop at a time."""
ASKED_ITEMS = 3
"""Items that the service is asked for, to see whether it knows those of the run."""
POPULAR = "popular"


@dataclass(frozen=True)
class Answering:
    """The model that is measured.

    Attributes:
        role: in the service; None for whichever model the service has a user answered by.
        version: of it; None likewise.
        notes: what a reader of the numbers has to know.
    """

    role: str | None
    version: str | None
    notes: tuple[str, ...] = ()


def answering(client: Client, version: str, any_model: bool = False) -> Answering:
    """Finds a run's model among those in service.

    Args:
        client: of the service.
        version: of the run's model.
        any_model: whether another one will do.

    Raises:
        InputError: it is not there.
    """
    models = client.models()
    role = next((str(one["role"]) for one in models if one["version"] == version), None)
    there = ", ".join(f"{one['version']} ({one['role']})" for one in models)
    if role is None and not any_model:
        raise InputError(
            f"{client.url}: the run's model {version} is not in service, but {there}; another model may have been "
            "trained on these users: serve the run itself, or go on with --any-model"
        )
    if role is None:
        told = f"the run's model {version} is not in service, but {there}; where that was trained on these users, "
        return Answering(None, None, (f"{told}the numbers say nothing about newcomers",))
    main = next((one["version"] for one in models if one["role"] == "main"), version)
    notes = () if main == version else (f"popular items are those of the main model, {main}",)
    return Answering(role, version, notes)


def check_words(client: Client, newcomers: Newcomers) -> tuple[str, ...]:
    """Notes about attributes that the service does not know.

    Raises:
        InputError: it knows none of the attributes, or not the items: it serves other data.
    """
    known = client.attributes()
    wanted = dict.fromkeys(name for one in newcomers.users for name in one.attributes)
    unknown = [name for name in wanted if name not in known]
    other = f"{client.url}: the service has a model of other data than {newcomers.dataset}: it knows"
    if unknown and len(unknown) == len(wanted):
        raise InputError(f"{other} no attribute {unknown[0]!r}; serve a model of these data")
    step = max(1, len(newcomers.items) // ASKED_ITEMS)
    for item in newcomers.items[::step][:ASKED_ITEMS]:
        if not client.knows(item):
            raise InputError(f"{other} no item {item!r}; serve a model of these data")
    return tuple(f"the service does not know the attribute {name!r}" for name in unknown)


def arrivals(visits: Sequence[int], seed: int, at_once: int = AT_ONCE) -> Iterator[int]:
    """Whose turn it is: users come one after the other, and those who are there go on in a drawn order.

    Args:
        visits: [U] lists that each user is shown, at least 1.
        seed: of the draws.
        at_once: users in the shop at a time.

    Yields:
        Each user as often as it is shown a list.

    Example:
        >>> sorted(arrivals([2, 1, 3], seed=0))
        [0, 0, 1, 2, 2, 2]
    """
    random = seeds.numpy_generator(seed, "arrivals in the demo shop")
    left, inside, next_one = list(visits), list[int](), 0
    while inside or next_one < len(left):
        somebody_comes = next_one < len(left) and len(inside) < at_once
        place = int(random.integers(len(inside) + somebody_comes))
        if place == len(inside):
            inside.append(next_one)
            next_one += 1
        user = inside[place]
        yield user
        left[user] -= 1
        if not left[user]:
            inside.pop(place)


@dataclass
class _Visit:
    """A user in the shop.

    Attributes:
        name: id in the service.
        events: that the service knows.
        first: items of the first list, longer than it was shown.
    """

    name: str
    events: int = 0
    first: tuple[str, ...] = ()


class Shop:
    """Newcomers at a service.

    Args:
        client: of the service.
        newcomers: who comes.
        model: that is measured.
        events: that each user sends, at most.
        prefix: of the users' ids in the service.

    Attributes:
        scores: what was measured so far.
        lists: that will have been measured at the end.
        there: ids of the demo users that the service holds.
        by_popularity: users whose first list was popular items, because nothing of their profile is known.
        unknown_items: events whose items the service did not know.
    """

    def __init__(self, client: Client, newcomers: Newcomers, model: Answering, events: int, prefix: str) -> None:
        self._client, self._model, self._events, self._prefix = client, model, events, prefix
        self._people = newcomers.users
        self._visits = [one.lists(events) for one in self._people]
        self._open: dict[int, _Visit] = {}
        self.scores, self.lists = Scores(), sum(self._visits)
        self.there: dict[str, None] = {}
        self.by_popularity = self.unknown_items = 0

    @property
    def come(self) -> int:
        """Users who have come so far."""
        return len(self._open)

    @property
    def inside(self) -> int:
        """Users who have come and will be shown another list."""
        return sum(self._visits[number] > one.events + 1 for number, one in self._open.items())

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers has to know, in sentences."""
        found = []
        if self.by_popularity:
            found.append(f"{self.by_popularity} first lists were popular items: nothing of the profile was known.")
        if self.unknown_items:
            found.append(f"{self.unknown_items} events were of items that the service does not know.")
        if self._client.put_off:
            found.append(f"The service put off {self._client.put_off} requests; they were sent again.")
        return found

    def clear(self) -> int:
        """Deletes users that an earlier demo left behind; returns how many there were.

        Raises:
            InputError: a user of that id has another profile, and so is none of a demo; or the token may not write.
        """
        found = []
        for one in self._people:
            profile = self._client.profile(self._name(one))
            if profile is not None and profile != one.attributes:
                raise InputError(
                    f"{self._client.url}: user {self._name(one)!r} is there already, with another profile than the "
                    "test user's; give another --prefix"
                )
            if profile is not None:
                found.append(self._name(one))
        for name in found or [self._name(self._people[0])]:  # also tells whether the token may write
            self._client.delete_user(name)
        return len(found)

    def open(self, seed: int, told: Callable[[], None] = lambda: None) -> None:
        """Serves everybody.

        Args:
            seed: draws whose turn it is.
            told: called after each list.

        Raises:
            InputError: the service refuses something or answers no more, or its model was changed.
        """
        for number in arrivals(self._visits, seed):
            self._serve(number)
            told()

    def close(self) -> None:
        """Deletes the demo users.

        Raises:
            InputError: the service does not answer.
        """
        self._client.hurry()
        for name in list(self.there):
            self._client.delete_user(name)
            del self.there[name]

    def _serve(self, number: int) -> None:
        """Shows one user a list, measures it, and tells the service what the user chose next."""
        person = self._people[number]
        visit = self._open.get(number)
        if visit is None:
            visit = _Visit(self._name(person))
            self.there[visit.name] = None
            self._client.put_user(visit.name, person.attributes)
            self._open[number] = visit
        else:
            visit.events += 1
        events, remaining = visit.events, person.remaining(visit.events)
        wanted = LENGTH if events else LENGTH + self._events
        shown = self._client.recommend(visit.name, wanted, self._model.role)
        if self._model.version not in (None, shown.version):
            raise InputError(f"{self._client.url}: the service has changed its model to {shown.version}; start again")
        popular = self._client.recommend(visit.name, LENGTH, POPULAR)
        if not events:
            visit.first = shown.items
            self.by_popularity += shown.source == POPULAR
        chosen = {one.item for one in person.choices[:events]}
        first = [item for item in visit.first if item not in chosen]
        own, others = quality(shown.items, remaining), quality(popular.items, remaining)
        self.scores.add(events, Measured(*own, *others, quality(first, remaining)[0], shown.seconds))
        if events + 1 < self._visits[number]:
            choice = person.choices[events]
            name = f"{visit.name}/{events + 1}"
            self.unknown_items += not self._client.add_event(visit.name, name, choice, shown.request)

    def _name(self, person: Newcomer) -> str:
        return self._prefix + person.id


def facts(shop: Shop) -> Mapping[str, Any]:
    """The measured numbers, ready for JSON."""

    def interval(one: Any) -> Any:
        return None if one is None else {"mean": one.mean, "low": one.low, "high": one.high}

    return {
        "rows": [
            {
                "events": row.events,
                "users": row.users,
                f"ndcg@{LENGTH}": interval(row.ndcg),
                f"hit@{LENGTH}": interval(row.hit),
                "popular": {f"ndcg@{LENGTH}": interval(row.popular_ndcg), f"hit@{LENGTH}": interval(row.popular_hit)},
                "minus_popular": interval(row.better),
                "minus_first_list": interval(row.gain),
                "median_ms": row.milliseconds,
            }
            for row in shop.scores.rows()
        ],
        "users": shop.come,
        "lists": len(shop.scores),
        "conclusion": conclusion(shop.scores.rows()),
        "remarks": shop.notes,
    }
