"""Our own graph layers, one file each: every public layer in this folder can be named in a config by its bare name.

Layers of torch_geometric.nn are used as they are.
"""

import sys
from typing import Any

from torch import nn

from gnnrec.options.discovery import public_classes

_LAYERS = public_classes(sys.modules[__name__], lambda cls: issubclass(cls, nn.Module))
__all__ = [*_LAYERS]


def __getattr__(name: str) -> Any:
    if name in _LAYERS:
        return _LAYERS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
