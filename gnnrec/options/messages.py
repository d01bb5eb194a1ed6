"""An error of pydantic as one line with the keys that a person wrote."""

import dataclasses
import difflib
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

_UNKNOWN_KEY = {"extra_forbidden", "unexpected_keyword_argument"}
_NOT_A_MAPPING = {"model_type", "model_attributes_type", "dataclass_type", "dict_type"}


def one_line(error: ValidationError, where: str, model: Any, at: str = "") -> str:
    """A validation error as one line: where, which key, what was received, what is allowed, and the nearest name.

    Args:
        error: raised by `model`.
        where: what the line begins with, e.g. the path of the config; may be empty.
        model: the pydantic model that was validated; gives the names of the keys.
        at: the key under which the model stands in the config; empty for the whole config.

    Returns:
        For example `configs/x.yaml: model.encoder: unknown key 'drop_out'. Did you mean 'dropout'? Allowed: ...`.
        Of several errors, an unknown key comes first: it often is the reason of the others.
    """
    errors, first = error.errors(include_url=False), _first(error)
    kind, location, context = first["type"], first["loc"], first.get("ctx", {})
    path, _ = _follow(model, location)
    value = short(first["input"])
    if kind in _UNKNOWN_KEY or kind == "missing":
        path, parent = _follow(model, location[:-1])
        key, allowed = str(location[-1]), list(_fields(parent))
        text = f"missing key {key!r}." if kind == "missing" else f"unknown key {key!r}.{nearest(key, allowed)}"
        text += f" Allowed: {', '.join(allowed)}" if allowed else ""
    elif kind == "union_tag_not_found":
        key = _discriminator(context)
        text = f"missing key {key!r}. It is one of: {', '.join(_tags(model, location, key))}"
    elif kind in ("union_tag_invalid", "literal_error"):
        if kind == "union_tag_invalid":
            path, value = [*path, _discriminator(context)], repr(context["tag"])
            allowed = _tags(model, location, _discriminator(context))
        else:
            allowed = [str(choice) for choice in _choices(_follow(model, location)[1])]
        known = ", ".join(allowed) or context.get("expected", "")
        text = f"unknown value {value}.{nearest(value, allowed)} Allowed: {known}"
    elif kind in _NOT_A_MAPPING:
        text = f"{value} is not allowed; it should be a mapping (key: value)"
    elif kind in ("value_error", "assertion_error"):
        text = first["msg"].partition(", ")[2]
    else:
        same = [e["msg"] for e in errors if _follow(model, e["loc"])[0] == path]
        text = f"{value} is not allowed; {', or '.join(dict.fromkeys(same)).replace('Input should', 'it should')}"
    return join(where, ".".join([at, *path] if at else path), " ".join(text.split()))


def keys_of(error: ValidationError, model: Any, at: str = "") -> tuple[str, ...]:
    """The keys that lead to what `one_line` is about; of a missing key, those of the mapping it is missing in.

    Arguments as in `one_line`.
    """
    first = _first(error)
    location = first["loc"][:-1] if first["type"] == "missing" else first["loc"]
    return (*(at.split(".") if at else []), *_follow(model, location)[0])


def _first(error: ValidationError) -> Any:
    return max(error.errors(include_url=False), key=lambda e: (e["type"] in _UNKNOWN_KEY, len(e["loc"])))


def _follow(model: Any, location: Sequence[int | str]) -> tuple[list[str], Any]:
    """Pydantic's location of an error as the keys that a person wrote, and the type that stands there.

    Pydantic puts the name of a union's member into the location; it stands in no file and is left out.
    """
    path: list[str] = []
    here = model
    for step in location:
        members = _members(here)
        if len(members) > 1:
            here = next((m for m in members if step == getattr(m, "__name__", None) or step in _own_tags(m)), Any)
            continue
        path.append(str(step))
        here, arguments = members[0], get_args(members[0])
        if isinstance(step, int):
            here = arguments[step if step < len(arguments) and ... not in arguments else 0] if arguments else Any
        elif isinstance(get_origin(here), type) and issubclass(get_origin(here), Mapping):
            here = arguments[1]
        else:
            here = _fields(here).get(step, Any)
    members = _members(here)
    return path, members[0] if len(members) == 1 else here


def _members(annotation: Any) -> list[Any]:
    """The types that a value may have, None left out, `Annotated` and unions taken apart."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [m for argument in get_args(annotation) if argument is not type(None) for m in _members(argument)]
    return [annotation]


def _fields(model: Any) -> dict[str, Any]:
    """Key, as a config writes it, to type: the fields of a pydantic model or of a dataclass."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        return {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    if dataclasses.is_dataclass(model):
        hints = get_type_hints(model)
        return {field.name: hints[field.name] for field in dataclasses.fields(model) if field.init}
    return {}


def _choices(annotation: Any) -> list[Any]:
    return [c for m in _members(annotation) if get_origin(m) is Literal for c in get_args(m)]


def _own_tags(member: Any) -> list[Any]:
    return [choice for annotation in _fields(member).values() for choice in _choices(annotation)]


def _discriminator(context: Mapping[str, Any]) -> str:
    """The key that tells the members of a union apart: a field, or what a function with the key's name looks at."""
    return str(context["discriminator"]).strip("'_()")


def _tags(model: Any, location: Sequence[int | str], key: str) -> list[str]:
    """The values of the key that tells the members of a union apart."""
    members = _members(_follow(model, location)[1])
    return [str(choice) for member in members for choice in _choices(_fields(member).get(key))]


def nearest(name: str, known: Iterable[str]) -> str:
    """` Did you mean ...?`, or nothing where no name is near. Case does not count."""
    by_lower = {k.lower(): k for k in known}
    name = name.strip("'").lower()
    near = difflib.get_close_matches(name, by_lower, n=1) or [k for k in by_lower if name and k.startswith(name)]
    return f" Did you mean {by_lower[near[0]]!r}?" if near else ""


def short(value: Any) -> str:
    """A value as Python writes it, cut after 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def join(*parts: str) -> str:
    """The parts of a message that there are, with colons between."""
    return ": ".join(part for part in parts if part)
