"""The contract of a kind of split."""

from abc import abstractmethod
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from gnnrec.data.dataset import Dataset
from gnnrec.splits.split import Split


class SplitKind(BaseModel):
    """The `split` part of a config.

    A kind is a subclass in a module of this folder, listed in the folder's `__init__`. A config names it by its field
    `kind`, a `Literal` with a default; its other fields are the config's keys.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @abstractmethod
    def make(self, dataset: Dataset, seed: int) -> Split:
        """Splits a data set into training, validation and test; see `gnnrec.splits.make_split`."""

    @property
    def support_size(self) -> int:
        """Interactions of each held-out user that are in its support."""
        return 0

    @property
    def has_paths(self) -> bool:
        """Whether the config holds paths, which are relative to the folder of the config."""
        return False

    def with_folder(self, folder: Path) -> "SplitKind":
        """The same config with its relative paths joined to `folder`."""
        return self
