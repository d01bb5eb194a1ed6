"""Many attribute columns as one node type: the same edges, one relation, and models that keep the contract."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.audit.training import audit, audit_graph
from gnnrec.data.dataset import Dataset
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.graph import merge as merging
from gnnrec.graph.merge import MOST, OF_ITEMS, OF_USERS, AttributeMerge
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.split import Split
from gnnrec.testing import assert_recommender
from gnnrec.training.pretrain import PretrainConfig
from gnnrec.training.ranking import RankingConfig
from gnnrec.views import ITEM, USER, Features, Relation

COLUMNS = MOST + 2


def column(source: str, count: int, number: int, weight: bool = False) -> tuple[str, pd.Index, Relation]:
    """A column of 3 values that every fifth node has no value of."""
    random = np.random.default_rng(number)
    nodes = np.arange(count)[np.arange(count) % 5 != number % 5]
    values = random.integers(3, size=len(nodes))
    name = f"{source} column {number}"
    weights = torch.from_numpy(random.random(len(nodes))).float() if weight else None
    edges = torch.from_numpy(np.stack([nodes, values]))
    return name, pd.Index([f"v{j}" for j in range(3)]), Relation(source, name, name, edges, weight=weights)


def wide(of_users: int = COLUMNS, of_items: int = COLUMNS, num_users: int = 60) -> Dataset:
    """The made data with many columns that mean nothing."""
    data = synthetic(0, num_users=num_users)
    added = [column(USER, num_users, n, weight=n == 1) for n in range(of_users)]
    added += [column(ITEM, 40, n) for n in range(of_items)]
    return replace(
        data,
        ids={**data.ids, **{name: ids for name, ids, _ in added}},
        relations=(*data.relations, *(relation for _, _, relation in added)),
    )


def split_of(data: Dataset) -> Split:
    return make_split(data, UnseenUsers(test=0.2, validation=0.2), 0)


def test_few_columns_stay_as_they_are() -> None:
    train = split_of(wide(3, 3)).train
    merge = AttributeMerge(train)
    assert not merge.needed
    assert merge.training(train) is train
    assert merge.users(train.users) is train.users
    assert merge.unmerged({"club": 4}) == {"club": 4}


def test_every_edge_is_there_once_under_the_name_of_its_value() -> None:
    train = split_of(wide()).train
    merged = AttributeMerge(train).training(train)
    assert [t for t in merged.users.relations if t[2] != USER] == [(USER, OF_USERS, OF_USERS)]
    assert [relation.type for relation in merged.relations] == [(ITEM, OF_ITEMS, OF_ITEMS)]
    assert (USER, "friend", USER) in merged.users.relations

    edges = merged.users.relations[USER, OF_USERS, OF_USERS]
    names = merged.ids[OF_USERS].to_numpy()[edges.node.numpy()]
    found = sorted(zip(edges.row.tolist(), names, edges.weight.tolist(), strict=True))
    expected = []
    for (_, _, target), own in train.users.relations.items():
        if target != USER:
            weight = [1.0] * len(own) if own.weight is None else own.weight.tolist()
            values = [f"{target}={value}" for value in train.ids[target].to_numpy()[own.node.numpy()]]
            expected += list(zip(own.row.tolist(), values, weight, strict=True))
    assert found == sorted(expected)

    of_items = merged.relations[0]
    assert of_items.edge_index.shape[1] == sum(relation.edge_index.shape[1] for relation in train.relations)
    assert int(of_items.edge_index[1].max()) < len(merged.ids[OF_ITEMS])


def test_users_are_merged_once() -> None:
    split = split_of(wide())
    merge = AttributeMerge(split.train)
    once = merge.users(split.validation.users)
    assert set(once.relations) == {(USER, "friend", USER), (USER, OF_USERS, OF_USERS)}
    assert merge.users(once) is once


def test_a_column_whose_values_something_else_touches_is_left_alone() -> None:
    data = wide()
    shared = Relation(ITEM, "worn by", "user column 0", torch.tensor([[0, 1], [0, 2]]))
    train = split_of(replace(data, relations=(*data.relations, shared))).train
    merged = AttributeMerge(train).training(train)
    assert (USER, "user column 0", "user column 0") in merged.users.relations
    assert (ITEM, "worn by", "user column 0") in [relation.type for relation in merged.relations]


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["ranking", "rating"])
def test_models_of_merged_columns_keep_the_contract(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MOST", 0)
    finetune = {"objective": objective, "epochs": 30, "learning_rate": 0.02, "batch_users": 32}
    if objective == "rating":
        finetune |= {"epochs": 15, "learning_rate": 0.01, "residual_weight": 2.0}
    options = {"encoder": {"channels": 16, "layers": 2}, "pretrain": None, "finetune": finetune, "choose_on": 0}
    assert_recommender(GraphSAGE, options, seed=3)


@pytest.mark.parametrize("pretrained", [False, True])
def test_the_audit_gets_merged_tables_by_their_own_names(pretrained: bool) -> None:
    split = split_of(wide())
    model = GraphSAGE(
        encoder=EncoderConfig(channels=8, layers=2),
        pretrain=PretrainConfig(epochs=1) if pretrained else None,
        finetune=RankingConfig(epochs=1),
    )
    graph = model.build(split.train, 0)
    relations = set(model._tasks[0].block.adjacency)
    assert len(relations) == 7  # interactions, attributes of users and of items, both ways; friends
    assert audit(split, split.train, model.tables)["tables"] == model.tables
    audit_graph(graph, split, split.train)
    assert model.tables["user column 0"] == 3
    assert OF_USERS not in model.tables
    model.fit(split.train, None, 0)
    assert torch.isfinite(model.score(split.validation.users)).all()


def test_merged_columns_reveal_what_one_of_them_does() -> None:
    """The club among many columns of noise still reveals the group."""
    split = split_of(wide(num_users=240))
    model = GraphSAGE(
        encoder=EncoderConfig(channels=16),
        pretrain=None,
        finetune=RankingConfig(epochs=60, batch_users=64, learning_rate=0.02),
    )
    model.fit(split.train, split.validation, 0)
    users = split.validation.users
    top = model.score(users).topk(5).indices
    assert float((top % 4 == (users.index % 4)[:, None]).float().mean()) > 0.5  # chance is 0.25


def test_the_words_of_merged_values_are_those_of_their_columns() -> None:
    split = split_of(wide())
    words = torch.randn(3, 4, generator=torch.Generator().manual_seed(7))
    known = torch.tensor([True, False, True])
    own = Features("user column 1", "user column 1", words, known, (), ("use", {}))
    train = replace(split.train, values=(own,))
    merged = AttributeMerge(train).training(train)
    (found,) = merged.values
    place = [list(merged.ids[OF_USERS]).index(f"user column 1=v{j}") for j in range(3)]
    assert found.node_type == OF_USERS
    assert found.vector[place].equal(words)
    assert found.known[place].equal(known)
    assert int(found.known.sum()) == 2
    other = replace(own, node_type="user column 2", encoder=("another", {}))
    with pytest.raises(ConfigError, match=r"more than 16 attributes are one for a graph; give them one encoder"):
        AttributeMerge(train).training(replace(train, values=(own, other)))
