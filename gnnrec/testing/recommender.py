"""Conformance checks of a recommender: one named check for each clause of the contract."""

import copy
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnnrec.data.synthetic import synthetic
from gnnrec.evaluation.ranking import top
from gnnrec.models.saving import save_model
from gnnrec.options.resolve import build
from gnnrec.recommender import Recommender
from gnnrec.runtime import seeds
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.testing.fresh_process import MODEL, scores_in_fresh_process
from gnnrec.testing.layer import Check
from gnnrec.views import USER, Edges, TestSet, TrainingData, UserBatch

HISTORY_LENGTHS = (0, 1, 2, 5, 10, 20, 50)
"""Numbers of known items with which a loaded model is compared with the fitted one."""
_GROUPS = 4
_ENOUGH = 0.5
"""Share of an unseen user's list that must lie in the user's group; a list that ignores the user has 0.25."""
_TOLERANCE = 1e-4
"""Of the largest score: sums in another order, and products of other sizes, differ in the last bits of a float32."""


def check_recommender(
    model_class: type[Recommender],
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    *,
    learns: bool = True,
    draws: bool = True,
) -> list[Check]:
    """Fits a model several times on made data of 160 users and 40 items, and checks what it answers.

    The made data hold user attributes, one of which reveals what a user likes, edges between users, item attributes,
    and values of 1 to 5.

    Args:
        model_class: meets `gnnrec.recommender.Recommender`.
        options: arguments of its constructor, in the form that a config has (mappings for nested options).
        seed: source of the made data, and the seed that the model is fitted with.
        learns: whether unseen users must get items of their group; False for a model that treats all users alike.
        draws: whether the model draws random numbers when it is fitted. One that does not is also checked for giving
            the same scores when the training users stand in another order.

    Returns:
        One `Check` for each clause. A model that cannot be fitted has only those up to `fit`.

    Raises:
        ConfigError: the options do not fit the constructor.
    """
    split = make_split(synthetic(seed, num_users=160, groups=_GROUPS), UnseenUsers(test=0.1, validation=0.2), seed)
    build(model_class, options or {})

    def make(best_params: Mapping[str, Any]) -> Recommender:
        model: Recommender = build(model_class, {**(options or {}), **best_params})
        return model

    trial = _Trial(make, split.train, split.validation, seed)
    clauses = {**_BEFORE, **_ALWAYS, **(_LEARNS if learns else {}), **({} if draws else _DRAWS_NOTHING)}
    checks = []
    with _global_generators_restored():
        for name, check in clauses.items():
            try:
                message = check(trial)
            except Exception as error:  # a model that raises does not keep the clause
                message = " ".join(f"{type(error).__name__}: {error}".split())
            checks.append(Check(name, not message, message))
            if name in _BEFORE and message:
                break
    return checks


def assert_recommender(
    model_class: type[Recommender],
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    *,
    learns: bool = True,
    draws: bool = True,
) -> None:
    """For a test: runs `check_recommender` and raises AssertionError with one line for each check that failed."""
    checks = check_recommender(model_class, options, seed, learns=learns, draws=draws)
    failed = [f"{check.name}: {check.message}" for check in checks if not check.passed]
    if failed:
        name = model_class.__name__
        raise AssertionError("\n".join([f"{name} does not keep the contract of a recommender", *failed]))


class _Trial:
    """A model class, and made data for it. Copies go in, so that no check sees what another one's call has changed.

    Attributes:
        model: fitted without validation users; set by the check `fit`.
        users: unseen users, as a model may see them.
    """

    model: Recommender

    def __init__(
        self, make: Callable[[Mapping[str, Any]], Recommender], train: TrainingData, validation: TestSet, seed: int
    ) -> None:
        self.make = make
        self.train = train
        self.validation = validation
        self.users = validation.users
        self.seed = seed

    def fit(
        self,
        train: TrainingData | None = None,
        validation: TestSet | None = None,
        best_params: Mapping[str, Any] | None = None,
    ) -> Recommender:
        model = self.make(best_params or {})
        model.fit(copy.deepcopy(train or self.train), copy.deepcopy(validation), self.seed)
        return model

    def score(self, users: UserBatch | None = None, model: Recommender | None = None) -> Tensor:
        with torch.no_grad():
            return (model or self.model).score(copy.deepcopy(users or self.users)).clone()


def _members(trial: _Trial) -> str:
    model = trial.make({})
    if not isinstance(model, Recommender):
        wanted = ("supports_cold_users", "predicts_ratings", "best_params", "fit", "score")
        return f"has no {', '.join(name for name in wanted if not hasattr(model, name))}"
    for name, kind in (("supports_cold_users", bool), ("predicts_ratings", bool), ("best_params", dict)):
        if not isinstance(getattr(model, name), kind):
            return f"{name} must be a {kind.__name__}, it is {getattr(model, name)!r}"
    return ""


def _fit(trial: _Trial) -> str:
    _set_global_generators(1)
    trial.model = trial.fit()
    return ""


def _scores(trial: _Trial) -> str:
    for name, users in (
        ("unseen users", trial.users),
        ("one user", trial.users.take(torch.tensor([0]))),
        ("training users", trial.train.users),
    ):
        message = _wrong(trial.score(users), len(users), trial.train.num_items)
        if message:
            return f"{name}: {message}"
    return ""


def _wrong(scores: Tensor, num_users: int, num_items: int) -> str:
    if scores.shape != (num_users, num_items):
        return f"scores have the shape {list(scores.shape)} instead of {[num_users, num_items]}"
    if scores.dtype != torch.float32:
        return f"scores are {scores.dtype} instead of torch.float32"
    if not scores.isfinite().all():
        return f"{int((~scores.isfinite()).sum())} of {scores.numel()} scores are not finite"
    return ""


def _no_edges(trial: _Trial) -> str:
    return _wrong(trial.score(_bare(trial.users, 1)), 1, trial.train.num_items)


def _bare(users: UserBatch, number: int) -> UserBatch:
    """Users who stand in no file and of whom nothing is known."""
    none = torch.empty(0, dtype=torch.int64)

    def empty(edges: Edges) -> Edges:
        return Edges(none, none, None if edges.weight is None else torch.empty(0))

    relations = {edge_type: empty(edges) for edge_type, edges in users.relations.items()}
    features = tuple(
        replace(one, vector=torch.zeros(number, one.vector.shape[1]), known=torch.zeros(number, dtype=torch.bool))
        for one in users.features
    )
    return UserBatch(torch.full((number,), -1), empty(users.items), relations, features)


def _history(trial: _Trial) -> str:
    """A support, of users with and without other edges, and none: in one batch."""
    bare = _bare(trial.users, 2)
    items = Edges(torch.tensor([0, 0]), torch.tensor([0, 5]), torch.tensor([5.0, 1.0]))
    message = _wrong(trial.score(replace(bare, items=items)), 2, trial.train.num_items)
    return message or _wrong(trial.score(replace(trial.users, items=items)), len(trial.users), trial.train.num_items)


def _same_twice(trial: _Trial) -> str:
    if not torch.equal(trial.score(), trial.score()):
        return "the same users got other scores when asked about again; draw nothing in score, and leave training mode"
    return ""


def _batch(trial: _Trial) -> str:
    together = trial.score()
    alone = torch.cat([trial.score(trial.users.take(row)) for row in torch.arange(len(trial.users)).split(1)])
    message = _differ(together, alone)
    if message:
        return f"a user's scores depend on the rest of the batch: {message}"
    message = _differ(together.flip(0), trial.score(trial.users.take(torch.arange(len(trial.users)).flip(0))))
    return message and f"scores depend on the order of the users in the batch: {message}"


def _order_of_edges(trial: _Trial) -> str:
    users = trial.users

    def turned(edges: Edges) -> Edges:
        return edges.take(torch.arange(len(edges)).flip(0))

    other = replace(users, items=turned(users.items), relations={t: turned(e) for t, e in users.relations.items()})
    message = _differ(trial.score(), trial.score(other))
    return message and f"scores depend on the order of a user's edges: {message}"


def _index(trial: _Trial) -> str:
    unknown = replace(trial.users, index=torch.full((len(trial.users),), -1))
    message = _differ(trial.score(), trial.score(unknown))
    return message and f"the index of an unseen user is a feature: {message}"


def _inputs(trial: _Trial) -> str:
    train, validation = copy.deepcopy(trial.train), copy.deepcopy(trial.validation)
    users = copy.deepcopy(trial.users)
    _ = train.popularity  # counted now, because what it hands out from its cache must not be changed either
    model = trial.make({})
    model.fit(train, validation, trial.seed)
    with torch.no_grad():
        model.score(users)
    for name, before, after in (
        ("fit: the training data", trial.train, train),
        ("fit: the validation users", trial.validation, validation),
        ("score: the users", trial.users, users),
    ):
        pairs = zip(_tensors(before), _tensors(after), strict=True)
        if not all(torch.equal(one, other) for one, other in pairs):
            return f"{name} were changed in place"
    return ""


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name))
        if isinstance(value, TrainingData):
            yield value.popularity
    elif isinstance(value, Mapping):
        for key in value:
            yield from _tensors(value[key])
    elif isinstance(value, tuple):
        for part in value:
            yield from _tensors(part)


def _same_seed(trial: _Trial) -> str:
    _set_global_generators(2)
    again = trial.fit()
    if not torch.equal(trial.score(), trial.score(model=again)):
        return (
            "two fits with one seed gave other scores; draw from gnnrec.runtime.seeds, not from a global one, and "
            "make sure that nothing depends on the order of threads"
        )
    return ""


def _global_generators(trial: _Trial) -> str:
    _set_global_generators(3)
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    trial.score(model=trial.fit())
    names = [
        name
        for name, same in (
            ("torch", torch.equal(before[0], torch.get_rng_state())),
            ("numpy", all(np.array_equal(a, b) for a, b in zip(before[1], np.random.get_state(), strict=True))),
            ("random", before[2] == random.getstate()),
        )
        if not same
    ]
    return f"the global generator of {' and '.join(names)} was moved; pass a generator instead" if names else ""


def _best_params(trial: _Trial) -> str:
    model = trial.fit(validation=trial.validation)
    if not isinstance(model.best_params, dict):
        return f"best_params must be a dict of options, it is {model.best_params!r}"
    if not model.best_params:
        return ""
    final = trial.fit(best_params=model.best_params)
    message = _wrong(trial.score(model=final), len(trial.users), trial.train.num_items)
    return message and f"fitted with the best parameters {model.best_params}: {message}"


def _saved(trial: _Trial) -> str:
    """Saved, loaded in a fresh process, same scores bit for bit: users with 0, 1, 2, 5, ... known items, and others."""
    batches = [trial.users, trial.train.users, _bare(trial.users, 1)]
    for count in (number for number in HISTORY_LENGTHS if 0 < number <= trial.train.num_items):
        batches.append(replace(trial.users, items=_first_items(len(trial.users), count, trial)))
    with tempfile.TemporaryDirectory() as folder:
        save_model(trial.model, Path(folder) / MODEL)
        loaded = scores_in_fresh_process(Path(folder), batches)
    for users, scores in zip(batches, loaded, strict=True):
        expected = trial.score(users)
        if not torch.equal(expected, scores):
            known = len(users.items) // max(len(users), 1)
            differing = int((expected != scores).any(1).sum())
            return (
                f"saved and loaded in a fresh process, {differing} of {len(users)} users with about {known} known "
                "items get other scores; keep what was fitted, not what it can be drawn from again"
            )
    return ""


def _first_items(num_users: int, count: int, trial: _Trial) -> Edges:
    """`count` known items for each user, others for each, rated 1 to 5 in turn."""
    row = torch.arange(num_users).repeat_interleave(count)
    node = (row * 7 + torch.arange(len(row)) % count * 3) % trial.train.num_items
    pairs = torch.stack([row, node]).unique(dim=1)
    return Edges(pairs[0], pairs[1], 1 + (pairs[0] + pairs[1]).float() % 5)


def _learns(trial: _Trial) -> str:
    if not trial.model.supports_cold_users:
        return ""
    users, candidates = trial.users, trial.train.candidates
    eligible = candidates.expand(len(users), -1)
    items = top(trial.score(), eligible, users.index, 8, trial.seed)  # [B, 8]
    share = float((items % _GROUPS == users.index[:, None] % _GROUPS).double().mean())
    if share <= _ENOUGH:
        return (
            f"{share:.2f} of the top 8 of unseen users lies in their group; chance is {1 / _GROUPS:.2f}, and more than "
            f"{_ENOUGH:.2f} is asked for"
        )
    return ""


def _renamed(trial: _Trial) -> str:
    order = torch.randperm(trial.train.num_users, generator=seeds.generator(trial.seed, "renamed"))
    place = order.argsort()  # old row -> new row

    def moved(users: UserBatch) -> UserBatch:
        relations = {t: replace(e, node=place[e.node]) if t[2] == USER else e for t, e in users.relations.items()}
        return replace(users, relations=relations)

    model = trial.fit(train=replace(trial.train, users=moved(trial.train.users.take(order))))
    message = _differ(trial.score(), trial.score(moved(trial.users), model))
    return message and f"scores depend on the order of the training users: {message}"


def _differ(one: Tensor, other: Tensor) -> str:
    if one.shape != other.shape:
        return f"shapes {list(one.shape)} and {list(other.shape)}"
    difference = float((one - other).abs().max())
    largest = float(one.abs().max())
    return "" if difference <= _TOLERANCE * largest else f"scores up to {largest:.3g} differ by {difference:.3g}"


_BEFORE: Mapping[str, Callable[[_Trial], str]] = {"members": _members, "fit": _fit}
_ALWAYS: Mapping[str, Callable[[_Trial], str]] = {
    "scores": _scores,
    "user without edges": _no_edges,
    "user with items only": _history,
    "same scores when asked again": _same_twice,
    "batch independence": _batch,
    "order of edges": _order_of_edges,
    "index is no feature": _index,
    "inputs unchanged": _inputs,
    "same seed": _same_seed,
    "global generators": _global_generators,
    "best parameters": _best_params,
    "saved and loaded": _saved,
}
_LEARNS: Mapping[str, Callable[[_Trial], str]] = {"learns unseen users": _learns}
_DRAWS_NOTHING: Mapping[str, Callable[[_Trial], str]] = {"renamed training users": _renamed}


def _set_global_generators(seed: int) -> None:
    """Another state for each fit, so that a model that draws from it is not the same twice."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


@contextmanager
def _global_generators_restored() -> Iterator[None]:
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)
