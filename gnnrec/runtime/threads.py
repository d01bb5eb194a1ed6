"""How many threads a computation has, and how they wait for each other."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gnnrec.runtime.waiting import SET

LARGE = 10_000
"""Items from which on a second thread pays: below, products are so small that threads mostly wait for each other."""


@contextmanager
def threads_for(items: int) -> Iterator[int]:
    """While it lasts, torch computes with one thread where the catalogue is small, else with as many as it has.

    Where OMP_NUM_THREADS is set, its threads are taken for every catalogue. The number hangs on the data alone and not
    on how busy the machine is, so that the numbers of a run stay the same. A warning says what to do where several
    threads that spin while they wait meet a busy machine.

    Args:
        items: of the catalogue.

    Yields:
        The number of threads.
    """
    before = torch.get_num_threads()
    number = before if items >= LARGE or "OMP_NUM_THREADS" in os.environ else 1
    if number > 1 and is_busy(number) and not any(name in os.environ for name in SET):
        warnings.warn(
            f"this machine is busy, and {number} threads wait for each other at every product, at worst ten times as "
            "long as they compute; set OMP_WAIT_POLICY=passive in the environment before Python starts, or "
            "OMP_NUM_THREADS=1",
            stacklevel=3,
        )
    torch.set_num_threads(number)
    try:
        yield number
    finally:
        torch.set_num_threads(before)


def is_busy(threads: int) -> bool:
    """Whether other processes kept so many cores busy in the last minute that threads find none of their own."""
    if not hasattr(os, "sched_getaffinity"):  # neither Windows nor macOS says which cores are ours
        return False
    return os.getloadavg()[0] + threads > len(os.sched_getaffinity(0)) + 0.5
