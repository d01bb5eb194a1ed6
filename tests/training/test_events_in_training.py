"""Events of other kinds in training: those of before what is asked for count, and no later ones."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch_geometric.nn import SAGEConv

from gnnrec.data.synthetic import synthetic
from gnnrec.graph.sharding import Shard
from gnnrec.models.ranking_task import RankingTask
from gnnrec.nn.decoder import DecoderConfig
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.training.ranking import RankingConfig
from gnnrec.views import ITEM, USER, Edges, EdgeType, TrainingData

LOOK: EdgeType = (USER, "look", ITEM)
ENCODER = EncoderConfig(layer="torch_geometric.nn.SAGEConv", channels=8, layers=2, dropout=0.0)


def training(node: torch.Tensor, time: torch.Tensor) -> TrainingData:
    """Ten choices a user at times 10, 20, ... 100, and looks: one in each row of `node` and `time`, [U, L] each."""
    from gnnrec.splits import UnseenUsers, make_split

    train = make_split(synthetic(7, num_users=60, choices=10), UnseenUsers(test=0.1, validation=0.1), 7).train
    items = train.users.items
    place = torch.tensor([int((items.row[:one] == items.row[one]).sum()) for one in range(len(items))])
    row = torch.arange(len(node)).repeat_interleave(node.shape[1])
    looks = Edges(row, node.flatten(), torch.full((len(row),), 0.5), time.flatten())
    users = replace(
        train.users,
        items=replace(items, time=10 * (place + 1)),
        relations={**train.users.relations, LOOK: looks},
    )
    return replace(train, users=users)


USERS = 48


def losses(train: TrainingData, decoder: str, target: str) -> list[float]:
    config = RankingConfig(target=target, history_dropout=0.1)  # type: ignore[arg-type]
    chosen = DecoderConfig(name=decoder)
    task = RankingTask(train, config, ENCODER, SAGEConv, chosen, pretrained=False, seed=1, weights_seed=1)
    torch.nn.init.ones_(task.head.logit_scale)  # it starts at 0, where no vector counts
    task.head.train()
    torch.manual_seed(5)  # of dropout
    everybody = [torch.arange(train.num_users)]  # nobody else's events reach the items
    generator = torch.Generator().manual_seed(3)
    found = task.losses(Shard.whole(task.block), None, generator, everybody * 4)
    return [float(loss) for loss in found]


def looked(seed: int, time: int) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    node = torch.stack([torch.randperm(20, generator=drawn)[:4] for _ in range(USERS)])
    return node, torch.full_like(node, time)


@pytest.mark.parametrize("target", ["rest", "next"])
def test_looks_of_before_count_and_later_ones_do_not(target: str) -> None:
    assert training(*looked(0, 5)).num_users == USERS
    early, other_early = (losses(training(*looked(seed, 5)), "Dot", target) for seed in (0, 1))
    late, other_late = (losses(training(*looked(seed, 101)), "Dot", target) for seed in (0, 1))
    assert early != other_early
    assert late == other_late


@pytest.mark.parametrize("target", ["rest", "next"])
def test_a_look_at_the_very_moment_of_what_is_asked_for_is_not_known(target: str) -> None:
    at, other = (losses(training(*looked(seed, 100)), "Dot", target) for seed in (0, 1))
    assert at == other  # at the latest, what is asked for begins with the last choice, at 100


@pytest.mark.parametrize("decoder", ["Linear", "MLP", "Transformer"])
@pytest.mark.parametrize("target", ["rest", "next"])
def test_a_decoder_that_reads_histories_reads_the_looks_of_before_among_them(decoder: str, target: str) -> None:
    early, other_early = (losses(training(*looked(seed, 5)), decoder, target) for seed in (0, 1))
    assert early != other_early
    for time in (100, 101):  # of the moment of the last choice, and later
        late, other_late = (losses(training(*looked(seed, time)), decoder, target) for seed in (0, 1))
        assert late == other_late


def test_pairs_are_scored_without_looks() -> None:
    one, other = (losses(training(*looked(seed, 5)), "PairWise", "next") for seed in (0, 1))
    assert one == other


def test_shown_are_the_first_choices_in_time_where_there_are_events(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden: list[Any] = []

    def noted(self: Any, time: torch.Tensor) -> Any:
        kept = torch.stack(self.adjacency[USER, "interacts", ITEM]._shown).all(0)
        hidden.append((kept, time))
        return self

    monkeypatch.setattr("gnnrec.graph.block.Block.events_before", noted)
    train = training(*looked(0, 5))
    losses(train, "Dot", "rest")
    items = train.users.items
    assert items.time is not None
    assert len(hidden) == 4
    for kept, moment in hidden:
        for user in range(USERS):
            own = items.row == user
            shown, asked = items.time[own & kept], items.time[own & ~kept]
            assert len(asked)
            assert not len(shown) or shown.max() < asked.min()
            assert moment[user] == asked.min()
