"""The configs that arguments of a command name, with the overrides that stand among them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from gnnrec.cli.console import line
from gnnrec.errors import InputError

Made = TypeVar("Made")


def config_paths(arguments: list[str], example: str) -> tuple[list[Path], list[str]]:
    """The paths of the configs, and the overrides.

    Raises:
        InputError: no config is named.
    """
    overrides = [a for a in arguments if "=" in a and not Path(a).is_file()]
    paths = [Path(a) for a in arguments if a not in overrides]
    if not paths:
        raise InputError(f"no config is given; for example: {example}")
    return paths, overrides


def refuse_namesakes(configs: list[Any]) -> None:
    """Of two configs of one name, each would write into the other's folder."""
    names = [config.name for config in configs]
    if len(set(names)) < len(names):
        raise InputError(f"two configs are called {max(names, key=names.count)}; what is written has a config's name")


def each(things: Iterable[Any], make: Callable[[Any], Made], name: Callable[[Any], str]) -> tuple[list[Made], bool]:
    """What could be made of each thing, and whether that is all; what could not says why in a line.

    A single thing that cannot be made is the whole command's error.
    """
    things, made, failed = list(things), [], False
    for thing in things:
        try:
            made.append(make(thing))
        except InputError as error:
            if len(things) == 1:
                raise
            said = str(error)
            line(f"error: {said}" if name(thing) in said else f"error: {name(thing)}: {said}")
            failed = True
    return made, not failed


def parse_seeds(text: str | None) -> list[int]:
    """The seeds that `--seeds` names; none where it is left out.

    Raises:
        InputError: it is no list of different whole numbers, or one is out of range.
    """
    if text is None:
        return []
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--seeds: {text!r} is no list of whole numbers; write for example --seeds 0,1,2") from None
    if min(seeds) < 0 or max(seeds) >= 2**32 or len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds: {text!r}; each seed must be from 0 to {2**32 - 1} and stand there once")
    return seeds
