"""Decoders, one file each: what scores a user's items from the encoder's vectors; a config names them by bare name.

A decoder is made by `Decoder(channels, last, **options)` and keeps the contract of `gnnrec.nn.decoder`.
"""

import sys
from typing import Any

from torch import nn

from gnnrec.options.discovery import public_classes

_DECODERS = public_classes(sys.modules[__name__], lambda cls: issubclass(cls, nn.Module))
__all__ = [*_DECODERS]


def __getattr__(name: str) -> Any:
    if name in _DECODERS:
        return _DECODERS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
