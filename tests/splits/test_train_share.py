"""Learning from few users: the others are nowhere, a smaller share lies in a larger one, and tests stay as they are."""

from dataclasses import replace

import pytest
import torch

from gnnrec.audit.held_out import audit_held_out
from gnnrec.audit.training import audit
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import AuditError
from gnnrec.experiment.run import fit_and_evaluate
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.parts import TEST, TRAIN, UNUSED, VALIDATION


def split_of(share, support=0):
    config = UnseenUsers(test=0.2, validation=0.1, train_share=share, support=support, seed=1)
    return make_split(synthetic(seed=0, num_users=200), config, seed=0)


def test_a_share_of_training_and_validation_users_stays():
    whole, tenth = split_of(1.0), split_of(0.1)
    assert (len(whole.train.users), len(whole.full.users)) == (140, 160)
    assert (len(tenth.train.users), len(tenth.full.users)) == (14, 16)
    assert torch.equal(whole.user_part == TEST, tenth.user_part == TEST)
    for part in (TRAIN, VALIDATION):
        assert ((tenth.user_part == part) <= (whole.user_part == part)).all()


def test_a_smaller_share_lies_in_a_larger_one():
    small, large = split_of(0.05), split_of(0.5)
    assert ((small.user_part == TRAIN) <= (large.user_part == TRAIN)).all()
    assert (small.user_part == TRAIN).sum() == 7


def test_at_least_one_user_of_each_part_stays():
    split = split_of(0.001)
    assert [int((split.user_part == part).sum()) for part in (TRAIN, VALIDATION, TEST)] == [1, 1, 40]


def test_validation_users_of_whom_something_can_be_asked_come_first():
    """Half of the users have no more interactions than their support; the one validation user is of the others."""
    data = synthetic(seed=0, num_users=200)
    own = data.interactions
    data = replace(data, interactions=own.take((own.user % 2 == 1) | (own.item < 4)))
    count = torch.bincount(data.interactions.user, minlength=200)
    for seed in range(10):
        config = UnseenUsers(test=0.2, validation=0.1, train_share=0.05, support=4, seed=seed)
        split = make_split(data, config, seed)
        (user,) = (split.user_part == VALIDATION).nonzero().flatten().tolist()
        assert count[user] > 4


def test_the_others_are_nowhere():
    split = split_of(0.3, support=2)
    raw, unused = split.dataset.interactions, split.user_part == UNUSED
    assert torch.equal(split.edge_part == UNUSED, unused[raw.user])
    index = set(split.full.users.index.tolist())
    assert not index & set(unused.nonzero().flatten().tolist())
    assert int(split.full.popularity.sum()) == int(
        (~torch.isin(split.edge_part, torch.tensor([TEST, 4, UNUSED]))).sum()
    )
    split.open_test("to look at friends")
    friends = split.test.users.relations[("user", "friend", "user")]
    assert friends.node.max() < len(split.full.users)


def test_the_audit_knows_them():
    split = split_of(0.3)
    assert audit(split, split.full)["training_users"] == 48
    split.open_test("to audit it")
    assert audit_held_out(split, split.test, split.full, TEST)["asked_users"] == 40
    index = split.full.users.index.clone()
    index[0] = int((split.user_part == UNUSED).nonzero()[0])
    leaked = replace(split.full, users=replace(split.full.users, index=index))
    with pytest.raises(AuditError, match="1 held-out users are among the training users"):
        audit(split, leaked, final=True)


def test_a_run_on_few_users():
    run = fit_and_evaluate(split_of(0.2), "SegmentPopularity")
    assert run.result.users == 40
    assert run.result.audit["training_users"] == 32
