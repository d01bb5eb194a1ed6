"""The bodies of requests and answers."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator
from starlette.datastructures import QueryParams

LONGEST_ID, MOST_VALUES = 256, 1000
LONGEST, DEEPEST = 100, 900
"""Most items of a list, and most that are skipped before it."""

Id = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LONGEST_ID, pattern=r"^[^\x00-\x1f\x7f]+$"),
    Field(description="An id as text; numbers are written as they are."),
]
Scalar = str | int | float | bool | None
Value = Scalar | list[Scalar] | dict[str, float]
Attributes = Annotated[
    dict[str, Value],
    Field(
        max_length=100,
        description="Name of an attribute or relation -> a value, a list of values, or value -> weight.",
        examples=[{"age": 25, "gender": "F", "occupation": "artist"}],
    ),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _checked(attributes: dict[str, Value]) -> dict[str, Value]:
    for name, value in attributes.items():
        texts = [name, *(value if isinstance(value, list | dict) else [value])]
        if len(texts) > MOST_VALUES:
            raise ValueError(f"an attribute has more than {MOST_VALUES} values")
        for text in texts:
            if isinstance(text, str) and (
                len(text) > LONGEST_ID or any(ord(one) < 32 or 0xD800 <= ord(one) < 0xE000 for one in text)
            ):
                raise ValueError(
                    f"names and values are text of at most {LONGEST_ID} characters, without control characters"
                )
            if isinstance(text, int) and abs(text) >= 2**63:
                raise ValueError("a whole number has at most 63 bits")
    return attributes


class UserBody(_Body):
    """A user's profile."""

    attributes: Attributes = {}

    _check = field_validator("attributes")(_checked)


class ItemBody(_Body):
    """An item."""

    title: Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")] = ""
    attributes: Attributes = {}

    _check = field_validator("attributes")(_checked)


class EventBody(_Body):
    """What a user did with an item."""

    user: Id
    item: Id
    id: Id | None = Field(None, description="Tells events apart; left out, two are one if all else is the same.")
    kind: Id | None = Field(None, description="A kind of training's; left out, the one that is predicted.")
    time: int | Annotated[str, StringConstraints(max_length=64)] | float | None = Field(
        None,
        description="A number in the unit of the model's data, or a date; left out, now.",
        examples=["2026-03-01 17:30:00"],
    )
    value: float | None = Field(None, description="A rating or a count.")
    request_id: Id | None = Field(None, description="Of the list that showed the item.")


class RecommendBody(UserBody):
    """A user who is stored nowhere, and what the list is to be like."""

    items: list[Id] = Field([], max_length=MOST_VALUES, description="Ids of chosen items, the last one last.")
    n: int = Field(10, ge=1, le=LONGEST)
    offset: int = Field(0, ge=0, le=DEEPEST)
    exclude_seen: bool = True
    only: list[Annotated[str, StringConstraints(max_length=2 * LONGEST_ID)]] = Field(
        [], max_length=10, description="attribute:value, all of which an item must have.", examples=[["genre:Comedy"]]
    )
    exclude: list[Id] = Field([], max_length=MOST_VALUES)
    explain: bool = False
    diversity: float = Field(0.0, ge=0, le=1)


class ListQuery(_Body):
    """What the list of a stored user is to be like."""

    n: int = Field(10, ge=1, le=LONGEST)
    offset: int = Field(0, ge=0, le=DEEPEST)
    exclude_seen: bool = True
    only: list[Annotated[str, StringConstraints(max_length=2 * LONGEST_ID)]] = Field(
        [], max_length=10, description="attribute:value, all of which an item must have."
    )
    exclude: list[Id] = Field([], max_length=MOST_VALUES, description="Items to leave out.")
    explain: bool = False
    diversity: float = Field(0.0, ge=0, le=1)
    model: Literal["main", "candidate", "shadow", "popular"] | None = Field(
        None, description="Who answers; left out, main, or the candidate for its share of the users."
    )


class UserPath(_Body):
    """The part of an address that is a user."""

    user: Id


LISTS = {name for name, field in ListQuery.model_fields.items() if field.annotation not in (int, bool, float)} - {
    "model"
}


def read_query(path: Mapping[str, str], query: QueryParams) -> tuple[str, ListQuery]:
    """User and wishes of the address of a list.

    FastAPI reads parameters one by one, which takes a third of the time of a list; here one model reads all.

    Raises:
        RequestValidationError: one of them is out of its limits, or unknown.
    """
    given = {name: query.getlist(name) if name in LISTS else query[name] for name in query}
    try:
        return UserPath.model_validate(dict(path)).user, ListQuery.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError(
            [{**one, "loc": ("query", *one["loc"])} for one in error.errors(include_url=False)]
        ) from None


def parameters(query: type[BaseModel], path: type[BaseModel]) -> list[dict[str, Any]]:
    """The parameters of an address as OpenAPI describes them."""
    found = []
    for model, where in ((path, "path"), (query, "query")):
        for name, about in model.model_json_schema()["properties"].items():
            own = {key: value for key, value in about.items() if key not in ("title", "description")}
            one = {"name": name, "in": where, "required": where == "path", "schema": own}
            found.append({**one, **({"description": about["description"]} if "description" in about else {})})
    return found


class BatchUser(UserBody):
    """One user of a batch."""

    items: list[Id] = Field([], max_length=MOST_VALUES)


class BatchBody(_Body):
    """Many users who are stored nowhere."""

    users: list[BatchUser] = Field(min_length=1, max_length=100)
    n: int = Field(10, ge=1, le=LONGEST)
    exclude_seen: bool = True


class ModelBody(_Body):
    """A model to load."""

    name: Id = Field(description="Of a folder in the service's folder of models.")
    role: Literal["main", "candidate", "shadow"] = Field(
        "main", description="main answers; candidate answers its share of the users; shadow is asked, and compared."
    )
    share: float = Field(0.1, gt=0, lt=1, description="Of the users, for a candidate.")


class Why(_Body):
    """One edge of the user that is behind an item."""

    relation: str
    value: Any
    weight: float


class Listed(_Body):
    """One item of a list."""

    rank: int
    item: str
    title: str
    score: float
    why: list[Why] | None = None


class ListAnswer(_Body):
    """A list."""

    request_id: str
    model: str = Field(description="Version of the model.")
    source: Literal["model", "popular"] = Field(description="popular where nothing is known of the user.")
    items: list[Listed]
    warnings: list[str] = []


class BatchAnswer(_Body):
    """A list for each user of a batch."""

    lists: list[ListAnswer]


class UserAnswer(_Body):
    """A stored user."""

    id: str
    attributes: dict[str, Any]
    events: int
    items: list[str] = Field(description="The last items, the last one last.")
    warnings: list[str] = []


class EventsAnswer(_Body):
    """What became of events."""

    received: int
    new: int
    unknown_items: int
    unknown_users: int


class ItemAnswer(_Body):
    """An item."""

    id: str
    title: str
    known: bool = Field(description="Whether the model was trained with it.")
    warnings: list[str] = []


class SimilarAnswer(_Body):
    """Items like one."""

    item: str
    model: str
    items: list[Listed]


class ModelInfo(_Body):
    """A model in service."""

    role: str
    name: str
    version: str
    share: float
    users: int = Field(description="Of 100, that it answers.")


class ModelsAnswer(_Body):
    """Models in service, and those that may be loaded."""

    serving: list[ModelInfo]
    available: list[str]


class AttributeInfo(_Body):
    """One attribute or relation of users."""

    name: str
    numeric: bool
    several: bool = Field(description="Whether users of training have several of its values.")
    bounds: list[float]
    values: list[str] = Field(description="Those known, or the first of them.")
    more: int = Field(description="How many there are besides.")


class VocabularyAnswer(_Body):
    """What profiles, events and filters may name."""

    attributes: list[AttributeInfo]
    kinds: list[str]
    item_attributes: list[AttributeInfo]
    items: int


class ErrorAnswer(_Body):
    """What went wrong, in one line, and where."""

    error: str
    details: list[str] = []


class HealthAnswer(_Body):
    """How the service is."""

    status: str
