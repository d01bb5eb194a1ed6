import copy
from typing import Any

import jsonschema
import pytest

from gnnrec.experiment.schema import _json, config_schema

SCHEMA = config_schema()
CHECK = jsonschema.Draft202012Validator(SCHEMA)
TABLE: dict[str, Any] = {
    "seed": 1,
    "data": {
        "source": "table",
        "interactions": {"path": "ratings.csv", "user": "u", "item": "i"},
        "users": {"path": "users.csv", "id": "u", "attributes": {"gender": {}, "age": {"bins": 7}}},
        "relations": [
            {
                "path": "friends.csv",
                "source": {"type": "user", "column": "a"},
                "target": {"type": "user", "column": "b"},
                "name": "friend",
            }
        ],
    },
    "split": {"kind": "unseen_users", "test": 0.2},
    "model": {"class": "GraphSAGE", "encoder": {"channels": 8, "layer_options": {"aggr": "mean"}}},
}
MISSING = object()


def changed(keys: str, value: Any, config: dict[str, Any] = TABLE) -> dict[str, Any]:
    """The config with another value at dotted keys, or without the key."""
    new = copy.deepcopy(config)
    *path, last = keys.split(".")
    here: Any = new
    for key in path:
        here = here[int(key) if isinstance(here, list) else key]
    if value is MISSING:
        del here[last]
    else:
        here[last] = value
    return new


def test_the_schema_is_one_and_allows_a_whole_config() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert CHECK.is_valid(TABLE)
    assert CHECK.is_valid(changed("model", {"class": "ALS", "factors": 8}))
    blend = {"class": "Blend", "components": {"a": {"class": "ALS", "factors": 8}, "b": {"class": "mypkg.My", "c": 1}}}
    assert CHECK.is_valid(changed("model", blend))
    assert not CHECK.is_valid(changed("model.components.a.factrs", 9, {**TABLE, "model": blend}))
    assert not CHECK.is_valid(changed("model.components.a.class", MISSING, {**TABLE, "model": blend}))
    assert CHECK.is_valid({"extends": "x.yaml", "model": {"class": "Blend", "components": {"a": {"factors": 9}}}})
    assert CHECK.is_valid(changed("model.finetune", {"objective": "rating"}))
    assert not CHECK.is_valid(changed("model.finetune", {"objective": "order"}))
    assert CHECK.is_valid(changed("model", {"class": "mypkg.models.MyModel", "any": [1]}))
    assert CHECK.is_valid(changed("split", {"kind": "file", "test": "test.txt", "validation": "validation.txt"}))
    assert CHECK.is_valid(changed("data", {"source": "ml-100k", "use": ["gender"]}))
    assert CHECK.is_valid(changed("expected", {"ndcg@10": {"mean": 0.1, "within": 0.01}}))


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ("sed", 1),
        ("seed", "one"),
        ("data.usr", {}),
        ("data.source", "ml-100"),
        ("data.source", MISSING),
        ("data.interactions.user", MISSING),
        ("data.users.attributes.age", {"bin": 7}),
        ("data.relations.0.target", "user"),
        ("split", MISSING),
        ("split.kind", "unseen_user"),
        ("split.kind", MISSING),
        ("split.test", 1.2),
        ("model.class", "GrapSAGE"),
        ("model.class", "Popularity"),
        ("model.class", 3),
        ("model.class", MISSING),
        ("model.encoder.drop_out", 0.1),
        ("model.encoder.dropout", 1),
        ("model.finetune", {"loss": "softmx"}),
        ("evaluate", {"metrics": ["ndgc"]}),
        ("tracking", {"wandb": {}}),
        ("extends", [3]),
        ("extends", ""),
    ],
)
def test_what_the_reader_of_configs_refuses_is_not_valid(keys: str, value: Any) -> None:
    assert not CHECK.is_valid(changed(keys, value))


def test_a_file_that_extends_another_and_a_base_may_leave_out_any_key() -> None:
    parts = (
        {"extends": "_base.yaml", "model": {"class": "Popularity"}},
        {"extends": ["_base.yaml", "../_other.yaml"], "model": {"encoder": {"channels": 8}}},
        {"extends": "_base.yaml", "data": {"use": ["gender"]}, "split": {"support": 10}},
        {"extends": "_base.yaml", "data": {"interactions": {"value": "rating"}}, "tracking": {"wandb": {}}},
        {"seed": 0, "split": {"kind": "unseen_users", "folds": 5}},
        {},
    )
    for part in parts:
        assert CHECK.is_valid(part), part
    for keys, value in (("sed", 1), ("model.factors", 3), ("model.class", "Popularty"), ("split", {"suport": 1})):
        assert not CHECK.is_valid(changed(keys, value, parts[0])), keys


def test_every_key_is_described() -> None:
    described = 0
    for name, definition in SCHEMA["$defs"].items():
        for key, field in definition.get("properties", {}).items():
            known = name.removeprefix("Partial") in ("End", "InteractionsFile", "NodesFile", "ItemsFile") or key in (
                *("kind", "source", "path", "column", "positive", "interactions", "users", "items", "relations"),
                *("target",),
            )
            assert "description" in field or known, f"{name}.{key}"
            described += "description" in field
    assert described > 200
    als = SCHEMA["$defs"]["ALS"]["properties"]
    assert als["alpha"]["description"] == "confidence of an interaction, against 1 for everything else; above 0."
    assert SCHEMA["$defs"]["RunConfig"]["properties"]["split"]["description"] == "Who is held out."


def test_json_has_an_entry_a_line_where_one_line_has_no_room() -> None:
    assert _json({"a": [1, 2], "b": {}}) == '{"a": [1, 2], "b": {}}'
    assert _json({"a": [1, 2], "b": "long"}, room=14) == '{\n  "a": [1, 2],\n  "b": "long"\n}'
