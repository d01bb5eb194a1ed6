"""A model in service: it knows items that came after training, and answers what one request wishes for."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnnrec.errors import InputError
from gnnrec.reranking import mmr
from gnnrec.reranking.pool import cosines, stretched
from gnnrec.reranking.reranked import Reranked
from gnnrec.serving.artifact import ARTIFACT, Artifact, load, place_of
from gnnrec.serving.encode import Known
from gnnrec.serving.explain import explain
from gnnrec.serving.known import known_of_one
from gnnrec.serving.lists import best, serve
from gnnrec.serving.new_items import ItemAttributes, NewItem, NewItems
from gnnrec.serving.profile import encode
from gnnrec.serving.topk import top
from gnnrec.serving.vocabulary import places
from gnnrec.views import ITEM, Edges, UserBatch

DEEP = 10
"""Candidates for each item of a diverse list."""
QUICK = 0.003
"""Seconds of a list up to which others may wait for it."""
MODEL, POPULAR = "model", "popular"


@dataclass(frozen=True)
class Person:
    """What a model knows of one user.

    Attributes:
        user: B = 1.
        new: [N'] int64, places of the user's items that came after training, behind those of training.
        warnings: what of the profile is ignored.
    """

    user: UserBatch
    new: Tensor
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wish:
    """What a request asks for.

    Attributes:
        number: length of the list.
        offset: items that are skipped, from the best on.
        exclude_seen: whether known and rejected items are left out.
        allowed: [I + N] bool, items of training and new ones that may be in the list; None for all.
        diversity: from 0 to 1, see `gnnrec.reranking.mmr.mmr`.
    """

    number: int = 10
    offset: int = 0
    exclude_seen: bool = True
    allowed: Tensor | None = None
    diversity: float = 0.0


@dataclass(frozen=True)
class Ranked:
    """The list of one user.

    Attributes:
        item: [K] int64, places; from I on, new items.
        score: [K] float32, not ascending, unless the list is diverse.
        source: `model`; or `popular`, where nothing is known of the user that the model could use.
    """

    item: Tensor
    score: Tensor
    source: str = MODEL


class LiveModel:
    """A loaded model, ready to be asked from several threads.

    Args:
        name: that it is called by.
        artifact: loaded.
        version: tells models apart.
        given: items that came after training, and titles.

    Attributes:
        served: for lists of the items of training.
        new: the items that came after it.
        quick: whether a list takes so little time that others may wait for it.
    """

    def __init__(self, name: str, artifact: Artifact, version: str, given: Sequence[NewItem] = ()) -> None:
        self.name, self.version, self.artifact = name, version, artifact
        self.served = serve(artifact)
        self.vocabulary = artifact.vocabulary
        self.attributes = ItemAttributes(self.vocabulary)
        count = self.vocabulary.popularity
        self._popular = None if count is None else count.float()
        self._items: tuple[NewItems, dict[str, int], dict[int, str], list[str]]
        self._items = (NewItems(self.vocabulary, self.attributes, []), {}, {}, [])
        self.take_items(given)
        self.quick = self._seconds() < QUICK

    def take_items(self, given: Sequence[NewItem]) -> None:
        """Takes new items; those that were there keep their places, which requests in flight may hold."""
        before = self._items[1]
        given = sorted(given, key=lambda one: before.get(one.id, len(before) + self.vocabulary.num_items))
        new = NewItems(self.vocabulary, self.attributes, given)
        texts = self.vocabulary.texts[ITEM]
        titles = dict(enumerate(self.vocabulary.titles))
        told = [one for one in given if one.title]
        of = places(texts, np.array([one.id for one in told], dtype=object)).tolist()
        titles |= {place: one.title for one, place in zip(told, of, strict=True) if place >= 0}
        size = self.vocabulary.num_items
        titles |= {size + place: title for place, title in enumerate(new.titles)}
        ids = [str(one) for one in texts] + new.ids
        self._items = (new, {one: size + place for place, one in enumerate(new.ids)}, titles, ids)

    @property
    def new(self) -> NewItems:
        """The items that came after training."""
        return self._items[0]

    @property
    def size(self) -> int:
        """Number of items, new ones included."""
        return self.vocabulary.num_items + len(self.new)

    def place(self, item: str) -> int:
        """Place of an item that is named by its id; -1 for an unknown one."""
        found = int(places(self.vocabulary.texts[ITEM], np.array([item], dtype=object))[0])
        return found if found >= 0 else self._items[1].get(item, -1)

    def title(self, place: int) -> str:
        """Title of an item, empty where it has none."""
        return self._items[2].get(place, "")

    def id(self, place: int) -> str:
        """Id of an item as text."""
        return self._items[3][place]

    def person(
        self, attributes: Mapping[str, Any], items: Sequence[Any] = (), events: Mapping[str, np.ndarray] | None = None
    ) -> Person:
        """One user as the model sees it.

        Args:
            attributes: see `gnnrec.serving.profile.encode`.
            items: ids of items that were chosen, in the order in which they were.
            events: see `gnnrec.serving.known.known_of_one`; None for none.
        """
        later = self._items[1]
        user, warnings = encode(self.vocabulary, attributes, [one for one in items if str(one) not in later])
        chosen = [later[str(one)] for one in items if str(one) in later]
        if events is not None:
            user = _with_known(user, known_of_one(self.vocabulary, events))
            chosen += [later[one] for one in events["item"] if one in later]
        return Person(user, torch.tensor(chosen, dtype=torch.int64), tuple(warnings))

    def plain(self, person: Person) -> bool:
        """Whether nothing is known of a user that the model could use."""
        user = person.user
        if len(user.items) or (self._popular is None and self.served.model.supports_cold_users):
            return False
        return not self.served.model.supports_cold_users or not any(len(edges) for edges in user.relations.values())

    @torch.no_grad()
    def rank(self, people: Sequence[Person], wish: Wish) -> list[Ranked]:
        """The lists of some users; all items are scored, unless there is an index and nothing else is wished for."""
        simple = wish.allowed is None and wish.exclude_seen and not wish.diversity and not len(self.new)
        plain = [self.plain(one) for one in people]
        if self.served.index is not None and simple and not any(plain):
            lists = best(self.served, _joined([one.user for one in people]), wish.offset + wish.number)
            rows = zip(lists.item, lists.score, strict=True)
            return [_listed(item[wish.offset :], score[wish.offset :]) for item, score in rows]
        score = self._scores(people, plain, wish.allowed)
        found = [
            top(row[None], wish.offset + (DEEP if wish.diversity else 1) * wish.number)
            for row in self._masked(score, people, wish)
        ]
        ranked = []
        for (value, item), popular in zip(found, plain, strict=True):
            one = _listed(item[0], value[0])
            if wish.diversity:
                listed = torch.ones(1, len(one.item), dtype=torch.bool)
                relevance, alike = stretched(one.score[None], listed), cosines(self._vectors(one.item)[None])
                order = mmr(relevance, listed, alike, wish.diversity, wish.offset + wish.number)[0]
                one = Ranked(one.item[order], one.score[order])
            ranked.append(Ranked(one.item[wish.offset :], one.score[wish.offset :], POPULAR if popular else MODEL))
        return ranked

    def popular(self, person: Person, wish: Wish) -> Ranked:
        """The list of the items that were chosen most often."""
        score = self._extended(self._counts()[None].clone())
        value, item = top(self._masked(score, [person], wish), wish.offset + wish.number)
        return replace(_listed(item[0, wish.offset :], value[0, wish.offset :]), source=POPULAR)

    def similar(self, place: int, number: int) -> Ranked:
        """Of the best items for somebody of whom only one item is known, those that gain most by it.

        Of a new item, those that share attributes with it.
        """
        size = self.vocabulary.num_items
        if place >= size:
            weight = torch.from_numpy(self.new.weights[[place - size]].toarray())
            value, item = top(weight.masked_fill(weight <= 0, -torch.inf), number)
            return _listed(item[0], value[0])
        nobody, somebody = self.person({}), self.person({}, [self.id(place)])
        with torch.no_grad():
            score = self._masked(self.served.model.score(somebody.user).clone(), [somebody], Wish())
            if self.served.model.supports_cold_users:
                _, best_of_all = top(score, DEEP * number)
                gain = score - self.served.model.score(nobody.user)
                score = torch.full_like(score, -torch.inf).scatter(1, best_of_all, gain.gather(1, best_of_all))
        value, item = top(score, number)
        return _listed(item[0], value[0])

    def why(self, person: Person, ranked: Ranked) -> list[list[dict[str, Any]]]:
        """For each item of a list, what of the user is behind it: relation, value and weight."""
        size = self.vocabulary.num_items
        if ranked.source == POPULAR:
            return [[] for _ in ranked.item]
        known = ranked.item < size
        told = iter(explain(self.served, person.user, ranked.item[known][None]).told()[0])
        return [
            next(told) if old else self._alike(place - size)
            for place, old in zip(ranked.item.tolist(), known.tolist(), strict=True)
        ]

    def allowed(self, only: Sequence[tuple[str, str]], exclude: Sequence[str]) -> Tensor:
        """[I + N] bool, the items with all of some values of attributes, and without some items.

        Args:
            only: names and values of attributes.
            exclude: ids; unknown ones are ignored.

        Raises:
            InputError: there is no such attribute or value.
        """
        mask = torch.ones(self.size, dtype=torch.bool)
        for name, value in only:
            columns, wrong = self.attributes.columns(name, value)
            if wrong:
                raise InputError(f"only: {wrong.removesuffix(' and is ignored')}")
            both = (self.attributes.vectors, self.new.vectors)
            has = [torch.from_numpy(np.asarray(rows[:, columns].sum(1)).ravel() > 0) for rows in both]
            mask &= torch.cat(has)
        dropped = [place for place in map(self.place, exclude) if place >= 0]
        mask[dropped] = False
        return mask

    def _seconds(self) -> float:
        """Median time of a list, of this thread alone: others may keep the machine busy."""
        nobody = self.person({})
        took = []
        for _ in range(5):
            started = time.thread_time()
            self.rank([nobody], Wish())
            took.append(time.thread_time() - started)
        return sorted(took)[2]

    def _counts(self) -> Tensor:
        return torch.zeros(self.vocabulary.num_items) if self._popular is None else self._popular

    def _scores(self, people: Sequence[Person], plain: Sequence[bool], allowed: Tensor | None) -> Tensor:
        """[B, I + N], popularity where nothing is known."""
        score = torch.empty(len(people), self.vocabulary.num_items)
        asked = [place for place, one in enumerate(plain) if not one]
        if asked:
            users, model = _joined([people[place].user for place in asked]), self.served.model
            if isinstance(model, Reranked):
                among = self.served.eligible if allowed is None else self.served.eligible & allowed[: score.shape[1]]
                score[asked] = model.score_among(users, among)
            else:
                score[asked] = model.score(users)
        score[[place for place, one in enumerate(plain) if one]] = self._counts()
        return self._extended(score)

    def _extended(self, score: Tensor) -> Tensor:
        return torch.cat([score, self.new.score(score)], dim=1) if len(self.new) else score

    def _masked(self, score: Tensor, people: Sequence[Person], wish: Wish) -> Tensor:
        """The same tensor, -inf where an item may not be in the list."""
        size = self.vocabulary.num_items
        score[:, :size].masked_fill_(~self.served.eligible, -torch.inf)
        score.masked_fill_(~score.isfinite(), -torch.inf)
        if wish.allowed is not None:
            score[:, : len(wish.allowed)].masked_fill_(~wish.allowed[: score.shape[1]], -torch.inf)
        for row, one in enumerate(people if wish.exclude_seen else ()):
            score[row, one.user.unranked.node] = -torch.inf
            score[row, one.new[one.new < score.shape[1]]] = -torch.inf
        return score

    def _vectors(self, item: Tensor) -> Tensor:
        """[K, D], of their attributes, or where items have none, the model's own."""
        size = self.vocabulary.num_items
        if self.attributes.vectors.shape[1]:
            rows = [self.attributes.vectors[[p]] if p < size else self.new.vectors[[p - size]] for p in item.tolist()]
            return torch.from_numpy(np.concatenate([row.toarray() for row in rows]).astype(np.float32))
        own = self.served.model.item_vectors() if hasattr(self.served.model, "item_vectors") else None
        if own is None:
            raise InputError("diversity: the items have neither attributes nor vectors; ask without it")
        vectors: Tensor = own[item]
        return vectors

    def _alike(self, number: int) -> list[dict[str, Any]]:
        weight, item = top(torch.from_numpy(self.new.weights[[number]].toarray()), 3)
        rows = zip(item[0].tolist(), weight[0].tolist(), strict=True)
        return [{"relation": "similar", "value": self.id(place), "weight": value} for place, value in rows if value > 0]


def read_live(folder: Any, name: str, given: Sequence[NewItem] = ()) -> LiveModel:
    """A model in service from the folder of a run or of a saved model.

    Raises:
        ConfigError: as `gnnrec.serving.artifact.load`.
    """
    content = (place_of(folder) / ARTIFACT).read_bytes()
    return LiveModel(name, load(folder), hashlib.sha256(content).hexdigest()[:12], given)


def _listed(item: Tensor, score: Tensor) -> Ranked:
    there = score > -torch.inf
    return Ranked(item[there], score[there])


def _with_known(user: UserBatch, known: Known) -> UserBatch:
    """A user with recorded events behind those of its profile, each item once."""

    def behind(own: Edges, others: Edges) -> Edges:
        return Edges.join([own, others.take(~torch.isin(others.node, own.node))])

    relations = {t: behind(e, known.events[t]) if t in known.events else e for t, e in user.relations.items()}
    return replace(user, items=behind(user.items, known.items) if len(user.items) else known.items, relations=relations)


def _joined(users: Sequence[UserBatch]) -> UserBatch:
    """Users of one each as one batch."""
    return users[0] if len(users) == 1 else UserBatch.join(users)
