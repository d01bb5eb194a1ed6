"""An audit from below: how well can the presence of one planted user be told from what a model has learned?"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.stats import beta

from gnnrec.recommender import Recommender
from gnnrec.views import Edges, EdgeType, TrainingData, UserBatch

CONFIDENCE = 0.95


def canary(train: TrainingData, values: dict[EdgeType, Sequence[int]], items: Sequence[int]) -> UserBatch:
    """A made-up user with some attribute values and a history.

    Args:
        train: whose relations it has.
        values: relation -> attribute values; of a relation that is left out, none.
        items: its history. What nobody else has chosen is the easiest to find again.
    """

    def edges(nodes: Sequence[int]) -> Edges:
        node = torch.tensor(list(nodes), dtype=torch.int64)
        return Edges(torch.zeros_like(node), node)

    return UserBatch(torch.tensor([-1]), edges(items), {t: edges(values.get(t, ())) for t in train.users.relations})


def planted(train: TrainingData, user: UserBatch) -> TrainingData:
    """The training data with one user more."""
    users = UserBatch.join([replace(train.users, features=()), user])
    candidates = train.candidates.clone()
    candidates[user.items.node] = True
    return replace(train, users=users, candidates=candidates)


def log_likelihood(model: Recommender, user: UserBatch) -> float:
    """Mean log-probability of a user's history given the rest that is known of it, from the model's scores.

    Source: Yeom, Giacomelli, Fredrikson, Jha, "Privacy Risk in Machine Learning", CSF 2018: membership is guessed from
        the loss.
    """
    with torch.no_grad():
        unknown = replace(user, items=user.items.take(torch.empty(0, dtype=torch.int64)))
        scores = model.score(unknown)[0].log_softmax(0)
    return float(scores[user.items.node].mean())


def guesses(
    make: Callable[[], Recommender], train: TrainingData, user: UserBatch, trials: int, seed: int
) -> tuple[list[float], list[float]]:
    """`log_likelihood` of a planted user after trainings with it and without it, each with noise of its own.

    Args:
        make: a model that is not fitted.
        train: the data without the user.
        user: see `canary`.
        trials: trainings of either kind.
        seed: the first one of 2 x trials seeds.
    """
    both: tuple[list[float], list[float]] = ([], [])
    for found, data, first in zip(both, (planted(train, user), train), (seed, seed + trials), strict=True):
        for number in range(trials):
            model = make()
            model.fit(data, None, first + number)
            found.append(log_likelihood(model, user))
    return both


def epsilon_from_below(inside: Sequence[float], outside: Sequence[float], delta: float) -> float:
    """An epsilon that training exceeds with a confidence of 95 %, from how well two worlds can be told apart.

    Whoever guesses "with the user" from a statistic above a threshold is right in a share p of the trainings with the
    user and wrong in a share q of those without. Under (epsilon, delta)-differential privacy p <= exp(epsilon) q +
    delta, and 1 - q <= exp(epsilon) (1 - p) + delta. The threshold is chosen on the first half of the trainings; on the
    second half, Clopper-Pearson intervals bound p from below and q from above, both together with the confidence.

    Source: Jagielski, Ullman, Oprea, "Auditing Differentially Private Machine Learning", NeurIPS 2020, section 3.
        Differs: the threshold is chosen on trainings that the bound does not use.

    Args:
        inside: a statistic of each training with the user; its direction does not matter.
        outside: of each training without, at least 2 of either.
        delta: of the claim.

    Returns:
        At least 0. An estimate above the claimed epsilon refutes the claim; one below it proves nothing.

    Example:
        >>> round(epsilon_from_below([1.0] * 200, [0.0] * 200, 1e-6), 2)  # 100 of 100, and none of 100
        3.28
        >>> epsilon_from_below([0.0, 1.0] * 100, [0.0, 1.0] * 100, 1e-6)
        0.0
    """
    one, other = np.asarray(inside, dtype=float), np.asarray(outside, dtype=float)
    if np.mean(one[: len(one) // 2]) < np.mean(other[: len(other) // 2]):
        one, other = -one, -other
    first, second = ((x[: len(x) // 2], x[len(x) // 2 :]) for x in (one, other))
    thresholds = np.unique(np.concatenate([first[0], second[0]]))
    best = thresholds[_bounds(first[0], second[0], thresholds, delta).argmax()]
    return float(_bounds(first[1], second[1], np.array([best]), delta)[0])


def _bounds(inside: np.ndarray, outside: np.ndarray, thresholds: np.ndarray, delta: float) -> np.ndarray:
    """[T], epsilon from below by guessing "with the user" at each threshold and above, at least 0.

    Each of the two bounds of Clopper and Pearson holds with one minus half of what may fail, and so do both.
    """
    miss = (1 - CONFIDENCE) / 2
    right, wrong = (len(x) - np.searchsorted(np.sort(x), thresholds) for x in (inside, outside))
    low = np.where(right > 0, beta.ppf(miss, np.maximum(right, 1), len(inside) - right + 1), 0.0)
    high = np.where(wrong < len(outside), beta.ppf(1 - miss, wrong + 1, np.maximum(len(outside) - wrong, 1)), 1.0)
    ratio = np.maximum((low - delta) / high, (1 - high - delta) / (1 - low))
    found: np.ndarray = np.log(np.maximum(ratio, 1.0))
    return found
