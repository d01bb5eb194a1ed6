"""Conformance checks of a metric: one named check for each clause of the contract."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from gnnrec.evaluation.metrics import Metric, MetricInput
from gnnrec.evaluation.metrics.metric_input import AXES
from gnnrec.runtime import seeds
from gnnrec.testing.layer import Check

_DRAWS = 5
_USERS, _ITEMS, _PLACES, _ATTRIBUTES, _GROUPS, _CLASSES = 11, 24, 6, 7, 3, 4
_TOLERANCE = 1e-6
_ACCURACY = {"hits", "num_relevant", "first_rank", "gains", "ideal_gains", "error", "score", "probability", "label"}
"""A metric that needs nothing else is one of accuracy: what the best and the worst input is, is known."""


def check_metric(metric: Metric, seed: int = 0) -> list[Check]:
    """Runs every check on a metric, with random lists, ratings, attributes and groups; takes a moment.

    Among the random users, one has an empty list, one a list that ends early, one belongs to no group, and some items
    have no attribute.

    Args:
        metric: the metric; it is given no other fields than those it needs.
        seed: source of the random input.

    Returns:
        One `Check` for each clause. Where the metric fails with an error, that is the message.
    """
    checks = []
    for name, check in _CHECKS.items():
        try:
            message = next((m for given in _inputs(metric, seed) if (m := check(metric, given))), "")
        except Exception as error:  # a metric that raises does not keep the clause
            message = " ".join(f"{type(error).__name__}: {error}".split())
        checks.append(Check(name, not message, message))
    return checks


def assert_metric(metric: Metric, seed: int = 0) -> None:
    """For a test: runs `check_metric` and raises AssertionError with one line for each check that failed."""
    failed = [f"{check.name}: {check.message}" for check in check_metric(metric, seed) if not check.passed]
    if failed:
        raise AssertionError("\n".join([f"{metric.name} does not keep the contract of a metric", *failed]))


def _inputs(metric: Metric, seed: int) -> Iterator[MetricInput]:
    """Random inputs that hold what the metric needs, and nothing else."""
    for draw in range(_DRAWS):
        random = seeds.numpy_generator(seed, f"check_metric/{draw}")
        every = {
            **_lists(random),
            **_rated(random),
            **_ratings(random),
            **_side_information(random),
            **_classes(random),
        }
        kept = {name: every[name] for name in {*metric.needs, *(["rating_user"] if metric.kind == "ratings" else [])}}
        yield MetricInput(num_users=_USERS, **kept)


def _lists(random: np.random.Generator) -> dict[str, Any]:
    candidates = random.permutation(_ITEMS) < _ITEMS - 2  # two items are no candidates
    relevant = (random.random((_USERS, _ITEMS)) < random.random((_USERS, 1))) & candidates
    relevant[np.arange(_USERS), random.choice(np.flatnonzero(candidates), _USERS)] = True
    items = np.stack([random.permutation(np.flatnonzero(candidates))[:_PLACES] for _ in range(_USERS)])  # [U, K]
    items[0], items[1, 2:] = -1, -1
    hits = np.take_along_axis(relevant, items.clip(min=0), axis=1) & (items >= 0)
    return {
        "hits": torch.from_numpy(hits),
        "num_relevant": torch.from_numpy(relevant.sum(1)),
        "items": torch.from_numpy(items),
        "candidates": torch.from_numpy(candidates),
        "first_rank": torch.from_numpy(random.integers(1, _ITEMS, _USERS)),
    }


def _rated(random: np.random.Generator) -> dict[str, Any]:
    gains = 2.0 ** random.integers(0, 6, (_USERS, _PLACES)) - 1
    gains[:, 0] += 1
    gains[1, 2:] = 0  # a user who has rated two items
    gains = random.permuted(gains, axis=1)
    ideal = -np.sort(-gains, axis=1)
    return {"gains": torch.from_numpy(gains).float(), "ideal_gains": torch.from_numpy(ideal).float()}


def _ratings(random: np.random.Generator) -> dict[str, Any]:
    user = random.permutation(np.repeat(np.arange(_USERS), random.integers(1, 6, _USERS)))
    return {
        "error": torch.from_numpy(random.normal(size=len(user))),
        "rating": torch.from_numpy(random.integers(1, 6, len(user))).float(),
        "rating_user": torch.from_numpy(user),
    }


def _classes(random: np.random.Generator) -> dict[str, Any]:
    label = random.permutation(np.arange(_USERS) % _CLASSES)
    score = torch.from_numpy(random.normal(size=(_USERS, _CLASSES)))
    return {"score": score, "probability": score.softmax(1), "label": torch.from_numpy(label)}


def _side_information(random: np.random.Generator) -> dict[str, Any]:
    features = (random.random((_ITEMS, _ATTRIBUTES)) < 0.4) * random.integers(1, 3, (_ITEMS, _ATTRIBUTES))
    features[::5] = 0
    groups = random.integers(_GROUPS, size=_USERS)
    groups[-1] = -1
    relevant = random.random((_USERS, _ATTRIBUTES)) * (random.random((_USERS, _ATTRIBUTES)) < 0.5)
    relevant[2] = 0
    shares = random.random((_ITEMS, _GROUPS))
    shares[::5] = 0
    return {
        "relevant_features": csr_array(relevant),
        "item_groups": csr_array(shares / shares.sum(1, keepdims=True).clip(min=1e-9)),
        "popularity": torch.from_numpy(random.integers(0, 50, _ITEMS)).float(),
        "num_training_users": torch.tensor(50),
        "item_features": csr_array(features.astype(np.float64)),
        "vectors": torch.from_numpy(random.normal(size=(_USERS, _ATTRIBUTES))).float(),
        "groups": torch.from_numpy(groups),
    }


def _take(given: MetricInput, rows: Tensor) -> MetricInput:
    """Some of the users, in the order of `rows`."""
    place = torch.full((given.num_users,), -1)
    place[rows] = torch.arange(len(rows))
    changed: dict[str, Any] = {}
    for name, axes in AXES.items():
        value = getattr(given, name)
        if value is not None and axes[:1] == ("users",):
            changed[name] = value[rows if isinstance(value, Tensor) else rows.numpy()]
        elif value is not None and axes == ("ratings",):
            assert given.rating_user is not None
            kept = place[given.rating_user] >= 0
            changed[name] = place[value[kept]] if name == "rating_user" else value[kept]
    return replace(given, num_users=len(rows), **changed)


def _call(metric: Metric, given: MetricInput) -> Any:
    return metric.function(*(getattr(given, need) for need in metric.needs))


def _value(metric: Metric, given: MetricInput) -> str:
    """The function gives what `mean_over` promises, and the metric is a finite number."""
    found = _call(metric, given)
    if metric.mean_over is None:
        if isinstance(found, Tensor) and found.numel() != 1:
            return f"gives a tensor of the shape {list(found.shape)} where mean_over=None promises one number"
    else:
        number = given.num_users if metric.mean_over == "users" else len(_needed(given.rating_user))
        if not isinstance(found, Tensor) or found.shape != (number,) or not found.is_floating_point():
            shape = f"{list(found.shape)} {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
            return f"gives {shape} where mean_over={metric.mean_over!r} promises [{number}] floats"
        if not found.isfinite().all():
            where = int((~found.isfinite()).nonzero()[0])
            return f"gives NaN or infinity for {metric.mean_over[:-1]} {where}; is there a division by zero?"
    value, _ = metric.measure(given)
    return "" if np.isfinite(value) else f"the metric is {value}"


def _bounds(metric: Metric, given: MetricInput) -> str:
    if metric.bounds is None:
        return ""
    found = torch.as_tensor(_call(metric, given), dtype=torch.float64)
    low, high = float(found.min()), float(found.max())
    if low < metric.bounds[0] - _TOLERANCE or high > metric.bounds[1] + _TOLERANCE:
        return f"values from {low:.4g} to {high:.4g}, declared are {metric.bounds[0]:g} to {metric.bounds[1]:g}"
    return ""


def _lengths(metric: Metric, given: MetricInput) -> str:
    """Also a list of one item, and one of more items than there are, have a finite value."""
    if not metric.takes_length:
        return ""
    longer: dict[str, Any] = {
        name: torch.nn.functional.pad(value, (0, _ITEMS), value=-1 if name == "items" else 0)
        for name, axes in AXES.items()
        if "places" in axes and (value := getattr(given, name)) is not None
    }
    for length, other in ((1, given.cut(1)), (_PLACES + _ITEMS, replace(given, **longer))):
        if message := _value(metric, other) or _bounds(metric, other):
            return f"with lists of {length}: {message}"
    return ""


def _independence(metric: Metric, given: MetricInput) -> str:
    if metric.mean_over is None or metric.relative:
        return ""
    _, together = metric.measure(given)
    alone = [metric.measure(_take(given, row))[1] for row in torch.arange(given.num_users).split(1)]
    change = (_needed(together) - torch.cat([_needed(value) for value in alone])).abs()
    if change.max() > _TOLERANCE * (1 + _needed(together).abs().max()):
        return f"user {int(change.argmax())} has another value when evaluated alone, by {change.max():.2g}"
    return ""


def _order(metric: Metric, given: MetricInput) -> str:
    rows = torch.arange(given.num_users).roll(4).flip(0)
    (value, per_user), (other, moved) = metric.measure(given), metric.measure(_take(given, rows))
    if abs(value - other) > _TOLERANCE * (1 + abs(value)):
        return f"is {value:.6g}, and {other:.6g} with the users in another order"
    if per_user is not None and not torch.allclose(per_user[rows], _needed(moved), rtol=1e-5, atol=_TOLERANCE):
        return "users do not keep their values when they come in another order"
    return ""


def _direction(metric: Metric, given: MetricInput) -> str:
    """The best input there is, and the worst: of an accuracy metric with a better direction."""
    if metric.higher_is_better is None or metric.mean_over is None or not _ACCURACY.issuperset(metric.needs):
        return ""
    sign = 1 if metric.higher_is_better else -1
    (best, of_best), (_, found), (worst, of_worst) = (
        metric.measure(each) for each in (_best(given), given, _worst(given))
    )
    declared = f"higher_is_better={metric.higher_is_better}"
    if sign * best <= sign * worst:
        return f"{declared}, but the best input gives {best:.4g} and the worst one {worst:.4g}"
    low, here, high = (sign * _needed(value).double() for value in (of_worst, found, of_best))  # [U]
    outside = (here > high + _TOLERANCE) | (here < low - _TOLERANCE)
    if outside.any() and not metric.relative:
        user = int(outside.nonzero()[0])
        values = [f"{sign * float(value[user]):.4g}" for value in (here, low, high)]
        return f"{declared}, but user {user} has {values[0]}, {values[1]} at worst and {values[2]} at best"
    return ""


def _best(given: MetricInput) -> MetricInput:
    """Every list begins with the relevant items, and every rating is predicted as it is."""
    changed: dict[str, Any] = {}
    if given.hits is not None and given.num_relevant is not None:
        changed["hits"] = torch.arange(given.hits.shape[1]) < given.num_relevant[:, None]
    elif given.hits is not None:
        changed["hits"] = torch.ones_like(given.hits)
    if given.first_rank is not None:
        changed["first_rank"] = torch.ones_like(given.first_rank)
    if given.gains is not None:
        changed["gains"] = given.gains.sort(1, descending=True).values
    if given.error is not None:
        changed["error"] = torch.zeros_like(given.error)
    return replace(given, **changed, **_of_classes(given, right=True))


def _of_classes(given: MetricInput, *, right: bool) -> dict[str, Any]:
    """Scores and probabilities of one class alone: each user's, or the one after it."""
    if given.label is None:
        return {}
    certain = torch.nn.functional.one_hot((given.label + (not right)) % _CLASSES, _CLASSES).double()
    both = {"score": (given.score, 100 * certain), "probability": (given.probability, certain)}
    return {name: value for name, (before, value) in both.items() if before is not None}


def _worst(given: MetricInput) -> MetricInput:
    """No list has a relevant item, and every prediction is far off."""
    changed: dict[str, Any] = {}
    if given.hits is not None:
        changed["hits"] = torch.zeros_like(given.hits)
    if given.first_rank is not None:
        changed["first_rank"] = torch.full_like(given.first_rank, _ITEMS)
    if given.gains is not None:
        changed["gains"] = torch.zeros_like(given.gains)
    if given.error is not None:
        changed["error"] = torch.full_like(given.error, 1 + float(given.error.abs().max()))
    return replace(given, **changed, **_of_classes(given, right=False))


def _unchanged(metric: Metric, given: MetricInput) -> str:
    before = copy.deepcopy(given)
    first, again = metric.measure(given)[0], metric.measure(given)[0]
    for need in metric.needs:
        one, other = getattr(before, need), getattr(given, need)
        same = torch.equal(one, other) if isinstance(one, Tensor) else (one != other).nnz == 0
        if not same:
            return f"{need} was changed in place"
    return "" if first == again else f"the same input gives {first:.6g} and then {again:.6g}"


def _needed(value: Tensor | None) -> Tensor:
    assert value is not None
    return value


_CHECKS: Mapping[str, Callable[[Metric, MetricInput], str]] = {
    "value": _value,
    "bounds": _bounds,
    "list lengths": _lengths,
    "batch independence": _independence,
    "order of users": _order,
    "direction": _direction,
    "inputs unchanged": _unchanged,
}
