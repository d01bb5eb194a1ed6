from hypothesis import given
from split_checks import FEW, SEEDS, interactions, pairs, random_data, split_or_skip

from gnnrec.splits import UnseenBoth
from gnnrec.splits.kshot import reveal
from gnnrec.splits.parts import TEST, TRAIN, VALIDATION


def parts_of(part):
    return [set((part == name).nonzero().flatten().tolist()) for name in (TRAIN, VALIDATION, TEST)]


class TestUnseenBoth:
    @FEW
    @given(SEEDS)
    def test_held_out_users_find_held_out_items_and_training_knows_neither(self, seed):
        data = random_data(seed)
        split = split_or_skip(data, UnseenBoth(test=0.3, validation=0.3, support=2), seed)
        users, items = parts_of(split.user_part), parts_of(split.item_part)
        assert sorted(set.union(*users)) == list(range(data.num_users))
        assert sorted(set.union(*items)) == list(range(data.num_items))
        everyone = interactions(data)
        of = lambda own, among: {k: v for k, v in everyone.items() if k[0] in own and k[1] in among}  # noqa: E731
        assert pairs(split.train.users, split.train.users.items) == of(users[0], items[0])
        known = of(users[0], items[0] | items[1]) | of(users[1], items[0] | items[1])
        assert pairs(split.full.users, split.full.users.items) == known
        split.open_test("a test")
        for held_out, training, own, asked, shown in (
            (split.validation, split.train, users[1], items[1], items[0]),
            (split.test, split.full, users[2], items[2], items[0] | items[1]),
        ):
            assert set(held_out.users.index.tolist()) == own
            assert pairs(held_out.users, held_out.ground_truth) == of(own, asked)
            assert set(held_out.candidates(training).nonzero().flatten().tolist()) == asked
            support, masked = pairs(held_out.users, held_out.users.items), pairs(held_out.users, held_out.masked)
            assert not support.keys() & masked.keys()
            assert support | masked == of(own, shown)
            for user in own:
                count = sum(k[0] == user for k in support)
                assert count == min(2, sum(k[0] == user for k in of(own, shown)))
            one = reveal(held_out, 1)
            assert pairs(one.users, one.users.items).items() <= support.items()
            assert pairs(one.users, one.ground_truth) == of(own, asked)

    @FEW
    @given(SEEDS)
    def test_among_all_what_a_user_chose_in_training_is_masked(self, seed):
        split = split_or_skip(random_data(seed), UnseenBoth(test=0.3, validation=0.3, among="all"), seed)
        split.open_test("a test")
        for part, held_out, training in ((VALIDATION, split.validation, split.train), (TEST, split.test, split.full)):
            assert held_out.candidates(training).equal((split.item_part == part) | training.candidates)
            assert not len(held_out.users.items)
            assert not set(pairs(held_out.users, held_out.masked)) & set(pairs(held_out.users, held_out.ground_truth))

    def test_a_larger_support_holds_the_smaller_one(self):
        data = random_data(5)
        few, many = (UnseenBoth(test=0.3, validation=0.3, support=k).make(data, 5).validation for k in (1, 3))
        assert pairs(few.users, few.users.items).items() <= pairs(many.users, many.users.items).items()
        assert UnseenBoth(support=3).support_size == 3
