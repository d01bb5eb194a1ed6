from dataclasses import replace

import pandas as pd
import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import DataError
from gnnrec.graph.build import attach, attached_edges, build_graph, node_counts
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import INTERACTS, ITEM, USER, Edges, Relation, UserBatch, reverse

FRIEND = (USER, "friend", USER)
SKILL = (USER, "has", "skill")
CATEGORY = (ITEM, "category", "category")


def whole():
    """Synthetic data with a weighted relation to a node type of its own."""
    data = synthetic(0)
    edge_index = torch.stack([torch.arange(60), torch.arange(60) % 5])
    skill = Relation(*SKILL, edge_index, torch.arange(60).float())
    return replace(data, ids={**data.ids, "skill": pd.Index(list("abcde"))}, relations=(*data.relations, skill))


@pytest.fixture
def split():
    return make_split(whole(), UnseenUsers(test=0.2, validation=0.1, support=2), seed=0)


def test_nodes_are_those_of_the_training(split):
    counts = node_counts(build_graph(split.train))
    assert counts == {USER: 42, ITEM: 40, "club": 4, "colour": 4, "category": 4, "skill": 5, "age": 4}


def test_users_have_no_features(split):
    assert set(build_graph(split.train)[USER].keys()) == {"num_nodes"}


def test_every_relation_stands_there_as_the_training_has_it(split):
    train = split.train
    graph = build_graph(train)
    expected = {INTERACTS: train.users.items, **train.users.relations}
    for edge_type, edges in expected.items():
        assert torch.equal(graph[edge_type].edge_index, torch.stack([edges.row, edges.node]))
    assert torch.equal(graph[CATEGORY].edge_index, split.dataset.relations[3].edge_index)
    both = [*expected, CATEGORY, *(reverse(t) for t in (*expected, CATEGORY) if t != FRIEND)]
    assert sorted(graph.edge_types) == sorted(both)


def test_reverse_relations_keep_the_order_of_the_edges(split):
    graph = build_graph(split.train)
    pairs = [t for t in graph.edge_types if reverse(t) in graph.edge_types]
    assert len(pairs) == 6  # interactions, club, colour, skill, age, category
    for edge_type in pairs:
        assert torch.equal(graph[reverse(edge_type)].edge_index, graph[edge_type].edge_index.flip(0))


def test_edges_between_users_are_symmetric_and_have_no_reverse(split):
    graph = build_graph(split.train)
    assert reverse(FRIEND) not in graph.edge_types
    edges = set(map(tuple, graph[FRIEND].edge_index.T.tolist()))
    assert edges == {(other, one) for one, other in edges}


def test_weights_are_kept_in_both_directions(split):
    graph = build_graph(split.train)
    for edge_type in (SKILL, reverse(SKILL)):
        user = graph[SKILL].edge_index[0]
        assert torch.equal(graph[edge_type].edge_weight, split.train.users.index[user].float())  # weight of u is u
    for edge_type in (INTERACTS, reverse(INTERACTS)):
        assert torch.equal(graph[edge_type].edge_weight, split.train.users.items.weight)
    assert "edge_weight" not in graph["user", "club", "club"]


@pytest.mark.parametrize(
    "clash",
    [
        (USER, "interacts", ITEM),  # the interactions themselves
        ("club", "rev_club", ITEM),  # with (item, club, club) below, the reverse of it
    ],
)
def test_a_relation_with_the_name_of_another_is_refused(split, clash):
    edges = torch.tensor([[0], [0]])
    train = split.train
    others = (Relation(*clash, edges), Relation(ITEM, "club", "club", edges))
    with pytest.raises(DataError, match="give the relation another name"):
        build_graph(replace(train, relations=(*train.relations, *others)))


def test_what_attaches_new_users_leads_to_them_only(split):
    users = split.validation.users
    edges = attached_edges(users)
    assert set(edges) == {reverse(INTERACTS), FRIEND, reverse(SKILL)} | {
        (t, f"rev_{t}", USER) for t in ("club", "colour", "age")
    }
    known = {reverse(INTERACTS): users.items, FRIEND: users.relations[FRIEND], reverse(SKILL): users.relations[SKILL]}
    for edge_type, expected in known.items():
        edge_index, weight = edges[edge_type]
        assert torch.equal(edge_index, torch.stack([expected.node, expected.row]))
        assert weight is expected.weight


def test_attach_appends_users_and_leaves_the_graph_alone(split):
    users = split.validation.users
    graph = build_graph(split.train)
    before = {t: graph[t].edge_index.clone() for t in graph.edge_types}
    larger = attach(graph, users)
    assert larger[USER].num_nodes == 42 + 6
    assert graph[USER].num_nodes == 42
    for edge_type in graph.edge_types:
        old, new = before[edge_type], larger[edge_type].edge_index
        assert torch.equal(graph[edge_type].edge_index, old)
        assert torch.equal(new[:, : old.shape[1]], old)
        added = new[:, old.shape[1] :]
        if edge_type[2] == USER:
            assert (added[1] >= 42).all()
            assert edge_type[0] != USER or (added[0] < 42).all()  # a new user sends no message
        else:
            assert added.shape[1] == 0
    club = users.relations["user", "club", "club"]
    assert set(map(tuple, larger["club", "rev_club", USER].edge_index[:, 42:].T.tolist())) == {
        (node, row + 42) for row, node in zip(club.row.tolist(), club.node.tolist(), strict=True)
    }
    assert len(larger[reverse(SKILL)].edge_weight) == 48


def test_a_user_of_whom_nothing_is_known_can_be_attached(split):
    nothing = Edges(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))
    graph = build_graph(split.train)
    larger = attach(graph, UserBatch(torch.tensor([-1]), nothing, {}))
    assert larger[USER].num_nodes == 43
    assert larger.num_edges == graph.num_edges
