"""Budgets of labels: whose interactions training knows."""

from typing import Any

import described_users as made
import pytest
import torch

from gnnrec.audit.training import audit
from gnnrec.errors import ConfigError
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.parts import TRAIN, UNUSED, VALIDATION
from gnnrec.splits.split import Split

DATA = made.dataset(6, {"taste": {"vector": "taste"}}, 400)
WHOLE = make_split(DATA, UnseenUsers(test=0.25, validation=0.2), 6)


def labelled(**options: Any) -> Split:
    return make_split(DATA, UnseenUsers(test=0.25, validation=0.2, labelled=options), 6)


def known(split: Split) -> set[int]:
    """The users whose interactions are in a part."""
    there = (split.edge_part == TRAIN) | (split.edge_part == VALIDATION)
    return set(split.dataset.interactions.user[there].tolist())


@pytest.mark.parametrize("others", ["left out", "kept"])
def test_so_many_users_have_interactions(others: str) -> None:
    split = labelled(users=60, others=others)
    split.open_test("a test")
    WHOLE.open_test("a test")
    assert len(known(split)) == 60
    assert torch.equal(split.test.users.index, WHOLE.test.users.index)
    assert set(split.validation.users.index.tolist()) <= set(WHOLE.validation.users.index.tolist())
    assert len(split.full.users) == (60 if others == "left out" else 300)
    have = set(split.full.users.index[split.full.users.items.row].tolist())
    assert have == known(split)
    audit(split, split.train)
    audit(split, split.full, final=True)
    assert bool((split.user_part == UNUSED).any()) is (others == "left out")


def test_a_smaller_budget_is_a_part_of_a_larger_one() -> None:
    budgets = [known(labelled(users=number)) for number in (20, 60, 200)]
    assert budgets[0] < budgets[1] < budgets[2]
    items = [known(labelled(per_item=number)) for number in (2, 5)]
    assert items[0] < items[1]


def test_so_many_users_of_each_item() -> None:
    """The first k users of each item, in one drawn order; who is taken for one item may have chosen others, too."""
    split = labelled(per_item=3)
    users = known(split)
    own = DATA.interactions
    open_to = (WHOLE.user_part[own.user] == TRAIN) | (WHOLE.user_part[own.user] == VALIDATION)
    for item in range(DATA.num_items):
        of_item = set(own.user[open_to & (own.item == item)].tolist())
        assert len(of_item & users) >= min(3, len(of_item))
    assert len(users) <= 3 * DATA.num_items


@pytest.mark.parametrize("options", [{}, {"users": 9, "per_item": 2}, {"users": 1}, {"per_item": 0}])
def test_one_budget_is_given(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"users or per_item|greater than"):
        labelled(**options)


def test_too_few_are_one_line() -> None:
    with pytest.raises(ConfigError, match=r"split.labelled: 2 users leave none to (train|choose) on; take more"):
        make_split(DATA, UnseenUsers(test=0.25, validation=0.01, labelled={"users": 2}), 6)
