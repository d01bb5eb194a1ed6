"""The errors that a person can mend: the command line prints each as one line and exits with code 2."""


class InputError(Exception):
    """Something that was handed in is wrong. The message names it, says what is allowed and what to do next."""


class ConfigError(InputError):
    """A config, an option or an argument does not fit."""


class DataError(InputError):
    """A data file is missing, broken, or does not hold what the config says."""


class TrainingError(InputError):
    """Training cannot go on, for example after a loss that is not a number."""
