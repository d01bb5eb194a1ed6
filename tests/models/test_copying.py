import numpy as np
import pytest
import torch
from gnnrec.models.copying import Scored, choose_shares, mix, neighbour_choices, similar_items

from gnnrec.data.synthetic import synthetic
from gnnrec.graph.block import whole_graph
from gnnrec.graph.build import build_graph
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.split import Split
from gnnrec.views import INTERACTS

FRIEND, CLUB = ("user", "friend", "user"), ("user", "club", "club")


@pytest.fixture
def split() -> Split:
    return make_split(synthetic(0), UnseenUsers(test=0.2, validation=0.2, support=2), 0)


def test_choices_against_a_slow_loop(split: Split) -> None:
    train, users = split.train, split.validation.users
    found = neighbour_choices(whole_graph(build_graph(train)), users, (FRIEND, CLUB, INTERACTS))
    history = train.users.history(train.num_items).float()
    clubs = train.users.relations[CLUB]
    for row in range(len(users)):
        friends = users.relations[FRIEND].node[users.relations[FRIEND].row == row]
        wanted = history[friends].mean(0) if len(friends) else torch.zeros(train.num_items)
        torch.testing.assert_close(found[0, row], wanted)
        wanted = torch.zeros(train.num_items)
        mine = users.relations[CLUB].node[users.relations[CLUB].row == row]
        for club in mine:
            wanted += history[clubs.row[clubs.node == club]].mean(0) / len(mine)
        torch.testing.assert_close(found[1, row], wanted)
        wanted = torch.zeros(train.num_items)
        items = users.items.node[users.items.row == row]
        for item in items:
            others = history[history[:, item] > 0]
            if len(others):
                wanted += others.mean(0) / len(items)
        torch.testing.assert_close(found[2, row], wanted)


def test_hidden_interactions_count_for_nothing(split: Split) -> None:
    block = whole_graph(build_graph(split.train))
    none = torch.zeros(len(split.train.users.items), dtype=torch.bool)
    assert neighbour_choices(block.hide(INTERACTS, none), split.validation.users, (FRIEND, CLUB)).sum() == 0


def test_mix_by_hand() -> None:
    # Probabilities 1/2, 1/4 scaled to their maximum: 1, 1/2. Neighbours 1, 3: 1/3, 1. Shares 3/4 and 1/4.
    score = torch.tensor([[0.5, 0.25]]).log()
    mixed = mix(score, torch.tensor([[[1.0, 3.0]]]), [0.25])
    torch.testing.assert_close(mixed, torch.tensor([[0.75 + 0.25 / 3, 0.375 + 0.25]]))


def test_a_path_that_leads_nowhere_keeps_the_order() -> None:
    score = torch.randn(1, 20, generator=torch.Generator().manual_seed(0))
    mixed = mix(score, torch.zeros(1, 1, 20), [0.5])
    assert torch.equal(mixed.argsort(), score.argsort())


def test_shares_climb_to_the_best_and_leave_a_tenth_to_the_model() -> None:
    def of_two(value: float) -> np.ndarray:  # two users who agree, so that every gain is beyond doubt
        return np.array([value, value])

    assert choose_shares(2, lambda s: of_two(-((s[0] - 0.3) ** 2) - (s[1] - 0.1) ** 2)) == [0.3, 0.1]
    assert choose_shares(2, lambda s: of_two(-sum(s))) == [0.0, 0.0]
    assert sum(choose_shares(3, lambda s: of_two(sum(s)))) == pytest.approx(0.9)


def test_scored_answers_for_any_of_its_users_in_any_order(split: Split) -> None:
    users = split.validation.users
    model = Scored(users, torch.randn(len(users), 40, generator=torch.Generator().manual_seed(0)))
    some = torch.tensor([3, 0])
    assert torch.equal(model.score(users.take(some)), model.score(users)[some])


def test_similar_items_against_cosines_of_columns() -> None:
    split = make_split(synthetic(1), UnseenUsers(test=0.2, validation=0.2, support=3), 0)
    block = whole_graph(build_graph(split.train))
    chose = split.train.users.history(split.train.num_items).double()  # [U, I]
    length = chose.norm(dim=0).clamp(min=1)
    cosine = chose.T @ chose / (length[:, None] * length)
    users = split.validation.users
    expected = users.history(split.train.num_items).double() @ cosine
    assert len(users.items) > 0
    assert torch.allclose(similar_items(block, users).double(), expected, atol=1e-6)


def test_a_share_must_gain_more_than_luck_brings() -> None:
    # Gains 0.4 and 0.1: mean 0.25, standard error 0.15 / sqrt(2) = 0.106. With 0.4 and 0 it is 0.2 and 0.141.
    lucky, sure = np.array([0.4, 0.0]), np.array([0.4, 0.1])
    assert choose_shares(1, lambda s: lucky * (s[0] > 0), grid=(0.0, 0.2)) == [0.0]
    assert choose_shares(1, lambda s: sure * (s[0] > 0), grid=(0.0, 0.2)) == [0.2]
