"""What makes a config a smoke run: every loop of its model goes round once."""

from collections.abc import Iterator, Mapping
from typing import Any

from gnnrec.config import NamedConfig

LOOPS = ("epochs", "iterations")


def quick_overrides(config: NamedConfig) -> list[str]:
    """Overrides that cut each count of epochs or iterations in the model's options to one.

    Example:
        >>> list(_loops({"class": "ALS", "iterations": 15, "finetune": {"epochs": 40, "loss": "bpr"}}, "model"))
        ['model.iterations', 'model.finetune.epochs']
    """
    return [f"{key}=1" for key in _loops(config.config.model, "model")]


def _loops(options: Mapping[str, Any], at: str) -> Iterator[str]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _loops(value, f"{at}.{key}")
        elif key in LOOPS and isinstance(value, int) and value > 1:
            yield f"{at}.{key}"
