from dataclasses import replace
from typing import get_args

import pytest
import torch
from pydantic import ValidationError

from gnnrec import splits
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.splits import SplitConfig, UnseenItems, UnseenUsers, WarmInteractions, make_split
from gnnrec.splits.parts import TEST, TEST_SUPPORT, TRAIN, VALIDATION
from gnnrec.splits.split import SealedError, Split


class TestSplit:
    def test_the_test_part_is_sealed(self):
        split = make_split(synthetic(0), UnseenUsers(test=0.2), 0)
        with pytest.raises(SealedError, match=r"call split.open_test\(why\)"):
            _ = split.test
        assert len(split.validation.users) == 6  # the rest is open, and does not break the seal
        assert split.full.num_users == 48
        with pytest.raises(SealedError):
            _ = split.test
        split.open_test("the settings are chosen")
        assert len(split.test.users) == 12

    def test_a_value_that_only_held_out_users_have_is_not_known(self):
        data = synthetic(0)
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
        checksums = [make_split(synthetic(0), config, seed).checksum for config in configs for seed in (0, 1)]
        checksums.append(make_split(synthetic(1), configs[0], 0).checksum)
        assert len(set(checksums)) == len(checksums)
        assert checksums[:-1] == [
            make_split(synthetic(0), config, seed).checksum for config in configs for seed in (0, 1)
        ]

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
            make_split(synthetic(0), config, 0)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "wrong", [{"test": 0}, {"test": 1}, {"folds": 1}, {"validation": 0}, {"support": -1}, {"tests": 0.1}]
    )
    def test_a_config_out_of_range(self, wrong):
        with pytest.raises(ValidationError):
            UnseenUsers(**wrong)

    def test_an_interaction_of_a_held_out_user_in_another_part(self):
        split = make_split(synthetic(0), UnseenUsers(test=0.2), 0)
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
        data = synthetic(0)
        user_part = torch.full((60,), TEST)
        user_part[:10] = VALIDATION
        with pytest.raises(ConfigError, match="the training part has no interaction"):
            Split(data, user_part, user_part[data.interactions.user], torch.zeros(40, dtype=torch.int64))


def test_the_kinds_that_a_config_may_name_are_the_ones_that_the_package_gives():
    kinds = get_args(get_args(SplitConfig)[0])
    assert sorted(kind.__name__ for kind in kinds) == sorted(splits.__all__)
    assert len({kind.model_fields["kind"].default for kind in kinds}) == len(kinds)
