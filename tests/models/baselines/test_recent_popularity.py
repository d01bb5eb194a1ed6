"""Popularity that decays with time: worked out by hand, and what becomes popular last is found."""

from dataclasses import replace

import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.models.baselines import Popularity, RecentPopularity
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.split import Split


def split_of(*, timed: bool = True) -> Split:
    """Items 0 to 19 are chosen in the first half of the time, the others in the second."""
    data = synthetic(5)
    own = data.interactions
    time = own.item * 10 if timed else None
    return make_split(replace(data, interactions=replace(own, time=time)), UnseenUsers(test=0.2, validation=0.2), 5)


@pytest.mark.parametrize("half_life", [0.1, 0.5])
def test_each_interaction_counts_half_after_its_half_life(half_life: float) -> None:
    train = split_of().train
    model = RecentPopularity(half_life=half_life)
    model.fit(train, None, 0)
    nodes = train.users.items.node.tolist()
    span = 10 * (max(nodes) - min(nodes))
    wanted = [0.0] * train.num_items
    for item in nodes:
        wanted[item] += 0.5 ** ((max(nodes) - item) * 10 / (half_life * span))
    score = model.score(split_of().validation.users)
    assert score.shape == (len(split_of().validation.users), train.num_items)
    assert score[3].tolist() == pytest.approx(wanted, rel=1e-6)
    assert (score == score[0]).all()


def test_a_long_half_life_is_popularity_and_a_short_one_the_last_items() -> None:
    train = split_of().train
    plain = Popularity()
    plain.fit(train, None, 0)
    long, short = RecentPopularity(half_life=1e9), RecentPopularity(half_life=1e-3)
    for model in (long, short):
        model.fit(train, None, 0)
    users = split_of().validation.users
    torch.testing.assert_close(long.score(users), plain.score(users))
    assert int(short.score(users)[0].argmax()) == int(train.users.items.node.max())


def test_all_at_one_time_is_popularity() -> None:
    train = split_of().train
    items = replace(train.users.items, time=torch.full_like(train.users.items.node, 7))
    model = RecentPopularity()
    model.fit(replace(train, users=replace(train.users, items=items)), None, 0)
    assert torch.equal(model.score(train.users)[0], train.popularity)


def test_what_does_not_fit_is_one_line() -> None:
    with pytest.raises(ConfigError, match="needs the time of each interaction, and the data have none"):
        RecentPopularity().fit(split_of(timed=False).train, None, 0)
    with pytest.raises(ValueError, match="half_life must be above 0, got 0"):
        RecentPopularity(half_life=0)
