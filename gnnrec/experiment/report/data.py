"""The data of finished runs: loaded once for all runs that share them, and checked to be those of the run."""

import json
import warnings

from gnnrec.errors import ConfigError, InputError
from gnnrec.experiment.config import NamedConfig, read_config
from gnnrec.experiment.results import CONFIG, Run
from gnnrec.experiment.run import load_split, same_data
from gnnrec.splits.split import Split

WHY = "a report about finished runs"
"""Why the test users are looked at: all runs have been evaluated on them before."""


class Splits:
    """The splits of runs, each loaded once, the test part opened.

    Attributes:
        warnings: what was warned of while they were loaded, each once.
    """

    def __init__(self) -> None:
        self.warnings: dict[str, None] = {}
        self._loaded: dict[str, Split | InputError] = {}

    def of(self, run: Run) -> Split:
        """The split of a run.

        Raises:
            InputError: the config or the data cannot be read, or the data have changed since the run.
        """
        if run.folder is None:
            raise ConfigError(f"{run.result.name}: the run has no folder, so that its data are not known")
        config = read_config(run.folder / CONFIG)
        plain = config.config.model_dump(mode="json", include={"seed", "data", "split", "shuffle_attributes"})
        key = json.dumps([plain, str(config.folder)])
        if key not in self._loaded:
            self._loaded[key] = self._load(config)
        split = self._loaded[key]
        if isinstance(split, InputError):
            raise split
        if not same_data(split, run.result):
            raise ConfigError(f"{run.folder}: its data, or their split, have changed since the run; run it again")
        return split

    def _load(self, config: NamedConfig) -> Split | InputError:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                split = load_split(config)
            except InputError as error:
                return error
            except OSError as error:
                return ConfigError(f"{error.filename or config.name}: cannot be read ({error.strerror or error})")
        told = [one for one in caught if issubclass(one.category, UserWarning)]
        self.warnings |= dict.fromkeys(str(one.message) for one in told)
        split.open_test(WHY)
        return split
