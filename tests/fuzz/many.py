"""How many examples the fuzz tests make, and what they allow: an answer, or an error of one line."""

import os
import warnings
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings

from gnnrec.errors import InputError


def many(examples: int) -> settings:
    """So many examples, the same ones each time; GNNREC_FUZZ times as many, and others each time, by `make fuzz`."""
    times = int(os.environ.get("GNNREC_FUZZ", "1"))
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    return settings(
        max_examples=examples * times,
        deadline=None,
        derandomize=times == 1,
        suppress_health_check=checks,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],  # without shrinking, which takes minutes
    )


def answer(call: Callable[[], Any]) -> tuple[Any, str]:
    """What a call returns and "", or None and the error that a person can mend; any other error is the test's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(), ""
        except InputError as error:
            told = str(error)
    assert told
    assert "\n" not in told, told
    return None, told
