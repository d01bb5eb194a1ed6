"""What users show of their histories in training."""

from typing import Any

import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.graph.block import Block
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.nn.propagation import vectors
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.training.ranking import RankingConfig, random_places, shown_counts
from gnnrec.views import USER


def test_users_show_nothing_or_a_few_items_and_never_all() -> None:
    count = torch.full((20_000,), 50)
    shown = shown_counts(count, 0.3, torch.Generator().manual_seed(0))
    assert shown.min() == 0
    assert shown.max() == 49
    # Log-uniform from 1 to 50: P(1) = ln 2 / ln 50 = 0.177 of the 70 % who show something; 5 to 9: ln 2 / ln 50 too.
    assert abs(float((shown == 0).float().mean()) - 0.3) < 0.02
    assert abs(float((shown == 1).float().mean()) - 0.7 * 0.177) < 0.02
    assert abs(float(((shown >= 5) & (shown < 10)).float().mean()) - 0.7 * 0.177) < 0.02
    assert (shown_counts(torch.ones(100, dtype=torch.int64), 0.0, torch.Generator().manual_seed(0)) == 0).all()


def test_the_order_is_random_within_each_user() -> None:
    row = torch.tensor([0, 0, 0, 2, 2, 5])
    seen = set()
    for seed in range(40):
        order = random_places(row, torch.Generator().manual_seed(seed))
        assert sorted(order[:3].tolist()) == [0, 1, 2]
        assert sorted(order[3:5].tolist()) == [0, 1]
        assert order[5] == 0
        seen.add(tuple(order.tolist()))
    assert len(seen) == 12  # 3! orders of the first user's edges, 2! of the second's


@pytest.mark.parametrize(
    ("options", "steps", "graph"),
    [
        ({"batch_users": 32}, 4, 120),  # 120 users: 32, 32, 32, 24
        ({"batch_users": 32, "most_steps": 3}, 3, 120),
        ({"batch_users": 32, "graph_users": 64}, 2, 64),
        ({"batch_users": 32, "graph_users": 120}, 4, 120),
    ],
)
def test_many_users_are_trained_on_in_part(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, int], steps: int, graph: int
) -> None:
    split = make_split(synthetic(0, num_users=150), UnseenUsers(test=0.1, validation=0.1), 0)
    assert split.train.num_users == 120
    users = []

    def noted(encoder: Encoder, block: Block, *arguments: Any, **more: Any) -> dict[str, torch.Tensor]:
        users.append(block.num_targets[USER])
        return vectors(encoder, block, *arguments, **more)

    monkeypatch.setattr("gnnrec.training.ranking.vectors", noted)
    encoder = EncoderConfig(channels=8, layers=2)
    model = GraphSAGE(encoder=encoder, pretrain=None, finetune=RankingConfig(epochs=3, **options))
    model.fit(split.train, None, 0)
    assert users == [graph] * steps * 3


def test_parts_of_the_users_teach_what_all_of_them_do() -> None:
    """Two groups that choose from different halves: an encoder that sees a third of the users at a time learns it."""
    split = make_split(synthetic(0), UnseenUsers(test=0.2, validation=0.1), 0)
    values = []
    for graph_users in (16_384, split.train.num_users // 3):
        finetune = RankingConfig(epochs=60, batch_users=32, learning_rate=0.02, graph_users=graph_users)
        model = GraphSAGE(encoder=EncoderConfig(channels=16), pretrain=None, finetune=finetune)
        model.fit(split.train, None, 0)
        values.append(evaluate(model, split.validation, split.train.candidates, EvaluateConfig(), 0).metrics["ndcg@10"])
    assert values[1] > 0.8 * values[0]
