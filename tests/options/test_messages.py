from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from gnnrec.options.messages import one_line


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Folds(Strict):
    kind: Literal["folds"]
    folds: int = Field(5, ge=2)


class Listed(Strict):
    kind: Literal["file"]
    path: str


Cut = Annotated[Folds | Listed, Field(discriminator="kind")]


def _kind(value: Any) -> str:
    """A key that may be left out."""
    return str(value.get("kind", "folds") if isinstance(value, dict) else value.kind)


CutOrFolds = Annotated[Annotated[Folds, Tag("folds")] | Annotated[Listed, Tag("file")], Discriminator(_kind)]


@dataclass(frozen=True)
class Encoder:
    channels: int = 64
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3

    def __post_init__(self) -> None:
        if self.channels % 2:
            raise ValueError(f"channels must be\neven, got {self.channels}")


class Attribute(Strict):
    bins: int | Literal["auto"] = "auto"
    split: str | None = None


class Config(Strict):
    seed: int = 0
    class_: str = Field("Popularity", alias="class")
    cut: Cut | None = None
    cuts: list[Cut] = []
    by_function: CutOrFolds | None = None
    encoder: Encoder = Encoder()
    attributes: dict[str, Attribute | None] = {}
    loss: Literal["bce", "softmax"] = "bce"
    at: tuple[int, ...] = (10,)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"sed": 1}, "unknown key 'sed'. Did you mean 'seed'? Allowed: seed, class, cut, cuts, "),
        ({"class_": "A"}, "unknown key 'class_'. Did you mean 'class'? Allowed: seed, class, "),
        ({"SEED": 1}, "unknown key 'SEED'. Did you mean 'seed'?"),
        ({"loss": "SoftMax"}, "loss: unknown value 'SoftMax'. Did you mean 'softmax'?"),
        ({"by_function": {"kind": "fold"}}, "by_function.kind: unknown value 'fold'. Did you mean 'folds'? Allowed: f"),
        ({"by_function": {"kind": "file", "pth": "x"}}, "by_function: unknown key 'pth'. Did you mean 'path'?"),
        ({"seed": "x"}, "seed: 'x' is not allowed; it should be a valid integer, unable to parse string as an integer"),
        ({"seed": 1.5}, "seed: 1.5 is not allowed; it should be a valid integer, got a number with a fractional part"),
        (
            {"encoder": {"drop_out": 1}},
            "encoder: unknown key 'drop_out'. Did you mean 'dropout'? Allowed: channels, drop",
        ),
        ({"encoder": {"dropout": 1.5}}, "encoder.dropout: 1.5 is not allowed; it should be less than 1"),
        ({"encoder": {"channels": 3}}, "encoder: channels must be even, got 3"),
        ({"encoder": 3}, "encoder: 3 is not allowed; it should be a mapping (key: value)"),
        ({"encoder": None}, "encoder: None is not allowed; it should be a mapping (key: value)"),
        ({"cut": {"folds": 3}}, "cut: missing key 'kind'. It is one of: folds, file"),
        ({"cut": {"kind": "fold"}}, "cut.kind: unknown value 'fold'. Did you mean 'folds'? Allowed: folds, file"),
        ({"cut": {"kind": "folds", "fold": 3}}, "cut: unknown key 'fold'. Did you mean 'folds'? Allowed: kind, folds"),
        (
            {"cut": {"kind": "folds", "folds": 1}},
            "cut.folds: 1 is not allowed; it should be greater than or equal to 2",
        ),
        ({"cut": {"kind": "file"}}, "cut: missing key 'path'. Allowed: kind, path"),
        (
            {"cuts": [{"kind": "folds"}, {"kind": "file", "pth": "a"}]},
            "cuts.1: unknown key 'pth'. Did you mean 'path'?",
        ),
        (
            {"attributes": {"age": {"bin": 3}}},
            "attributes.age: unknown key 'bin'. Did you mean 'bins'? Allowed: bins, sp",
        ),
        ({"attributes": {"age": {"split": 3}}}, "attributes.age.split: 3 is not allowed; it should be a valid string"),
        (
            {"attributes": {"age": {"bins": "atuo"}}},
            "attributes.age.bins: 'atuo' is not allowed; it should be a valid integer, unable to parse string as an "
            "integer, or it should be 'auto'",
        ),
        ({"loss": "soft"}, "loss: unknown value 'soft'. Did you mean 'softmax'? Allowed: bce, softmax"),
        ({"loss": 7}, "loss: unknown value 7. Allowed: bce, softmax"),
        ({"at": [5, "x"]}, "at.1: 'x' is not allowed; it should be a valid integer"),
        ({"at": "x" * 200}, "at: '" + "x" * 76 + "... is not allowed; it should be a valid tuple"),
    ],
)
def test_the_line_reads_like_the_file(given: dict[str, Any], line: str):
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(given)
    text = one_line(caught.value, "a.yaml", Config)
    assert text.startswith(f"a.yaml: {line}")
    assert "\n" not in text
    # Under a key, and without a file.
    nested = one_line(caught.value, "", Config, "model")
    assert nested == (f"model.{text[8:]}" if not text.startswith("a.yaml: unknown") else f"model: {text[8:]}")


def test_an_unknown_key_goes_before_what_it_leaves_missing():
    class Source(Strict):
        source: str
        path: str

    with pytest.raises(ValidationError) as caught:
        Source.model_validate({"sorce": "table"})
    assert one_line(caught.value, "", Source).startswith("unknown key 'sorce'. Did you mean 'source'?")


def test_a_dataclass_that_is_no_field_of_a_model():
    @dataclass
    class Inner:
        width: int

    @dataclass
    class Outer:
        inner: Inner
        made: int = field(init=False, default=3)

    class Holder(Strict):
        outer: Outer

    with pytest.raises(ValidationError) as caught:
        Holder.model_validate({"outer": {"inner": {"width": 3}, "made": 3}})
    assert one_line(caught.value, "", Holder) == "outer: unknown key 'made'. Allowed: inner"
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate({"outer": {"inner": {"widht": 3, "width": 3}}})
    assert (
        one_line(caught.value, "", Holder) == "outer.inner: unknown key 'widht'. Did you mean 'width'? Allowed: width"
    )
