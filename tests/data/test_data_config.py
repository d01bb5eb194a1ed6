import pytest
from pydantic import TypeAdapter, ValidationError

from gnnrec.data.config import DataConfig, NamedData, TableData

config = TypeAdapter(DataConfig)
INTERACTIONS = {"path": "r.csv", "user": "u", "item": "i"}


def table(**more):
    return config.validate_python({"source": "table", "interactions": INTERACTIONS, **more})


def test_the_source_decides_the_kind():
    assert isinstance(config.validate_python({"source": "ml-100k"}), NamedData)
    assert isinstance(table(), TableData)


@pytest.mark.parametrize(
    ("broken", "where"),
    [
        ({"source": "netflix"}, "netflix"),
        ({"source": "ml-100k", "positives": {"min_value": 4}}, "positives"),
        ({"source": "ml-100k", "positive": {"min": 4}}, "positive.min"),
        ({"source": "ml-100k", "interactions": INTERACTIONS}, "interactions"),
        ({"source": "table"}, "interactions"),
        ({"source": "table", "interactions": INTERACTIONS | {"rating": "r"}}, "interactions.rating"),
        ({"source": "table", "interactions": INTERACTIONS, "on_bad_row": "ignore"}, "on_bad_row"),
        ({"source": "table", "interactions": INTERACTIONS, "use": ["a"]}, "use"),
    ],
)
def test_what_does_not_fit_is_refused(broken, where):
    with pytest.raises(ValidationError, match=where.rpartition(".")[2]):
        config.validate_python(broken)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 7, "split": "|"}, "at most one of split, bins, bounds"),
        ({"bins": 1}, "greater than or equal to 2"),
        ({"bounds": [3, 1]}, "must ascend"),
        ({"bounds": [1, 1]}, "must ascend"),
        ({"split": ""}, "at least 1 character"),
    ],
)
def test_options_of_an_attribute_that_contradict_each_other(options, message):
    with pytest.raises(ValidationError, match=message):
        table(users={"path": "u.csv", "id": "u", "attributes": {"age": options}})


def test_a_config_survives_being_written_and_read():
    one = table(
        users={"path": "a/u.csv", "id": "u", "attributes": {"g": {}, "n": {"bounds": [1, 2]}}},
        relations=[
            {
                "path": "f.csv",
                "source": {"type": "user", "column": "a"},
                "target": {"type": "s", "column": "b"},
                "name": "x",
            }
        ],
    )
    assert config.validate_json(one.model_dump_json()) == one


def test_a_config_does_not_change_under_its_reader():
    with pytest.raises(ValidationError, match="frozen"):
        table().on_bad_row = "skip"
