"""What the regression counts: the best share, where enough people say so for sure."""

import numpy as np
import pytest

from gnnrec.models.ranking_task import FEWEST, _surely_best


def gaining(people: int, gain: float, noise: float, queries: int = 1, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Of each person so many equal queries, whose second row is better by so much on average."""
    random = np.random.default_rng(seed)
    first = random.random(people)
    spread = random.normal(size=people)
    second = first + gain + noise * (spread - spread.mean())
    quality = np.stack([first, second])
    return np.repeat(quality, queries, axis=1), np.repeat(np.arange(people), queries)


def test_by_hand():
    """Gains .1 and .2 of two people: mean .15, standard error .05."""
    quality, person = np.array([[0.5, 0.1, 0.0], [0.6, 0.3, 0.0]]), np.array([0, 1, 2])
    assert _surely_best(quality[:, :2], person[:2], 0, fewest=2) == 1
    # of the third person .0: mean .1, standard error .1 / sqrt(3)
    assert _surely_best(quality, person, 0, fewest=2) == 1
    # the gains turn to .1, .2 and -.29: mean .0033
    quality[1, 2] -= 0.29
    assert _surely_best(quality, person, 0, fewest=2) == 0


@pytest.mark.parametrize(("people", "chosen"), [(FEWEST - 1, 0), (FEWEST, 1)])
def test_few_people_say_nothing(people, chosen):
    assert _surely_best(*gaining(people, 0.3, 0.1), otherwise=0) == chosen


def test_a_person_with_ten_queries_is_one_person():
    """A gain of .8 standard errors of 40 people is no 2.5 of 400 queries."""
    noise = 1.0
    gain = 0.8 * noise / np.sqrt(40)
    quality, person = gaining(40, gain, noise, queries=10)
    assert _surely_best(quality, np.arange(len(person)), 0) == 1
    assert _surely_best(quality, person, 0) == 0


def test_the_other_row_stays_where_no_row_is_better():
    quality, person = gaining(50, -0.3, 0.1)
    assert _surely_best(quality, person, 0) == 0
    assert _surely_best(quality, person, 1) == 0  # the first row leads by far
    assert _surely_best(np.empty((2, 0)), np.empty(0, np.int64), 1) == 1
