import pytest

from gnnrec.nn import conv as layers
from gnnrec.testing.layer import assert_layer


@pytest.mark.parametrize("name", layers.__all__)
def test_every_layer_keeps_the_contract(name: str):
    assert_layer(getattr(layers, name))


@pytest.mark.parametrize("name", layers.__all__)
def test_every_docstring_says_where_from_and_which_shapes(name: str):
    lines = [line.strip() for line in getattr(layers, name).__doc__.splitlines()]
    for fixed in ("Source:", "Shapes:"):
        assert any(line.startswith(fixed) for line in lines), f"{name} has no line that begins with {fixed}"
