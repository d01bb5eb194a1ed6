"""One encoder with its paths: which shares hold for which user."""

import pytest
import torch
from gnnrec.models.copying import SIMILAR, mix
from gnnrec.models.denoising import DenoisingRegression
from gnnrec.models.gnn import GraphRecommender
from gnnrec.models.member import Member, Part, by_stage

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import Edges, UserBatch


def known(*counts: int) -> UserBatch:
    row = torch.tensor([user for user, count in enumerate(counts) for _ in range(count)], dtype=torch.int64)
    place = torch.tensor([item for count in counts for item in range(count)], dtype=torch.int64)
    return UserBatch(torch.arange(len(counts)), Edges(row, place), {})


def test_users_stand_at_the_highest_stage_that_they_reach() -> None:
    users = known(0, 3, 1, 2, 7, 0)
    assert {least: rows.tolist() for least, rows in by_stage(users, [2, 0, 5])} == {0: [0, 2, 5], 2: [1, 3], 5: [4]}
    assert {least: rows.tolist() for least, rows in by_stage(users, [1])} == {1: [1, 2, 3, 4]}
    assert list(by_stage(users, [])) == []


def test_each_user_gets_the_shares_of_its_stage() -> None:
    split = make_split(synthetic(0), UnseenUsers(test=0.2, validation=0.3, support=2), 0)
    config = EncoderConfig(channels=8)
    layer = GraphRecommender(encoder=config).layer_class
    member = Member(Part.of(split.train, 8, 0), config, layer, ("user", "item"), 0)
    member.precompute()
    users = split.validation.users
    cold = UserBatch(users.index, users.items.take(users.items.row % 2 == 0), users.relations)  # every second one
    alone = member.score(cold, {})
    score = member.score(cold, {0: {"friend": 0.4}, 1: {SIMILAR: 0.5, "club": 0.0}})
    friends, similar = member.choices(cold, ["friend", SIMILAR])
    of_cold, of_known = mix(alone, friends[None], [0.4]), mix(alone, similar[None], [0.5])
    without = torch.bincount(cold.items.row, minlength=len(cold)) == 0
    assert 0 < int(without.sum()) < len(cold)
    assert torch.allclose(score[without], of_cold[without], atol=1e-6)
    assert torch.allclose(score[~without], of_known[~without], atol=1e-6)


def test_the_denoising_regression_is_fitted_to_what_is_known_at_a_stage() -> None:
    split = make_split(synthetic(0), UnseenUsers(test=0.2, validation=0.3, support=2), 0)
    config = EncoderConfig(channels=8)
    layer = GraphRecommender(encoder=config).layer_class
    member = Member(Part.of(split.train, 8, 0), config, layer, ("user", "item"), 0)
    member.precompute()
    users = split.validation.users
    of_two = DenoisingRegression(split.train, 2, 4.0)(users)
    found = member.choices(users, [SIMILAR, "denoising@4"], 2)
    assert torch.equal(found[1], of_two)
    assert not torch.allclose(of_two, member.choices(users, ["denoising@4"], 1)[0])
    assert not torch.allclose(of_two, member.choices(users, ["denoising@1"], 2)[0])
    mixed = member.score(users, {1: {"denoising@4": 0.1}, 2: {"denoising@4": 0.5}})
    assert torch.allclose(mixed, mix(member.score(users, {}), of_two[None], [0.5]), atol=1e-6)


def test_a_path_that_the_data_does_not_have_is_refused_by_name() -> None:
    split = make_split(synthetic(0), UnseenUsers(test=0.2), 0)
    model = GraphRecommender(encoder=EncoderConfig(channels=8), shares={0: {"freind": 0.2}})
    with pytest.raises(
        ConfigError,
        match=r"no path 'freind'; there are regression, .*similar_items, .*friend, .*denoising@ and a penalty above 0",
    ):
        model.build(split.train, 0)
