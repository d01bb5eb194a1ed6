"""Every model that a config may name: explained, option by option, and a recommender before it is fitted."""

import inspect

import pytest

from gnnrec.models import registry
from gnnrec.options.resolve import build, complete_options, resolve
from gnnrec.recommender import Recommender


@pytest.mark.parametrize("name", registry.__all__)
def test_a_model_is_explained_and_a_recommender(name: str) -> None:
    cls = resolve(name, registry)
    complete = complete_options(cls, {})
    document = inspect.cleandoc(cls.__doc__ or "")
    assert "\nSource: " in document
    assert "\nShapes: " in document
    for option in complete:
        assert f"\n    {option}: " in document, f"{option} is not explained"
    model = build(cls, complete)
    assert isinstance(model, Recommender)
    assert model.best_params == {}
    assert complete_options(cls, complete) == complete
