"""Every way of leaking is planted once and must be caught; clean splits of every kind must pass."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gnnrec.audit.training import audit, audit_graph
from gnnrec.data.dataset import Interactions, Numeric
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import AuditError
from gnnrec.graph.build import build_graph
from gnnrec.splits import FromFile, UnseenBoth, UnseenItems, UnseenUsers, WarmInteractions, make_split
from gnnrec.splits.parts import TEST, TRAIN, VALIDATION
from gnnrec.views import INTERACTS, ITEM, USER, Edges, Relation, reverse

KINDS = {
    "unseen_users": UnseenUsers(test=0.2, validation=0.1),
    "folds": UnseenUsers(folds=5, validation=0.1),
    "support": UnseenUsers(test=0.2, validation=0.2, support=2),
    "unseen_items": UnseenItems(test=0.2, validation=0.2),
    "unseen_both": UnseenBoth(test=0.2, validation=0.2, support=2),
    "interactions": WarmInteractions(test=0.2, validation=0.1),
}
FRIEND = (USER, "friend", USER)


def cold(support=0):
    return make_split(synthetic(seed=3), UnseenUsers(test=0.2, validation=0.1, support=support), seed=0)


@pytest.fixture(params=["train", "full"])
def part(request):
    """A clean split, the training part that a fit gets, a user held out from it, and whether it is the final fit."""
    split = cold()
    final = request.param == "full"
    held_out = int((split.user_part == (TEST if final else VALIDATION)).nonzero()[0])
    return split, split.full if final else split.train, held_out, final


def with_users(train, **changes):
    return replace(train, users=replace(train.users, **changes))


def add(edges, row, node):
    weight = None if edges.weight is None else torch.cat([edges.weight, torch.ones(1)])
    return Edges(torch.cat([edges.row, torch.tensor([row])]), torch.cat([edges.node, torch.tensor([node])]), weight)


def items_of(split, user):
    return split.dataset.interactions.item[split.dataset.interactions.user == user]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_clean_split_passes(kind, seed):
    split = make_split(synthetic(seed), KINDS[kind], seed)
    for train, final in ((split.train, False), (split.full, True)):
        record = audit(split, train, {ITEM: split.dataset.num_items, "club": 4})
        assert record["final"] is final
        assert record["training_users"] == train.num_users
        assert record["training_interactions"] == len(train.users.items) == int(train.popularity.sum())
        assert record["training_users"] + record["held_out_users"] == split.dataset.num_users
        assert record["training_interactions"] + record["held_out_interactions"] == len(split.dataset.interactions)
        edges = audit_graph(build_graph(train), split, train)
        assert edges["user interacts item"] == edges["item rev_interacts user"] == len(train.users.items)


def test_a_split_from_a_file_passes(tmp_path):
    path = tmp_path / "users.txt"
    path.write_text("user 3\nuser 17\n")
    split = make_split(synthetic(seed=0), FromFile(test=path, validation=0.1), seed=0)
    assert audit(split, split.full)["held_out_users"] == 2


def test_the_record_is_ready_for_json(part):
    split, train, _, final = part
    record = audit(split, train, {ITEM: 40})
    assert {type(value) for value in record.values()} <= {bool, int, dict, list}
    # 12 of 60 users are in test and 6 in validation.
    assert record["held_out_users"] == (12 if final else 18)


def test_final_is_told_from_the_part():
    split = cold()
    assert audit(split, replace(split.full), final=True)["held_out_users"] == 12
    with pytest.raises(AuditError, match="6 held-out users are among the training users"):
        audit(split, replace(split.full))  # no longer the same object, so the stricter rule holds


def test_a_held_out_user_among_the_training_users(part):
    split, train, held_out, final = part
    index = train.users.index.clone()
    index[0] = held_out
    with pytest.raises(AuditError, match=f"held-out users are among the training users, e.g. user {held_out}"):
        audit(split, with_users(train, index=index), final=final)


def test_a_training_user_twice(part):
    split, train, _, final = part
    index = train.users.index.clone()
    index[0] = index[1]
    with pytest.raises(AuditError, match="among the training users twice"):
        audit(split, with_users(train, index=index), final=final)


def test_a_held_out_users_history_under_a_training_user(part):
    split, train, held_out, final = part
    own = set(items_of(split, int(train.users.index[0])).tolist())
    item = next(i for i in items_of(split, held_out).tolist() if i not in own)
    with pytest.raises(AuditError, match=f"1 interactions that this user never had, e.g. user .*, item item {item}$"):
        audit(split, with_users(train, items=add(train.users.items, 0, item)), final=final)


def test_a_history_of_a_user_beyond_the_training_users(part):
    split, train, held_out, final = part
    leaked = add(train.users.items, train.num_users, int(items_of(split, held_out)[0]))
    with pytest.raises(AuditError, match="reach 1 times a user who is not in training"):
        audit(split, with_users(train, items=leaked), final=final)


@pytest.mark.parametrize("kind", ["interactions", "unseen_items"])
def test_a_held_out_interaction_of_a_known_user(kind):
    split = make_split(synthetic(seed=0), KINDS[kind], seed=0)
    raw = split.dataset.interactions
    edge = int((split.edge_part == TEST).nonzero()[0])
    row = int((split.full.users.index == raw.user[edge]).nonzero()[0])
    leaked = with_users(split.full, items=add(split.full.users.items, row, int(raw.item[edge])))
    with pytest.raises(AuditError, match=r"1 held-out interactions, e.g. user"):
        audit(split, leaked, final=True)


def test_validation_interactions_are_held_out_until_the_final_fit():
    split = make_split(synthetic(seed=0), KINDS["interactions"], seed=0)
    with pytest.raises(AuditError, match=r"\d+ held-out interactions"):
        audit(split, split.full, final=False)


def test_support_of_a_held_out_user_is_no_training_data():
    split = cold(support=2)
    edge = int((split.edge_part > VALIDATION).nonzero()[0])
    leaked = with_users(split.train, items=add(split.train.users.items, 0, int(split.dataset.interactions.item[edge])))
    with pytest.raises(AuditError, match="never had"):
        audit(split, leaked, final=False)


def test_a_friend_who_is_held_out(part):
    # As a builder would do that forgot to renumber: nodes are indices of the data set instead of training rows.
    split, train, held_out, final = part
    friends = train.users.relations[FRIEND]
    for node, message in ((train.num_users, "reach 1 times a user who is not in training"), (held_out, "relation")):
        relations = dict(train.users.relations) | {FRIEND: add(friends, 0, node)}
        with pytest.raises(AuditError, match=message):
            audit(split, with_users(train, relations=relations), final=final)


def test_friends_numbered_as_in_the_data_set():
    split = cold()
    train = split.train
    friends = train.users.relations[FRIEND]
    renumbered = Edges(friends.row, train.users.index[friends.node].clamp(max=train.num_users - 1), friends.weight)
    relations = dict(train.users.relations) | {FRIEND: renumbered}
    with pytest.raises(AuditError, match="edges are not those of their users"):
        audit(split, with_users(train, relations=relations), final=False)


@pytest.mark.parametrize("name", ["club", "age"])
def test_an_attribute_of_someone_else(part, name):
    split, train, _, final = part
    edge_type = (USER, name, name)
    edges = train.users.relations[edge_type]
    moved = Edges(edges.row, edges.node.roll(1), edges.weight)
    with pytest.raises(AuditError, match=f"relation '{name}': .* edges are not those of their users in the data"):
        audit(split, with_users(train, relations=dict(train.users.relations) | {edge_type: moved}), final=final)


def test_a_relation_that_is_not_in_the_data(part):
    split, train, _, final = part
    relations = dict(train.users.relations) | {(USER, "rents", ITEM): train.users.items}
    with pytest.raises(AuditError, match="not in the data"):
        audit(split, with_users(train, relations=relations), final=final)


def test_users_hidden_among_the_relations_of_items(part):
    split, train, _, final = part
    hidden = Relation(ITEM, "chosen_by", USER, torch.zeros(2, 1, dtype=torch.int64))
    with pytest.raises(AuditError, match="holds users"):
        audit(split, replace(train, relations=(*train.relations, hidden)), final=final)


def test_a_popularity_count_over_everyone(part):
    split, train, _, final = part
    copy = replace(train)
    everyone = torch.bincount(split.dataset.interactions.item, minlength=train.num_items).float()
    copy.__dict__["popularity"] = everyone  # what a cached property would hold
    with pytest.raises(AuditError, match="popularity count is not that of the training users"):
        audit(split, copy, final=final)


def test_a_training_user_whose_history_is_missing_changes_the_count(part):
    split, train, _, final = part
    with pytest.raises(AuditError, match="popularity count"):
        audit(
            split, with_users(train, items=train.users.items.take(torch.arange(1, len(train.users.items)))), final=final
        )


def test_a_candidate_that_only_held_out_users_chose():
    data = synthetic(seed=3)
    extra = Interactions(
        torch.cat([data.interactions.user, torch.tensor([0])]),
        torch.cat([data.interactions.item, torch.tensor([40])]),
    )
    ids = dict(data.ids) | {ITEM: data.ids[ITEM].append(type(data.ids[ITEM])(["only of user 0"]))}
    data = replace(data, ids=ids, interactions=extra, titles=())
    split = make_split(data, UnseenUsers(test=0.2, validation=0.1, seed=first_seed_that_tests_user_0()), seed=0)
    assert audit(split, split.full)["final"]
    leaked = replace(split.full, candidates=torch.ones(41, dtype=torch.bool))
    with pytest.raises(AuditError, match=r"have no training interaction, e.g. item only of user 0"):
        audit(split, leaked, final=True)


def first_seed_that_tests_user_0():
    return next(s for s in range(100) if 0 in np.random.RandomState(s).permutation(60)[:12])


def test_bins_fitted_on_everyone(part):
    split, train, _, final = part
    numeric = split.dataset.numeric[0]
    # Held-out users are far older, so that bounds fitted on all users differ.
    old = torch.where(split.user_part[numeric.node] == TRAIN, numeric.number, numeric.number + 1000)
    data = replace(split.dataset, numeric=(replace(numeric, number=old),))
    split = replace(split, dataset=data)
    train = split.full if final else split.train
    audit(split, train)
    bounds = tuple(np.quantile(old.numpy(), [0.25, 0.5, 0.75]).tolist())
    with pytest.raises(AuditError, match="'age' have bounds"):
        audit(split, replace(train, bounds={(USER, "age"): bounds}), final=final)


def test_bounds_given_by_hand_and_item_numbers_pass():
    data = synthetic(seed=0)
    year = Numeric(ITEM, "year", torch.arange(40), torch.arange(40).double(), bins=3)
    age = replace(data.numeric[0], bins=None, bounds=(18.0, 40.0))
    split = make_split(replace(data, numeric=(age, year)), UnseenUsers(test=0.2, validation=0.1), seed=0)
    assert audit(split, split.train)["training_users"] == 42
    with pytest.raises(AuditError, match=r"'age' have bounds \[18.0\]"):
        audit(split, replace(split.train, bounds=dict(split.train.bounds) | {(USER, "age"): (18.0,)}), final=False)


@pytest.mark.parametrize(
    "tables", [{USER: 1}, {"memory": 42}, {"memory": 60}, {ITEM: 42}], ids=["user", "training", "all", "item"]
)
def test_a_learned_table_of_users(tables):
    split = cold()  # 60 users, 42 of them in training, 40 items
    with pytest.raises(AuditError, match="a user must own no learned table"):
        audit(split, split.train, tables)


def test_tables_of_items_and_values_pass_even_when_as_many_as_users():
    split = make_split(synthetic(seed=0, num_users=60, num_items=60), UnseenUsers(test=0.2, validation=0.1), seed=0)
    tables = {ITEM: 60, "club": 4, "memory": 7, USER: 0}
    assert audit(split, split.train, tables)["tables"] == tables


def graph_with(train, edge_type, first, second):
    graph = build_graph(train)
    graph[edge_type].edge_index = torch.cat([graph[edge_type].edge_index, torch.tensor([[first], [second]])], dim=1)
    return graph


def test_a_graph_with_a_leaked_interaction(part):
    split, train, held_out, final = part
    own = set(items_of(split, int(train.users.index[0])).tolist())
    item = next(i for i in items_of(split, held_out).tolist() if i not in own)
    for edge_type, ends in ((INTERACTS, (0, item)), (reverse(INTERACTS), (item, 0))):
        with pytest.raises(AuditError, match="never had"):
            audit_graph(graph_with(train, edge_type, *ends), split, train, final=final)
    with pytest.raises(AuditError, match="not in training"):
        audit_graph(graph_with(train, INTERACTS, train.num_users, item), split, train, final=final)


def test_a_graph_built_before_the_split():
    split = cold()
    with pytest.raises(AuditError, match="graph has 48 users, training has 42"):
        audit_graph(build_graph(split.full), split, split.train)


def test_a_graph_whose_item_degrees_differ(part):
    split, train, _, final = part
    graph = build_graph(train)
    graph[INTERACTS].edge_index = graph[INTERACTS].edge_index[:, 1:]
    with pytest.raises(AuditError, match="degree in edges"):
        audit_graph(graph, split, train, final=final)


def test_a_graph_with_a_friend_or_value_of_someone_else(part):
    split, train, _, final = part
    with pytest.raises(AuditError, match="friend"):
        audit_graph(graph_with(train, FRIEND, 0, 0), split, train, final=final)
    club = int(train.users.index[0]) % 4
    with pytest.raises(AuditError, match="club"):
        audit_graph(graph_with(train, ("club", "rev_club", USER), (club + 1) % 4, 0), split, train, final=final)


def test_a_graph_with_user_features():
    split = cold()
    graph = build_graph(split.train)
    graph[USER].x = torch.zeros(42, 8)
    with pytest.raises(AuditError, match="stores 'x' for users"):
        audit_graph(graph, split, split.train)
