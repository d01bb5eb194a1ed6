"""Random configs and random users: an answer or one line, never anything else."""

import json
import math

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from many import answer, many
from synthetic_table import CONFIG

from gnnrec.data.synthetic import synthetic
from gnnrec.experiment.config import read_config
from gnnrec.serving.profile import encode, parse
from gnnrec.serving.vocabulary import Vocabulary
from gnnrec.splits import UnseenUsers, make_split

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(
        [2**31, 2**63, -(10**30), 1e30, 1e39, math.inf, math.nan, 0.5, "", ".", "ndcg", "1e300", "${seed}"]
    ),
    st.text(max_size=5),
)


def nested(inner):
    """Lists and mappings of values."""
    return st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3))


ANY = st.recursive(PLAIN, nested, max_leaves=6)
VALID = yaml.safe_load(CONFIG)
MORE = {
    "shuffle_attributes": False,
    "expected": {},
    "tuning": {"trials": 1, "minutes": 1, "metric": None},
    "serve": {"index_from": 1},
    "trainer": {"devices": 1},
    "tracking": {"wandb": None},
    "base": ".",
}


def paths(here, before=()):
    """The keys of every value of a config."""
    for key, value in here.items() if isinstance(here, dict) else enumerate(here) if isinstance(here, list) else ():
        yield (*before, key)
        yield from paths(value, (*before, key))


def put(here, keys, value):
    """Puts a value where the keys lead, if they still lead anywhere."""
    try:
        for key in keys[:-1]:
            here = here[key]
        here[keys[-1]] = value
    except (LookupError, TypeError):
        return


FULL = {**VALID, **MORE}


@many(60)
@given(st.lists(st.tuples(st.sampled_from(list(paths(FULL))), ANY), min_size=1, max_size=3))
def test_a_config_is_read_or_refused_in_one_line(tmp_path_factory, changes):
    config = json.loads(json.dumps(FULL))
    for keys, value in changes:
        put(config, keys, value)
    path = tmp_path_factory.mktemp("config") / "random.yaml"
    path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    read, error = answer(lambda: read_config(path))
    assert str(path) in error if error else read.name == "random"


@pytest.fixture(scope="module")
def words():
    data = synthetic(3)
    return Vocabulary.of(make_split(data, UnseenUsers(test=0.2), 3).full, data.ids["user"])


NAMES = st.one_of(st.sampled_from(["club", "friend", "colour", "age", "user"]), st.text(max_size=5))


@many(60)
@given(
    st.dictionaries(NAMES, ANY, max_size=4),
    st.lists(st.one_of(st.sampled_from(["0", "1"]), st.text(max_size=4)), max_size=4),
)
def test_a_user_is_understood_or_warned_of(words, profile, items):
    encoded, error = answer(lambda: encode(words, parse(json.dumps(profile)), items))
    if error:
        return
    user, told = encoded
    for edges in user.relations.values():
        assert len(edges.row) == len(edges.node)
        assert edges.weight is None or bool(torch.isfinite(edges.weight).all())
    unknown = [name for name in profile if name not in ("club", "friend", "colour", "age")]
    assert sum("unknown attribute" in text for text in told) == len(unknown)
