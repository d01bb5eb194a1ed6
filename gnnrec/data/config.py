"""The `data` part of a config: a named data set or files, its relations, the threshold of positives."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gnnrec.data.datasets import SOURCES
from gnnrec.data.delimited import Format
from gnnrec.data.textfile import MISSING

if TYPE_CHECKING:
    NamedSource = str
else:
    NamedSource = Literal[tuple(SOURCES)]  # the names are checked when a config is read


def _cell(kind: Any) -> str:
    """A value of YAML as a cell of a file has it."""
    return str(kind).lower() if isinstance(kind, bool) else str(kind)


class _DataConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EventOfValue(_DataConfig):
    """A kind of event that interactions with a small value are."""

    min_value: float
    """The least value."""
    weight: float = Field(ge=-100, le=100)
    """Of one event, where an interaction weighs 1; below 0, it counts against the item."""


class Positive(_DataConfig):
    """Which interactions are positive."""

    min_value: float
    """Interactions with a smaller value are left out; no user or item is dropped."""
    below: dict[str, EventOfValue] | None = None
    """Kinds of events that interactions with a smaller value are, by name; left out, they are not read. For example
    `{seen: {min_value: 3, weight: 0.2}, disliked: {min_value: 1, weight: -1}}`. They need times, are never asked for,
    and a user's events with a weight below 0 are in none of its lists."""

    @model_validator(mode="after")
    def _below(self) -> "Positive":
        least = [kind.min_value for kind in (self.below or {}).values()]
        if any(value >= self.min_value for value in least):
            raise ValueError(f"below: each min_value must be smaller than that of positive, {self.min_value:g}")
        if len(set(least)) < len(least):
            raise ValueError("below: each kind needs a min_value of its own")
        return self

    @property
    def kinds(self) -> dict[str, tuple[float, float]]:
        """Name -> least value and weight, as `Dataset.positives` takes them."""
        return {name: (kind.min_value, kind.weight) for name, kind in (self.below or {}).items()}


class Text(_DataConfig):
    """Words as a vector."""

    column: str | None = None
    """That holds the words; left out, the one of the feature's name."""
    encoder: str = "use"
    """`use` (Universal Sentence Encoder, 16 languages), `tfidf` (words and their pairs, by a truncated SVD), or a
    dotted class name whose objects turn a list of texts into an array with a row for each. One with a method `fit`, as
    `tfidf`, learns from the texts of training's items, or users, alone."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Of the encoder's constructor."""


class ValueWords(_DataConfig):
    """The values of an attribute as vectors of their words: one that nobody has in training is near others by them."""

    encoder: str = "use"
    """As of `text`; none that is fitted."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Of the encoder's constructor."""


class Image(_DataConfig):
    """Pictures as vectors."""

    folder: Path | None = None
    """Of the pictures."""
    zip: Path | None = None
    """Archive of the pictures, instead of a folder."""
    column: str | None = None
    """Of the file, with their names; left out, a picture is named as its item or user, with any ending."""
    encoder: str = "efficientnet-lite0"
    """`efficientnet-lite0`, or a dotted class name whose objects turn a list of pictures (of Pillow) into an array."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Of the encoder's constructor."""

    @model_validator(mode="after")
    def _one_place(self) -> "Image":
        if (self.folder is None) == (self.zip is None):
            raise ValueError("give folder or zip, where the pictures are")
        return self


class Number(_DataConfig):
    """A number whose effect may bend at some knots.

    Of an item, it is as many numbers: how far it is past each knot. A user has edges to the knots below and above it.
    """

    scale: Literal["standard", "log"] = "standard"
    """Of items, `log` for sums of money and counts: numbers above 0."""
    knots: int = Field(6, ge=0, le=100)
    """Bends, at quantiles of the items, or of the training users; 0 takes the number alone."""

    def check_of_users(self, where: str) -> None:
        """Refuses what only numbers of items have.

        Raises:
            ValueError: `scale` is `log`; `where` begins the message.
        """
        if self.scale != "standard":
            raise ValueError(
                f"{where}: scale: {self.scale} is of items; knots of users lie at quantiles, so leave scale out"
            )


class FeatureColumn(_DataConfig):
    """What describes an item, or a user, by numbers: one of the keys."""

    text: Text | None = None
    """The column holds words."""
    image: Image | None = None
    """A picture."""
    vector: str | None = Field(None, min_length=1)
    """`<file>.npy` with a row for each row of the file, or the name of a column of vectors: numbers with blanks
    or commas between them."""
    number: Number | None = None
    """The column holds numbers."""

    @property
    def is_feature(self) -> bool:
        """Whether one of the keys is given."""
        return any(one is not None for one in (self.text, self.image, self.vector, self.number))


class Attribute(FeatureColumn):
    """One column that describes users or items. `{}` is a categorical attribute; an empty cell is a missing value.

    Columns may also be words, pictures, vectors and numbers, which become features of the item or user itself. A number
    of users is interpolated between knots instead of being cut into bins.
    """

    split: str | None = Field(None, min_length=1)
    """Separator of a column that holds several values in one cell."""
    bins: int | None = Field(None, ge=2, le=10_000)
    """Numeric: number of quantile bins, fitted on the training users; fewer where values repeat."""
    bounds: tuple[float, ...] | None = Field(None, min_length=1)
    """Numeric: ascending inner bounds of the bins; a value equal to a bound is in the bin above it."""

    @model_validator(mode="after")
    def _one_kind(self) -> "Attribute":
        kinds = ("split", "bins", "bounds", "text", "image", "vector", "number")
        if sum(getattr(self, kind) is not None for kind in kinds) > 1:
            raise ValueError(f"give at most one of {', '.join(kinds)}")
        if self.bounds is not None and list(self.bounds) != sorted(set(self.bounds)):
            raise ValueError(f"bounds must ascend, got {list(self.bounds)}")
        return self

    @property
    def numeric(self) -> bool:
        """Whether the cells are numbers."""
        return any(one is not None for one in (self.bins, self.bounds, self.number))


class NamedData(_DataConfig):
    """A data set of `gnnrec data list`."""

    source: NamedSource
    positive: Positive | None = None
    use: tuple[str, ...] | None = None
    """Names of the relations and attributes to keep; left out, the source's defaults."""
    features: dict[str, FeatureColumn] = Field(default_factory=dict)
    """Name -> what describes the items by numbers; `title: {text: {}}` takes their titles. A name that is a column of
    users describes these: `text: {text: {}}` of Banking77, whose users are messages."""
    values: dict[str, ValueWords] = Field(default_factory=dict)
    """Attribute of users -> how its values' words become vectors; `{occupation: {}}` takes the default encoder."""


class File(Format):
    """One file."""

    path: Path

    @property
    def form(self) -> Format:
        """How the file is written, alone."""
        return Format.model_validate(self.model_dump(include=set(Format.model_fields)))


class InteractionsFile(File):
    """The file of interactions, one row each."""

    user: str
    """Column of user ids."""
    item: str
    """Column of item ids."""
    value: str | None = None
    """Column of numbers, for example ratings or counts."""
    time: str | None = None
    """Column of times: numbers, or dates as in 2024-03-01 or 2024-03-01 17:30:00."""
    repeated: Literal["last", "first", "sum", "mean", "count"] = "last"
    """What becomes of several rows of one user and item: the last one counts (by time, else by its place in the file),
    or the first, or one interaction whose value is their sum, their mean or their number (`count`), at the last time.
    A split by time wants the first one: it looks at when users and items appear. Of kinds of events that are not
    predicted, the first row counts: who has looked knows of it from then on."""
    event: str | None = None
    """Column of the kind of each row, for example view, cart or purchase; it needs `events` and a column of times."""
    events: dict[str, Annotated[float, Field(ge=-1e6, le=1e6)]] | None = None
    """Kind -> its weight, for example `{view: 1, cart: 3, purchase: 5, returned: -5}`. Models of one matrix add the
    kinds up with these weights, and a graph has an edge type for each. One below 0 counts against the item."""
    target: str | None = None
    """The kind that is predicted, of which a list holds no known item; left out, the one with the largest weight."""

    @model_validator(mode="after")
    def _has_value(self) -> "InteractionsFile":
        if self.repeated in ("sum", "mean") and self.value is None:
            raise ValueError(f"repeated: {self.repeated} needs a value column; name it by value, or count the rows")
        return self

    @field_validator("events", mode="before")
    @classmethod
    def _as_text(cls, events: Any) -> Any:
        """Kinds that YAML reads as numbers or truth values are text, as cells are."""
        return {_cell(kind): weight for kind, weight in events.items()} if isinstance(events, Mapping) else events

    @field_validator("target", mode="before")
    @classmethod
    def _target_as_text(cls, target: Any) -> Any:
        return None if target is None else _cell(target)

    @model_validator(mode="after")
    def _has_kinds(self) -> "InteractionsFile":
        if (self.event is None) != (self.events is None):
            raise ValueError("event (the column) and events (kind: weight) go together; give both or neither")
        if self.events is None:
            if self.target is not None:
                raise ValueError("target needs event and events")
            return self
        if self.time is None:
            raise ValueError(
                "events need a column of times, so that none is known before it took place; name it by time"
            )
        if self.target is not None and self.target not in self.events:
            raise ValueError(f"target: {self.target!r} is not among events: {', '.join(self.events)}")
        if not (self.events and self.events[self.asked] > 0):
            raise ValueError("events: the kind that is predicted needs a weight above 0")
        for kind in self.events:
            if kind != kind.strip() or not kind:
                raise ValueError(f"events: {kind!r} is empty or has blanks around it, which cells have not")
        heaviest = [kind for kind, weight in self.events.items() if weight == max(self.events.values())]
        if self.target is None and len(heaviest) > 1:
            raise ValueError(f"target: {' and '.join(heaviest)} weigh the same; name the kind that is predicted")
        return self

    @property
    def asked(self) -> str:
        """The kind that is predicted."""
        assert self.events
        return self.target or max(self.events, key=lambda kind: (self.events or {})[kind])

    @property
    def kinds(self) -> dict[str, float]:
        """The other kinds -> their weights, as shares of that of the one that is predicted."""
        return (
            {k: w / self.events[self.asked] for k, w in self.events.items() if k != self.asked} if self.events else {}
        )


class NodesFile(File):
    """A file with one row per user, or per item."""

    id: str
    """Column of ids."""
    attributes: dict[str, Attribute] = Field(default_factory=dict)
    """Column -> its options; the other columns are not read."""


class ItemsFile(NodesFile):
    """A file with one row per item."""

    title: str | None = None
    """Column of titles, for output only."""


class End(_DataConfig):
    """One end of a relation."""

    type: str = Field(min_length=1)
    """Node type: `user`, `item`, an attribute, or a new name for a new node type."""
    column: str


class RelationFile(File):
    """A file of further edges, one row each."""

    source: End
    target: End
    name: str = Field(min_length=1)
    """Name of the relation."""
    weight: str | None = None
    """Column of weights, at least 0."""


class TableData(_DataConfig):
    """Your own files: CSV, TSV or Parquet by the ending, ids of any type; paths as written in the config."""

    source: Literal["table"]
    interactions: InteractionsFile
    users: NodesFile | None = None
    items: ItemsFile | None = None
    relations: tuple[RelationFile, ...] = ()
    positive: Positive | None = None
    on_bad_row: Literal["error", "skip"] = "error"
    """`skip` leaves out the rows that cannot be read, and counts them. Of a number in an attribute column that cannot
    be read, the value alone is left out."""
    missing: tuple[str, ...] = MISSING
    """Cells that are taken for empty ones, besides empty ones; `[]` for none."""
    values: dict[str, ValueWords] = Field(default_factory=dict)
    """Attribute of users -> how its values' words become vectors; `{occupation: {}}` takes the default encoder."""

    @model_validator(mode="after")
    def _one_way_to_kinds(self) -> "TableData":
        if self.interactions.events is not None and self.positive is not None and self.positive.below is not None:
            raise ValueError("give kinds by interactions.events or by positive.below, not by both")
        return self

    @property
    def features(self) -> dict[str, FeatureColumn]:
        """Name -> what describes the items by numbers."""
        attributes = {} if self.items is None else self.items.attributes
        return {name: options for name, options in attributes.items() if options.is_feature}

    @property
    def user_features(self) -> dict[str, FeatureColumn]:
        """Name -> what describes the users by numbers; without the columns of numbers, which have edges to knots."""
        attributes = {} if self.users is None else self.users.attributes
        return {name: options for name, options in attributes.items() if options.is_feature and options.number is None}

    @model_validator(mode="after")
    def _knots_of_users(self) -> "TableData":
        for name, options in ({} if self.users is None else self.users.attributes).items():
            if options.number is not None:
                options.number.check_of_users(f"users: {name}")
        return self

    def files(self, base: Path) -> list[Path]:
        """Every file that is read; relative paths start from `base`."""
        nodes = [file.path for file in (self.users, self.items) if file is not None]
        return [base / path for path in (self.interactions.path, *nodes, *(r.path for r in self.relations))]


DataConfig = Annotated[NamedData | TableData, Field(discriminator="source")]
