"""Waiting for what another process does, not for a time by the clock."""

import time
from collections.abc import Callable
from typing import Any


def wait_for(what: Callable[[], bool], process: Any) -> None:
    """Returns once `what` holds; fails when the process has ended without it, however long that takes.

    Args:
        what: looked at again and again.
        process: of `subprocess` or `multiprocessing`.
    """
    while not what():
        ended = process.poll() is not None if hasattr(process, "poll") else not process.is_alive()
        assert not ended or what(), "the process ended before"
        time.sleep(0.01)
