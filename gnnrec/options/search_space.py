"""What a search may try of each option, declared beside each model: `search_space = {"epochs": Integer(1, 9)}`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Choice:
    """One of a few values, without an order."""

    values: Sequence[Any]
    when: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    """Option -> value that the config must have for this one to have any effect."""

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Every value."""
        return tuple(self.values)

    def holds(self, value: Any) -> bool:
        """Whether a value is among those that may be tried."""
        return any(value == known and type(value) is type(known) for known in self.values)

    def suggest(self, trial: Any, name: str) -> Any:
        """A value for an Optuna trial."""
        return trial.suggest_categorical(name, list(self.values))


@dataclass(frozen=True)
class Integer:
    """A whole number from `low` to `high`, both included; with `log`, small differences between small ones count."""

    low: int
    high: int
    log: bool = False
    when: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    """As in `Choice`."""

    @property
    def extremes(self) -> tuple[Any, ...]:
        """The two ends."""
        return (self.low, self.high)

    def holds(self, value: Any) -> bool:
        """As in `Choice`."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def suggest(self, trial: Any, name: str) -> int:
        """A value for an Optuna trial."""
        return int(trial.suggest_int(name, self.low, self.high, log=self.log))


@dataclass(frozen=True)
class Uniform:
    """A number from `low` to `high`; values have three digits, so that a config stays readable."""

    low: float
    high: float
    when: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    """As in `Choice`."""
    log = False

    @property
    def extremes(self) -> tuple[Any, ...]:
        """The two ends."""
        return (self.low, self.high)

    def holds(self, value: Any) -> bool:
        """As in `Choice`."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def suggest(self, trial: Any, name: str) -> float:
        """A value for an Optuna trial."""
        return float(f"{trial.suggest_float(name, self.low, self.high, log=self.log):.3g}")


@dataclass(frozen=True)
class Log(Uniform):
    """As `Uniform`, but even over the logarithm; `low` is above 0."""

    log = True


SearchSpace: TypeAlias = Mapping[str, Choice | Integer | Uniform]
"""Dotted option of a model's constructor -> what to try. What a model may see of the data (`attributes`, `friends`) is
the protocol's to say, and no option to search."""


def conditional(space: SearchSpace, when: Mapping[str, Any]) -> SearchSpace:
    """The same options, searched only where the config has these values."""
    return {name: replace(option, when=when) for name, option in space.items()}


def searched(cls: type, options: Mapping[str, Any]) -> dict[str, Choice | Integer | Uniform]:
    """The part of a model's search space that means something beside the other options of a config.

    Args:
        cls: a model; without an attribute `search_space` there is nothing to search.
        options: its complete options, nested as in a config.

    Returns:
        Sorted by name; without options of a part that the config leaves out (`pretrain: null`), and without those
        whose `when` does not hold.
    """
    declared: SearchSpace = getattr(cls, "search_space", {})
    return {
        name: declared[name]
        for name in sorted(declared)
        if has_part(options, name)
        and all(value_of(options, key) == value for key, value in declared[name].when.items())
    }


def value_of(options: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted option; None where it, or the part it belongs to, is not there.

    Example:
        >>> value_of({"finetune": {"epochs": 3}}, "finetune.epochs")
        3
    """
    part = _part(options, name)
    return None if part is None else part.get(name.rpartition(".")[2])


def has_part(options: Mapping[str, Any], name: str) -> bool:
    """Whether the mapping that a dotted option stands in is there: not with `pretrain: null`."""
    return _part(options, name) is not None


def _part(options: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """The mapping that a dotted option stands in."""
    part: Any = options
    for key in name.split(".")[:-1]:
        part = part.get(key) if isinstance(part, Mapping) else None
    return part if isinstance(part, Mapping) else None
