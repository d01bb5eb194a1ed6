import itertools
from typing import Any

import pytest

from gnnrec.experiment.config import replace_options
from gnnrec.models import registry as models
from gnnrec.options.resolve import build, complete_options, resolve
from gnnrec.options.search_space import Choice, Integer, Log, Uniform, conditional, searched, value_of

WITH_SPACE = [name for name in models.__all__ if hasattr(resolve(name, models), "search_space")]
SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    **{name: ({"cold": "attribute_map"}, {"cold": "none"}) for name in ("ALS", "BPR")},
    "BiasedMF": ({"cold": "attribute_map"},),
    "GraphSAGE": ({"pretrain": {}}, {"finetune": {"objective": "rating"}}, {"finetune": {"target": "next"}}),
    "Biases": ({"cold": "attributes", "informed": True},),
    "IRSpack": ({"item_features": True},),
}
"""Options under which, taken together, every declared option means something."""


class Trial:
    """Gives what it was told to, and keeps what it was asked."""

    def __init__(self, value: Any) -> None:
        self.value, self.asked = value, []

    def suggest_float(self, *args: Any, **kwargs: Any) -> Any:
        self.asked.append((args, kwargs))
        return self.value

    suggest_int = suggest_categorical = suggest_float


@pytest.mark.parametrize("name", WITH_SPACE)
def test_every_declared_option_exists_and_every_extreme_is_allowed(name: str) -> None:
    cls = resolve(name, models)
    settings = [complete_options(cls, options) for options in SETTINGS.get(name, ({},))]
    spaces = [searched(cls, complete) for complete in settings]
    assert set().union(*spaces) == cls.search_space.keys()  # type: ignore[attr-defined]
    for complete, space in zip(settings, spaces, strict=True):
        check_space(cls, complete, space)


def check_space(cls: type, complete: dict[str, Any], space: dict[str, Any]) -> None:
    name = cls.__name__
    nothing = object()
    for option, tried in space.items():
        part, _, key = option.rpartition(".")
        assert key in (value_of(complete, part) if part else complete), option
        for value in tried.extremes:
            assert tried.holds(value)
            options = replace_options(complete, {option: value})
            built = build(cls, options, name)
            assert complete_options(cls, options) == options, option
            assert getattr(built, option, nothing) in (nothing, value)
    for end in range(2):  # and all of them at once
        chosen = {option: tried.extremes[-end] for option, tried in space.items()}
        build(cls, replace_options(complete, chosen), name)


def test_models_that_can_be_tuned_can_be_and_the_others_have_nothing_to_tune() -> None:
    fixed = {"Blend", "GlobalMean", "Popularity", "PrivateGraphSAGE", "PrivatePopularity", "Random", "TextCosine"}
    assert {*models.__all__} - {*WITH_SPACE} == fixed
    assert searched(models.Popularity, {}) == {}


def test_parts_that_a_config_leaves_out_and_conditions_that_do_not_hold() -> None:
    with_, without = (complete_options(models.GraphSAGE, o) for o in ({"pretrain": {}}, {}))
    assert "pretrain.learning_rate" in searched(models.GraphSAGE, with_)
    rest = searched(models.GraphSAGE, without)
    assert "finetune.learning_rate" in rest
    assert not any(name.startswith("pretrain") for name in rest)
    mean = searched(models.ALS, complete_options(models.ALS, {"cold": "mean"}))
    mapped = searched(models.ALS, complete_options(models.ALS, {"cold": "attribute_map"}))
    assert set(mean) == {"alpha", "factors", "regularization"}
    assert set(mapped) - set(mean) == {"edge_weights", "idf", "map_regularization", "normalise"}
    assert list(mapped) == sorted(mapped)


def test_what_holds_a_value() -> None:
    assert Choice((None, 25)).holds(None)
    assert not Choice((None, 25)).holds(50)
    assert not Choice((0.0, 1.0)).holds(False)  # 0.0 == False, and Optuna would not tell them apart either
    assert Integer(2, 3).holds(3)
    assert not any(Integer(2, 3).holds(value) for value in (1, 4, 2.5, None, "choose"))
    assert not Integer(0, 3).holds(True)
    assert Log(0.1, 1).holds(0.1)
    assert not any(Uniform(0, 1).holds(value) for value in (-0.1, 1.1, None, "choose"))


def test_suggestions_ask_for_the_range_and_round_to_three_digits() -> None:
    trial = Trial(0.0123456)
    assert Log(1e-3, 0.1).suggest(trial, "x") == 0.0123
    assert Uniform(0, 1).suggest(trial, "y") == 0.0123
    assert trial.asked == [(("x", 1e-3, 0.1), {"log": True}), (("y", 0, 1), {"log": False})]
    trial = Trial(7)
    assert Integer(1, 9, log=True).suggest(trial, "n") == 7
    assert Choice((7, None)).suggest(trial, "c") == 7
    assert trial.asked == [(("n", 1, 9), {"log": True}), (("c", [7, None]), {})]


def test_conditional_keeps_the_range() -> None:
    space = conditional({"a": Log(1, 2), "b": Choice((1,))}, {"cold": "mean"})
    assert space == {"a": Log(1, 2, when={"cold": "mean"}), "b": Choice((1,), when={"cold": "mean"})}
    for cold, found in itertools.product(("mean", "none"), [{"a": 3, "b": 4}]):

        class Model:
            search_space = space

        assert set(searched(Model, {**found, "cold": cold})) == ({"a", "b"} if cold == "mean" else set())
