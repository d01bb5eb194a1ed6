"""The errors that a person can mend: the command line prints each as one line and exits with code 2."""

import re
from collections.abc import Sequence

CONTROL = re.compile("[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069]")
"""Characters that move the cursor, change colours or turn the direction of text instead of being shown."""


class InputError(Exception):
    """Something that was handed in is wrong. The message names it, says what is allowed and what to do next."""


def visible(text: str) -> str:
    r"""The text with control characters written out; line ends stay.

    Example:
        >>> visible("a\x1b[31mb")
        'a\\x1b[31mb'
    """
    return CONTROL.sub(lambda found: ascii(found.group())[1:-1], text)


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


class AuditError(InputError):
    """Something of a held-out user, or of a later time, is in the training data; the message names the way."""
