import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gnnrec.data import load
from gnnrec.data.config import NamedData
from gnnrec.data.dataset import Dataset, Interactions, Numeric, symmetric
from gnnrec.data.sources import find
from gnnrec.data.synthetic import made
from gnnrec.errors import ConfigError
from gnnrec.splits.bins import fit_bounds
from gnnrec.splits.split import (
    TEST,
    TEST_SUPPORT,
    TRAIN,
    VALIDATION,
    FromFile,
    SealedError,
    Split,
    UnseenItems,
    UnseenUsers,
    WarmInteractions,
    make_split,
)
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
    assert pairs(held_out.users, held_out.target) == target
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


class TestUnseenUsers:
    @FEW
    @given(SEEDS, st.sampled_from([0.2, 0.4]), st.sampled_from([0.15, 0.3]), st.integers(0, 4))
    def test_nothing_of_a_held_out_user_is_in_training(self, seed, test, validation, support):
        config = UnseenUsers(test=test, validation=validation, support=support)
        split = split_or_skip(random_data(seed), config, seed)
        assert int((split.user_part == TEST).sum()) == int(14 * test)
        assert int((split.user_part == VALIDATION).sum()) == int(14 * validation)
        check_unseen_users(split, support)

    @FEW
    @given(SEEDS)
    def test_supports_are_nested_and_leave_the_rest_alone(self, seed):
        data = made(seed % 7, num_users=20, choices=14)
        before = None
        for support in (0, 1, 2, 3, 5):
            split = make_split(data, UnseenUsers(test=0.2, validation=0.2, support=support), seed)
            split.open_test("a test")
            now = [set(pairs(part.users, part.users.items)) for part in (split.validation, split.test)]
            asked = [set(pairs(part.users, part.target)) for part in (split.validation, split.test)]
            if before is not None:
                for one, other, target, more in zip(before[0], now, before[1], asked, strict=True):
                    assert one < other
                    assert other - one == target - more  # what is shown is no longer asked for
                assert torch.equal(split.user_part, before[2])
            before = now, asked, split.user_part

    def test_support_is_drawn_at_random_by_the_seed(self):
        def shown(seed):
            split = make_split(made(0), UnseenUsers(test=0.5, validation=0.1, support=2, seed=seed), 0)
            split.open_test("a test")
            items = split.test.users.items
            first = [sorted(split.test.target.node[split.test.target.row == row].tolist()) for row in range(30)]
            low = [items.node[items.row == row].max() < min(first[row]) for row in range(30)]
            return split.edge_part, sum(map(bool, low))

        one, low = shown(0)
        other, _ = shown(1)
        assert low < 15  # not just the first items of each user: of 2 of about 7 items, one in 21 would be
        assert not torch.equal(one, other)

    def test_a_user_with_few_interactions_shows_them_all_and_is_asked_nothing(self):
        data = made(0)
        split = make_split(data, UnseenUsers(test=0.2, validation=0.2, support=6), 0)
        split.open_test("a test")
        asked = torch.bincount(split.test.target.row, minlength=len(split.test.users))
        shown = torch.bincount(split.test.users.items.row, minlength=len(split.test.users))
        assert (asked == 0).any()
        assert (shown <= 6).all()
        assert len(split.test.users) == 12  # those without a target are still counted

    def test_last_fm_protocol(self):
        # PROTOCOLS T3: RandomState(seed).permutation(1892), the first 189 are the test users.
        for seed in (0, 3):
            split = make_split(one_each(1892), UnseenUsers(test=0.1), seed)
            expected = np.random.RandomState(seed).permutation(1892)
            assert np.array_equal((split.user_part == TEST).nonzero().flatten(), np.sort(expected[:189]))
            # Validation: the next 10 % of all users.
            assert np.array_equal((split.user_part == VALIDATION).nonzero().flatten(), np.sort(expected[189:378]))

    @pytest.mark.parametrize("num_users", [943, 6040])
    def test_five_folds_of_the_permuted_users(self, num_users):
        # RandomState(0).permutation(n), split in five; the next fold's first n / 10 users validate.
        order = np.random.RandomState(0).permutation(num_users)
        sizes = [num_users // 5 + (i < num_users % 5) for i in range(5)]
        start = np.cumsum([0, *sizes])
        folds = [order[start[i] : start[i + 1]] for i in range(5)]
        covered = np.zeros(num_users, dtype=int)
        for fold in range(5):
            split = make_split(one_each(num_users), UnseenUsers(folds=5, fold=fold, validation=0.1, seed=0), seed=99)
            test = (split.user_part == TEST).nonzero().flatten().numpy()
            validation = (split.user_part == VALIDATION).nonzero().flatten().numpy()
            assert np.array_equal(test, np.sort(folds[fold]))
            assert np.array_equal(validation, np.sort(folds[(fold + 1) % 5][: num_users // 10]))
            covered[test] += 1
        assert (covered == 1).all()

    def test_validation_may_reach_into_the_fold_after_the_next(self):
        split = make_split(one_each(50), UnseenUsers(folds=5, fold=4, validation=0.3, seed=0), seed=0)
        order = np.random.RandomState(0).permutation(50)
        assert set((split.user_part == VALIDATION).nonzero().flatten().tolist()) == set(order[:15].tolist())

    @pytest.mark.parametrize("seed", [0, 3, 7])
    def test_the_fold_is_the_seed_modulo_folds_where_it_is_left_out(self, seed):
        left_out = make_split(made(0), UnseenUsers(folds=5, seed=0), seed)
        assert left_out.checksum == make_split(made(0), UnseenUsers(folds=5, fold=seed % 5, seed=0), 0).checksum

    def test_its_own_seed_goes_before_that_of_the_run(self):
        config = UnseenUsers(test=0.2, validation=0.1, support=2, seed=4)
        checksums = {make_split(made(0), config, seed).checksum for seed in range(3)}
        assert checksums == {make_split(made(0), UnseenUsers(test=0.2, validation=0.1, support=2), 4).checksum}


class TestFromFile:
    @FEW
    @given(seed=SEEDS, support=st.integers(0, 2))
    def test_nothing_of_a_held_out_user_is_in_training(self, seed, support, tmp_path_factory):
        path = tmp_path_factory.mktemp("split") / "users.txt"
        path.write_text("u3\n\n  u11 \nu0\n")
        config = FromFile(test=path, validation=0.3, support=support)
        split = split_or_skip(random_data(seed), config, seed)
        assert (split.user_part == TEST).nonzero().flatten().tolist() == [0, 3, 11]
        assert int((split.user_part == VALIDATION).sum()) == 4
        check_unseen_users(split, support)

    def test_validation_users_are_drawn_by_the_seed(self, tmp_path):
        path = tmp_path / "users.txt"
        path.write_text("user 3\n")
        config = FromFile(test=path, validation=0.2)
        drawn = [make_split(made(0), config, seed).user_part for seed in range(3)]
        assert not torch.equal(drawn[0], drawn[1])
        assert all(part[3] == TEST for part in drawn)

    def test_a_line_that_names_nobody(self, tmp_path):
        path = tmp_path / "users.txt"
        path.write_text("user 3\n\nuser 77\nuser 5\n")
        with pytest.raises(ConfigError, match=r"users.txt: line 3: user 'user 77' is not in made$"):
            make_split(made(0), FromFile(test=path), 0)

    def test_no_file(self, tmp_path):
        with pytest.raises(ConfigError, match=r"none.txt: no such file; it must list one test user id a line$"):
            make_split(made(0), FromFile(test=tmp_path / "none.txt"), 0)

    def test_an_empty_file(self, tmp_path):
        (tmp_path / "users.txt").write_text("\n")
        with pytest.raises(ConfigError, match="the test part has no interaction to find"):
            make_split(made(0), FromFile(test=tmp_path / "users.txt"), 0)

    def test_everybody_in_the_file(self, tmp_path):
        (tmp_path / "users.txt").write_text("\n".join(made(0).ids["user"]))
        with pytest.raises(ConfigError, match="leaves none to train on"):
            make_split(made(0), FromFile(test=tmp_path / "users.txt"), 0)


class TestUnseenItems:
    @FEW
    @given(SEEDS)
    def test_held_out_items_have_no_interaction_in_training(self, seed):
        data = random_data(seed)
        split = split_or_skip(data, UnseenItems(test=0.3, validation=0.3), seed)
        everyone, users = interactions(data), set(range(data.num_users))
        train, validation, test = (
            set((split.item_part == part).nonzero().flatten().tolist()) for part in (TRAIN, VALIDATION, TEST)
        )
        assert sorted([*train, *validation, *test]) == list(range(data.num_items))
        assert (len(validation), len(test)) == (2, 2)
        of = lambda items: {k: v for k, v in everyone.items() if k[1] in items}  # noqa: E731
        check_training(split, split.train, users, of(train))
        check_training(split, split.full, users, of(train | validation))
        split.open_test("a test")
        for held_out, training, asked, shown in (
            (split.validation, split.train, validation, train),
            (split.test, split.full, test, train | validation),
        ):
            target = of(asked)
            index = {user for user, _ in target}
            support = {k: v for k, v in of(shown).items() if k[0] in index}
            check_held_out(split, held_out, training, index, target, support)
        assert split.candidates(TEST, split.full).nonzero().flatten().tolist() == sorted(test)
        assert split.candidates(VALIDATION, split.train).nonzero().flatten().tolist() == sorted(validation)


class TestWarmInteractions:
    @FEW
    @given(SEEDS)
    def test_every_interaction_is_in_one_part_and_its_user_in_training(self, seed):
        data = random_data(seed)
        split = split_or_skip(data, WarmInteractions(test=0.3, validation=0.2), seed)
        train, validation, test = (interactions(data, {part}, split.edge_part) for part in (TRAIN, VALIDATION, TEST))
        everyone = set(range(data.num_users))
        assert train | validation | test == interactions(data)
        assert {user for user, _ in validation | test} <= {user for user, _ in train}
        assert len(validation) <= int(0.2 * len(data.interactions))
        assert len(test) <= int(0.3 * len(data.interactions))
        check_training(split, split.train, everyone, train)
        check_training(split, split.full, everyone, train | validation)
        split.open_test("a test")
        for held_out, training, target, known in (
            (split.validation, split.train, validation, train),
            (split.test, split.full, test, train | validation),
        ):
            users = {user for user, _ in target}
            check_held_out(split, held_out, training, users, target, {k: v for k, v in known.items() if k[0] in users})
        assert torch.equal(split.candidates(TEST, split.full), split.full.candidates)


def one_each(num_users):
    """So many users, each with one of three items."""
    index = torch.arange(num_users)
    ids = {"user": pd.Index([str(u) for u in range(num_users)]), "item": pd.Index(["a", "b", "c"])}
    return Dataset("one each", ids, Interactions(index, index % 3))


class TestSplit:
    def test_the_test_part_is_sealed(self):
        split = make_split(made(0), UnseenUsers(test=0.2), 0)
        with pytest.raises(SealedError, match=r"call split.open_test\(why\)"):
            _ = split.test
        assert len(split.validation.users) == 6  # the rest is open, and does not break the seal
        assert split.full.num_users == 48
        with pytest.raises(SealedError):
            _ = split.test
        split.open_test("the settings are chosen")
        assert len(split.test.users) == 12

    def test_a_value_that_only_held_out_users_have_is_not_known(self):
        data = made(0)
        user_part = torch.zeros(60, dtype=torch.int64)
        user_part[[4, 8]] = TEST
        user_part[5] = VALIDATION
        club = torch.arange(60) % 4
        club[[4, 5]] = 3
        club[3::4] = 2  # club 3 is that of the test user 4 and the validation user 5 alone
        club[5] = 3
        relation = replace(data.relations[0], edge_index=torch.stack([torch.arange(60), club]))
        data = replace(data, relations=(relation, *data.relations[1:]))
        split = Split(data, user_part, user_part[data.interactions.user], torch.zeros(40, dtype=torch.int64))
        split.open_test("a test")
        known = split.validation.users.relations["user", "club", "club"]
        assert len(known) == 0
        assert split.train.reachable["club"].tolist() == [True, True, True, False]
        # In the final fit the validation user is an ordinary one, and its club is known.
        known = split.test.users.relations["user", "club", "club"]
        assert known.row.tolist() == [0, 1]
        assert known.node.tolist() == [3, 0]

    def test_the_checksum_tells_splits_apart_and_is_stable(self):
        configs = [
            UnseenUsers(test=0.2),
            UnseenUsers(test=0.2, support=1),
            UnseenUsers(folds=4),
            UnseenItems(),
            WarmInteractions(),
        ]
        checksums = [make_split(made(0), config, seed).checksum for config in configs for seed in (0, 1)]
        checksums.append(make_split(made(1), configs[0], 0).checksum)
        assert len(set(checksums)) == len(checksums)
        assert checksums[:-1] == [make_split(made(0), config, seed).checksum for config in configs for seed in (0, 1)]

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            (UnseenUsers(), "unseen_users needs test .* or folds"),
            (UnseenUsers(test=0.2, folds=5), "give either test or folds, not both"),
            (UnseenUsers(test=0.2, fold=1), "split.fold: 1 has no meaning without folds"),
            (UnseenUsers(folds=5, fold=5), "split.fold: 5 is not among the folds 0 to 4"),
            (UnseenUsers(test=0.9, validation=0.2), "split.validation: 0.2 of 60 users leaves none to train on"),
            (UnseenUsers(test=0.01), "the test part has no interaction to find; make it larger"),
            (UnseenUsers(test=0.2, validation=0.01), "the validation part has no interaction to find; make it larger"),
            (UnseenItems(test=0.5, validation=0.5), "test 0.5 and validation 0.5 leave nothing to train on"),
            (WarmInteractions(test=0.5, validation=0.6), "test 0.5 and validation 0.6 leave nothing to train on"),
            (
                UnseenUsers(test=0.2, support=9),
                "validation part has no interaction left to find; make support smaller",
            ),
            (UnseenItems(test=0.01), "the test part has no interaction to find"),
        ],
    )
    def test_parts_that_do_not_fit(self, config, message):
        with pytest.raises(ConfigError, match=message) as caught:
            make_split(made(0), config, 0)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "wrong", [{"test": 0}, {"test": 1}, {"folds": 1}, {"validation": 0}, {"support": -1}, {"tests": 0.1}]
    )
    def test_a_config_out_of_range(self, wrong):
        with pytest.raises(ValidationError):
            UnseenUsers(**wrong)

    def test_an_interaction_of_a_held_out_user_in_another_part(self):
        split = make_split(made(0), UnseenUsers(test=0.2), 0)
        edge_part = split.edge_part.clone()
        place = int((edge_part == TEST).nonzero()[0])
        user = int(split.dataset.interactions.user[place])
        for part in (TRAIN, VALIDATION):
            edge_part[place] = part
            with pytest.raises(
                ValueError, match=f"1 interactions of test users are in another part, e.g. of user {user}$"
            ):
                replace(split, edge_part=edge_part)
        edge_part[place] = TEST_SUPPORT
        assert int((replace(split, edge_part=edge_part).edge_part == TEST_SUPPORT).sum()) == 1

    def test_a_training_part_without_interactions(self):
        data = made(0)
        user_part = torch.full((60,), TEST)
        user_part[:10] = VALIDATION
        with pytest.raises(ConfigError, match="the training part has no interaction"):
            Split(data, user_part, user_part[data.interactions.user], torch.zeros(40, dtype=torch.int64))


def test_file_of_test_users_on_ml_100k():
    """The public split of a paper: 187 test users, 20,583 ratings."""
    folder = os.environ.get("GNNREC_DATA")
    path = Path(folder or "") / "splits" / "ml-100k_agnn_user_cold_test_users.txt"
    if not folder or not path.is_file() or len(find("ml-100k")) < 3:
        pytest.skip("the list of test users is not under GNNREC_DATA, or ml-100k is not here")
    split = make_split(load(NamedData(source="ml-100k")), FromFile(test=path), 0)
    assert int((split.user_part == TEST).sum()) == 187
    assert int((split.edge_part == TEST).sum()) == 20_583


class TestValidationUsersFromAFile:
    def config(self, folder, validation="u2\n u5\n", **options):
        (folder / "test.txt").write_text("u0\nu3\n")
        (folder / "validation.txt").write_text(validation)
        return FromFile(test=folder / "test.txt", validation=folder / "validation.txt", **options)

    def test_are_the_ones_that_it_lists(self, tmp_path):
        split = make_split(random_data(0), self.config(tmp_path), 7)
        assert (split.user_part == TEST).nonzero().flatten().tolist() == [0, 3]
        assert (split.user_part == VALIDATION).nonzero().flatten().tolist() == [2, 5]
        assert split.checksum == make_split(random_data(0), self.config(tmp_path), 8).checksum  # nothing is drawn

    def test_who_are_test_users_or_unknown_are_refused(self, tmp_path):
        with pytest.raises(ConfigError, match=r"^split.validation: .*validation.txt: user 'u3' is a test user too"):
            make_split(random_data(0), self.config(tmp_path, "u2\nu3\n"), 0)
        with pytest.raises(ConfigError, match=r"validation.txt: line 2: user 'nobody' is not in random$"):
            make_split(random_data(0), self.config(tmp_path, "u2\nnobody\n"), 0)
        (tmp_path / "test.txt").write_text("u0\n")
        missing = FromFile(test=tmp_path / "test.txt", validation=tmp_path / "none.txt")
        with pytest.raises(
            ConfigError, match=r"^split.validation: .*none.txt: no such file; it must list one validation"
        ):
            make_split(random_data(0), missing, 0)

    def test_may_keep_their_own_items_out_of_the_ranking(self, tmp_path):
        # Users 0 (test), 2 (validation) and 1 (training) chose items 0 and 1, 1 and 2, 0.
        interactions = Interactions(torch.tensor([0, 0, 1, 2, 2]), torch.tensor([0, 1, 0, 1, 2]))
        ids = {"user": pd.Index(["u0", "u1", "u2"]), "item": pd.Index(list("abc"))}
        data = Dataset("three", ids, interactions)
        (tmp_path / "a.txt").write_text("u0\n")
        (tmp_path / "b.txt").write_text("u2\n")
        for rank, wanted in ((True, [True, True, True]), (False, [True, False, False])):
            config = FromFile(test=tmp_path / "a.txt", validation=tmp_path / "b.txt", rank_validation_items=rank)
            split = make_split(data, config, 0)
            assert split.candidates(TEST, split.full).tolist() == wanted
            assert split.candidates(VALIDATION, split.train).tolist() == [True, False, False]
            assert split.full.candidates.tolist() == [True, True, True]  # a model may learn from them all the same
