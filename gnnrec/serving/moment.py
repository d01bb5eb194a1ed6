"""The moment of a request: nothing that is known of a user lies after it."""

import time

import numpy as np

from gnnrec.data.times import moment
from gnnrec.serving.vocabulary import Vocabulary


def latest(vocabulary: Vocabulary, at: int | str | None) -> int | None:
    """The last time that a known interaction may have.

    Args:
        vocabulary: of the model.
        at: the moment of the request, a number in the data's unit of time or a date; None for now.

    Returns:
        That moment; None where the data's times are no seconds since 1970, so that nobody knows what now is: where
        training has none, or some that are later than the clock.

    Raises:
        ConfigError: it is neither a number nor a date.
    """
    if at is not None:
        return moment(at, "--at")
    now = int(time.time())
    return now if vocabulary.last_time is not None and vocabulary.last_time <= now else None


def in_the_future(when: np.ndarray, limit: int | None) -> np.ndarray:
    """[R] bool, which times ([R] int64) are after the limit."""
    return np.zeros(len(when), dtype=bool) if limit is None else when > limit


FUTURE = "is in the future: after {limit}, the moment of the request; leave the row out, or name the moment with {at}"
