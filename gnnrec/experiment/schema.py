"""A JSON schema of what a config file may hold, so that editors complete and check configs while they are written."""

import importlib
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from gnnrec.experiment.config import MODELS, RunConfig
from gnnrec.experiment.extends import EXTENDS
from gnnrec.options.descriptions import descriptions, summary
from gnnrec.options.resolve import options_model, resolve

DRAFT = "https://json-schema.org/draft/2020-12/schema"
PARTIAL = "Partial"
"""What the names of definitions begin with in which every key may be left out, since a base may have it."""
MODEL = "Model"
"""Name of the definition of a class and its options."""
COMPONENTS = ("Blend", "components")
"""The option that holds models itself: its class, and its name."""
DOTTED = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$"
"""The name of a class from elsewhere, with its module."""


def schema_text() -> str:
    """The schema as the text of a file."""
    return _json(config_schema()) + "\n"


def config_schema() -> dict[str, Any]:
    """A schema (draft 2020-12) of `RunConfig`, `extends`, and the options of every model that has a bare name.

    A file that extends another one, or has no `model` and so is a base, may leave out any key. Options of a class from
    elsewhere are free, and ranges that hold between several options are not in the schema: `read_config` checks both.
    """
    classes = {name: resolve(name, MODELS) for name in sorted(importlib.import_module(MODELS).__all__)}
    made = {name: options_model(cls) for name, cls in classes.items()}
    of_made = {model: classes[name] for name, model in made.items()}

    class Described(GenerateJsonSchema):
        """Pydantic's schema with our descriptions, without titles of fields, and strict for dataclasses too."""

        def model_schema(self, schema: Any) -> Any:
            cls = of_made.get(schema["cls"], schema["cls"])
            return _described(super().model_schema(schema), cls)

        def dataclass_schema(self, schema: Any) -> Any:
            return {**_described(super().dataclass_schema(schema), schema["cls"]), "additionalProperties": False}

        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    modes: list[Any] = [(model, "validation") for model in (RunConfig, *made.values())]
    references, together = models_json_schema(modes, schema_generator=Described)
    definitions = together["$defs"]
    for name, model in made.items():
        options = definitions[_name(references[model, "validation"])]
        options["properties"] = {"class": {"const": name, "description": options["description"]}} | options.get(
            "properties", {}
        )
    definitions[MODEL] = _model({name: references[model, "validation"] for name, model in made.items()})
    owner, option = COMPONENTS
    definitions[owner]["properties"][option]["additionalProperties"] = {"$ref": _reference(MODEL)}
    run = definitions[RunConfig.__name__]
    one = {"description": run["properties"]["model"]["description"], "$ref": _reference(MODEL)}
    run["properties"] = {EXTENDS: _extends()} | run["properties"] | {"model": one}
    definitions = {name: _tagged(value) for name, value in sorted(definitions.items())}
    return {
        "$schema": DRAFT,
        "title": "A config of gnnrec",
        "if": {"anyOf": [{"required": [EXTENDS]}, {"not": {"required": ["model"]}}]},
        "then": {"$ref": _reference(PARTIAL + RunConfig.__name__)},
        "else": {"$ref": _reference(RunConfig.__name__)},
        "$defs": definitions | _partial(definitions),
    }


def _extends() -> dict[str, Any]:
    one = {"type": "string", "minLength": 1}
    about = (
        "Config files, relative to this one, whose keys lie below this file's own; of a list, a later one lies above."
    )
    return {"anyOf": [one, {"type": "array", "items": one}], "description": about}


def _model(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A model: which options there are hangs on `class`.

    Args:
        options: bare name of a class -> reference to the schema of its options.
    """
    return {
        "type": "object",
        "properties": {
            "class": {
                "description": "A model of gnnrec, or a class from elsewhere with its module: mypkg.MyModel.",
                "anyOf": [{"enum": list(options)}, {"type": "string", "pattern": DOTTED}],
            }
        },
        "required": ["class"],
        "allOf": [
            {"if": {"properties": {"class": {"const": name}}, "required": ["class"]}, "then": dict(reference)}
            for name, reference in options.items()
        ],
    }


def _described(schema: dict[str, Any], cls: type) -> dict[str, Any]:
    """The schema of an object, with descriptions of the class and of the options that pydantic has none for."""
    texts = descriptions(cls)
    fields = {
        name: field if "description" in field or name not in texts else {**field, "description": texts[name]}
        for name, field in schema.get("properties", {}).items()
    }
    return {**schema, "description": summary(cls), "properties": fields}


def _tagged(node: Any) -> Any:
    """Members of a union that a key tells apart must have that key; OpenAPI's own keyword for it goes."""
    if isinstance(node, list):
        return [_tagged(value) for value in node]
    if not isinstance(node, Mapping):
        return node
    found = {key: _tagged(value) for key, value in node.items() if key != "discriminator"}
    if isinstance(node.get("discriminator"), Mapping):
        found["required"] = [node["discriminator"]["propertyName"]]
    elif "oneOf" in found:  # told apart by a key that may be left out, so that several members may fit
        found["anyOf"] = found.pop("oneOf")
    return found


def _partial(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The definitions again, in which no key must be there; those that need none anyway are not repeated."""
    loose = {name: _loosened(value) for name, value in definitions.items()}
    names = {name for name in loose if loose[name] != definitions[name]}
    texts = {name: json.dumps(value) for name, value in loose.items()}
    reference = re.compile(re.escape(_reference("")) + r"(\w+)")
    while more := {name for name in texts if name not in names and names & set(reference.findall(texts[name]))}:
        names |= more

    def renamed(match: re.Match[str]) -> str:
        return _reference(PARTIAL * (match[1] in names) + match[1])

    return {PARTIAL + name: json.loads(reference.sub(renamed, texts[name])) for name in texts if name in names}


def _loosened(node: Any) -> Any:
    """A schema without `required`, but for conditions: one on `class` needs the key to be there."""
    if isinstance(node, list):
        return [_loosened(value) for value in node]
    if not isinstance(node, Mapping):
        return node
    found = {}
    for key, value in node.items():
        if key == "properties":
            found[key] = {name: _loosened(field) for name, field in value.items()}
        elif key in ("if", "default"):
            found[key] = value
        elif key != "required":
            found["anyOf" if key == "oneOf" else key] = _loosened(value)  # without its tag, several members may fit
    return found


def _json(value: Any, indent: str = "", room: int = 120) -> str:
    """A value as JSON, on one line where it fits, else each of its entries so."""
    text = json.dumps(value)
    if len(indent) + len(text) <= room or not isinstance(value, dict | list):
        return text
    inner = indent + "  "
    if isinstance(value, list):
        lines = [inner + _json(entry, inner) for entry in value]
    else:
        keys = {key: f"{inner}{json.dumps(key)}: " for key in value}
        lines = [keys[key] + _json(entry, inner, room - len(keys[key]) + len(inner)) for key, entry in value.items()]
    first, last = "[]" if isinstance(value, list) else "{}"
    return f"{first}\n" + ",\n".join(lines) + f"\n{indent}{last}"


def _reference(name: str) -> str:
    return f"#/$defs/{name}"


def _name(reference: Mapping[str, Any]) -> str:
    """The definition that a reference is to."""
    return str(reference["$ref"]).rpartition("/")[2]
