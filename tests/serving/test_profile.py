from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.nn import SAGEConv

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import InputError
from gnnrec.graph.block import whole_graph
from gnnrec.graph.build import build_graph, node_counts
from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.serving.profile import _text, encode, parse
from gnnrec.serving.vocabulary import Vocabulary, places
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.bins import bin_number
from gnnrec.views import Relation

CLUB, COLOUR, FRIEND = ("user", "club", "club"), ("user", "colour", "colour"), ("user", "friend", "user")
SKILL, AGE = ("user", "has", "skill"), ("user", "age", "age")


def whole_split():
    """Synthetic data with a weighted relation to a node type of its own: user u has skill a to e, two skills each."""
    data = synthetic(0)
    user = torch.arange(60).repeat(2)
    skill = torch.cat([torch.arange(60) % 5, (torch.arange(60) + 2) % 5])
    relation = Relation(*SKILL, torch.stack([user, skill]), (torch.arange(120) % 7).float())
    ids = {**data.ids, "skill": pd.Index(list("abcdef"))}  # nobody has f
    data = replace(data, ids=ids, relations=(*data.relations, relation))
    split = make_split(data, UnseenUsers(test=0.2, validation=0.1, support=2), 0)
    split.open_test("a test")
    return split


@pytest.fixture(scope="module")
def split():
    return whole_split()


def vocabulary(split, train=None):
    return Vocabulary.of(train or split.full, split.dataset.ids["user"])


def encoded(split, profile, items=()):
    """The user, which must be encoded without a warning."""
    user, warnings = encode(vocabulary(split), profile, items)
    assert warnings == []
    return user


def warned(split, profile, items=()):
    """The user, and the one warning."""
    user, warnings = encode(vocabulary(split), profile, items)
    (warning,) = warnings
    assert "\n" not in warning
    return user, warning


def nodes(user, edge_type):
    return user.relations[edge_type].node.tolist()


def profile_of(data, index):
    """What a person who has the files would write of a user."""
    profile = {}
    for relation in data.relations:
        if relation.source != "user":
            continue
        place = relation.edge_index[0] == index
        values = [str(data.ids[relation.target][node]) for node in relation.edge_index[1][place].tolist()]
        if relation.weight is not None:
            profile[relation.name] = dict(zip(values, relation.weight[place].tolist(), strict=True))
        else:
            profile[relation.name] = values[0] if len(values) == 1 else values or None
    age = data.numeric[0]
    profile["age"] = next((age.number[i].item() for i, n in enumerate(age.node.tolist()) if n == index), None)
    return profile


def test_a_person_described_in_words_is_the_held_out_user(split):
    data, train = split.dataset, split.full
    graph = build_graph(train)
    torch.manual_seed(0)
    encoder = Encoder(node_counts(graph), graph.edge_types, EncoderConfig(channels=8), SAGEConv).eval()
    states = encoder.states(whole_graph(graph))
    strangers = 0
    for row, index in enumerate(split.test.users.index.tolist()):
        held_out = split.test.users.take(torch.tensor([row]))
        items = [data.ids["item"][item] for item in held_out.items.node.tolist()]
        user, warnings = encode(vocabulary(split), profile_of(data, index), items)
        strangers += len(warnings)
        assert all("is no training user" in warning for warning in warnings)  # friends who are held out, too
        assert user.index.tolist() == [-1]
        assert set(user.relations) == set(held_out.relations)
        for edge_type, edges in held_out.relations.items():
            ours = user.relations[edge_type]
            assert ours.row.tolist() == [0] * len(edges)
            assert weights(ours) == weights(edges)
        assert sorted(user.items.node.tolist()) == sorted(held_out.items.node.tolist())
        with torch.no_grad():
            torch.testing.assert_close(
                encoder.attach(states, user), encoder.attach(states, held_out), rtol=1e-5, atol=1e-5
            )
    assert strangers > 0  # the case does occur


def weights(edges):
    weight = [None] * len(edges) if edges.weight is None else edges.weight.tolist()
    return dict(zip(edges.node.tolist(), weight, strict=True))


def test_numbers_are_binned_as_in_training(split):
    bounds = split.full.bounds["user", "age"]
    ages = [0, 18, *(bound + step for bound in bounds for step in (-0.5, 0, 0.5)), 1000]
    for age in ages:
        (expected,) = bin_number(torch.tensor([float(age)]).numpy(), bounds)
        assert nodes(encoded(split, {"age": age}), AGE) == [expected]
    assert nodes(encoded(split, {"age": "33"}), AGE) == nodes(encoded(split, {"age": 33.0}), AGE)


def test_one_value_several_values_and_none(split):
    assert nodes(encoded(split, {"colour": "green"}), COLOUR) == [1]
    assert nodes(encoded(split, {"colour": ["red", "blue"]}), COLOUR) == [2, 0]
    assert nodes(encoded(split, {"colour": ["red", "red", None]}), COLOUR) == [2]
    for nothing in ({}, {"colour": None}, {"colour": []}, {"colour": {}}):
        assert nodes(encoded(split, nothing), COLOUR) == []
    assert encoded(split, {"colour": "green"}).relations[COLOUR].weight is None


def test_weights(split):
    skills = encoded(split, {"has": {"c": 2.5, "a": 0, "e": 1}}).relations[SKILL]
    assert skills.node.tolist() == [2, 0, 4]
    assert skills.weight.tolist() == [2.5, 0, 1]
    assert encoded(split, {"has": ["c", "a"]}).relations[SKILL].weight.tolist() == [1, 1]
    assert nodes(encoded(split, {"colour": {"green": 3}}), COLOUR) == [1]  # a weight that the relation does not have


@pytest.mark.parametrize("weight", ["much", None, -1, float("nan"), float("inf"), [1]])
def test_a_weight_that_is_none_is_warned_of(split, weight):
    user, warning = warned(split, {"has": {"c": weight, "a": 2}})
    assert warning.startswith("has: 'c' is ignored: its weight")
    assert weights(user.relations[SKILL]) == {0: 2.0}


def test_friends_are_named_by_their_ids(split):
    known, stranger = int(split.full.users.index[5]), int(split.test.users.index[0])
    user, warning = warned(split, {"friend": [f"user {known}", f"user {stranger}"]})
    assert nodes(user, FRIEND) == [5]
    assert warning == f"friend: 'user {stranger}' is no training user and is ignored"
    assert warned(split, {"friend": "nobody"})[1] == "friend: 'nobody' is no training user and is ignored"


def test_the_node_type_of_the_values_names_a_relation_too(split):
    assert weights(encoded(split, {"skill": {"b": 2}}).relations[SKILL]) == {1: 2.0}
    # But not the type `user`: it would be unclear whose name that is.
    assert warned(split, {"user": "user 1"})[1].startswith("unknown attribute 'user' is ignored")
    # And not beside the relation's own name.
    user, warning = warned(split, {"has": "a", "skill": "b"})
    assert nodes(user, SKILL) == [0]
    assert warning.startswith("unknown attribute 'skill' is ignored")


def test_a_node_type_that_two_relations_reach_names_neither(split):
    train = split.full
    relations = {**train.users.relations, ("user", "wants", "skill"): train.users.relations[SKILL]}
    train = replace(train, users=replace(train.users, relations=relations))
    user, warnings = encode(vocabulary(split, train), {"skill": "a", "wants": "b"})
    assert warnings == ["unknown attribute 'skill' is ignored. Known: club, colour, friend, has, age, wants"]
    assert (nodes(user, SKILL), nodes(user, ("user", "wants", "skill"))) == ([], [1])


def test_unknown_names_are_warned_of_with_the_nearest_known_one(split):
    user, warning = warned(split, {"color": "green", "age": 30})
    assert warning == (
        "unknown attribute 'color' is ignored. Did you mean 'colour'? Known: club, colour, friend, has, age"
    )
    assert len(user.relations[AGE]) == 1
    assert warned(split, {"zzz": 1})[1] == "unknown attribute 'zzz' is ignored. Known: club, colour, friend, has, age"


def test_unknown_values_are_warned_of_with_the_known_ones(split):
    user, warning = warned(split, {"colour": ["pink", "red"]})
    assert warning == (
        "colour: 'pink' is a value that training has not seen and is ignored; known: blue, green, red, yellow"
    )
    assert nodes(user, COLOUR) == [2]
    # A value that stands in the data, but that no training user has, is as unknown.
    assert "'f' is a value that training has not seen" in warned(split, {"has": "f"})[1]


@pytest.mark.parametrize("age", ["young", True, "", float("nan"), float("-inf"), [[1]]])
def test_a_number_that_is_none_is_warned_of(split, age):
    user, warning = warned(split, {"age": age, "club": "club 1"})
    assert warning.startswith("age: ")
    assert warning.endswith("is no number and is ignored")
    assert (nodes(user, AGE), nodes(user, CLUB)) == ([], [1])


def test_items_are_named_by_their_ids(split):
    user, warning = warned(split, {}, ["item 7", "item 3", "item 7", "item 99"])
    assert user.items.node.tolist() == [3, 7]
    assert user.items.row.tolist() == [0, 0]
    assert warning == "unknown item 'item 99' is ignored; items are named by the ids of the data"
    # Nobody says what value they have: that of the mean interaction.
    expected = split.full.users.items.weight.mean().item()
    assert user.items.weight.tolist() == pytest.approx([expected, expected])
    assert len(encoded(split, {}).items) == 0


def place(ids, text):
    return places(ids.astype(object), np.array([text], dtype=object)).item()


def test_values_are_named_as_json_has_them_or_as_the_file_has_them():
    whole = pd.Index(["1", "2", "false", "true"])
    written = pd.Index(["1.0", "1.5", "False", "True"])
    for value in (1, 1.0, "1", "1.0", " 1.0 "):
        assert (place(whole, _text(value)), place(written, _text(value))) == (0, 0)
    for value in (True, "true", " true"):
        assert (place(whole, _text(value)), place(written, _text(value))) == (3, 3)
    assert place(pd.Index(["007", "v1.0"]), "7") == -1
    assert place(pd.Index(["007", "v1"]), "v1.0") == -1


def test_ids_that_are_numbers_may_be_written_as_numbers():
    data = synthetic(0)
    ids = {**data.ids, "item": pd.Index([str(i) for i in range(40)]), "club": pd.Index(["7", "8", "9", "10"])}
    split = make_split(replace(data, ids=ids), UnseenUsers(test=0.2), 0)
    user, warnings = encode(vocabulary(split), {"club": 9}, [12, "13"])
    assert warnings == []
    assert user.relations[CLUB].node.tolist() == [2]
    assert user.items.node.tolist() == [12, 13]


def test_interactions_without_values_have_none_here_either():
    data = synthetic(0)
    data = replace(data, interactions=replace(data.interactions, value=None))
    split = make_split(data, UnseenUsers(test=0.2), 0)
    assert encoded(split, {}, ["item 1"]).items.weight is None


class TestParse:
    def test_an_object(self):
        assert parse('{"age": 25, "tags": ["a", "b"], "has": {"c": 0.5}, "club": null}') == {
            "age": 25,
            "tags": ["a", "b"],
            "has": {"c": 0.5},
            "club": None,
        }

    @pytest.mark.parametrize("text", ["{age: 25}", "", "age=25", '{"age": 25', "{'age': 25}", '{"age":\n25 "x"}'])
    def test_no_json(self, text):
        with pytest.raises(InputError, match=r"^--user: not JSON at character \d+ ") as caught:
            parse(text)
        assert '"age": 25, "gender": "F"' in str(caught.value)  # an example to copy
        assert "\n" not in str(caught.value)

    def test_where_it_breaks(self):
        with pytest.raises(InputError, match="at character 9 "):
            parse('{"age": x}')

    @pytest.mark.parametrize("text", ["[1, 2]", "3", '"age"', "null", "[\n1]"])
    def test_no_object(self, text):
        with pytest.raises(
            InputError, match=r"^--user: must be a JSON object such as '\{\"age\": 25\}', got "
        ) as caught:
            parse(text)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ['{"age": %s}' % ("9" * 5000), "[" * 100_000], ids=["5,000 digits", "brackets"])
def test_json_that_python_refuses_is_one_line(text):
    with pytest.raises(InputError, match=r"--user: (cannot be read|not JSON)") as refused:
        parse(text)
    assert "\n" not in str(refused.value)
