"""Models to beat, one idea per module, all under the contract of `gnnrec.recommender`.

Every public class in this folder that has `fit` and `score` is a baseline, which a config names by its bare name.
"""

import sys
from typing import Any

from gnnrec.options.discovery import public_classes

_BASELINES = public_classes(sys.modules[__name__], lambda cls: hasattr(cls, "fit") and hasattr(cls, "score"))
__all__ = [*_BASELINES]


def __getattr__(name: str) -> Any:
    if name in _BASELINES:
        return _BASELINES[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
