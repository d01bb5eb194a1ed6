"""Which nodes and relations of two platforms are the same: by mapping, by name, by the vectors of their words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from gnnrec.data.features.encoding import encoded
from gnnrec.data.features.text import ENCODERS
from gnnrec.errors import ConfigError
from gnnrec.views import INTERACTS, ITEM, USER, EdgeType

ItemsBy = Literal["title", "id", "none"]
SAME_TITLE, SAME_VALUE, SAME_NAME = 0.95, 0.6, 0.55
"""Cosine of the vectors of two titles, two values and two names of attributes from which they count as the same."""
NEAR = 0.3
"""Cosine from which a value's vector is a mean of those of the nearest values."""
NEAREST, TEMPERATURE = 3, 0.1
"""So many nearest values, with weights exp(cosine / temperature)."""
PART = 2048


@dataclass(frozen=True)
class Nodes:
    """The nodes of a platform and its relations, by their names.

    Attributes:
        ids: node type -> names of its nodes, for every type but `user`.
        edge_types: the relations, without their reverses.
        titles: [I] of the items; empty where there are none.
    """

    ids: Mapping[str, Sequence[str]]
    edge_types: tuple[EdgeType, ...]
    titles: Sequence[str] = ()


@dataclass(frozen=True)
class TypeMatch:
    """Nodes of one type and those that they are the same as, or near to.

    Attributes:
        theirs: the other platform's node type.
        row: [N] int64, the same node there; -1 for none.
        near: [N, K] int64, the nearest nodes there; of a node that is the same, the first is that one.
        weight: [N, K] float32, of the nearest; they add up to 1, or to 0 where nothing is near.
        similarity: [N] float32, cosine of the words of a node and of the nearest; 1 for the same name.
    """

    theirs: str
    row: np.ndarray
    near: np.ndarray = field(repr=False)
    weight: np.ndarray = field(repr=False)
    similarity: np.ndarray = field(repr=False)

    @property
    def known(self) -> np.ndarray:
        """[N] bool, the nodes that anything is known of."""
        found: np.ndarray = self.weight.sum(axis=1) > 0
        return found


@dataclass(frozen=True)
class Match:
    """What of one platform is the same on another.

    Attributes:
        types: own node type -> its match; a type that is not there matches nothing.
        relations: own relation, without reverses -> the other platform's.
        words: whether vectors of words were compared; else names alone.
    """

    types: Mapping[str, TypeMatch]
    relations: Mapping[EdgeType, EdgeType]
    words: bool


def match(
    own: Nodes,
    theirs: Nodes,
    *,
    attributes: Mapping[str, str | None] | None = None,
    items: ItemsBy = "title",
    progress: bool = False,
) -> Match:
    """Finds what is the same on two platforms.

    Relations are compared with those of the same kind: of users to values, of items to values, between users ... A name
    that is given in `attributes` decides; else the same name; else the nearest name by its words. Values, and items by
    their titles, are the same where their names are, in capitals or not, or where their words' cosine is high enough.
    Words are encoded by the Universal Sentence Encoder (extra `text`); without it, names alone are compared.

    Args:
        own: the platform whose nodes are to be found.
        theirs: where to find them.
        attributes: own relation -> the other's; None for one that matches nothing.
        items: whether items are the same by title, by id, or never.
        progress: show progress bars of the encoding.

    Raises:
        ConfigError: a name in `attributes` is no relation.
    """
    words = _Words(progress)
    relations = _relations(own, theirs, attributes or {}, words)
    types: dict[str, TypeMatch] = {}
    by_title = items == "title" and own.titles and theirs.titles
    if by_title:
        found = _nodes(own.titles, theirs.titles, ITEM, SAME_TITLE, words)
        types[ITEM] = _one_to_one(found)
    else:  # without titles nothing is the same, for ids of two shops say nothing
        types[ITEM] = _same_names(own.ids[ITEM], theirs.ids[ITEM] if items == "id" else [], ITEM)
    for mine, other in relations.items():
        for node_type, their_type in ((mine[0], other[0]), (mine[2], other[2])):
            if node_type not in (USER, ITEM) and node_type not in types:
                names = own.ids[node_type], theirs.ids[their_type]
                types[node_type] = _nodes(*names, their_type, SAME_VALUE, words)
    return Match(types, relations, words.there)


def _relations(
    own: Nodes, theirs: Nodes, attributes: Mapping[str, str | None], words: "_Words"
) -> dict[EdgeType, EdgeType]:
    """Own relation -> the other's; each of the other's once."""
    for given, place in ((attributes, own), (filter(None, attributes.values()), theirs)):
        names = sorted({t[1] for t in place.edge_types} - {INTERACTS[1]})
        for name in given:
            if name not in names:
                whose = "this platform" if place is own else "the other one"
                raise ConfigError(f"match: {name!r} is no relation of {whose}; there are {', '.join(names) or 'none'}")
    found: dict[EdgeType, EdgeType] = {}
    if INTERACTS in own.edge_types and INTERACTS in theirs.edge_types:
        found[INTERACTS] = INTERACTS
    pairs = []
    for mine in own.edge_types:
        for other in theirs.edge_types:
            if _kind(mine) != _kind(other) or INTERACTS in (mine, other):
                continue
            if mine[1] in attributes or other[1] in attributes.values():
                if attributes.get(mine[1]) == other[1]:
                    pairs.append((2.0, mine, other))
            elif mine[1].casefold() == other[1].casefold():
                pairs.append((1.0, mine, other))
            elif (near := words.cosine(_spelled(mine[1]), _spelled(other[1]))) >= SAME_NAME:
                pairs.append((min(near, 0.999), mine, other))
    for _, mine, other in sorted(pairs, key=lambda pair: -pair[0]):
        if mine not in found and other not in found.values():
            found[mine] = other
    return {t: found[t] for t in own.edge_types if t in found}


def _kind(edge_type: EdgeType) -> tuple[str, ...]:
    return tuple(end if end in (USER, ITEM) else "value" for end in (edge_type[0], edge_type[2]))


def _spelled(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def _nodes(own: Sequence[str], theirs: Sequence[str], their_type: str, same: float, words: "_Words") -> TypeMatch:
    """Nodes by their names."""
    exact = _same_names(own, theirs, their_type)
    missing = (exact.row < 0).nonzero()[0]
    if not words.there or not len(missing) or not len(theirs):
        return exact
    row, near, weight, similarity = (one.copy() for one in (exact.row, exact.near, exact.weight, exact.similarity))
    count = near.shape[1]
    others = words.vectors(theirs).T
    for part in np.array_split(missing, -(-len(missing) // PART)):
        cosine = words.vectors([own[place] for place in part]) @ others
        best = np.argsort(-cosine, axis=1, kind="stable")[:, :count]
        value = np.take_along_axis(cosine, best, axis=1)
        similarity[part] = value[:, 0]
        chance = np.exp((value - value[:, :1]) / TEMPERATURE)
        chance = np.where(value[:, :1] >= NEAR, chance / chance.sum(axis=1, keepdims=True), 0)
        certain = value[:, 0] >= same
        chance[certain] = np.eye(count)[0]
        near[part], weight[part] = best, chance
        row[part] = np.where(certain, best[:, 0], -1)
    return TypeMatch(their_type, row, near, weight, similarity)


def _same_names(own: Sequence[str], theirs: Sequence[str], their_type: str) -> TypeMatch:
    """Nodes of the same name, in capitals or not."""
    place = {str(name).casefold(): number for number, name in reversed(list(enumerate(theirs)))}
    row = np.array([place.get(str(name).casefold(), -1) for name in own], dtype=np.int64)
    count = max(1, min(NEAREST, len(theirs)))
    near = np.zeros((len(own), count), dtype=np.int64)
    near[:, 0] = np.maximum(row, 0)
    weight = np.zeros((len(own), count), dtype=np.float32)
    weight[:, 0] = row >= 0
    return TypeMatch(their_type, row, near, weight, weight[:, 0].copy())


def _one_to_one(found: TypeMatch) -> TypeMatch:
    """Items that are the same alone: of several own items with one and the same other, the most similar one."""
    order = np.lexsort((np.arange(len(found.row)), -found.similarity))
    order = order[found.row[order] >= 0]
    first = order[np.unique(found.row[order], return_index=True)[1]]
    row = np.full_like(found.row, -1)
    row[first] = found.row[first]
    weight = np.zeros_like(found.weight)
    weight[first, 0] = 1
    near = found.near.copy()
    near[:, 0] = np.maximum(row, 0)
    return TypeMatch(found.theirs, row, near, weight, found.similarity)


def unit_vectors(texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
    """[N, 512] float32, vectors of texts by the Universal Sentence Encoder, of length 1; 0 for an empty text.

    Raises:
        ConfigError: the extra `text` is not installed.
    """
    once = sorted({*texts, "a"})  # of empty texts alone the encoder would not tell its width
    vector, _ = encoded("words", once, ENCODERS, "use", {}, progress)
    vector = vector / np.maximum(np.linalg.norm(vector, axis=1, keepdims=True), 1e-12)
    found: np.ndarray = vector[np.searchsorted(once, list(texts))]
    return found


class _Words:
    """Cosines of words, encoded once; `there` is False where the encoder is not installed."""

    def __init__(self, progress: bool) -> None:
        self._progress, self.there = progress, True
        self._vectors: dict[str, np.ndarray] = {}
        try:
            unit_vectors([])
        except ConfigError:
            self.there = False

    def cosine(self, own: str, theirs: str) -> float:
        """Of two names; 0 without the encoder."""
        return float((self.vectors([own]) @ self.vectors([theirs]).T)[0, 0]) if self.there else 0.0

    def vectors(self, names: Sequence[str]) -> np.ndarray:
        """[N, F] float32, of length 1, or 0 for an empty name."""
        self._add(names)
        found: np.ndarray = np.stack([self._vectors[str(name)] for name in names])
        return found

    def _add(self, names: Sequence[str]) -> None:
        fresh = sorted({str(name) for name in names} - self._vectors.keys())
        if fresh:
            self._vectors |= dict(zip(fresh, unit_vectors(fresh, progress=self._progress), strict=True))
