"""What a service does, apart from HTTP: users and events in the store, lists from the models in service."""

import collections
import hashlib
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from gnnrec.errors import InputError
from gnnrec.serving.artifact import ARTIFACT, MODEL, RESULT
from gnnrec.serving.http.bodies import AttributeInfo, EventBody
from gnnrec.serving.http.events import columns_of, read
from gnnrec.serving.http.metrics import Metrics, kind_label
from gnnrec.serving.http.settings import Settings
from gnnrec.serving.live import LiveModel, Person, Ranked, Wish, read_live
from gnnrec.serving.new_items import NewItem
from gnnrec.serving.store import Event, Shown, Store, StoreError, User
from gnnrec.views import USER, EdgeType

log = logging.getLogger("gnnrec.serve")
MAIN, CANDIDATE, SHADOW, BASE = "main", "candidate", "shadow", "base"
FIRST = "(first)"
"""Name of the model that the service was started with."""
MOST_LISTS = 20_000
"""Shown lists that wait to be stored, at most."""
LAST = 20
"""Items of a user that are told."""
MOST_VALUES = 200
"""Values of an attribute that are told."""


@dataclass(frozen=True)
class Serving:
    """Models in service.

    Attributes:
        main: answers.
        candidate: answers some users; None for none.
        share: of the users whom the candidate answers.
        shadow: is asked, too, and its answer is compared; None for none.
    """

    main: LiveModel
    candidate: LiveModel | None = None
    share: float = 0.0
    shadow: LiveModel | None = None

    @property
    def all(self) -> dict[str, LiveModel]:
        """Role -> model."""
        found = {MAIN: self.main, CANDIDATE: self.candidate, SHADOW: self.shadow}
        return {role: one for role, one in found.items() if one is not None}

    def of(self, user: str | None) -> LiveModel:
        """The model that answers a user: the same one each time."""
        if user is None or self.candidate is None:
            return self.main
        return self.candidate if part_of(user) < self.share else self.main


@dataclass(frozen=True)
class Answer:
    """A list with what it came from.

    Attributes:
        request: its id.
        live: the model.
        ranked: the list.
        shown_as: what is counted as its model: the version, or `popular` where that was asked for.
        why: for each item; None where nobody asked.
        warnings: what was ignored.
    """

    request: str
    live: LiveModel
    ranked: Ranked
    shown_as: str
    why: list[list[dict[str, Any]]] | None = None
    warnings: tuple[str, ...] = ()


class Read(NamedTuple):
    """A user as the store had it.

    Attributes:
        change: of the user, as it was before.
        stored: None for one who is not stored.
    """

    change: tuple[int, int]
    stored: User | None


@dataclass(frozen=True)
class Asked:
    """What the list of a request is to be like.

    Attributes:
        wish: length, offset, seen items, diversity.
        only: names and values of attributes of items.
        exclude: ids of items.
        explain: whether to tell why.
    """

    wish: Wish
    only: Sequence[tuple[str, str]] = ()
    exclude: Sequence[str] = ()
    explain: bool = False


class Service:
    """A service; its methods may be called from several threads, and wait for the store.

    Args:
        settings: of it.
        metrics: where it counts.

    Raises:
        InputError: the store or the model cannot be opened.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings, self._metrics = settings, metrics
        self.store = Store(settings.store)
        try:
            self._items = self._stored_items()
            self._serving: Serving = self._first()
        except BaseException:
            self.store.close()
            raise
        self._people: collections.OrderedDict[tuple[str, str], tuple[int, Person]] = collections.OrderedDict()
        self._shown: collections.OrderedDict[str, Shown] = collections.OrderedDict()
        self._storing: Mapping[str, Shown] = {}
        self._lock = threading.Lock()  # of what is in memory, and never held while the store is asked
        self._loading, self._flushing = threading.Lock(), threading.Lock()
        self._changes: collections.Counter[str] = collections.Counter()
        self._turn = 0  # one more each time that all users are forgotten
        self._tell_models()
        self.store.watch(self._changed, self._forget_all)

    @property
    def serving(self) -> Serving:
        """The models in service."""
        return self._serving

    def close(self) -> None:
        """Stores what waits to be stored, and ends."""
        self.flush()
        self.store.close()

    # users

    def put_user(self, user: str, attributes: Mapping[str, Any]) -> bool:
        """Stores a profile; returns whether the user is new."""
        created = self.store.put_user(user, attributes)
        self._forget(user)
        return created

    def user(self, user: str) -> tuple[dict[str, Any], int, list[str], tuple[str, ...]] | None:
        """Profile, number of events, last items, and warnings; None for a user who is not stored."""
        found = self.store.about(user, LAST)
        return None if found is None else (*found, self._serving.main.person(found[0]).warnings)

    def delete_user(self, user: str) -> bool:
        """Forgets a user and all that is stored of it; returns whether there was anything."""
        with self._flushing:  # no list that waits to be stored comes after
            with self._lock:
                for request in [one.request for one in self._shown.values() if one.user == user]:
                    del self._shown[request]
            found = self.store.delete_user(user)
        self._forget(user)
        return found

    # events

    def add_events(self, given: Sequence[EventBody]) -> tuple[int, int, int]:
        """Stores events; returns how many are new, and how many of them are of unknown items and of unknown users."""
        live = self._serving.main
        events = read(given, live, self.settings.unknown)
        owners = {one.user for one in events}
        if self.settings.unknown == "refuse":
            for place, one in enumerate(events):
                if self.store.version(one.user) is None:
                    raise InputError(f"event {place}: user {one.user!r} is unknown; send it to PUT /v1/users first")
        fresh, strangers = self.store.add_events(events)
        for user in owners:
            self._forget(user)
        items, users = sum(live.place(one.item) < 0 for one in fresh), len(strangers)
        self._count(fresh, live, items, users)
        return len(fresh), items, users

    def _count(self, fresh: Sequence[Event], live: LiveModel, items: int, users: int) -> None:
        kinds = live.vocabulary.kinds
        for one in fresh:
            self._metrics.events.labels(kind_label(one.kind, kinds)).inc()
        for what, number in (("item", items), ("user", users)):
            if number:
                self._metrics.unknown.labels(what).inc(number)
        named = {one.request for one in fresh if one.request is not None}
        if not named:
            return
        with self._lock:
            waiting = {**self._storing, **self._shown}
        shown = {one: waiting[one] for one in named if one in waiting}
        try:
            shown |= self.store.lists(sorted(named - set(shown)))
        except StoreError:
            log.warning("lists not joined", extra={"fields": {"events": len(fresh)}})
        hit = set()
        for one in fresh:
            found = shown.get(one.request or "")
            if found is not None and one.item in found.items:
                self._metrics.clicks.labels(found.model, kind_label(one.kind, kinds)).inc()
                self._metrics.rank.labels(found.model).observe(found.items.index(one.item) + 1)
                hit.add((found.request, found.model))
        for _, model in hit:
            self._metrics.clicked.labels(model).inc()

    # lists

    def recommend(self, user: str, asked: Asked, model: str | None = None, read: Read | None = None) -> Answer:
        """A list for a user, stored or not.

        Args:
            user: its id.
            asked: what the list is to be like.
            model: role of the model, or `popular` for what was chosen most often; None for the one that answers it.
            read: the user as `read` gave it a moment ago; None asks the store where nothing is remembered.

        Raises:
            InputError: no such role, attribute or value.
        """
        serving = self._serving
        live = serving.main if model == "popular" else self._of_role(serving, model) if model else serving.of(user)
        person = self._person(live, user, read)
        answer = self._answer(live, person, asked, popular=model == "popular")
        self._keep(answer, user)
        if serving.shadow is not None and model is None:
            self._compare(serving.shadow, user, asked, answer)
        return answer

    def quick(self, user: str, asked: Asked, model: str | None) -> bool:
        """Whether `recommend` takes so little, but for the store, that a change of threads would take more."""
        plain = not (asked.only or asked.exclude or asked.explain or asked.wish.diversity) and model is None
        return plain and self._serving.shadow is None and self._serving.of(user).quick

    def remembers(self, user: str) -> bool:
        """Whether `recommend` need not wait for a server: SQLite takes less than a change of threads."""
        return self.store.alone or (self.store.current and (self._serving.of(user).version, user) in self._people)

    def read(self, user: str) -> Read:
        """A user from the store."""
        with self._lock:
            change = self._turn, self._changes[user]
        return Read(change, self.store.user(user))

    def recommend_to(
        self, people: Sequence[tuple[Mapping[str, Any], Sequence[str]]], asked: Asked, model: str | None = None
    ) -> list[Answer]:
        """Lists for users who are stored nowhere: profile and chosen items of each."""
        live = self._serving.main if model in (None, "popular") else self._of_role(self._serving, model or "")
        found = [live.person(attributes, items) for attributes, items in people]
        if len(found) == 1:
            answers = [self._answer(live, found[0], asked, popular=model == "popular")]
        else:
            ranked = live.rank(found, self._wish(live, asked))
            pairs = zip(ranked, found, strict=True)
            answers = [Answer(_new_id(), live, one, live.version, None, person.warnings) for one, person in pairs]
            for one in answers:
                self._metrics.lists.labels(one.shown_as, one.ranked.source).inc()
        for one in answers:
            self._keep(one, None)
        return answers

    def similar(self, item: str, number: int) -> tuple[LiveModel, Ranked] | None:
        """Items like one; None where it is unknown."""
        live = self._serving.main
        place = live.place(item)
        return None if place < 0 else (live, live.similar(place, number))

    def _answer(self, live: LiveModel, person: Person, asked: Asked, *, popular: bool = False) -> Answer:
        wish = self._wish(live, asked)
        ranked = live.popular(person, wish) if popular else live.rank([person], wish)[0]
        why = live.why(person, ranked) if asked.explain else None
        shown_as = ranked.source if popular else live.version
        self._metrics.lists.labels(shown_as, ranked.source).inc()
        return Answer(_new_id(), live, ranked, shown_as, why, person.warnings)

    def _wish(self, live: LiveModel, asked: Asked) -> Wish:
        if not asked.only and not asked.exclude:
            return asked.wish
        return replace(asked.wish, allowed=live.allowed(asked.only, asked.exclude))

    def _of_role(self, serving: Serving, role: str) -> LiveModel:
        if role not in serving.all:
            raise InputError(f"model: {role!r} is not in service; there are {', '.join([*serving.all, 'popular'])}")
        return serving.all[role]

    def _person(self, live: LiveModel, user: str, read: Read | None = None) -> Person:
        """One user, encoded once for each of its versions."""
        key = (live.version, user)
        with self._lock:
            found = self._people.get(key)
            if found is not None:
                self._people.move_to_end(key)
        if read is None and found is not None and (self.store.current or self.store.version(user) == found[0]):
            return found[1]
        change, stored = read or self.read(user)
        if stored is None:
            return live.person({})
        if found is not None and found[0] == stored.version:
            return found[1]
        person = live.person(stored.attributes, (), columns_of(stored.events) if stored.events else None)
        with self._lock:
            if (self._turn, self._changes[user]) == change:  # else an event came in the meantime
                self._people[key] = (stored.version, person)
                if len(self._people) > self.settings.cached:
                    self._people.popitem(last=False)
        return person

    def _forget(self, user: str) -> None:
        """What was encoded of a user holds no longer."""
        self._changed(user, 0)

    def _changed(self, user: str, version: int) -> None:
        """What was encoded of a user holds no longer unless it is of this version; 0 for none."""
        with self._lock:
            self._changes[user] += 1
            for live in self._serving.all.values():
                key = (live.version, user)
                if key in self._people and not 0 < version <= self._people[key][0]:
                    del self._people[key]
            full = len(self._changes) > self.settings.cached
        if full:
            self._forget_all()

    def _forget_all(self) -> None:
        """What was encoded of anybody holds no longer, and what is being encoded won't."""
        with self._lock:
            self._turn += 1
            self._people.clear()
            self._changes.clear()

    def _compare(self, shadow: LiveModel, user: str, asked: Asked, answer: Answer) -> None:
        """How much of a list another model has, too; nothing that it does reaches the user."""
        try:
            other = shadow.rank([self._person(shadow, user)], self._wish(shadow, asked))[0]
            own = {answer.live.id(place) for place in answer.ranked.item.tolist()}
            if own:
                both = own & {shadow.id(place) for place in other.item.tolist()}
                self._metrics.overlap.labels(shadow.version).observe(len(both) / len(own))
        except Exception as error:
            log.warning("the shadow failed", extra={"fields": {"error": type(error).__name__}})

    # lists that were shown

    def _keep(self, answer: Answer, user: str | None) -> None:
        items = [answer.live.id(place) for place in answer.ranked.item.tolist()]
        shown = Shown(answer.request, user, answer.shown_as, time.time(), items)
        with self._lock:
            self._shown[answer.request] = shown
            if len(self._shown) > MOST_LISTS:
                self._shown.popitem(last=False)
                self._metrics.lost.inc()

    def flush(self) -> None:
        """Stores the lists that were shown; where the store does not answer, they wait."""
        with self._flushing:
            with self._lock:
                some, self._shown = self._shown, collections.OrderedDict()
                self._storing = some
            try:
                if some:
                    self.store.add_lists(list(some.values()))
            except StoreError as error:
                log.warning("lists not stored", extra={"fields": {"error": str(error)}})
                with self._lock:
                    self._shown = collections.OrderedDict({**some, **self._shown})
            self._storing = {}

    def forget_lists(self) -> None:
        """Deletes the lists that are too old."""
        try:
            self.store.forget_lists(time.time() - self.settings.keep_lists)
        except StoreError as error:
            log.warning("lists not deleted", extra={"fields": {"error": str(error)}})

    # items and models

    def put_item(self, item: str, title: str, attributes: Mapping[str, Any]) -> tuple[bool, list[str]]:
        """Stores an item, which is recommended at once; whether training had it, and warnings."""
        live = self._serving.main
        known = 0 <= live.place(item) < live.vocabulary.num_items
        vector, warnings = live.attributes.vector(attributes)
        if known and attributes:
            warnings.append("training had the item: its attributes there stay, its title is taken")
        elif not known and not vector.nnz:
            warnings.append("no attribute is known to the model: the item is in no list")
        self.store.put_item(item, title, attributes)
        self.refresh()
        return known, warnings

    def refresh(self) -> None:
        """Takes the stored items and the stored roles of models, which another process may have changed."""
        found, roles = self._stored_items(), self.store.models()
        with self._loading:
            if found != self._items:
                self._items = found
                for live in self._serving.all.values():
                    live.take_items(found)
                self._forget_all()
            if roles and roles != self._roles(self._serving):
                self._begin(self._of_roles(roles))

    def models(self) -> dict[str, Path]:
        """Name of each model that may be loaded -> its folder."""
        folder = self.settings.models
        if folder is None:
            return {}
        found = {}
        for path in sorted(folder.rglob(ARTIFACT)):
            place = path.parent
            run = place.parent
            place = run if place.name == MODEL and (run / RESULT).is_file() else place
            found[place.relative_to(folder).as_posix()] = place
        return found

    def names(self) -> list[str]:
        """Names that `put_model` takes."""
        return [*self.models(), FIRST]

    def put_model(self, name: str, role: str, share: float) -> Serving:
        """Loads a model and takes it into service, while the others answer.

        Raises:
            InputError: there is no such model, or it cannot be read.
        """
        with self._loading:
            live = self._load(name)
            changed = _with(self._serving, role, live, share)
            self._take(changed)
            return changed

    def delete_model(self, role: str) -> bool:
        """Ends a candidate or a shadow; returns whether there was one."""
        with self._loading:
            now = self._serving
            if role not in (CANDIDATE, SHADOW) or role not in now.all:
                return False
            self._take(replace(now, candidate=None, share=0.0) if role == CANDIDATE else replace(now, shadow=None))
            return True

    def _take(self, serving: Serving) -> None:
        self.store.put_models(self._roles(serving))
        self._begin(serving)

    def _begin(self, serving: Serving) -> None:
        self._serving = serving
        self._forget_all()
        self._tell_models()

    def _roles(self, serving: Serving) -> dict[str, tuple[str, float]]:
        """Name and share of each role, and the version that the service was started with, as they are stored."""
        roles = {role: (one.name, serving.share if role == CANDIDATE else 1.0) for role, one in serving.all.items()}
        return {**roles, BASE: (self._base.version, 1.0)}

    def _load(self, name: str) -> LiveModel:
        if name == FIRST:
            return self._base
        available = self.models()
        if name not in available:  # looked up in a listing: nothing of a name becomes a path
            raise InputError(f"{name!r} is no model of the service")
        return read_live(available[name], name, self._items)

    def _first(self) -> Serving:
        """The models of before the last stop, unless the service was started with another one."""
        self._base = read_live(self.settings.model, FIRST, self._items)
        if len(self._base.artifact.feedback):
            fields = {"events": len(self._base.artifact.feedback)}
            log.warning(
                "events of `gnnrec update` are not read; send them to POST /v1/events", extra={"fields": fields}
            )
        return self._of_roles(self.store.models())

    def _of_roles(self, stored: Mapping[str, tuple[str, float]]) -> Serving:
        """The models of stored roles, those that are loaded already as they are."""
        serving = Serving(self._base)
        if stored.get(BASE, ("", 0.0))[0] != self._base.version:
            return serving
        loaded = {one.name: one for one in self._serving.all.values()} if hasattr(self, "_serving") else {}
        for role, (name, share) in stored.items():
            if role != BASE and (role, name) != (MAIN, FIRST):
                try:
                    live = loaded.get(name) or self._load(name)
                except InputError as error:
                    fields = {"role": role, "error": str(error)}
                    log.warning("a model is not in service any more", extra={"fields": fields})
                    continue
                serving = _with(serving, role, live, share)
        return serving

    def _stored_items(self) -> list[NewItem]:
        return [NewItem(item, title, attributes) for item, title, attributes in self.store.items()]

    def _tell_models(self) -> None:
        self._metrics.models.clear()
        for role, live in self._serving.all.items():
            self._metrics.models.labels(role, live.name, live.version).set(1)

    # what may be named

    def vocabulary(self) -> tuple[list[AttributeInfo], list[str], list[AttributeInfo]]:
        """The attributes of users, the kinds of events, the attributes of items."""
        words = self._serving.main.vocabulary

        def about(edge_type: EdgeType, bounds: Mapping[str, tuple[float, ...]]) -> AttributeInfo:
            _, name, target = edge_type
            own = bounds.get(name)
            texts = words.texts[target]
            if target in words.seen:
                texts = texts[words.seen[target].numpy()]
            most = 0 if own is not None or target == USER else MOST_VALUES  # ids of people are nobody's business
            shown, more = [str(one) for one in texts[:most]], 0 if own is not None else max(0, len(texts) - most)
            about_it = {"numeric": own is not None, "bounds": list(own or ()), "several": name in words.separators}
            return AttributeInfo(name=name, values=shown, more=more, **about_it)

        of_users = [about(t, words.bounds) for t in words.relations if words.weight(t) is None]
        of_users += [
            AttributeInfo(name=one.name, values=[], more=0, numeric=False, bounds=[], several=False)
            for one in words.features
        ]
        kinds = [] if words.kinds.predicted is None else [words.kinds.predicted, *words.kinds.weights]
        return of_users, kinds, [about(t, words.item_bounds) for t in words.of_items]


def _with(serving: Serving, role: str, live: LiveModel, share: float) -> Serving:
    """The models in service with another one in a role."""
    if role == MAIN:
        return replace(serving, main=live)
    return replace(serving, candidate=live, share=share) if role == CANDIDATE else replace(serving, shadow=live)


def part_of(user: str) -> float:
    """A number from 0 to 1 that hangs on the id of a user alone."""
    return int.from_bytes(hashlib.sha256(user.encode("utf-8", "surrogatepass")).digest()[:7], "big") / 2**56


def _new_id() -> str:
    return os.urandom(16).hex()
