"""What OpenMP's threads do while they wait; must be set before torch is loaded, so nothing here imports it."""

import os
import sys

SET = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables that say how threads wait."""


def wait_passively() -> None:
    """Lets threads that wait give their core to others, unless the environment says how to wait.

    By default they spin. Beside one busy process on two cores, two threads then take three to ten times as long as one.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in SET):
        os.environ["OMP_WAIT_POLICY"] = "passive"
