"""Metrics of items as classes, of which each user has one, and their registration.

Applicants with one of two outcomes, or messages with one of many intents, are users with one item each: what is ranked
are the classes. A metric is given every class's score, so catalogues are small.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from gnnrec.evaluation.metrics.metric import Metric

BINS = 10
"""Of probabilities, of a calibration error."""


def class_accuracy(score: Tensor, label: Tensor) -> Tensor:
    """Whether the class with the highest score is the user's; where n share the highest, it has a chance of 1/n.

    Source: Casanueva, Temcinas, Gerz, Henderson, Vulic, "Efficient Intent Detection with Dual Sentence Encoders",
        NLP4ConvAI 2020, for intents.

    Args:
        score: [U, C] of each class.
        label: [U] int64, the user's class.

    Returns:
        [U] float32 in [0, 1].

    Example:
        >>> class_accuracy(torch.tensor([[0.1, 0.9], [0.5, 0.5]]), torch.tensor([1, 0]))
        tensor([1.0000, 0.5000])
    """
    best = score == score.max(dim=1, keepdim=True).values
    return best.gather(1, label[:, None])[:, 0].float() / best.sum(1)


def macro_f1(score: Tensor, label: Tensor) -> float:
    """The mean over classes of the harmonic mean of precision and recall; of equal scores the first class is taken.

    Source: Yang, Liu, "A re-examination of text categorization methods", SIGIR 1999. A class that no user has and that
        no user is given is left out.

    Args:
        score: [U, C] of each class.
        label: [U] int64, the user's class.

    Returns:
        In [0, 1].

    Example:
        >>> score = torch.tensor([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.3, 0.7, 0]])
        >>> round(macro_f1(score, torch.tensor([0, 1, 1])), 4)  # 2/3 of the first, 2/3 of the second
        0.6667
    """
    classes, given = score.shape[1], score.argmax(dim=1)
    right = torch.bincount(label[given == label], minlength=classes)
    both = torch.bincount(label, minlength=classes) + torch.bincount(given, minlength=classes)
    return float((2 * right[both > 0] / both[both > 0]).mean())


def auc(score: Tensor, label: Tensor) -> Tensor:
    """Values whose mean is the area under the ROC curve, and whose spread over users is that of DeLong's test.

    Of two classes it is the chance that a user of one class is likelier to be of it than a user of the other, ties
    counting half; of more the mean over classes of one against the rest, weighted by their users. What a user adds
    hangs on all others: as one of its class, above so many of the rest, and as one of the rest of every other class.
    Each part is taken against its mean and multiplied so that a mean over drawn users varies as the area does; so a
    value may lie below 0 or above 1.

    Source: DeLong, DeLong, Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
        characteristic curves", Biometrics 44, 1988, equations 3 and 4; Hanley, McNeil, Radiology 143, 1982.

    Args:
        score: [U, C] logarithms of what is proportional to a user's probabilities.
        label: [U] int64, the user's class.

    Returns:
        [U] float64; 0.5 where no user is of another class.

    Example:
        >>> score = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        >>> float(auc(score, torch.tensor([0, 0, 1])).mean())  # of two pairs one is in order
        0.5
    """
    chance = score.double().log_softmax(1)
    size = torch.bincount(label, minlength=score.shape[1])
    if int(size.max()) == len(label):
        return torch.full((len(label),), 0.5, dtype=torch.float64)
    value = torch.zeros(len(label), dtype=torch.float64)
    for one in size.nonzero().flatten().tolist():
        own = label == one
        of_class, others = chance[own, one].contiguous(), chance[~own, one].contiguous()
        below, above = _share_below(of_class, others), 1 - _share_below(others, of_class)
        value[own] += below
        value[~own] += len(of_class) / len(others) * (above - above.mean())
    return value


def _share_below(value: Tensor, others: Tensor) -> Tensor:
    """[V], the share of others that is smaller than each value; equal ones count half."""
    ordered = others.sort().values
    low, high = (torch.searchsorted(ordered, value, right=right) for right in (False, True))
    return (low + high).double() / (2 * len(others))


def ks(score: Tensor, label: Tensor) -> float:
    """The largest distance between the distributions of a class's probability among its users and among the others.

    Source: the statistic of Kolmogorov and Smirnov, as scorecards report it (Thomas, Edelman, Crook, "Credit Scoring
        and Its Applications", 2002, section 7.4). Of more than two classes, the mean weighted by their users.

    Args:
        score: [U, C] logarithms of what is proportional to a user's probabilities.
        label: [U] int64, the user's class.

    Returns:
        In [0, 1]; 0 where all users are of one class.

    Example:
        >>> score = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 3.0]])
        >>> ks(score, torch.tensor([0, 0, 1, 1]))
        0.5
    """
    chance, total = score.double().log_softmax(1), 0.0
    for one in label.unique():
        own = label == one
        if own.all():
            return 0.0
        both = chance[:, one].unique()
        shares = [
            torch.searchsorted(part.sort().values, both, right=True).double() / len(part)
            for part in (chance[own, one], chance[~own, one])
        ]
        total += float((shares[0] - shares[1]).abs().max()) * float(own.double().mean())
    return total


def brier(probability: Tensor, label: Tensor) -> Tensor:
    """Half of the squared differences between probabilities and what happened, over the classes.

    Source: Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950,
        equation 2. Differs: halved, so that of two classes it is the squared error of one probability.

    Args:
        probability: [U, C], rows that add up to 1.
        label: [U] int64, the user's class.

    Returns:
        [U] float64 in [0, 1].

    Example:
        >>> brier(torch.tensor([[0.75, 0.25]]), torch.tensor([1])).tolist()
        [0.5625]
    """
    happened = functional.one_hot(label, probability.shape[1])
    return (probability.double() - happened).square().sum(1) / 2


def log_loss(probability: Tensor, label: Tensor) -> Tensor:
    """Minus the logarithm of the probability of the user's class; one below 1e-12 counts as that.

    Source: Good, "Rational Decisions", Journal of the Royal Statistical Society B 14, 1952, section 8.

    Args:
        probability: [U, C], rows that add up to 1.
        label: [U] int64, the user's class.

    Returns:
        [U] float64, at least 0.
    """
    return -probability.double().gather(1, label[:, None])[:, 0].clamp(min=1e-12).log()


def calibration_error(probability: Tensor, label: Tensor) -> float:
    """How far the probability of the likeliest class lies from how often it is right: ten bins, weighted by users.

    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, equation 5.

    Args:
        probability: [U, C], rows that add up to 1.
        label: [U] int64, the user's class.

    Returns:
        In [0, 1].

    Example:
        >>> round(calibration_error(torch.tensor([[0.75, 0.25], [0.75, 0.25]]), torch.tensor([0, 1])), 4)
        0.25
    """
    sure, given = probability.double().max(dim=1)
    place = (sure * BINS).ceil().long().clamp(1, BINS) - 1
    missed = torch.zeros(BINS, dtype=torch.float64).index_add(0, place, (given == label).double() - sure)
    return float(missed.abs().sum() / len(label))


_of_scores = partial(Metric, needs=("score", "label"), higher_is_better=True, takes_length=False)
_of_probabilities = partial(Metric, needs=("probability", "label"), higher_is_better=False, takes_length=False)
METRICS = (
    _of_scores(name="auc", function=auc, relative=True),
    _of_scores(name="class_accuracy", function=class_accuracy, bounds=(0, 1)),
    _of_scores(name="macro_f1", function=macro_f1, mean_over=None, bounds=(0, 1)),
    _of_scores(name="ks", function=ks, mean_over=None, bounds=(0, 1)),
    _of_probabilities(name="brier", function=brier, bounds=(0, 1)),
    _of_probabilities(name="log_loss", function=log_loss),
    _of_probabilities(name="calibration_error", function=calibration_error, mean_over=None, bounds=(0, 1)),
)
