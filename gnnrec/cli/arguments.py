"""The configs that arguments of a command name, with the overrides that stand among them."""

from pathlib import Path
from typing import Any

from gnnrec.errors import InputError


def read_configs(arguments: list[str], example: str) -> list[Any]:
    """The configs that arguments name, with the overrides that stand among them."""
    from gnnrec.experiment.config import read_config

    overrides = [a for a in arguments if "=" in a and not Path(a).is_file()]
    configs = [read_config(Path(a), overrides) for a in arguments if a not in overrides]
    if not configs:
        raise InputError(f"no config is given; for example: {example}")
    names = [config.name for config in configs]
    if len(set(names)) < len(names):
        raise InputError(f"two configs are called {max(names, key=names.count)}; what is written has a config's name")
    return configs
