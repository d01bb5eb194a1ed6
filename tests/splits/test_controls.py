from collections import Counter

import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.splits.controls import shuffle_attributes
from gnnrec.views import USER


def attributes(data):
    """User -> everything that is known of it but its interactions and friends, as a set of (attribute, value)."""
    known = {user: set() for user in range(data.num_users)}
    for relation in data.relations:
        if relation.source == USER and relation.target != USER:
            for user, value in relation.edge_index.T.tolist():
                known[user].add((relation.name, value))
    for numeric in data.numeric:
        if numeric.node_type == USER:
            for user, number in zip(numeric.node.tolist(), numeric.number.tolist(), strict=True):
                known[user].add((numeric.name, number))
    return known


def friends(data):
    relation = next(relation for relation in data.relations if relation.target == USER)
    return set(map(tuple, relation.edge_index.T.tolist()))


@pytest.mark.parametrize("seed", [0, 1])
def test_whole_profiles_are_dealt_out_to_other_users(seed):
    data = synthetic(0)
    shuffled = shuffle_attributes(data, seed)
    before, after = attributes(data), attributes(shuffled)
    as_bag = [Counter(frozenset(values) for values in known.values()) for known in (before, after)]
    assert as_bag[0] == as_bag[1]  # a profile stays together: degrees and co-occurrence are those of before
    # The club alone is right by chance for a quarter of the users; whole profiles agree for very few.
    assert sum(before[user] == after[user] for user in before) < 10
    club = [next(value for name, value in after[user] if name == "club") == user % 4 for user in after]
    assert sum(club) < 30  # of 60; 15 by chance


def test_friendships_keep_their_shape_and_follow_the_profiles():
    data = synthetic(0)
    shuffled = shuffle_attributes(data, 0)
    assert friends(shuffled) != friends(data)
    club = data.relations[0].edge_index
    new = dict(
        zip(club[0].tolist(), shuffled.relations[0].edge_index[0].tolist(), strict=True)
    )  # who gets whose profile
    assert sorted(new) == sorted(new.values()) == list(range(data.num_users))
    assert friends(shuffled) == {(new[one], new[other]) for one, other in friends(data)}


def test_interactions_and_what_is_known_of_items_stay():
    data = synthetic(0)
    shuffled = shuffle_attributes(data, 0)
    assert shuffled.interactions is data.interactions
    assert torch.equal(shuffled.relations[3].edge_index, data.relations[3].edge_index)  # item category
    assert shuffled.checksum != data.checksum
    assert shuffled.checksum == shuffle_attributes(data, 0).checksum != shuffle_attributes(data, 1).checksum
