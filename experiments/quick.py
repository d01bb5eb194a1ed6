"""What makes a config a smoke run: few users are learned from and asked about, and every loop goes round once."""

from collections.abc import Iterator, Mapping
from typing import Any

from gnnrec.config import NamedConfig
from gnnrec.split import UnseenUsers

ONCE = ("epochs", "iterations", "members", "choose_on")
"""Options that make a model go round more often."""
SHARES = {"test": 0.02, "validation": 0.1, "train_share": 0.05}


def quick_overrides(config: NamedConfig) -> list[str]:
    """Overrides that cut each count of rounds in the model's options to one, and users to a share where that can be.

    Example:
        >>> list(_rounds({"class": "ALS", "iterations": 15, "finetune": {"epochs": 40, "loss": "bpr"}}, "model"))
        ['model.iterations', 'model.finetune.epochs']
    """
    split = config.config.split
    few = {**SHARES, "folds": "null", "fold": "null"} if isinstance(split, UnseenUsers) else {}
    return [f"{key}=1" for key in _rounds(config.config.model, "model")] + [f"split.{k}={v}" for k, v in few.items()]


def _rounds(options: Mapping[str, Any], at: str) -> Iterator[str]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _rounds(value, f"{at}.{key}")
        elif key in ONCE and isinstance(value, int) and value > 1:
            yield f"{at}.{key}"
