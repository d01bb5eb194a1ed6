"""Random data, and what a split of them must hold, counted one by one from the raw data."""

import numpy as np
import pandas as pd
import torch
from hypothesis import assume, settings
from hypothesis import strategies as st

from gnnrec.data.dataset import Dataset, Interactions, Numeric, symmetric
from gnnrec.errors import ConfigError
from gnnrec.splits import make_split
from gnnrec.splits.bins import fit_bounds
from gnnrec.splits.parts import TEST, TRAIN, VALIDATION
from gnnrec.views import Relation

TAG, FRIEND, AGE = ("user", "tag", "tag"), ("user", "friend", "user"), ("user", "age", "age")


def random_data(seed, num_users=14, num_items=9):
    """Users, items, friends, tags of which many are rare, weights, and an age that some have."""
    random = np.random.default_rng(seed)
    chosen = random.random((num_users, num_items)) < random.uniform(0.2, 0.8)
    chosen[0, 0] = True
    user, item = map(torch.from_numpy, np.nonzero(chosen))
    tags = torch.from_numpy(np.stack(np.nonzero(random.random((num_users, 8)) < 0.15)))
    ends = torch.from_numpy(random.integers(0, num_users, (2, 12)))
    friends, weight = symmetric(ends, _weights(12, random))
    has_age, has_price = (torch.from_numpy(random.random(n) < 0.8).nonzero().flatten() for n in (num_users, num_items))
    return Dataset(
        "random",
        {
            "user": pd.Index([f"u{u}" for u in range(num_users)]),
            "item": pd.Index([f"i{i}" for i in range(num_items)]),
            "tag": pd.Index(list("abcdefgh")),
            "kind": pd.Index(["k", "l"]),
        },
        Interactions(user, item, _weights(len(user), random)),
        (
            Relation(*TAG, tags, _weights(tags.shape[1], random)),
            Relation(*FRIEND, friends, weight),
            Relation("item", "kind", "kind", torch.stack([torch.arange(num_items), torch.arange(num_items) % 2])),
        ),
        (
            Numeric("user", "age", has_age, torch.from_numpy(random.normal(size=len(has_age))), bins=3),
            Numeric("item", "price", has_price, torch.from_numpy(random.normal(size=len(has_price))), bins=2),
        ),
    )


def _weights(count, random):
    return torch.from_numpy(random.integers(1, 6, count)).float()


def interactions(data, parts=None, edge_part=None):
    """(user, item) -> value, as plain numbers; of some parts only."""
    i = data.interactions
    rows = zip(i.user.tolist(), i.item.tolist(), i.value.tolist(), strict=True)
    return {(u, j): v for place, (u, j, v) in enumerate(rows) if parts is None or int(edge_part[place]) in parts}


def pairs(users, edges, nodes=None):
    """(index of the user in the data, node) -> weight; each edge once."""
    rows, found = users.index.tolist(), {}
    weight = [None] * len(edges) if edges.weight is None else edges.weight.tolist()
    for row, node, value in zip(edges.row.tolist(), edges.node.tolist(), weight, strict=True):
        key = rows[row], node if nodes is None else int(nodes[node])
        assert key not in found
        found[key] = value
    return found


def raw(data, name):
    relation = next(relation for relation in data.relations if relation.name == name)
    weight = relation.weight.tolist()
    return dict(zip(map(tuple, relation.edge_index.T.tolist()), weight, strict=True))


def ages(data, bounds):
    """(user, bin) for each user with an age."""
    age = data.numeric[0]
    return {
        (u, sum(x >= bound for bound in bounds)) for u, x in zip(age.node.tolist(), age.number.tolist(), strict=True)
    }


def check_training(split, train, users, known):
    """The training holds what is known of `users` and nothing else; `known` are its interactions."""
    data = split.dataset
    index = train.users.index
    assert index.tolist() == sorted(users)
    assert pairs(train.users, train.users.items) == known
    assert pairs(train.users, train.users.relations[TAG]) == {
        k: w for k, w in raw(data, "tag").items() if k[0] in users
    }
    friends = {k: w for k, w in raw(data, "friend").items() if k[0] in users and k[1] in users}
    assert pairs(train.users, train.users.relations[FRIEND], index) == friends
    age, price = data.numeric
    own = np.array([x for u, x in zip(age.node.tolist(), age.number.tolist(), strict=True) if u in users])
    assert train.bounds["user", "age"] == fit_bounds(own, 3)
    assert train.bounds["item", "price"] == fit_bounds(price.number.numpy(), 2)
    expected = {(u, b) for u, b in ages(data, train.bounds["user", "age"]) if u in users}
    assert set(pairs(train.users, train.users.relations[AGE])) == expected
    popularity = [sum(item == i for _, item in known) for i in range(data.num_items)]
    assert train.popularity.tolist() == popularity
    assert train.candidates.tolist() == [count > 0 for count in popularity]
    assert [relation.name for relation in train.relations] == ["kind", "price"]
    assert "user" not in train.ids
    assert list(train.ids["item"]) == list(data.ids["item"])


def check_held_out(split, held_out, train, users, target, support):
    """What is known of held-out users is theirs, and leads only to what training knows."""
    data, in_training = split.dataset, set(train.users.index.tolist())
    assert held_out.users.index.tolist() == sorted(users)
    assert pairs(held_out.users, held_out.ground_truth) == target
    assert pairs(held_out.users, held_out.users.items) == support
    assert not target.keys() & support.keys()
    friends = {k: w for k, w in raw(data, "friend").items() if k[0] in users and k[1] in in_training}
    assert pairs(held_out.users, held_out.users.relations[FRIEND], train.users.index) == friends
    seen = {tag for user, tag in raw(data, "tag") if user in in_training}
    tags = {k: w for k, w in raw(data, "tag").items() if k[0] in users and k[1] in seen}
    assert pairs(held_out.users, held_out.users.relations[TAG]) == tags
    binned = ages(data, train.bounds["user", "age"])
    seen = {b for user, b in binned if user in in_training}
    ours = {(u, b) for u, b in binned if u in users and b in seen}
    assert set(pairs(held_out.users, held_out.users.relations[AGE])) == ours


def check_unseen_users(split, support):
    data = split.dataset
    everyone = interactions(data)
    parts = [set((split.user_part == part).nonzero().flatten().tolist()) for part in (TRAIN, VALIDATION, TEST)]
    assert sorted(user for part in parts for user in part) == list(range(data.num_users))
    train, validation, test = parts
    of = lambda users, among=everyone: {k: v for k, v in among.items() if k[0] in users}  # noqa: E731
    check_training(split, split.train, train, of(train))
    check_training(split, split.full, train | validation, of(train | validation))
    split.open_test("a test")
    for held_out, training, users, part in (
        (split.validation, split.train, validation, VALIDATION),
        (split.test, split.full, test, TEST),
    ):
        target = of(users, interactions(data, {part}, split.edge_part))
        shown = {k: v for k, v in of(users).items() if k not in target}
        check_held_out(split, held_out, training, users, target, shown)
        for user in users:
            count = sum(k[0] == user for k in everyone)
            assert sum(k[0] == user for k in shown) == min(support, count)


def split_or_skip(data, config, seed):
    try:
        return make_split(data, config, seed)
    except ConfigError as error:
        assume("no interaction" not in str(error))  # a part came out empty
        raise


SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=50)


def one_each(num_users):
    """So many users, each with one of three items."""
    index = torch.arange(num_users)
    ids = {"user": pd.Index([str(u) for u in range(num_users)]), "item": pd.Index(["a", "b", "c"])}
    return Dataset("one each", ids, Interactions(index, index % 3))
