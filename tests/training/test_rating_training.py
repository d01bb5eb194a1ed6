"""The rating objective: signed edges, what a step hides, and how many steps an epoch takes."""

from typing import Any

import pytest
import torch

from gnnrec.data.synthetic import synthetic
from gnnrec.graph.build import build_graph
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.split import Split
from gnnrec.training.rating import DISLIKES, LIKES, RatingConfig, by_sign, with_signed_edges
from gnnrec.views import reverse

SMALL = EncoderConfig(channels=16, layers=2, dropout=0.1)


def made_split() -> Split:
    return make_split(synthetic(0, num_users=80), UnseenUsers(test=0.2, validation=0.2), 0)


def test_the_graph_of_signed_edges_holds_the_same_edges() -> None:
    train = made_split().train
    graph = build_graph(train)
    liked = torch.arange(len(train.users.items)) % 3 == 0
    signed = by_sign(graph, liked)
    both = torch.cat([signed[LIKES].edge_index, signed[DISLIKES].edge_index], dim=1)
    whole = graph["user", "interacts", "item"].edge_index
    assert sorted(both.t().tolist()) == sorted(whole.t().tolist())
    assert torch.equal(signed[reverse(LIKES)].edge_index, signed[LIKES].edge_index.flip(0))
    assert ("user", "interacts", "item") not in signed.edge_types
    users = with_signed_edges(train.users, liked)
    assert len(users.items) == 0
    assert torch.equal(users.relations[LIKES].node, train.users.items.node[liked])
    assert torch.equal(users.relations[DISLIKES].node, train.users.items.node[~liked])


def test_the_users_of_a_batch_show_no_ratings_and_send_no_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    forward = Encoder.forward

    def spy(self: Encoder, blocks: Any, nodes: Any = None, outputs: Any = ("user", "item")) -> Any:
        if self.training:
            seen.append(blocks[0])
        return forward(self, blocks, nodes, outputs)

    monkeypatch.setattr(Encoder, "forward", spy)
    finetune = RatingConfig(epochs=1, batch_users=1000, signed_edges=True)
    GraphSAGE(encoder=SMALL, pretrain=None, finetune=finetune).fit(made_split().train, None, 0)
    assert len(seen) == 1
    assert LIKES in seen[0].adjacency
    for edge_type, edges in seen[0].adjacency.items():
        if edge_type[0] == "user" or edge_type in (reverse(LIKES), reverse(DISLIKES)):
            assert edges.visible().shape[1] == 0, edge_type


@pytest.mark.parametrize(("most", "steps"), [(40, 8), (3, 3)])  # 120 users, 16 or 40 of them in a step
def test_an_epoch_takes_a_bounded_number_of_steps(monkeypatch: pytest.MonkeyPatch, most: int, steps: int) -> None:
    taken = []
    forward = Encoder.forward

    def noted(encoder: Encoder, *arguments: Any, **more: Any) -> Any:
        taken.append(encoder.training)
        return forward(encoder, *arguments, **more)

    monkeypatch.setattr(Encoder, "forward", noted)
    monkeypatch.setattr("gnnrec.training.rating.MOST_STEPS", most)
    split = make_split(synthetic(0, num_users=150), UnseenUsers(test=0.1, validation=0.1), 0)
    assert split.train.num_users == 120
    finetune = RatingConfig(epochs=2, batch_users=16)
    GraphSAGE(encoder=SMALL, pretrain=None, finetune=finetune).fit(split.train, None, 0)
    assert sum(taken) == 2 * steps
