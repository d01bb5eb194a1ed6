"""Users dealt out to two processes: vectors, losses and gradients are those of one process."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from two_processes import in_two

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.graph import merge as merging
from gnnrec.graph.merge import MOST
from gnnrec.graph.sharding import Shard, own_shard
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.models.ranking_task import RankingTask
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.nn.propagation import vectors
from gnnrec.runtime import distributed
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.split import Split
from gnnrec.training.pretrain import PretrainConfig
from gnnrec.training.ranking import RankingConfig, ranking_losses
from gnnrec.training.tracking import Tracker
from gnnrec.views import INTERACTS, ITEM, USER

FRIEND = (USER, "friend", USER)
LINEAR = {"layer": "torch_geometric.nn.SAGEConv", "layer_options": {"aggr": "mean"}}
SUMS = {"layer": "torch_geometric.nn.GraphConv", "layer_options": {"aggr": "add"}}


def made_split(*, friends: bool = True) -> Split:
    data = synthetic(0, num_users=90, num_items=40)
    if not friends:
        data = replace(data, relations=tuple(r for r in data.relations if r.type != FRIEND))
    return make_split(data, UnseenUsers(test=0.2, validation=0.2), 0)


def task_of(split: Split, **encoder: Any) -> tuple[GraphSAGE, RankingTask]:
    config = EncoderConfig(**{"channels": 8, "dropout": 0.0, **LINEAR, **encoder})
    model = GraphSAGE(encoder=config, pretrain=PretrainConfig(epochs=2))
    model.build(split.train, 0)
    task: RankingTask = model._tasks[0]
    with torch.no_grad():
        task.head.logit_scale.fill_(1.0)  # at 0, no gradient would reach the encoder
    return model, task


def shard_of(task: RankingTask, *, sampled: bool = False) -> Shard:
    if distributed.count() == 1:
        return Shard.whole(task.block)
    return own_shard(task.graph_for_shards, sampled=sampled)


def test_shards_are_runs_of_users_with_about_as_many_edges(tmp_path: Path) -> None:
    split = made_split()
    _, task = task_of(split)
    first, second = in_two(tmp_path, lambda: shard_of(task))
    whole = Shard.whole(task.block)
    assert (first.first, second.first) == (0, first.size)
    assert first.size + second.size == first.num_users == whole.num_users == split.train.num_users
    for edge_type, adjacency in task.block.adjacency.items():
        own = [shard.block.adjacency[edge_type].num_edges for shard in (first, second)]
        if USER in edge_type:
            assert sum(own) == adjacency.num_edges
            both = torch.cat([first.edges[edge_type], second.edges[edge_type]])
            assert both.sort().values.tolist() == list(range(adjacency.num_edges))
        else:
            assert own == 2 * [adjacency.num_edges]
    interactions = [shard.block.adjacency[INTERACTS].num_edges for shard in (first, second)]
    assert abs(interactions[0] - interactions[1]) <= 20
    users = torch.arange(first.num_users)
    assert (first.own(users) ^ second.own(users)).all()
    assert second.number(torch.tensor([second.first, 0])).tolist() == [0, second.size]


@pytest.mark.parametrize("encoder", [LINEAR, SUMS])
def test_vectors_are_those_of_the_whole_graph(tmp_path: Path, encoder: dict[str, Any]) -> None:
    split = made_split()
    _, task = task_of(split, **encoder)
    generator = torch.Generator().manual_seed(1)
    kept = torch.rand(len(split.train.users.items), generator=generator) < 0.5
    silent = torch.rand(split.train.num_users, generator=generator) < 0.3

    def work() -> tuple[Tensor, Tensor]:
        shard = shard_of(task)
        block = shard.hide(INTERACTS, kept).block.without_messages_from(silent.roll(-shard.first))
        everyone = {USER: torch.arange(shard.size), ITEM: torch.arange(split.train.num_items)}
        with torch.no_grad():
            x = vectors(task.head.encoder, block, everyone)
        return x[USER], x[ITEM]

    users, items = work()
    both = in_two(tmp_path, work)
    torch.testing.assert_close(torch.cat([own for own, _ in both]), users, rtol=1e-5, atol=1e-5)
    assert torch.equal(both[0][1], both[1][1])
    torch.testing.assert_close(both[0][1], items, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("loss", "most"), [("softmax", MOST), ("sampled_softmax", MOST), ("bpr", MOST), ("bce", MOST), ("softmax", 0)]
)
def test_losses_and_gradients_add_up_to_those_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: Any, most: int
) -> None:
    monkeypatch.setattr(merging, "MOST", most)
    split = made_split()
    _, task = task_of(split)
    assert (task.graph is not task.graph_for_shards) == (most == 0)
    config = RankingConfig(loss=loss, batch_users=7, negatives=5, history_dropout=0.5)

    def work() -> list[Tensor]:
        generator, found = torch.Generator().manual_seed(3), []
        parameters = list(task.head.parameters())
        for value in ranking_losses(task.head, shard_of(task), split.train, config, None, generator):
            task.head.zero_grad()
            value.backward()
            distributed.sum_gradients(parameters)
            found += [distributed.total(value.detach()), *(p.grad.clone() for p in parameters if p.grad is not None)]
        return found

    whole = work()
    for both in in_two(tmp_path, work):
        assert len(both) == len(whole)
        for value, expected in zip(both, whole, strict=True):
            torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)


def test_a_batch_of_other_processes_users_is_a_loss_of_nothing(tmp_path: Path) -> None:
    split = made_split()
    _, task = task_of(split)
    for loss in ("softmax", "sampled_softmax", "bpr"):
        config = RankingConfig(loss=loss, batch_users=1, most_steps=1_000)  # type: ignore[arg-type]

        def work(config: RankingConfig = config) -> list[float]:
            steps = ranking_losses(task.head, shard_of(task), split.train, config, None, torch.Generator())
            return [value.item() for value in steps]

        first, second = in_two(tmp_path / loss, work)
        assert len(first) == len(second)
        assert all((one == 0) != (other == 0) for one, other in zip(first, second, strict=True))


def fitted(split: Split, **options: Any) -> tuple[list[dict[str, Any]], dict[str, Any], Tensor]:
    """What a fit reports, chooses and scores."""
    finetune = RankingConfig(epochs=6, learning_rate=0.02, batch_users=32)
    encoder = EncoderConfig(channels=8, dropout=options.pop("dropout", 0.0))
    pretrain = PretrainConfig(epochs=2, evaluate_every=1)
    model = GraphSAGE(encoder=encoder, pretrain=pretrain, finetune=finetune, choose_on=30, **options)
    model.tracker = Tracker()
    model.fit(split.train, split.validation, 0)
    return model.tracker.history, model.best_params, model.score(split.validation.users)


def test_a_fit_with_pretraining_friends_and_folds_gives_the_curves_of_one_process(tmp_path: Path) -> None:
    split = made_split()
    history, chosen, score = fitted(split)
    for other_history, other_chosen, other_score in in_two(tmp_path, lambda: fitted(split)):
        assert len(other_history) == len(history)
        for record, other in zip(history, other_history, strict=True):
            assert other.keys() == record.keys()
            assert (other["stage"], other["epoch"]) == (record["stage"], record["epoch"])
            assert other["loss"] == pytest.approx(record["loss"], rel=1e-4)
            # Ranks: a tie that rounding broke moves one of few edges or users.
            assert other.get("mrr") == pytest.approx(record.get("mrr"), abs=0.02)
            assert other.get("ndcg@10") == pytest.approx(record.get("ndcg@10"), abs=0.01)
        assert other_chosen == chosen
        # As shares of the best item's probability: AdamW moves the bias of a hardly chosen item by rounding alone.
        one, other = ((s - s.amax(1, keepdim=True)).exp() for s in (score, other_score))
        torch.testing.assert_close(other, one, rtol=0, atol=1e-3)


def test_drawn_edges_lead_to_own_users_and_the_processes_stay_in_step(tmp_path: Path) -> None:
    assert FRIEND in made_split().train.users.relations
    split = made_split(friends=False)
    first, second = in_two(tmp_path, lambda: fitted(split, num_neighbors=4, dropout=0.2))
    assert first[0] == second[0]
    assert torch.equal(first[2], second[2])
    curve = [record["ndcg@10"] for record in first[0] if "ndcg@10" in record]
    assert max(curve[1:]) > curve[0]


def test_what_would_be_wrong_is_refused(tmp_path: Path) -> None:
    split = made_split()
    _, task = task_of(split)
    _, other = task_of(split, layer="torch_geometric.nn.GATConv", layer_options={})

    def refused(sampled: bool, model: RankingTask) -> str:
        try:
            shard = shard_of(model, sampled=sampled)
            vectors(model.head.encoder, shard.block, {ITEM: torch.arange(3)})
        except ConfigError as error:
            return str(error)
        return ""

    assert "'friend' between users" in in_two(tmp_path / "a", lambda: refused(True, task))[0]
    assert "only SAGEConv and GraphConv" in in_two(tmp_path / "b", lambda: refused(False, other))[0]
    tiny = make_split(synthetic(0, num_users=8, num_items=4, groups=2), UnseenUsers(test=0.4, validation=0.4), 0)
    if tiny.train.num_users < 2:
        assert "too many" in in_two(tmp_path / "c", lambda: refused(False, task_of(tiny)[1]))[0]


@pytest.mark.parametrize("metrics", [["ndcg", "mrr", "coverage"], ["rated_ndcg"]])
def test_evaluation_that_is_dealt_out_gives_the_same_numbers(tmp_path: Path, metrics: Any) -> None:
    split = made_split()
    model, task = task_of(split)
    task.precompute()
    config = EvaluateConfig(metrics=metrics, at=[5], batch_size=4)

    def work() -> Any:
        result = evaluate(model, split.validation, split.train.candidates, config, 0)
        return result.metrics, result.per_user

    values, per_user = work()
    for other_values, other_per_user in in_two(tmp_path, work):
        assert other_values == values
        assert other_per_user.equals(per_user)
