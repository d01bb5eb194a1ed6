import pytest
from hypothesis import given
from split_checks import FEW, SEEDS, TAG, pairs, random_data, raw, split_or_skip

from gnnrec.errors import ConfigError
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.parts import TEST, TRAIN, VALIDATION
from gnnrec.splits.unseen_values import UnseenValues


def config(**options):
    return UnseenUsers(test=0.3, validation=0.3, unseen_values=UnseenValues(attribute="tag", share=0.3, **options))


def tags_of(split, part):
    """The tags that users of a part have."""
    relation = next(r for r in split.dataset.relations if r.name == "tag")
    user, tag = relation.edge_index
    return set(tag[split.user_part[user] == part].tolist())


class TestUnseenValues:
    @FEW
    @given(SEEDS)
    def test_users_of_each_part_have_values_of_their_own(self, seed):
        data = random_data(seed)
        split = split_or_skip(data, config(), seed)
        parts = [tags_of(split, part) for part in (TRAIN, VALIDATION, TEST)]
        assert len(set.union(*parts)) == sum(map(len, parts))
        assert set(pairs(split.train.users, split.train.users.relations[TAG])) <= set(raw(data, "tag"))
        whole = split_or_skip(data, UnseenUsers(test=0.3, validation=0.3), seed)
        assert whole.user_part.equal(split.user_part)
        assert whole.edge_part.equal(split.edge_part)
        for name in ("friend",):
            assert raw(split.dataset, name) == raw(data, name)

    @FEW
    @given(SEEDS)
    def test_where_they_are_known_training_users_keep_all_and_held_out_users_have_the_same(self, seed):
        data = random_data(seed)
        known, unknown = (split_or_skip(data, config(known=flag), seed) for flag in (True, False))
        of_training = {k: v for k, v in raw(data, "tag").items() if known.user_part[k[0]] == TRAIN}
        assert pairs(known.train.users, known.train.users.relations[TAG]) == of_training
        for part in (VALIDATION, TEST):
            assert tags_of(known, part) == tags_of(unknown, part)

    def test_faults_are_one_line(self):
        data = random_data(3)
        with pytest.raises(ConfigError, match="attribute: users have no attribute 'friend'; there are tag"):
            make_split(data, UnseenUsers(test=0.3, unseen_values=UnseenValues(attribute="friend")), 3)
        with pytest.raises(ConfigError, match=r"0\.1 of the 8 values of 'tag' are none; raise share"):
            make_split(data, UnseenUsers(test=0.3, unseen_values=UnseenValues(attribute="tag", share=0.1)), 3)
