import torch
from hypothesis import given
from split_checks import FEW, SEEDS, check_held_out, check_training, interactions, random_data, split_or_skip

from gnnrec.splits import WarmInteractions
from gnnrec.splits.parts import TEST, TRAIN, VALIDATION


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
