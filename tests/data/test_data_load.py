from dataclasses import replace

import pytest

from gnnrec.data import _only, load
from gnnrec.data.config import NamedData
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError, DataError


def test_use_keeps_what_it_names_and_the_node_types_of_that():
    data = _only(synthetic(0), ("age", "friend"), ())
    assert [r.name for r in data.relations] == ["friend"]
    assert [a.name for a in data.numeric] == ["age"]
    assert set(data.ids) == {"user", "item"}
    assert len(data.interactions) == len(synthetic(0).interactions)


def test_use_of_nothing_keeps_nothing_and_no_use_keeps_the_defaults():
    assert _only(synthetic(0), (), ()).relations == ()
    kept = _only(synthetic(0), None, ("colour",))
    assert [r.name for r in kept.relations] == ["club", "friend", "category"]
    assert "colour" not in kept.ids


def test_use_of_something_unknown_names_what_there_is():
    with pytest.raises(ConfigError, match=r"no relation or attribute 'sex'; there are .*'club'.*'age'"):
        _only(synthetic(0), ("club", "sex"), ())


def test_positives_are_those_with_a_value_that_is_large_enough(real):
    real("hetrec-lastfm")
    counts = load(NamedData(source="hetrec-lastfm", positive={"min_value": 100}))
    assert counts.interactions.value.min() == 100
    with pytest.raises(DataError, match=r"data\.positive\.min_value is set, but the interactions have no value"):
        replace(counts, interactions=replace(counts.interactions, value=None)).positives(100)
