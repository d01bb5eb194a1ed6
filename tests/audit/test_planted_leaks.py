"""Leaks of many kinds, planted into a data set or into what a model is given: which ones the audit catches."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.audit.held_out import audit_held_out
from gnnrec.audit.side_information import audit_side_information
from gnnrec.audit.training import audit, audit_graph
from gnnrec.data.dataset import Dataset, Numeric
from gnnrec.data.features.text import fitted
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import AuditError
from gnnrec.graph.build import build_graph
from gnnrec.splits import UnseenItems, UnseenUsers, make_split
from gnnrec.splits.parts import TEST, TRAIN, VALIDATION
from gnnrec.splits.split import Split
from gnnrec.views import INTERACTS, ITEM, USER, Edges, Features, Relation, TestSet, TrainingData, UserBatch

SEED = 5
DATA = synthetic(SEED, num_users=240, num_items=62, groups=4, choices=10)


def split_of(data: Dataset, support: int = 0) -> Split:
    return make_split(data, UnseenUsers(test=0.2, validation=0.2, support=support), SEED)


def audited(split: Split, train: TrainingData | None = None, held_out: TestSet | None = None) -> None:
    """All that a run audits before its test part is evaluated."""
    train = split.full if train is None else train
    audit(split, train, final=True)
    split.open_test("a test of the audit")
    held_out = split.test if held_out is None else held_out
    audit_held_out(split, held_out, train, TEST)
    audit_side_information(train, held_out)


# Leaks in the data: made from the interactions of everyone, before the split.


def with_user_values(name: str, row: Any, value: Any) -> Dataset:
    """The data with one more attribute of users: texts of some users."""
    code, ids = pd.factorize(np.asarray(value).astype(str))
    edges = np.unique(np.stack([np.asarray(row), code]), axis=1)
    relation = Relation(USER, name, name, torch.from_numpy(edges).long())
    return replace(DATA, relations=(*DATA.relations, relation), ids={**DATA.ids, name: pd.Index(ids)})


def favourite_item() -> Dataset:
    first = pd.DataFrame({"u": DATA.interactions.user, "i": DATA.interactions.item}).groupby("u")["i"].first()
    return with_user_values("favourite", first.index, "item " + first.astype(str))


def interactions_under_another_name() -> Dataset:
    return with_user_values("wishlist", DATA.interactions.user, DATA.ids[ITEM][DATA.interactions.item.numpy()])


def interactions_in_copied_ids() -> Dataset:
    return with_user_values("seen", DATA.interactions.user, [f"page-{7 * int(i) + 3}" for i in DATA.interactions.item])


def interactions_in_part() -> Dataset:
    part = torch.rand(len(DATA.interactions), generator=torch.Generator().manual_seed(SEED)) < 0.4
    items = DATA.interactions.item[part]
    return with_user_values("clicks", DATA.interactions.user[part], [f"page-{int(i)}" for i in items])


def interactions_as_a_relation_to_items() -> Dataset:
    pairs = torch.stack([DATA.interactions.user, DATA.interactions.item])
    return replace(DATA, relations=(*DATA.relations, Relation(USER, "viewed", ITEM, pairs)))


def last_item_in_upper_case() -> Dataset:
    last = pd.DataFrame({"u": DATA.interactions.user, "i": DATA.interactions.item}).groupby("u")["i"].last()
    return with_user_values("landing page", last.index, "PAGE OF " + last.astype(str))


def counts_of_everyone_as_an_item_attribute() -> Dataset:
    count = torch.bincount(DATA.interactions.item, minlength=DATA.num_items).double()
    numeric = Numeric(ITEM, "sales", torch.arange(DATA.num_items), count, bins=40)
    return replace(DATA, numeric=(*DATA.numeric, numeric))


def scaled_logarithm_of_counts_as_an_item_attribute() -> Dataset:
    count = torch.bincount(DATA.interactions.item, minlength=DATA.num_items).double()
    numeric = Numeric(ITEM, "rank", torch.arange(DATA.num_items), 3 * (count + 1).log() - 1, bins=40)
    return replace(DATA, numeric=(*DATA.numeric, numeric))


def counts_of_everyone_among_the_features() -> Dataset:
    count = torch.bincount(DATA.interactions.item, minlength=DATA.num_items).float()
    noise = torch.randn(DATA.num_items, 2, generator=torch.Generator().manual_seed(SEED))
    vector = torch.stack([noise[:, 0], -count.sqrt(), noise[:, 1]], dim=1)
    return replace(DATA, features=(Features(ITEM, "own", vector, torch.ones(DATA.num_items, dtype=torch.bool)),))


def bought_together_by_anyone() -> Dataset:
    history = torch.zeros(DATA.num_users, DATA.num_items)
    history[DATA.interactions.user, DATA.interactions.item] = 1
    together = (history.T @ history > 0).fill_diagonal_(False).nonzero().T
    return replace(DATA, relations=(*DATA.relations, Relation(ITEM, "bought together", ITEM, together)))


def friends_who_chose_the_same() -> Dataset:
    """Each user's friend is the user with the most common items; which ones, only the histories say."""
    history = torch.zeros(DATA.num_users, DATA.num_items)
    history[DATA.interactions.user, DATA.interactions.item] = 1
    nearest = (history @ history.T).fill_diagonal_(0).topk(3, dim=1).indices
    pairs = torch.stack([torch.arange(DATA.num_users).repeat_interleave(3), nearest.flatten()])
    both = torch.cat([pairs, pairs.flip(0)], dim=1).unique(dim=1)
    return replace(DATA, relations=(*DATA.relations, Relation(USER, "alike", USER, both)))


IN_THE_DATA = (
    favourite_item,
    interactions_under_another_name,
    interactions_in_copied_ids,
    interactions_in_part,
    interactions_as_a_relation_to_items,
    last_item_in_upper_case,
    counts_of_everyone_as_an_item_attribute,
    scaled_logarithm_of_counts_as_an_item_attribute,
    counts_of_everyone_among_the_features,
    bought_together_by_anyone,
    friends_who_chose_the_same,
)


# Leaks in what a model is given: the data is honest, and something is made wrongly of it.


def changed(split: Split, **users: Any) -> TrainingData:
    return replace(split.full, users=replace(split.full.users, **users))


def held_out_edge(split: Split) -> tuple[int, int]:
    place = int((split.edge_part == TEST).nonzero()[0])
    return int(split.dataset.interactions.user[place]), int(split.dataset.interactions.item[place])


def history_of_a_test_user_under_another_name(split: Split) -> None:
    _, item = held_out_edge(split)
    items = split.full.users.items
    weight = None if items.weight is None else torch.cat([items.weight, items.weight[:1]])
    row, node = torch.cat([items.row, torch.tensor([0])]), torch.cat([items.node, torch.tensor([item])])
    audited(split, changed(split, items=Edges(row, node, weight)))


def a_test_user_in_training(split: Split) -> None:
    index = split.full.users.index.clone()
    index[0] = held_out_edge(split)[0]
    audited(split, changed(split, index=index))


def popularity_of_everyone(split: Split) -> None:
    train = replace(split.full)
    train.__dict__["popularity"] = torch.bincount(DATA.interactions.item, minlength=DATA.num_items).float()
    audited(split, train)


def candidates_of_everyone(split: Split) -> None:
    audited(split, replace(split.full, candidates=torch.ones_like(split.full.candidates)))


def values_with_what_others_chose(split: Split) -> None:
    items = split.full.users.items
    everyone = torch.bincount(DATA.interactions.item, minlength=DATA.num_items).float()
    audited(split, changed(split, items=Edges(items.row, items.node, everyone[items.node])))


def weights_of_edges_with_what_others_chose(split: Split) -> None:
    relations = dict(split.full.users.relations)
    edges = relations[USER, "club", "club"]
    relations[USER, "club", "club"] = Edges(edges.row, edges.node, torch.rand(len(edges)))
    audited(split, changed(split, relations=relations))


def edges_of_another_user(split: Split) -> None:
    relations = dict(split.full.users.relations)
    edges = relations[USER, "club", "club"]
    relations[USER, "club", "club"] = Edges(edges.row, (edges.node + 1) % 4, edges.weight)
    audited(split, changed(split, relations=relations))


def a_relation_between_items_that_the_data_does_not_have(split: Split) -> None:
    extra = Relation(ITEM, "together", ITEM, torch.tensor([[0, 1], [1, 0]]))
    audited(split, replace(split.full, relations=(*split.full.relations, extra)))


def more_edges_between_items(split: Split) -> None:
    first, *rest = split.full.relations
    edges = torch.cat([first.edge_index, torch.tensor([[0], [int(first.edge_index[1, 1])]])], dim=1)
    audited(split, replace(split.full, relations=(replace(first, edge_index=edges), *rest)))


def bins_of_everyone(split: Split) -> None:
    ages = next(a for a in DATA.numeric if a.name == "age").number.numpy()
    bounds = {**split.full.bounds, (USER, "age"): tuple(np.quantile(ages, [0.2, 0.5, 0.8]).tolist())}
    audited(split, replace(split.full, bounds=bounds))


def a_feature_that_the_data_do_not_have(split: Split) -> None:
    extra = Features(ITEM, "extra", torch.ones(DATA.num_items, 1), torch.ones(DATA.num_items, dtype=torch.bool))
    audited(split, replace(split.full, features=(extra,)))


def words_counted_on_all_items(split: Split) -> None:
    """The encoder must be fitted on items of training alone."""
    texts = tuple(f"word{i % 5} word{i % 3} {i % 11}" for i in range(DATA.num_items))
    every = torch.ones(DATA.num_items, dtype=torch.bool)
    words = Features(ITEM, "title", torch.zeros(DATA.num_items, 0), every, texts, ("tfidf", {}))
    parts = make_split(replace(DATA, features=(words,)), UnseenItems(test=0.3, validation=0.2), SEED)
    audit(parts, parts.full, final=True)
    audit(parts, replace(parts.full, features=(fitted(words, every),)), final=True)


def a_vector_of_another_item(split: Split) -> None:
    vector = torch.arange(float(DATA.num_items))[:, None]
    own = Features(ITEM, "size", vector, torch.ones(DATA.num_items, dtype=torch.bool))
    parts = split_of(replace(DATA, features=(own,)))
    audit(parts, parts.full, final=True)
    audit(parts, replace(parts.full, features=(replace(own, vector=vector.roll(1)),)), final=True)


def words_of_other_values(split: Split) -> None:
    vector, every = torch.arange(8.0).reshape(4, 2), torch.ones(4, dtype=torch.bool)
    own = Features("club", "club", vector, every)
    parts = split_of(replace(DATA, values=(own,)))
    audit(parts, parts.full, final=True)
    audit(parts, replace(parts.full, values=(replace(own, vector=vector.roll(1, 0)),)), final=True)


def a_table_of_users(split: Split) -> None:
    audit(split, split.full, {USER: split.full.num_users})


def a_graph_of_everyone(split: Split) -> None:
    audit_graph(build_graph(split.full), split, split.train)


def a_test_edge_in_the_graph(split: Split) -> None:
    graph = build_graph(split.full)
    edges = torch.tensor([[0], [held_out_edge(split)[1]]])
    graph[INTERACTS].edge_index = torch.cat([graph[INTERACTS].edge_index, edges], dim=1)
    audit_graph(graph, split, split.full)


def targets_among_known_items(split: Split) -> None:
    split.open_test("a test of the audit")
    truth = split.test.ground_truth
    users = replace(split.test.users, items=truth.take(torch.arange(len(truth)) < 5))
    audited(split, held_out=replace(split.test, users=users))


def friends_in_the_test_part(split: Split) -> None:
    split.open_test("a test of the audit")
    relations = dict(split.test.users.relations)
    edges = relations[USER, "friend", USER]
    relations[USER, "friend", USER] = Edges(edges.row, edges.node + split.full.num_users, edges.weight)
    audited(split, held_out=replace(split.test, users=replace(split.test.users, relations=relations)))


IN_WHAT_A_MODEL_GETS: tuple[Callable[[Split], None], ...] = (
    history_of_a_test_user_under_another_name,
    a_test_user_in_training,
    popularity_of_everyone,
    candidates_of_everyone,
    values_with_what_others_chose,
    weights_of_edges_with_what_others_chose,
    edges_of_another_user,
    a_relation_between_items_that_the_data_does_not_have,
    more_edges_between_items,
    bins_of_everyone,
    a_feature_that_the_data_do_not_have,
    words_counted_on_all_items,
    a_vector_of_another_item,
    words_of_other_values,
    a_table_of_users,
    a_graph_of_everyone,
    a_test_edge_in_the_graph,
    targets_among_known_items,
    friends_in_the_test_part,
)


def test_honest_data_passes() -> None:
    for support in (0, 2):
        audited(split_of(DATA, support))


@pytest.mark.parametrize("leak", IN_THE_DATA, ids=lambda leak: leak.__name__)
def test_a_leak_in_the_data_is_caught(leak: Callable[[], Dataset]) -> None:
    with pytest.raises(AuditError, match=r"leave it out|another name"):
        audited(split_of(leak()))


@pytest.mark.parametrize("leak", IN_WHAT_A_MODEL_GETS, ids=lambda leak: leak.__name__)
def test_a_leak_in_what_a_model_gets_is_caught(leak: Callable[[Split], None]) -> None:
    with pytest.raises(AuditError):
        leak(split_of(DATA))


def test_weights_of_a_graph_may_be_another_value_of_the_same_interactions_and_nothing_else() -> None:
    split = split_of(DATA)
    graph = build_graph(split.full)
    for edge_type in (INTERACTS, (ITEM, "rev_interacts", USER)):
        graph[edge_type].edge_weight = 2 ** graph[edge_type].edge_weight - 1
    audit_graph(graph, split, split.full)
    graph[INTERACTS].edge_weight = graph[INTERACTS].edge_weight + (torch.arange(len(split.full.users.items)) == 5)
    with pytest.raises(AuditError, match="weights that are not those of the data"):
        audit_graph(graph, split, split.full)


def test_what_cannot_be_told_from_honest_data_is_reported_with_its_number() -> None:
    """The group of a user's last item is as predictive as an honest club, and not more."""
    last = pd.DataFrame({"u": DATA.interactions.user, "i": DATA.interactions.item}).groupby("u")["i"].last()
    split = split_of(with_user_values("style", last.index, last % 4))
    split.open_test("a test of the audit")
    measured = audit_side_information(split.full, split.test)
    assert set(measured) == {"club", "colour", "age", "friend", "style"}
    assert measured["style"]["chance"] + 0.1 < measured["style"]["found"] < 0.9
    assert abs(measured["style"]["found"] - measured["club"]["found"]) < 0.2
    assert abs(measured["colour"]["found"] - measured["colour"]["chance"]) < 0.15


def test_hand_worked_numbers() -> None:
    """Value a goes with item 0, value b with item 1; of four held-out users with values a, a, b, b three chose so."""
    ids = {ITEM: pd.Index(["0", "1", "2"]), "shop": pd.Index(["a", "b"])}
    shop = (USER, "shop", "shop")

    def users(items: list[int], values: list[int]) -> Any:
        row = torch.arange(len(items))
        return UserBatch(row, Edges(row, torch.tensor(items)), {shop: Edges(row, torch.tensor(values))})

    train = TrainingData(users([0, 0, 0, 1, 1], [0, 0, 0, 1, 1]), ids, (), {}, torch.ones(3, dtype=torch.bool))
    asked = users([0, 0, 1, 2], [0, 0, 1, 1])
    nothing = Edges(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))
    held_out = TestSet(replace(asked, items=nothing), asked.items)
    assert audit_side_information(train, held_out) == {
        "shop": {"found": 0.75, "by_one_value": 0.75, "training": 1.0, "chance": 0.5, "users": 4}
    }


def test_parts_of_the_split_are_those_that_are_audited() -> None:
    split = split_of(DATA)
    assert {int(part) for part in split.user_part.unique()} == {TRAIN, VALIDATION, TEST}


def test_a_few_users_prove_nothing() -> None:
    """Of ten held-out users all may have a favourite: a share of so few is no sign of a leak."""
    split = split_of(favourite_item())
    split.open_test("a test of the audit")
    few = split.test.take(torch.arange(10))
    assert audit_side_information(split.full, few)["favourite"]["by_one_value"] == 1.0
    with pytest.raises(AuditError, match="favourite"):
        audit_side_information(split.full, split.test)


def test_where_no_training_user_has_an_edge_held_out_ones_are_looked_at_all_the_same() -> None:
    """Few users train, none of whom has a friend: there is nobody to compare with, and nothing breaks."""
    split = make_split(synthetic(2, num_users=200), UnseenUsers(test=0.4, validation=0.2), 2)
    split.open_test("to look at friends")
    train = split.full
    friends = train.users.relations[(USER, "friend", USER)]
    nothing = friends.take(torch.empty(0, dtype=torch.int64))
    alone = replace(train, users=replace(train.users, relations={(USER, "friend", USER): nothing}))
    found = audit_side_information(alone, split.test)["friend"]
    assert found["training"] == 0.0
    assert found["users"] > 50
    assert found["found"] == audit_side_information(train, split.test)["friend"]["found"]
