"""LightGCN: steps over the graph, a newcomer as one more node of it, and drawn items."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch_geometric.nn import LightGCN as Layers

from gnnrec.data.synthetic import synthetic
from gnnrec.models.baselines import LightGCN
from gnnrec.models.baselines.cold_start.fit import FitConfig
from gnnrec.models.baselines.cold_start.lightgcn import normalised, others, sent
from gnnrec.splits import UnseenUsers, make_split

USER, ITEM = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0, 1, 1, 0, 2, 3])


def dense_graph() -> np.ndarray:
    """By hand: three users and four items."""
    graph = np.zeros((7, 7))
    for user, item in zip(USER.tolist(), ITEM.tolist(), strict=True):
        graph[user, 3 + item] = graph[3 + item, user] = 1
    root = np.sqrt(graph.sum(1))
    return graph / root[:, None] / root


def test_edges_count_by_the_roots_of_both_degrees() -> None:
    twice = torch.cat([USER, USER[:1]]), torch.cat([ITEM, ITEM[:1]])  # an edge that is there twice counts once
    np.testing.assert_allclose(normalised(*twice, 3, 4).to_dense().numpy(), dense_graph(), rtol=1e-6)


@pytest.mark.parametrize("layers", [1, 3])
def test_a_node_is_its_own_vector_and_what_its_neighbours_have_sent(layers: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = Layers(7, 3, layers, normalize=False)
    x, graph = net.embedding.weight.detach().double().numpy(), dense_graph()
    steps = [x]
    for _ in range(layers):
        steps.append(graph @ steps[-1])
    sparse = normalised(USER, ITEM, 3, 4)
    np.testing.assert_allclose(net.get_embedding(sparse).detach().numpy(), sum(steps) / (layers + 1), rtol=1e-5)
    received = graph @ sent(net, sparse).detach().numpy()
    np.testing.assert_allclose(x / (layers + 1) + received, sum(steps) / (layers + 1), rtol=1e-5)


def test_a_drawn_item_is_seldom_one_of_the_user() -> None:
    generator = torch.Generator().manual_seed(7)
    user = torch.zeros(20_000, dtype=torch.int64)
    chosen = torch.tensor([0, 1, 2, 14, 15])  # user 0 has items 0 to 2 of 10
    drawn = others(user, chosen, 10, generator)
    share = torch.bincount(drawn, minlength=10) / len(drawn)
    torch.testing.assert_close(share[:3], torch.full((3,), 0.03), atol=0.01, rtol=0)  # .3 at first, .1 each again
    torch.testing.assert_close(share[3:], torch.full((7,), 0.13), atol=0.01, rtol=0)


def test_known_items_make_a_newcomer_a_node_of_the_graph() -> None:
    split = make_split(synthetic(6, num_users=150), UnseenUsers(test=0.1, validation=0.2, support=4), 6)
    model = LightGCN(factors=8, fit=FitConfig(learning_rate=0.05, epochs=30))
    model.fit(split.train, None, 6)
    users = split.validation.users
    with_items, without = (
        model.score(users),
        model.score(replace(users, items=users.items.take(torch.tensor([]).long()))),
    )
    assert len(users.items) == 4 * len(users)
    assert not torch.allclose(with_items, without)
    own = torch.zeros(len(users), split.train.num_items, dtype=torch.bool)
    own[users.items.row, users.items.node] = True
    gained = with_items.log_softmax(1) - without.log_softmax(1)
    assert float(gained[own].mean()) > float(gained[~own].mean())


@pytest.mark.parametrize("options", [{"factors": 0}, {"layers": 0}, {"pairs": 0}, {"map_regularization": 0.0}])
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        LightGCN(**options)  # type: ignore[arg-type]
