"""Groups of users that count alike in the loss."""

import every_model as made
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.models.baselines.sasrec import SASRec
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.nn.decoder import DecoderConfig
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.training.ranking import RankingConfig, balanced
from gnnrec.views import Edges, UserBatch


def users(values, rows=None):
    rows = list(range(len(values))) if rows is None else rows
    edges = Edges(torch.tensor(rows), torch.tensor(values))
    number = max(rows) + 1
    nothing = Edges(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))
    return UserBatch(torch.arange(number), nothing, {("user", "club", "club"): edges})


def test_groups_count_alike_by_hand():
    # Three users of group 0 and one of group 2: mean size 2, so 2/3 each and 2, whose mean is 1.
    weight = balanced(users([0, 0, 0, 2]), "club", 1.0)
    assert weight.tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
    # The square root of these: (3 * .8165 + 1.4142) / 4 = .9659.
    half = balanced(users([0, 0, 0, 2]), "club", 0.5)
    assert half.tolist() == pytest.approx([0.8453, 0.8453, 0.8453, 1.4641], abs=1e-4)
    assert balanced(users([0, 0, 0, 2]), "club", 0.0).tolist() == [1, 1, 1, 1]


def test_users_with_several_values_or_none_count_as_before():
    # User 1 has two values, user 3 none; of users 0, 2 and 4, group 0 has two and group 1 one: 3/4, 3/4 and 3/2.
    weight = balanced(users([0, 0, 1, 0, 1], rows=[0, 1, 1, 2, 4]), "club", 1.0)
    assert weight.tolist() == pytest.approx([0.75, 1, 0.75, 1, 1.5])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"finetune\.balance: 'culb' is no attribute of users. Did you mean 'club'"):
        balanced(users([0, 1]), "culb", 1.0)
    with pytest.raises(ValidationError, match="balance_power is 2, but balance names no attribute of users"):
        RankingConfig(balance_power=2)
    with pytest.raises(ValidationError, match="loss must be softmax with balance, got bpr"):
        RankingConfig(balance="club", loss="bpr")
    with pytest.raises(ValueError, match=r"finetune\.balance: must be left out with a decoder that reads histories"):
        GraphSAGE(finetune=RankingConfig(balance="club"), decoder=DecoderConfig(name="Transformer"))
    assert not GraphSAGE(finetune=RankingConfig(balance="club")).trains_in_processes


def test_each_query_counts_as_its_user(monkeypatch):
    users = made.SPLIT.train.users
    finetune = RankingConfig(balance="colour", history_dropout=1.0)
    model = GraphSAGE(finetune=finetune, encoder=EncoderConfig(channels=8, regression=0), choose_on=0)
    model.build(made.SPLIT.train, 1)
    task, seen = model._tasks[0], []

    def noted(score: Tensor, row: Tensor, item: Tensor, weight: Tensor | None = None) -> Tensor:
        seen.append((row, weight))
        return score.sum() * 0

    monkeypatch.setattr("gnnrec.nn.losses.softmax", noted)
    batches = [torch.tensor([5, 2, 40]), torch.tensor([7])]
    list(task.losses(model._shard(task), None, torch.Generator().manual_seed(1), batches=batches))
    expected, count = balanced(users, "colour", 1.0), torch.bincount(users.items.row)
    assert len(expected.unique()) > 2
    for batch, (row, weight) in zip(batches, seen, strict=True):
        assert torch.bincount(row).equal(count[batch])  # nothing is shown
        assert weight.equal(expected[batch][row])


def test_a_model_of_recent_items_alone_has_no_groups():
    with pytest.raises(ValueError, match=r"finetune\.balance: must be left out; only GraphSAGE weighs groups"):
        SASRec(finetune=RankingConfig(target="next", balance="club"))
