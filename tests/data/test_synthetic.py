import numpy as np
import pytest
import torch

from gnnrec.data.synthetic import synthetic

GROUPS = 4


def share_inside(dataset):
    return float((dataset.interactions.user % GROUPS == dataset.interactions.item % GROUPS).float().mean())


def test_the_same_seed_gives_the_same_data_and_another_seed_other_data():
    assert synthetic(3).checksum == synthetic(3).checksum
    assert synthetic(3).checksum != synthetic(4).checksum


def test_choices_lie_in_the_own_group_as_often_as_asked():
    # Repeated draws count once, and those lie more often in the group, so the share is a little under `loyalty`.
    assert 0.8 < share_inside(synthetic(0, num_users=400, loyalty=0.9, num_items=400)) < 0.92
    assert share_inside(synthetic(0, loyalty=1.0)) == 1.0
    assert share_inside(synthetic(0, loyalty=0.0)) == 0.0


def test_values_tell_the_group_apart():
    data = synthetic(1)
    inside = data.interactions.user % GROUPS == data.interactions.item % GROUPS
    assert data.interactions.value[inside].min() >= 4
    assert data.interactions.value[~inside].max() <= 3


@pytest.mark.parametrize(("name", "reveals"), [("club", True), ("category", True), ("colour", False)])
def test_attributes_reveal_the_group_or_do_not(name, reveals):
    data = synthetic(2, num_users=400)
    owner, value = next(r.edge_index for r in data.relations if r.name == name)
    agreement = float((owner % GROUPS == value).float().mean())
    assert agreement == 1.0 if reveals else 0.15 < agreement < 0.35  # chance 0.25


def test_friends_are_symmetric_and_mostly_of_the_own_group():
    data = synthetic(0, num_users=400)
    one, other = next(r.edge_index for r in data.relations if r.name == "friend")
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    assert pairs == {(b, a) for a, b in pairs}
    assert 0.8 < float((one % GROUPS == other % GROUPS).float().mean()) < 0.95


def test_the_first_items_are_the_most_popular():
    count = torch.bincount(synthetic(0, num_users=2000, skew=1.0).interactions.item, minlength=40)
    assert set(np.argsort(-count.numpy())[:GROUPS]) == set(range(GROUPS))


def test_attributes_have_the_gaps_that_are_promised():
    data = synthetic(0)
    colour = next(r.edge_index[0] for r in data.relations if r.name == "colour")
    assert set(range(60)) - set(colour.tolist()) == {9, 19, 29, 39, 49, 59}
    assert set(range(60)) - set(data.numeric[0].node.tolist()) == {6, 13, 20, 27, 34, 41, 48, 55}
