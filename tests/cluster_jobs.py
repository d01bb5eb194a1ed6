"""What workers of a cluster do in tests; nothing here is slow to import."""

import os
import signal
import time
from pathlib import Path

from gnnrec.errors import InputError


def twice(number: int, folder: Path) -> tuple[int, str]:
    """The double, and with how many threads; it waits until two processes have begun one."""
    (folder / f"{number}").write_text(str(os.getpid()))
    while len({path.read_text() for path in folder.iterdir()}) < 2:
        time.sleep(0.02)
    return 2 * number, os.environ["OMP_NUM_THREADS"]


def dies(number: int, folder: Path, times: int) -> int:
    """Kills its own process the first few times, as one that runs out of memory is killed."""
    begun = len(list(folder.glob(f"{number}-*")))
    (folder / f"{number}-{begun}").write_text("")
    if begun < times:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def complains(number: int) -> int:
    if number == 1:
        raise InputError("the second one: mend it")
    return number


def breaks(number: int) -> int:
    return 1 // (1 - number)


def holds(number: int, folder: Path, first: bool) -> int:
    """The first three wait until a node has been killed, but for the first of them."""
    while first and number and not (folder / "go").exists():
        time.sleep(0.05)
    return number
