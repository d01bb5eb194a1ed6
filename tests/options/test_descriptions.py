from dataclasses import dataclass

from pydantic import BaseModel

from gnnrec.options.descriptions import descriptions, summary


class Loop(BaseModel):
    """How long it goes.

    And on.
    """

    epochs: int = 1
    """Passes over the data;
    at least 1."""
    rate: float = 0.1
    """Step size."""
    name: str = ""


class Finetune(Loop):
    """Fine-tuning."""

    rate: float = 0.2
    """Another step size."""


@dataclass
class Penalty:
    """A penalty.

    Args:
        weight: of it.
    """

    weight: float
    power: int = 2
    """Exponent."""


class Model:
    """A model: with a colon.

    Args:
        width: of every vector: at
            least 1.
        depth: layers.

    Raises:
        ValueError: never: really.
    """

    def __init__(self, width: int, depth: int, seed: int) -> None:
        """Makes one.

        Args:
            seed: of the weights.
        """


def test_strings_below_fields_are_found_those_of_parents_too() -> None:
    assert descriptions(Loop) == {"epochs": "Passes over the data; at least 1.", "rate": "Step size."}
    assert descriptions(Finetune) == {"epochs": "Passes over the data; at least 1.", "rate": "Another step size."}


def test_entries_of_the_section_args_are_found() -> None:
    assert descriptions(Model) == {
        "width": "of every vector: at least 1.",
        "depth": "layers.",
        "seed": "of the weights.",
    }
    assert descriptions(Penalty) == {"weight": "of it.", "power": "Exponent."}


def test_what_has_no_docstring_has_no_description() -> None:
    assert descriptions(type("Made", (), {})) == {}
    assert summary(type("Made", (), {})) == ""
    assert summary(Loop) == "How long it goes."
