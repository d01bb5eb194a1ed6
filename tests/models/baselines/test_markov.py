"""The Markov chain by hand."""

import pandas as pd
import pytest
import torch

from gnnrec.models.baselines import MarkovChain
from gnnrec.views import ITEM, Edges, TrainingData, UserBatch


def data() -> TrainingData:
    """Users 0 and 1 chose 0 then 1, user 2 chose 0 then 2, user 3 chose 2; times run from 0 to 60."""
    row, item = torch.tensor([0, 0, 1, 1, 2, 2, 3]), torch.tensor([1, 0, 0, 1, 0, 2, 2])
    time = torch.tensor([10, 0, 20, 30, 40, 50, 60])
    users = UserBatch(torch.arange(4), Edges(row, item, time=time), {})
    return TrainingData(users, {ITEM: pd.Index(range(3))}, (), {}, torch.ones(3) > 0)


def asked(*histories: list[int]) -> UserBatch:
    row = [b for b, own in enumerate(histories) for _ in own]
    edges = Edges(torch.tensor(row).long(), torch.tensor([i for own in histories for i in own]).long())
    return UserBatch(torch.full((len(histories),), -1), edges, {})


def test_by_hand() -> None:
    model = MarkovChain(smoothing=2.0)
    model.fit(data(), None, 1)
    found = model.score(asked([], [0], [2, 0], [0, 1]))
    share = torch.tensor([3, 2, 2]) / 7
    first = (torch.tensor([3, 0, 1]) + 2 * share) / 6
    after_0 = (torch.tensor([0, 2, 1]) + 2 * share) / 5
    assert torch.allclose(found, torch.stack([first, after_0, after_0, share]))
    assert found.sum(1).tolist() == pytest.approx([1] * 4)


def test_what_is_old_counts_less() -> None:
    """With a half-life of a sixth of the time, an interaction counts half of one that came ten later."""
    model = MarkovChain(smoothing=1.0, half_life=1 / 6)
    model.fit(data(), None, 1)
    share = torch.tensor([1 / 64 + 1 / 16 + 1 / 4, 1 / 32 + 1 / 8, 1 / 2 + 1])
    share = share / share.sum()
    counts = torch.tensor([0, 1 / 32 + 1 / 8, 1 / 2])
    assert torch.allclose(model.score(asked([0]))[0], (counts + share) / (counts.sum() + 1))


@pytest.mark.parametrize("options", [{"smoothing": 0.0}, {"half_life": 0.0}, {"half_life": -1.0}])
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        MarkovChain(**options)
