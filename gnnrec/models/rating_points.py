"""Which point of a rating's distribution is predicted: mean, median, or the rating of the mean gain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.models.rating_effects import ratings_of
from gnnrec.runtime import seeds
from gnnrec.training.rating import Predict
from gnnrec.views import Edges, TestSet, TrainingData, UserBatch

FOLDS, BATCH = 5, 1_000
MOST_VALUES = 20
"""Distinct values up to which a median is sought among them."""


@dataclass(frozen=True)
class Point:
    """What a model of means is fitted to, and how its predictions are read.

    A mean errs least in the square, a median in the absolute error, and the order by mean gain has the highest expected
    discounted gain. A median is the step of the mean that `median_cuts` finds: one of the training values, so it is no
    order of items. For gains, the model is fitted to ratings spaced like their gains, 2 ** rating - 1, on the same
    range, and what it predicts is taken back to the rating with that gain: less telling of errors than a mean.

    Source: Gneiting, Making and Evaluating Point Forecasts, JASA 106 (2011), section 1, for mean and median; Cossock,
        Zhang, Statistical Analysis of Bayes Optimal Subset Ranking, IEEE Transactions on Information Theory 54 (2008),
        for gains. Differs: the median is a step function of the predicted mean.

    Attributes:
        predict: which point.
        values: the distinct training values, ascending.
        cuts: for medians, predictions from which on the next value is predicted, ascending; one less than values.
    """

    predict: Predict
    values: tuple[float, ...]
    cuts: tuple[float, ...]

    @classmethod
    def of(
        cls,
        predict: Predict,
        train: TrainingData,
        cuts: Sequence[float] | None = None,
        held_out: TestSet | None = None,
    ) -> "Point":
        """The point of ratings like those in training; without cuts, predictions are rounded to the nearest value.

        Users held out for a choice count as training users: they will be in the final fit, which follows the choice.

        Raises:
            ConfigError: the interactions have no values; or, for medians, too many different ones, or another number
                than the cuts are for.
        """
        found = [ratings_of(train).value]
        if held_out is not None and held_out.ground_truth.weight is not None:
            found.append(held_out.ground_truth.weight.double().numpy())
        values = np.unique(np.concatenate(found))
        if predict == "median" and len(values) > MOST_VALUES:
            raise ConfigError(
                f"model: predict: median needs a scale of at most {MOST_VALUES} different values, and the interactions "
                f"have {len(values)}; choose mean"
            )
        if predict == "median" and cuts is not None and len(cuts) != len(values) - 1:
            raise ConfigError(
                f"model: cut_points: {len(values)} different values need {len(values) - 1} cut points, got {len(cuts)}"
            )
        middle = (values[1:] + values[:-1]) / 2
        return cls(predict, tuple(values.tolist()), tuple((middle if cuts is None else np.asarray(cuts)).tolist()))

    def learned(self, train: TrainingData) -> TrainingData:
        """What the model of means is fitted to."""
        return train if self.predict != "gain" else replace(train, users=self.known(train.users))

    def known(self, users: UserBatch) -> UserBatch:
        """What the model of means gets of users."""
        return users if self.predict != "gain" else replace(users, items=self._spaced(users.items))

    def for_selection(self, held_out: TestSet) -> TestSet:
        """Held-out users to choose on."""
        if self.predict != "gain":
            return held_out
        return replace(held_out, users=self.known(held_out.users), ground_truth=self._spaced(held_out.ground_truth))

    def read(self, means: np.ndarray) -> np.ndarray:
        """The point at each mean that the model predicts; any shape, on the scale of the training values."""
        if self.predict == "mean":
            return means
        if self.predict == "median":
            return np.asarray(self.values)[np.searchsorted(self.cuts, means, side="right")]
        return rating_of_gain(means, self.values[0], self.values[-1])

    def _spaced(self, edges: Edges) -> Edges:
        if edges.weight is None:
            return edges
        return replace(edges, weight=spaced_by_gain(edges.weight.double(), self.values[0], self.values[-1]).float())


def spaced_by_gain(rating: Tensor, low: float, high: float) -> Tensor:
    """Ratings from low to high, moved so that they are as far apart as their gains, 2 ** rating - 1.

    Example:
        >>> spaced_by_gain(torch.tensor([1.0, 2.0, 3.0]), 1, 3)
        tensor([1.0000, 1.6667, 3.0000])
    """
    if low == high:
        return rating
    least = 2.0 ** (low - high)
    spaced: Tensor = low + (high - low) * (torch.exp2(rating - high) - least) / (1 - least)
    return spaced


def rating_of_gain(spaced: np.ndarray, low: float, high: float) -> np.ndarray:
    """Takes `spaced_by_gain` back; values outside low to high are not allowed.

    Example:
        >>> rating_of_gain(np.array([1.0, 5 / 3, 3.0]), 1, 3)
        array([1., 2., 3.])
    """
    if low == high:
        return spaced
    least = 2.0 ** (low - high)
    return np.asarray(high + np.log2(least + (spaced - low) / (high - low) * (1 - least)))


def median_cuts(predicted: np.ndarray, rating: np.ndarray, values: Sequence[float]) -> list[float]:
    """The step function of predictions with the least absolute error.

    The ratings at least as high as a value are separated from those below it by the cut with the fewest errors; a cut
    lies in the middle between two predictions, at the lowest one, or just above the highest.

    Args:
        predicted: [E], by a model that has not seen the ratings.
        rating: [E].
        values: V values that a rating can have, ascending.

    Returns:
        V - 1 predictions, ascending, from which on the next value is predicted.

    Example:
        >>> median_cuts(np.array([2.0, 3.0, 3.2, 4.0]), np.array([1, 1, 2, 2]), [1, 2])
        [3.1]
    """
    order = np.argsort(predicted, kind="stable")
    ordered, lower = predicted[order], rating[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-np.inf))  # equal predictions are not cut apart
    middle = (ordered[starts[1:]] + ordered[starts[1:] - 1]) / 2
    cuts = np.array([ordered[0], *middle, np.nextafter(ordered[-1], np.inf)])
    best = []
    for value in values[1:]:
        # Cut before a prediction: ratings of at least the value below it, and lower ones above it, are errors.
        high = np.concatenate([[0], np.cumsum(lower >= value)])[[*starts, len(order)]]
        low = np.concatenate([[0], np.cumsum(lower < value)])[[*starts, len(order)]]
        best.append(cuts[np.argmin(high + low[-1] - low)])
    return [float(cut) for cut in np.maximum.accumulate(best)]


def fit_point(
    predict: Predict,
    fit: Callable[[TrainingData], None],
    means: Callable[[UserBatch], np.ndarray],
    train: TrainingData,
    seed: int,
) -> Point:
    """Fits a model of means, and finds how its predictions are to be read.

    For medians, the model is fitted five times more, each time without a fifth of the training users; the cuts are
    those of all their ratings together. Nothing was known of these users: the cuts are for users without any rating.

    Args:
        predict: which point.
        fit: fits the model; the last call is the one that counts.
        means: what the fitted model predicts of B users, [B, I].
        train: the training users.
        seed: the run's seed; draws the fifths.

    Raises:
        ConfigError: see `Point.of`.
    """
    point = Point.of(predict, train)
    if predict == "median":
        order = torch.randperm(train.num_users, generator=seeds.generator(seed, "median"))
        pairs = []
        for rows in order.chunk(FOLDS):
            rest, test = train.hold_out(rows.sort().values)
            if len(rest.users.items) and len(test.ground_truth):
                fit(rest)
                pairs.append(predicted_and_rated(means, test))
        if pairs:
            predicted, rated = np.concatenate(pairs, axis=1)
            point = replace(point, cuts=tuple(median_cuts(predicted, rated, point.values)))
    fit(point.learned(train))
    return point


def predicted_and_rated(means: Callable[[UserBatch], np.ndarray], held_out: TestSet) -> np.ndarray:
    """[2, E] float64, what is predicted of the ratings to find, and what they are.

    Args:
        means: the predictions for B users, [B, I].
        held_out: users with E ratings to find.
    """
    pairs = [np.empty((2, 0))]
    for rows in torch.arange(len(held_out.users)).split(BATCH):
        some = held_out.take(rows)
        assert some.ground_truth.weight is not None
        predicted = means(some.users)[some.ground_truth.row.numpy(), some.ground_truth.node.numpy()]
        pairs.append(np.stack([predicted, some.ground_truth.weight.double().numpy()]))
    return np.concatenate(pairs, axis=1)
