import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from split_checks import FEW, SEEDS, check_unseen_users, one_each, pairs, random_data, split_or_skip

from gnnrec.data import load
from gnnrec.data.config import NamedData
from gnnrec.data.dataset import Dataset, Interactions
from gnnrec.data.sources import find
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError, DataError
from gnnrec.splits import FromFile, UnseenUsers, make_split
from gnnrec.splits.parts import TEST, VALIDATION

SIX = synthetic(1, num_users=40)


class TestUnseenUsers:
    @pytest.mark.parametrize("seed", [1, 2])
    def test_the_first_in_time_are_the_support_and_the_next_is_asked_for(self, seed):
        data = synthetic(seed, num_users=40, choices=12)
        config = UnseenUsers(test=0.25, validation=0.25, support=3, reveal="time", target="next")
        split = make_split(data, config, seed)
        split.open_test("a test")
        raw = data.interactions
        events = zip(raw.user.tolist(), raw.item.tolist(), raw.time.tolist(), strict=True)
        when = {(user, item): time for user, item, time in events}
        for held_out in (split.validation, split.test):
            users = held_out.users
            assert held_out.next_item
            assert len(held_out.ground_truth) == len(users)
            for row, user in enumerate(users.index.tolist()):
                order = sorted((t, i) for (u, i), t in when.items() if u == user)
                assert users.items.node[users.items.row == row].tolist() == [item for _, item in order[:3]]
                assert held_out.ground_truth.node[held_out.ground_truth.row == row].tolist() == [order[3][1]]
        own = split.train.users
        places = [
            when[own.index[row].item(), item.item()] for row, item in zip(own.items.row, own.items.node, strict=True)
        ]
        assert places == sorted(places)
        drawn = make_split(data, UnseenUsers(test=0.25, validation=0.25, support=3), seed)
        assert torch.equal(drawn.user_part, split.user_part)  # who is held out does not hang on it
        assert not drawn.by_time

    def test_the_next_item_needs_an_order_in_time(self):
        with pytest.raises(ValueError, match="target: next needs reveal: time"):
            UnseenUsers(test=0.2, target="next")
        timeless = Dataset("t", SIX.ids, Interactions(SIX.interactions.user, SIX.interactions.item), (), ())
        with pytest.raises(ConfigError, match="needs the time of each interaction"):
            make_split(timeless, UnseenUsers(test=0.2, reveal="time"), 1)

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
        data = synthetic(seed % 7, num_users=20, choices=14)
        before = None
        for support in (0, 1, 2, 3, 5):
            split = make_split(data, UnseenUsers(test=0.2, validation=0.2, support=support), seed)
            split.open_test("a test")
            now = [set(pairs(part.users, part.users.items)) for part in (split.validation, split.test)]
            asked = [set(pairs(part.users, part.ground_truth)) for part in (split.validation, split.test)]
            if before is not None:
                for one, other, target, more in zip(before[0], now, before[1], asked, strict=True):
                    assert one < other
                    assert other - one == target - more  # what is shown is no longer asked for
                assert torch.equal(split.user_part, before[2])
            before = now, asked, split.user_part

    def test_support_is_drawn_at_random_by_the_seed(self):
        def shown(seed):
            split = make_split(synthetic(0), UnseenUsers(test=0.5, validation=0.1, support=2, seed=seed), 0)
            split.open_test("a test")
            items = split.test.users.items
            first = [
                sorted(split.test.ground_truth.node[split.test.ground_truth.row == row].tolist()) for row in range(30)
            ]
            low = [items.node[items.row == row].max() < min(first[row]) for row in range(30)]
            return split.edge_part, sum(map(bool, low))

        one, low = shown(0)
        other, _ = shown(1)
        assert low < 15  # not just the first items of each user: of 2 of about 7 items, one in 21 would be
        assert not torch.equal(one, other)

    def test_a_user_with_few_interactions_shows_them_all_and_is_asked_nothing(self):
        data = synthetic(0)
        split = make_split(data, UnseenUsers(test=0.2, validation=0.2, support=6), 0)
        split.open_test("a test")
        asked = torch.bincount(split.test.ground_truth.row, minlength=len(split.test.users))
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
        left_out = make_split(synthetic(0), UnseenUsers(folds=5, seed=0), seed)
        assert left_out.checksum == make_split(synthetic(0), UnseenUsers(folds=5, fold=seed % 5, seed=0), 0).checksum

    def test_its_own_seed_goes_before_that_of_the_run(self):
        config = UnseenUsers(test=0.2, validation=0.1, support=2, seed=4)
        checksums = {make_split(synthetic(0), config, seed).checksum for seed in range(3)}
        assert checksums == {make_split(synthetic(0), UnseenUsers(test=0.2, validation=0.1, support=2), 4).checksum}


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
        drawn = [make_split(synthetic(0), config, seed).user_part for seed in range(3)]
        assert not torch.equal(drawn[0], drawn[1])
        assert all(part[3] == TEST for part in drawn)

    def test_a_line_that_names_nobody(self, tmp_path):
        path = tmp_path / "users.txt"
        path.write_text("user 3\n\nuser 77\nuser 5\n")
        with pytest.raises(ConfigError, match=r"users.txt: line 3: user 'user 77' is not in synthetic$"):
            make_split(synthetic(0), FromFile(test=path), 0)

    def test_no_file(self, tmp_path):
        with pytest.raises(ConfigError, match=r"none.txt: no such file; it must list one test user id a line$"):
            make_split(synthetic(0), FromFile(test=tmp_path / "none.txt"), 0)

    def test_an_empty_file(self, tmp_path):
        (tmp_path / "users.txt").write_text("\n")
        with pytest.raises(ConfigError, match="the test part has no interaction to find"):
            make_split(synthetic(0), FromFile(test=tmp_path / "users.txt"), 0)

    def test_everybody_in_the_file(self, tmp_path):
        (tmp_path / "users.txt").write_text("\n".join(synthetic(0).ids["user"]))
        with pytest.raises(ConfigError, match="leaves none to train on"):
            make_split(synthetic(0), FromFile(test=tmp_path / "users.txt"), 0)


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


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_list_of_users_is_read_as_every_text_file(tmp_path, end, encoding, packed):
    users = list(synthetic(0).ids["user"][:12])
    listed = [users[0], "", f" {users[1]} ", f'"{users[2]}"', *users[3:]]
    content = (end.join(listed) + end).encode(encoding)
    path = tmp_path / ("users.txt.gz" if packed else "users.txt")
    path.write_bytes(gzip.compress(content) if packed else content)
    split = make_split(synthetic(0), FromFile(test=path), 0)
    assert (split.user_part == TEST).nonzero().flatten().tolist() == list(range(12))


def test_a_list_in_a_named_encoding_and_one_that_is_none(tmp_path):
    users = synthetic(0).ids["user"][:12]
    (tmp_path / "users.txt").write_text("\n".join(users), encoding="utf-16-be")
    split = make_split(synthetic(0), FromFile(test=tmp_path / "users.txt", encoding="utf-16-be"), 0)
    assert int((split.user_part == TEST).sum()) == 12
    (tmp_path / "users.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match=r"users\.txt: cannot be read as text in UTF-16"):
        make_split(synthetic(0), FromFile(test=tmp_path / "users.txt"), 0)
    (tmp_path / "none.txt").mkdir()
    with pytest.raises(ConfigError, match=r"split\.test: .*none\.txt: is a folder"):
        make_split(synthetic(0), FromFile(test=tmp_path / "none.txt"), 0)


def test_an_unknown_user_is_named_by_its_line(tmp_path):
    users = synthetic(0).ids["user"]
    (tmp_path / "users.txt").write_text(f"{users[0]}\n\nnobody\n")
    with pytest.raises(ConfigError, match=r"users\.txt: line 3: user 'nobody' is not in"):
        make_split(synthetic(0), FromFile(test=tmp_path / "users.txt"), 0)
