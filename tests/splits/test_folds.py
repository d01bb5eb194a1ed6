import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.folds import selection_folds


def test_few_validation_users_bring_further_cuts_and_enough_do_not() -> None:
    split = make_split(synthetic(0, num_users=160), UnseenUsers(test=0.2, validation=0.2), 0)  # 32 of 128 validate
    cuts = selection_folds(split.train, split.validation, 70, 0)
    assert [len(asked.users) for _, asked in cuts] == [32, 32, 32]  # two would be 64
    assert cuts[0] == (split.train, split.validation)
    held_out = torch.cat([asked.users.index for _, asked in cuts])
    assert len(held_out.unique()) == 96
    for rest, asked in cuts:
        assert not torch.isin(rest.users.index, asked.users.index).any()
    assert len(selection_folds(split.train, split.validation, 32, 0)) == 1


def test_users_with_a_support_are_the_only_cut() -> None:
    split = make_split(synthetic(0, num_users=160), UnseenUsers(test=0.2, validation=0.2, support=1), 0)
    assert len(selection_folds(split.train, split.validation, 500, 0)) == 1


def test_users_without_labels_are_in_no_fold():
    """Of 200 users 60 have an item: folds are of these, as large as the validation part."""
    data = synthetic(4, num_users=200)
    split = make_split(data, UnseenUsers(test=0.1, validation=0.2, labelled={"users": 60, "others": "kept"}), 4)
    folds = selection_folds(split.train, split.validation, 60, 9)
    assert len(folds) > 2
    for _, held_out in folds[1:]:
        assert (torch.bincount(held_out.ground_truth.row, minlength=len(held_out.users)) > 0).all()
