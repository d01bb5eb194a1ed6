"""The `data` part of a config: which source, which of its relations, and what counts as positive."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gnnrec.data.datasets import SOURCES

if TYPE_CHECKING:
    NamedSource = str
else:
    NamedSource = Literal[tuple(SOURCES)]  # the names are checked when a config is read


class _DataConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Positive(_DataConfig):
    """Which interactions count."""

    min_value: float
    """Interactions with a smaller value are left out; no user or item is dropped."""


class NamedData(_DataConfig):
    """A data set that the package can fetch and read."""

    source: NamedSource
    positive: Positive | None = None
    use: tuple[str, ...] | None = None
    """Names of the relations and attributes to keep; left out, the source's defaults."""


class Attribute(_DataConfig):
    """One column that describes users or items. `{}` is a categorical attribute; an empty cell is no value."""

    split: str | None = Field(None, min_length=1)
    """Separator of a column that holds several values in one cell."""
    bins: int | None = Field(None, ge=2)
    """Numeric: number of quantile bins, fitted on the training users."""
    bounds: tuple[float, ...] | None = Field(None, min_length=1)
    """Numeric: ascending inner bounds of the bins; a value equal to a bound lies above it."""

    @model_validator(mode="after")
    def _one_kind(self) -> "Attribute":
        if sum(option is not None for option in (self.split, self.bins, self.bounds)) > 1:
            raise ValueError("give at most one of split, bins and bounds")
        if self.bounds is not None and list(self.bounds) != sorted(set(self.bounds)):
            raise ValueError(f"bounds must ascend, got {list(self.bounds)}")
        return self

    @property
    def numeric(self) -> bool:
        """Whether the cells are numbers."""
        return self.bins is not None or self.bounds is not None


class InteractionsFile(_DataConfig):
    """The file of interactions, one row each."""

    path: Path
    user: str
    """Column of user ids."""
    item: str
    """Column of item ids."""
    value: str | None = None
    """Column of numbers, for example ratings or counts."""
    time: str | None = None
    """Column of times: numbers, or dates as in 2024-03-01 or 2024-03-01 17:30:00."""


class NodesFile(_DataConfig):
    """A file with one row per user, or per item."""

    path: Path
    id: str
    """Column of ids."""
    attributes: dict[str, Attribute] = Field(default_factory=dict)
    """Column -> how to read it; the other columns are not read."""


class ItemsFile(NodesFile):
    """A file with one row per item."""

    title: str | None = None
    """Column of names for people to read."""


class End(_DataConfig):
    """One end of a relation."""

    type: str = Field(min_length=1)
    """`user`, `item`, an attribute, or any other name, which makes a new node type."""
    column: str


class RelationFile(_DataConfig):
    """A file of further edges, one row each."""

    path: Path
    source: End
    target: End
    name: str = Field(min_length=1)
    """What the relation is called."""
    weight: str | None = None
    """Column of weights, at least 0."""


class TableData(_DataConfig):
    """People's own files: CSV, TSV or Parquet by the file's ending, ids of any type. Paths as written in the config."""

    source: Literal["table"]
    interactions: InteractionsFile
    users: NodesFile | None = None
    items: ItemsFile | None = None
    relations: tuple[RelationFile, ...] = ()
    positive: Positive | None = None
    on_bad_row: Literal["error", "skip"] = "error"
    """`skip` leaves out the rows that cannot be read, and counts them."""

    def files(self, base: Path) -> list[Path]:
        """Every file that is read; relative paths start from `base`."""
        nodes = [file.path for file in (self.users, self.items) if file is not None]
        return [base / path for path in (self.interactions.path, *nodes, *(r.path for r in self.relations))]


DataConfig = Annotated[NamedData | TableData, Field(discriminator="source")]
