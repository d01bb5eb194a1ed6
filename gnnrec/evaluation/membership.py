"""Membership inference: from what shadow models answer about users to how well members can be told from others."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm, rankdata
from torch import Tensor

from gnnrec.views import Edges

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SMALLEST = 1e-6
"""Standard deviations of a statistic are taken as at least this: a deterministic model has none."""
LEAST = 1e-3
"""Of a uniform probability, what each item is taken to have at least."""
FEW_MODELS = 64
"""Below so many shadow models, the users share one variance of members and one of others."""
RESOLVED = 5
"""Answers on non-members that must lie above a threshold; a smaller false positive rate cannot be measured."""


def history_statistic(scores: Tensor, ranked: Tensor, history: Edges, *, log_scores: bool) -> Tensor:
    """How high a model places a user's own items: the attacker's view of the model's loss on the user.

    Of scores that are logarithms, the mean logarithm of the softmax at the user's items, each at least that of
    `LEAST` times a uniform probability: some models rule out what nobody chose, and one such item would hide the rest.
    Other scores have no probability: of each item its rank r of n (ties share the mean of their ranks), and the mean of
    log((n - r + .5) / (r - .5)), which is to ranks what Carlini et al.'s logit is to probabilities.

    Args:
        scores: [B, I].
        ranked: [I] bool, the items that are ranked: those of the population, whether or not the model has met them.
        history: of the B users, ranked items alone.
        log_scores: whether scores are logarithms of unnormalised probabilities.

    Returns:
        [B] float64, higher for a history that fits better; NaN for a user without items.

    Example:
        >>> edges = Edges(torch.tensor([0, 0]), torch.tensor([0, 1]))
        >>> scores = torch.tensor([[0.75, 0.25, 0.5]]).log()
        >>> ranked = torch.tensor([True, True, False])
        >>> history_statistic(scores, ranked, edges, log_scores=True).exp()  # root of .75 * .25
        tensor([0.4330], dtype=torch.float64)
    """
    column, own = ranked.cumsum(0) - 1, scores[:, ranked].double()
    if log_scores:
        value = own.log_softmax(1).clamp(min=math.log(LEAST / own.shape[1]))
    else:
        rank = torch.from_numpy(rankdata(-own.numpy(), axis=1))
        value = ((own.shape[1] - rank + 0.5) / (rank - 0.5)).log()
    each = value[history.row, column[history.node]]
    total = torch.zeros(len(scores), dtype=torch.float64).index_add_(0, history.row, each)
    return total / torch.bincount(history.row, minlength=len(scores))


def lira(statistic: Floats, member: Mask, *, online: bool = True) -> Floats:
    """Scores of the likelihood-ratio attack: each shadow model is attacked with the help of all the others.

    Of each user, the statistic of models that were fitted with the user and of those fitted without is taken as normal.
    Online, the score is the logarithm of the ratio of the two densities at the attacked model's statistic; offline, how
    many standard deviations it lies above the mean of the models without the user.

    Source: Carlini, Chien, Nasr, Song, Terzis, Tramer, "Membership Inference Attacks From First Principles", IEEE
        S&P 2022, Algorithm 1 (online) and section VI-E (offline, of one side). Differs: the attacked model is one of
        the shadow models, left out in its turn; the statistic is the caller's, a mean over all items of a user, where
        theirs is one logit.

    Args:
        statistic: [S, U], of each model and user.
        member: [S, U] bool, whether the model was fitted with the user.
        online: whether the models with the user are used, too.

    Returns:
        [S, U], higher for a member; NaN where no other model was fitted without the user, or online none with it, or
        where there is no variance. The variance is that of the user's own models where there are `FEW_MODELS` models,
        and else one of all users, as in section VI-C of the source.

    Example:
        >>> statistic = np.array([[-1.0], [-1.2], [-1.3], [-3.0], [-3.4], [-3.5]])
        >>> member = np.array([[True], [True], [True], [False], [False], [False]])
        >>> (lira(statistic, member) > 0).flatten().tolist()
        [True, True, True, False, False, False]
    """
    statistic = statistic - statistic[0]  # moves no difference; where all models agree, exactly zero
    mean_out, deviation_out = _of_others(statistic, ~member)
    if not online:
        return (statistic - mean_out) / deviation_out
    mean_in, deviation_in = _of_others(statistic, member)
    inside = norm.logpdf(statistic, mean_in, deviation_in)
    outside = norm.logpdf(statistic, mean_out, deviation_out)
    return np.asarray(inside - outside)


def _of_others(statistic: Floats, among: Mask) -> tuple[Floats, Floats]:
    """[S, U] each, mean and standard deviation over those of the other models that are marked."""
    models = len(statistic)
    count = among.sum(0) - among.astype(np.float64)  # [S, U], marked ones among the others
    marked = np.where(among, statistic, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(count > 0, (marked.sum(0) - marked) / count, np.nan)
    squares = np.empty_like(mean)  # sums of squared distances from the mean
    for model in range(models):
        others = among.copy()
        others[model] = False
        squares[model] = np.where(others, (statistic - mean[model]) ** 2, 0.0).sum(0)
    freedom = np.maximum(count - 1, 0)
    if models < FEW_MODELS:
        squares, freedom = squares.sum(1, keepdims=True), freedom.sum(1, keepdims=True)
    deviation = np.where(freedom > 0, np.sqrt(squares / np.maximum(freedom, 1)), np.nan)
    return mean, np.broadcast_to(np.maximum(deviation, SMALLEST), mean.shape)


@dataclass(frozen=True)
class AttackQuality:
    """How well an attack's scores tell members from others.

    Attributes:
        auc: chance that a member has a higher score than another user, ties counted half; .5 is guessing.
        auc_low: lower end of its 95 % interval, with models and users drawn.
        auc_high: upper end.
        tpr: false positive rate -> share of members above the lowest threshold that so few others are above; None where
            fewer than `RESOLVED` answers on others would be.
        tpr_low: the same, lower end of its 95 % interval.
        tpr_high: the same, upper end.
        balanced_accuracy: mean of the shares of members and of others who are told right, by a threshold that is chosen
            on the other models.
        answers: pairs of a model and a user that were measured.
        left_out: pairs without a score.
    """

    auc: float
    auc_low: float
    auc_high: float
    tpr: Mapping[str, float | None]
    tpr_low: Mapping[str, float | None]
    tpr_high: Mapping[str, float | None]
    balanced_accuracy: float
    answers: int
    left_out: int


def attack_quality(
    score: Floats, member: Mask, rates: tuple[float, ...] = (0.01, 0.001), *, draws: int = 1000, seed: int = 0
) -> AttackQuality:
    """Measures an attack over all pairs of a model and a user, with one threshold for all of them.

    Source: the interval is Owen, Eckles, "Bootstrapping data arrays of arbitrary order", Annals of Applied Statistics
        2012: models and users are drawn, each with replacement. The models are shadow models of each other, so they
        are not independent: the interval says what other users and other halves would change, no more.

    Args:
        score: [S, U], higher for a member; NaN for a pair that is left out.
        member: [S, U] bool.
        rates: false positive rates.
        draws: of the bootstrap.
        seed: of these draws.

    Raises:
        ValueError: there is no member or no other user among the pairs.

    Example:
        >>> found = attack_quality(np.array([[2.0, 1.0], [0.0, 2.0]]), np.array([[True, False], [False, True]]))
        >>> found.auc, found.balanced_accuracy
        (1.0, 1.0)
    """
    there = ~np.isnan(score)
    if not (member & there).any() or not (~member & there).any():
        raise ValueError("members and other users must both be among the pairs that have a score")
    curve = _Curve(score[there], member[there])
    auc, tpr = curve.measured(np.ones((1, int(there.sum()))), rates)
    place = np.nonzero(there)
    others = int((~member & there).sum())
    resolved = [rate * others >= RESOLVED for rate in rates]
    drawn = [curve.measured(weight, rates) for weight in _drawn(score.shape, place, draws, seed)]
    aucs, tprs = np.concatenate([one for one, _ in drawn]), np.concatenate([many for _, many in drawn])
    low, high = np.nanquantile(aucs, [0.025, 0.975])
    tpr_low, tpr_high = np.nanquantile(tprs, [0.025, 0.975], axis=0)

    def named(values: Floats) -> dict[str, float | None]:
        return {f"{rate:g}": float(v) if ok else None for rate, v, ok in zip(rates, values, resolved, strict=True)}

    return AttackQuality(
        auc=float(auc[0]),
        auc_low=float(low),
        auc_high=float(high),
        tpr=named(tpr[0]),
        tpr_low=named(tpr_low),
        tpr_high=named(tpr_high),
        balanced_accuracy=_balanced_accuracy(score, member),
        answers=int(there.sum()),
        left_out=int((~there).sum()),
    )


class _Curve:
    """Scores in falling order, equal ones together, to be measured with several weights of the pairs."""

    def __init__(self, score: Floats, member: Mask) -> None:
        self._order = np.argsort(-score, kind="stable")
        falling = score[self._order]
        self._start = np.flatnonzero(np.r_[True, falling[1:] != falling[:-1]])  # first of each distinct score
        self._member = member[self._order].astype(np.float64)

    def measured(self, weight: Floats, rates: tuple[float, ...]) -> tuple[Floats, Floats]:
        """[D] AUC and [D, R] true positive rates, with weights [D, P] of the pairs; NaN where one side has none."""
        weight = weight[:, self._order]
        hits = np.add.reduceat(weight * self._member, self._start, axis=1)  # [D, distinct scores]
        alarms = np.add.reduceat(weight * (1 - self._member), self._start, axis=1)
        with np.errstate(invalid="ignore"):
            above, below = hits.cumsum(1), alarms.cumsum(1)
            auc = ((above - hits / 2) * alarms).sum(1) / (above[:, -1] * below[:, -1])
            true, false = above / above[:, -1:], below / below[:, -1:]
        tpr = [np.where(false <= rate, true, 0.0).max(1) for rate in rates]
        return auc, np.stack(tpr, axis=1)


def _drawn(shape: tuple[int, ...], place: tuple[NDArray[np.int64], ...], draws: int, seed: int) -> Iterator[Floats]:
    """[D, P] weights of the pairs, part by part: how often its model and its user were drawn, multiplied."""
    random, (models, users) = np.random.default_rng(seed), shape
    for first in range(0, draws, 50):
        size = min(50, draws - first)
        of_model = random.multinomial(models, np.full(models, 1 / models), size=size)
        of_user = random.multinomial(users, np.full(users, 1 / users), size=size)
        yield (of_model[:, place[0]] * of_user[:, place[1]]).astype(np.float64)


def _balanced_accuracy(score: Floats, member: Mask) -> float:
    """Each model's users are told by the threshold that is best for the other models; of one model, by its own."""
    there, told = ~np.isnan(score), np.zeros_like(member)
    for model in range(len(score)):
        others = there.copy()
        others[model] = len(score) == 1
        told[model] = score[model] >= _best_threshold(score[others], member[others])
    return float((told[member & there].mean() + (~told)[~member & there].mean()) / 2)


def _best_threshold(score: Floats, member: Mask) -> float:
    """The score from which on users are called members, where that is right most often, both sides counted alike."""
    order = np.argsort(-score, kind="stable")
    falling, is_member = score[order], member[order]
    true = is_member.cumsum() / max(int(is_member.sum()), 1)
    false = (~is_member).cumsum() / max(int((~is_member).sum()), 1)
    last = np.r_[falling[1:] != falling[:-1], True]  # of equal scores, none can be left out
    return float(falling[np.where(last, true - false, -np.inf).argmax()])
