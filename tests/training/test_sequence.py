"""What follows each number of items: the loss against loops, and a rule of order that is learned."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.graph.histories import Histories
from gnnrec.models.baselines import MarkovChain, SASRec
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.nn.decoder import DecoderConfig
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.options.resolve import build
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.training.ranking import ItemRanker, RankingConfig, ranking_losses
from gnnrec.training.sequence import PathsOfFolds, batch_loss
from gnnrec.views import ITEM, Edges, TestSet, TrainingData, UserBatch

SMALL = {"encoder": {"channels": 16, "layers": 2}, "pretrain": None, "choose_on": 0}


class Sum(nn.Module):
    """The user's vector, plus the sum of the items so far, plus the place."""

    def forward(self, user: Tensor, items: Tensor, place: Tensor) -> Tensor:
        return user[:, None] + nn.functional.pad(items, (0, 0, 1, 0)).cumsum(1) + place[..., None]


def ranker_of(items: int, decoder: nn.Module, generator: torch.Generator) -> Any:
    ranker = ItemRanker(nn.Embedding(items, 3), torch.rand(items, generator=generator) + 0.5, decoder)
    with torch.no_grad():
        ranker.logit_scale.fill_(0.3)
    return ranker


@pytest.mark.parametrize("target", ["next", "rest"])
@pytest.mark.parametrize("half_life", [None, 0.4])
@pytest.mark.parametrize("seed", [1, 2])
def test_against_loops(seed: int, half_life: float | None, target: Any) -> None:
    generator = torch.Generator().manual_seed(seed)
    train = make_split(synthetic(seed, num_users=30), UnseenUsers(test=0.2, validation=0.2), seed).train
    own = Histories.of(train.users.items, train.num_users, half_life)
    ranker = ranker_of(train.num_items, Sum(), generator)
    user, items = torch.randn(5, 3, generator=generator), torch.randn(train.num_items, 3, generator=generator)
    batch = torch.tensor([3, 1, 8, 2, 11])
    config = RankingConfig(target=target, half_life=half_life, history_dropout=0.3)
    loss = batch_loss(ranker, user, items, own, batch, config, 50, generator)
    parts: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for row, one in enumerate(batch.tolist()):
        start, end = own.pointer[one : one + 2].tolist()
        history = own.item[start:end].tolist()
        for k in range(len(history)):
            query = user[row] + items[history[:k]].sum(0) + k
            score = ranker.score(query[None], items)[0]
            score[history[:k]] = -torch.inf
            for place in range(k, k + 1 if target == "next" else len(history)):
                weight = 1.0 if own.weight is None else float(own.weight[start + place])
                parts[k == 0].append((-float(score.log_softmax(0)[history[place]].detach()), weight))
    means = {cold: sum(v * w for v, w in part) / sum(w for _, w in part) for cold, part in parts.items()}
    assert float(loss) == pytest.approx(0.3 * means[True] + 0.7 * means[False], rel=1e-4)


def test_histories_longer_than_what_is_read() -> None:
    """One user, twenty items, five read: from the first, or from a later one on; then nobody is asked without items."""
    asked = []

    class Noted(Sum):
        def forward(self, user, items, place):
            asked.append((items[0, :, 0].long().tolist(), place[0].tolist()))
            return super().forward(user, items, place)

    items = torch.arange(21.0)[:, None].expand(-1, 3)
    own = Histories.of(Edges(torch.zeros(20).long(), torch.arange(20), time=torch.arange(20)), 1)
    generator = torch.Generator().manual_seed(1)
    ranker = ranker_of(21, Noted(), generator)
    for _ in range(400):
        batch_loss(ranker, torch.zeros(1, 3), items, own, torch.tensor([0]), RankingConfig(), 5, generator)
    starts = [shown[0] for shown, _ in asked]
    assert 160 < starts.count(0) < 270
    assert set(starts) == set(range(16))
    assert all(shown == list(range(shown[0], shown[0] + 5)) for shown, _ in asked)
    assert all(place == [min(shown[0] + k, 5) for k in range(6)] for shown, place in asked)


def test_many_queries_are_drawn_in_part_small_numbers_more_often() -> None:
    class Noted(ItemRanker):
        def score(self, user, item):
            seen.append(user[:, 0].detach())
            return super().score(user, item)

    class Place(nn.Module):
        def forward(self, user, items, place):
            return place[..., None].float().expand(-1, -1, 3)

    seen: list[Tensor] = []
    edges = Edges(torch.zeros(100).long(), torch.arange(100), time=torch.arange(100))
    ranker = Noted(nn.Embedding(100, 3), torch.ones(100), Place())
    generator = torch.Generator().manual_seed(1)
    own, config = Histories.of(edges, 1), RankingConfig(queries=10)
    for _ in range(100):
        batch_loss(
            ranker,
            torch.zeros(1, 3),
            torch.zeros(100, 3),
            own,
            torch.tensor([0]),
            config,
            100,
            generator,
        )
    assert {len(part) for part in seen} == {1, 10}
    drawn = torch.cat([part for part in seen if len(part) == 10])
    assert (drawn == 0).sum() == 0
    assert (drawn <= 10).sum() > 3 * ((drawn > 50) & (drawn <= 60)).sum()


def one_after_the_other(seed: int, users: int = 160, items: int = 24) -> TrainingData:
    """Users who start anywhere and choose the next item each time: the order alone says what comes."""
    start = torch.randint(items, (users,), generator=torch.Generator().manual_seed(seed))
    row, step = torch.arange(users).repeat_interleave(6), torch.arange(6).repeat(users)
    edges = Edges(row, (start[row] + step) % items, time=row * 10 + step)
    shuffled = torch.randperm(len(row), generator=torch.Generator().manual_seed(seed))
    batch = UserBatch(torch.arange(users), edges.take(shuffled), {})
    return TrainingData(batch, {ITEM: pd.Index(range(items))}, (), {}, torch.ones(items) > 0)


def following(train: TrainingData, seed: int) -> TestSet:
    """The last item of each of forty users, with all before it as support."""
    own, count = Histories.of(train.users.items, train.num_users), 40
    row, k = torch.arange(count).repeat_interleave(5), torch.arange(5).repeat(count)
    at = own.pointer[row] + k
    users = UserBatch(torch.arange(count), Edges(row, own.item[at], time=k), {})
    return TestSet(users, Edges(torch.arange(count), own.item[own.pointer[1 : count + 1] - 1]), next_item=True)


@pytest.mark.parametrize("name", ["Linear", "MLP", "Transformer", "PairWise", "SASRec", "MarkovChain"])
def test_a_rule_of_order_is_learned(name: str) -> None:
    train, test = one_after_the_other(3), following(one_after_the_other(5), 5)
    finetune = {"target": "next", "batch_users": 40, "epochs": 25, "learning_rate": 0.02, "weight_decay": 0.01}
    if name == "MarkovChain":
        model: Any = MarkovChain(smoothing=1.0)
    elif name == "SASRec":
        model = build(SASRec, {"channels": 16, "finetune": finetune})
    else:
        model = build(GraphSAGE, {**SMALL, "decoder": {"name": name}, "finetune": finetune})
    model.fit(train, None, 1)
    measured = EvaluateConfig(metrics=["ndcg"], at=[10])
    found = evaluate(model, test, train.candidates, measured, 1).metrics["ndcg@10"]
    assert found is not None
    assert found > 0.9
    alone = GraphSAGE(encoder=EncoderConfig(channels=16, layers=2), pretrain=None, finetune=RankingConfig(epochs=5))
    alone.fit(train, None, 1)  # the same items, in no order
    assert (
        evaluate(alone, test, train.candidates, EvaluateConfig(metrics=["ndcg"], at=[10]), 1).metrics["ndcg@10"] < 0.8
    )


def test_the_graph_without_order_is_asked_for_the_next_item() -> None:
    """Each step hides all but the first items of a user and asks for the one that follows them."""
    train = one_after_the_other(3)
    model = GraphSAGE(
        encoder=EncoderConfig(channels=8, layers=2),
        pretrain=None,
        finetune=RankingConfig(target="next", half_life=0.5, history_dropout=0.5),
    )
    model.build(train, 1)
    task = model._tasks[0]
    asked = []

    def noted(score: Tensor, row: Tensor, item: Tensor, weight: Tensor | None = None) -> Tensor:
        asked.append((item, weight))
        return score.sum() * 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gnnrec.nn.losses.softmax", noted)
        generator = torch.Generator().manual_seed(1)
        list(ranking_losses(task.head, model._shard(task), task.train, model.finetune, None, generator, task.histories))  # type: ignore[arg-type]
    item, weight = asked[0]
    assert len(item) == 160
    first = Histories.of(train.users.items, 160).item[::6]
    own = set(first.tolist())
    assert own == set(range(24))
    assert weight is not None
    assert 0 < float(weight.min()) < float(weight.max()) <= 1


@pytest.mark.parametrize("seed", [1, 2])
def test_nobodys_own_choices_are_on_the_paths_of_training(seed: int) -> None:
    """Each user chose an item that nobody else did: no path of training reaches it from that user."""
    row = torch.arange(20).repeat_interleave(3)
    item = torch.stack([torch.zeros(20).long(), torch.arange(1, 21), torch.full((20,), 21)], dim=1).flatten()
    users = UserBatch(torch.arange(20), Edges(row, item, time=torch.arange(60)), {})
    train = TrainingData(users, {ITEM: pd.Index(range(22))}, (), {}, torch.ones(22) > 0)
    folds = PathsOfFolds(train, Histories.of(users.items, 20, 0.5), 4, 0.5)
    asked = torch.randperm(20, generator=torch.Generator().manual_seed(seed))
    shown = torch.zeros(20, 1).long(), torch.ones(20).long(), torch.ones(20).long()
    for one in folds.reached(asked, *shown):
        start = torch.arange(20) if one.start is None else one.start
        pairs = {*zip(one.row.tolist(), one.item.tolist(), strict=True)}
        assert all((start[query], asked[query] + 1) not in pairs for query in range(20))
        assert {row for row, _ in pairs} == set(start.tolist())


def test_what_needs_times_says_so() -> None:
    train = one_after_the_other(1)
    timeless = replace(train, users=replace(train.users, items=replace(train.users.items, time=None)))
    for options, message in (
        ({"target": "next"}, "target: next needs the time"),
        ({"half_life": 0.1}, "half_life needs the time"),
    ):
        model = build(GraphSAGE, {**SMALL, "finetune": options})
        with pytest.raises(ConfigError, match=message):
            model.fit(timeless, None, 1)
    for model in (SASRec(), MarkovChain()):
        with pytest.raises(ConfigError, match="needs the time of each interaction"):
            model.fit(timeless, None, 1)


def test_what_does_not_go_together_is_refused() -> None:
    for options, message in (
        ({"decoder": {"name": "MLP"}, "finetune": {"objective": "rating"}}, "decoder: must be Dot with rating"),
        ({"decoder": {"name": "MLP"}, "finetune": {"loss": "bpr"}}, "decoder: must be Dot with bpr"),
        ({"finetune": {"loss": "bpr", "target": "next"}}, "loss must be softmax with target: next or with half_life"),
        ({"decoder": {"name": "MPL"}}, "MPL"),
        ({"decoder": {"name": "MLP", "options": {"widht": 3}}}, "MLP has no option 'widht'"),
    ):
        with pytest.raises(ConfigError, match=message):
            build(GraphSAGE, {**SMALL, **options})
    assert build(GraphSAGE, {**SMALL, "decoder": {"name": "MLP"}}).decoder == DecoderConfig(name="MLP")
