"""Versions of the libraries that numbers depend on."""

import importlib.metadata
import platform

import torch

from gnnrec.runtime import distributed
from gnnrec.runtime.devices import CPU, Placement

LIBRARIES = ("numpy", "scipy", "scikit-learn", "implicit", "lightfm-next", "irspack")


def versions(placement: Placement = CPU) -> dict[str, str]:
    """Versions that numbers depend on, and the device where that is not the CPU."""
    found = {"python": platform.python_version(), "threads": str(torch.get_num_threads())}
    if placement.device.type != "cpu":
        found["device"] = placement.described()
    if distributed.count() > 1:
        found["processes"] = str(distributed.count())
    for name in ("gnnrec", "torch", "torch-geometric", *LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
