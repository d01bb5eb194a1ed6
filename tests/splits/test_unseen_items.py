from hypothesis import given
from split_checks import FEW, SEEDS, check_held_out, check_training, interactions, random_data, split_or_skip

from gnnrec.splits import UnseenItems
from gnnrec.splits.parts import TEST, TRAIN, VALIDATION


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

    @FEW
    @given(SEEDS)
    def test_they_may_be_ranked_among_all_that_training_knows(self, seed):
        split = split_or_skip(random_data(seed), UnseenItems(test=0.3, validation=0.3, among="all"), seed)
        split.open_test("a test")
        for part, held_out, training in ((VALIDATION, split.validation, split.train), (TEST, split.test, split.full)):
            ranked = split.candidates(part, training)
            assert ranked.equal((split.item_part == part) | training.candidates)
            assert held_out.candidates(training).equal(ranked)
            assert (split.item_part[held_out.ground_truth.node] == part).all()
