"""Pretext tasks: what they ask, what they hide, and that an encoder learns what they ask for."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch_geometric.nn import SAGEConv

from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.models.ranking_task import RankingTask
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.training.loop import train as run_stage
from gnnrec.training.pretext import OTHERS, TASKS, Matcher, _part
from gnnrec.training.pretrain import PretrainConfig, ogb_evaluator
from gnnrec.training.ranking import RankingConfig
from gnnrec.training.tracking import Tracker
from gnnrec.views import INTERACTS, Features, TrainingData

SHAPE = EncoderConfig(channels=16, layers=2, dropout=0.0, init="random")


def train_of(seed: int = 3) -> TrainingData:
    train = make_split(synthetic(seed, num_users=150, loyalty=1.0), UnseenUsers(test=0.2, validation=0.1), seed).full
    group = torch.nn.functional.one_hot(torch.arange(train.num_items) % 4).float()
    noise = torch.randn(train.num_items, 3, generator=torch.Generator().manual_seed(seed))
    vector = torch.cat([group, 0.3 * noise], dim=1)
    return replace(train, features=(Features("item", "title", vector, torch.ones(len(vector), dtype=torch.bool)),))


def task_of(train: TrainingData, name: str, seed: int = 3) -> tuple[RankingTask, Any]:
    torch.manual_seed(seed)
    graph = RankingTask(train, RankingConfig(), SHAPE, SAGEConv, pretrained=True, seed=seed, weights_seed=seed)
    graph.head.eval()
    return graph, TASKS[name](train, graph.block, 16, seed)


@pytest.mark.parametrize("name", TASKS)
def test_the_own_key_is_found_after_training_and_not_before(name: str) -> None:
    """Made data: clubs, items and titles go together, so each task can be solved far better than by chance."""
    graph, task = task_of(train_of(), name)
    matcher = Matcher(graph.head.encoder, task, graph.block, choose=True, share=0.2, seed=3)
    order = torch.cat([matcher._held_out, matcher._asked])
    size = len(order) // 4
    matcher._held_out, matcher._asked = order[:size], order[size:]
    if name == "views":  # users of one club are alike, so nothing tells a user who was not trained on from the others
        matcher._held_out = matcher._asked[:size]
    matcher.eval()
    before = matcher.measure(ogb_evaluator())["mrr"]
    config = PretrainConfig(task=name, epochs=25, learning_rate=0.02, ema_decay=0.0)  # type: ignore[arg-type]
    run_stage(matcher, matcher.losses, None, config, "pretrain", 3, Tracker())
    after = matcher.measure(ogb_evaluator())["mrr"]
    assert after > before + 0.05, (before, after)


def test_a_masked_value_is_hidden_in_both_directions() -> None:
    train = train_of()
    graph, task = task_of(train, "values")
    chosen = torch.tensor([0, 3, task.count - 1])
    seen: dict[Any, Any] = {}

    def spied(encoder: Any, block: Any, wanted: Any) -> Any:
        seen.update(block.adjacency)
        return real(encoder, block, wanted)

    import gnnrec.training.pretext as module

    real = module.vectors
    module.vectors = spied
    try:
        queries, keys, place = task.ask(graph.head.encoder, graph.block, chosen, torch.Generator())
    finally:
        module.vectors = real
    assert len(queries) == len(place) == 3
    assert len(keys) <= 3
    first = next(iter(task._edges))
    user, value = task._edges[first][:, 0].tolist()
    for edge_type, pair in ((first, [user, value]), ((first[2], f"rev_{first[1]}", "user"), [value, user])):
        assert pair not in seen[edge_type].visible().T.tolist()
        assert seen[edge_type].num_edges - seen[edge_type].visible().shape[1] >= 1


def test_the_answer_changes_nothing_but_its_place() -> None:
    """Had a user another value, the vector of its query would be the same: the edge is not in the graph."""
    train = train_of()
    graph, task = task_of(train, "values")
    first = next(iter(task._edges))
    queries = task.ask(graph.head.encoder, graph.block, torch.tensor([0]), torch.Generator())[0]
    edges = train.users.relations[first]
    node = edges.node.clone()
    node[0] = (node[0] + 1) % len(train.ids[first[2]])
    other = replace(
        train, users=replace(train.users, relations={**train.users.relations, first: replace(edges, node=node)})
    )
    second, task = task_of(other, "values")
    second.head.load_state_dict(graph.head.state_dict())
    again = task.ask(second.head.encoder, second.block, torch.tensor([0]), torch.Generator())[0]
    assert torch.allclose(queries, again, atol=1e-6)


def test_a_user_who_is_to_be_recognised_shows_a_part_and_is_silent() -> None:
    train = train_of()
    graph, task = task_of(train, "histories")
    chosen = torch.tensor([1, 4, 9])
    queries, keys, place = task.ask(graph.head.encoder, graph.block, chosen, torch.Generator().manual_seed(2))
    assert queries.shape == keys.shape == (3, 16)
    assert place.tolist() == [0, 1, 2]
    share = 0.0
    for seed in range(20):
        kept = _part(train.users.items.row, train.num_users, torch.Generator().manual_seed(seed))
        share += float(kept.float().mean()) / 20
    assert share == pytest.approx(0.5, abs=0.05)


def test_measure_against_a_loop() -> None:
    """MRR of the own key among the others of the held-out queries, one by one."""
    train = train_of()
    graph, task = task_of(train, "words")
    matcher = Matcher(graph.head.encoder, task, graph.block, choose=True, share=0.2, seed=3)
    assert len(matcher._held_out) == max(1, task.count // 20)
    matcher._held_out = torch.arange(12)
    found = matcher.measure(ogb_evaluator())["mrr"]
    queries, keys, place = task.ask(graph.head.encoder, graph.block, torch.arange(12), torch.Generator())
    scores = queries @ keys.t()
    ranks = [1 + int((scores[q] > scores[q, place[q]]).sum()) for q in range(12)]
    assert found == pytest.approx(sum(1 / rank for rank in ranks) / 12, abs=0.02)
    assert OTHERS > 12


def test_what_a_task_needs_is_said() -> None:
    train = train_of()
    bare = replace(train, features=(), users=replace(train.users, relations={}))
    for name, message in (("values", "needs attributes of users"), ("words", "needs features of items")):
        config = PretrainConfig(task=name, epochs=1)  # type: ignore[arg-type]
        model = GraphSAGE(encoder=SHAPE, pretrain=config, finetune=RankingConfig(epochs=0))
        with pytest.raises(ConfigError, match=message):
            model.fit(bare, None, 3)
    drawn = GraphSAGE(encoder=SHAPE, pretrain=PretrainConfig(task="views", epochs=1), num_neighbors=3)
    with pytest.raises(ConfigError, match="views takes the whole graph in one process"):
        drawn.fit(train, None, 3)


def test_views_differ_and_history_edges_are_those_of_the_graph() -> None:
    """Two views show different edges; the same generator shows the same ones."""
    train = train_of()
    graph, task = task_of(train, "views")
    chosen = torch.arange(5)
    first, second, _ = task.ask(graph.head.encoder, graph.block, chosen, torch.Generator().manual_seed(1))
    assert not torch.allclose(first, second)
    again, _, _ = task.ask(graph.head.encoder, graph.block, chosen, torch.Generator().manual_seed(1))
    assert torch.equal(first, again)
    assert torch.equal(graph.edges[INTERACTS][0].cpu(), train.users.items.row)
