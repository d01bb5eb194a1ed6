"""What makes a config a smoke run: few users, and small models whose training goes round once."""

from collections.abc import Iterator, Mapping
from typing import Any

from gnnrec.experiment.config import NamedConfig

SMALL = {
    "epochs": 1,
    "iterations": 1,
    "members": 1,
    "choose_on": 1,
    "channels": 16,
    "queries": 32,
    "max_inputs": 300,
    "max_items": 1000,
}
"""Options of models that time hangs on, wherever they stand -> the most that a smoke run has."""
SHARES = {"test": 0.01, "validation": 0.01, "train_share": 0.05, "folds": "null", "fold": "null"}
LARGE = ("ta-feng-next",)
"""Protocols that a smoke run leaves out unless it names them: a split by time cannot be cut to few users, and these
have many; `ml-100k-next` goes the same way."""
ALIKE = (
    *("hetrec-lastfm-1", "hetrec-lastfm-10", "hetrec-lastfm-friends", "hetrec-lastfm-tags", "filmtrust"),
    *("ta-feng", "ta-feng-shots", "ml-1m-items-all", "ml-1m-shots", "ml-1m-ablation"),
    *("ml-100k-agnn", "ml-1m-ratings", "ml-1m-rated", "ml-1m-groups"),
    *("german-credit", "german-credit-50", "german-credit-200", "banking77", "banking77-1", "banking77-10"),
    *("ml-1m-federated", "ta-feng-privacy"),
)
"""Protocols that a smoke run leaves out unless it names them: the same rows as in another protocol, on other data."""
TRANSFERS = ("ml-100k-transfer-20", "filmtrust-transfer-5")
"""Protocols of transfer that a smoke run has; the others go the same way, and their encoders take minutes."""
TWINS = (
    *("blend-als", "blend-bpr", "blend-irspack", "blend-sasrec", "content-ridge-posters", "graphsage-posters"),
    *(f"private-{name}-{budget}" for name in ("graphsage", "moments", "popularity") for budget in (1, 2, 8, "inf")),
    *("graphsage-dpp", "graphsage-plackett-luce", "graphsage-hidden", "graphsage-balanced-twice"),
)
"""Rows that a smoke run leaves out: they differ from another row in a component that has a row too, in pictures, or in
one number."""
EARLY = {"test": 0.7, "validation": 0.5}
"""Of a split by time: what trains ends early."""


def is_left_out(protocol: str) -> bool:
    """Whether a smoke run leaves a protocol out unless it names it."""
    return protocol in (*LARGE, *ALIKE) or ("-transfer-" in protocol and protocol not in TRANSFERS)


def quick_overrides(config: NamedConfig) -> list[str]:
    """Overrides that make the model small, and cut users to a share where that can be.

    Example:
        >>> list(_small({"class": "ALS", "iterations": 15, "finetune": {"epochs": 40, "loss": "bpr"}}, "model"))
        ['model.iterations=1', 'model.finetune.epochs=1']
    """
    split = config.config.split
    few = SHARES if hasattr(split, "train_share") else EARLY if split.kind == "temporal" else {}
    return [*_small(config.config.model, "model"), *(f"split.{key}={value}" for key, value in few.items())]


def _small(options: Mapping[str, Any], at: str) -> Iterator[str]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _small(value, f"{at}.{key}")
        elif key in SMALL and isinstance(value, int) and value > SMALL[key]:
            yield f"{at}.{key}={SMALL[key]}"
