"""The errors that a person can mend: the command line prints each as one line and exits with code 2."""

from collections.abc import Sequence


class InputError(Exception):
    """Something that was handed in is wrong. The message names it, says what is allowed and what to do next."""


class ConfigError(InputError):
    """A config, an option or an argument does not fit.

    Attributes:
        keys: where in the config, from the outside in; empty where the error is not of one place.
    """

    def __init__(self, message: str, keys: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.keys = tuple(keys)


class DataError(InputError):
    """A data file is missing, broken, or does not hold what the config says."""


class TrainingError(InputError):
    """Training cannot go on, for example after a loss that is not a number."""
