from dataclasses import replace

import pytest
import torch
from torch_geometric.nn import GATv2Conv, GraphConv, SAGEConv

from gnnrec.data.dataset import Interactions
from gnnrec.data.synthetic import synthetic
from gnnrec.graph.block import whole_graph
from gnnrec.graph.build import build_graph, node_counts
from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.nn.propagation import vectors
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import INTERACTS

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
LAYERS = {
    "SAGEConv": (SAGEConv, {}),
    "SAGEConv max": (SAGEConv, {"aggr": "max"}),
    "GATv2Conv": (GATv2Conv, {"add_self_loops": False}),
    "GraphConv": (GraphConv, {"aggr": "mean"}),
}
WANTED = {
    "user": torch.tensor([5, 3, 5, 41, 0]),  # one of them twice
    "item": torch.tensor([0, 39, 7]),
}


def graph():
    return build_graph(make_split(synthetic(0), UnseenUsers(test=0.2, validation=0.1), seed=0).train)


def encoder_of(graph, layer="SAGEConv", layers=2, outputs=None, **changes):
    torch.manual_seed(0)  # weights are drawn from the global generator
    layer_class, options = LAYERS[layer]
    config = EncoderConfig(channels=8, layers=layers, layer_options=options, dropout=0, **changes)
    outputs = tuple(graph.node_types) if outputs is None else outputs
    return Encoder(node_counts(graph), graph.edge_types, config, layer_class, outputs)


def hidden(graph, block):
    """Some interactions, some friendships and a whole attribute pass no message."""
    generator = torch.Generator().manual_seed(1)
    for edge_type, share in ((INTERACTS, 0.6), (("user", "friend", "user"), 0.5), (("user", "colour", "colour"), 1.0)):
        block = block.hide(edge_type, torch.rand(graph[edge_type].num_edges, generator=generator) >= share)
    return block


def values_and_gradients(encoder, block, wanted, **how):
    encoder.zero_grad()
    x = vectors(encoder, block, wanted, **how)
    generator = torch.Generator().manual_seed(2)
    sum((x[t] * torch.randn(x[t].shape, generator=generator)).sum() for t in sorted(x)).backward()
    # A weight that a way does not touch has no gradient there, and a zero one in the other.
    return x, {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in encoder.named_parameters()}


@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("layer", LAYERS)
def test_whole_graph_and_full_fan_out_give_the_same_values_and_gradients(layer, layers, hide):
    data = graph()
    encoder, block = encoder_of(data, layer, layers), whole_graph(data)
    block = hidden(data, block) if hide else block
    wanted = WANTED | {"club": torch.tensor([2]), "category": torch.tensor([3, 1])}
    whole, expected = values_and_gradients(encoder, block, wanted)
    some, found = values_and_gradients(encoder, block, wanted, sampled=True, num_neighbors=None)
    more, found_more = values_and_gradients(
        encoder, block, wanted, sampled=True, num_neighbors=100, generator=torch.Generator().manual_seed(0)
    )
    assert any(gradient.abs().sum() > 0 for gradient in expected.values())
    for x, gradients in ((some, found), (more, found_more)):
        assert set(x) == set(whole) == set(wanted)
        for node_type in wanted:
            torch.testing.assert_close(x[node_type], whole[node_type], **CLOSE)
        for name, gradient in expected.items():
            torch.testing.assert_close(gradients[name], gradient, **CLOSE, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("changes", [{"residual": False}, {"norm": "none"}, {"residual": False, "norm": "none"}])
def test_options_of_the_encoder_change_nothing_about_that(changes):
    data = graph()
    encoder, block = encoder_of(data, layers=3, **changes), hidden(data, whole_graph(data))
    whole, expected = values_and_gradients(encoder, block, WANTED)
    some, found = values_and_gradients(encoder, block, WANTED, sampled=True)
    for node_type in WANTED:
        torch.testing.assert_close(some[node_type], whole[node_type], **CLOSE)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, **CLOSE)


@pytest.mark.parametrize("sampled", [False, True])
def test_rows_stand_as_wanted(sampled):
    data = graph()
    encoder, block = encoder_of(data), whole_graph(data)
    x = vectors(encoder, block, WANTED, sampled=sampled)
    every = encoder([block] * 2)
    for node_type, index in WANTED.items():
        torch.testing.assert_close(x[node_type], every[node_type][index], **CLOSE)
    assert torch.equal(x["user"][0], x["user"][2])


@pytest.mark.parametrize("sampled", [False, True])
def test_what_is_asked_for_besides_changes_nothing(sampled):
    data = graph()
    encoder, block = encoder_of(data), whole_graph(data)
    together = vectors(encoder, block, WANTED, sampled=sampled)
    for node_type, index in WANTED.items():
        alone = vectors(encoder, block, {node_type: index}, sampled=sampled)
        torch.testing.assert_close(alone[node_type], together[node_type], **CLOSE)


@pytest.mark.parametrize("sampled", [False, True])
def test_users_whom_no_relation_reaches_have_zero_vectors(sampled):
    # One step, and the only relation that ends at users begins at users, who have nothing to say yet.
    data = graph()
    edge_types = [("user", "friend", "user"), INTERACTS]
    config = EncoderConfig(channels=8, layers=1)
    encoder = Encoder(node_counts(data), edge_types, config, SAGEConv)
    x = vectors(encoder, whole_graph(data), WANTED, sampled=sampled)
    assert torch.equal(x["user"], torch.zeros(5, 8))
    assert torch.equal(x["item"], encoder.table("item").weight[WANTED["item"]])


def test_the_mean_that_a_user_hears_of_drawn_items_is_unbiased():
    # Every user has chosen nine items. One linear step of mean aggregation: a user's vector over many draws must come
    # to that of the whole graph. The standard deviation of a mean of 2 of 9 is at most 1 here, that of 4,000 is 0.016.
    data = synthetic(0)
    pairs = torch.cartesian_prod(torch.arange(60), torch.arange(9))
    data = replace(data, interactions=Interactions(*pairs.T.contiguous()), relations=(), numeric=())
    graph = build_graph(make_split(data, UnseenUsers(test=0.2, validation=0.1), seed=0).train)
    encoder = encoder_of(graph, layers=1)
    block = whole_graph(graph).hide(INTERACTS, graph[INTERACTS].edge_index[1] % 3 > 0)  # six are visible
    torch.nn.init.normal_(encoder.table("item").weight, std=1.0, generator=torch.Generator().manual_seed(0))
    layer = encoder.steps[0]["item rev_interacts user"]
    torch.nn.init.eye_(layer.lin_l.weight)
    index, generator = torch.tensor([4]), torch.Generator().manual_seed(0)
    with torch.no_grad():
        expected = vectors(encoder, block, {"user": index})["user"]
        draws = [
            vectors(encoder, block, {"user": index}, sampled=True, num_neighbors=2, generator=generator)["user"]
            for _ in range(2_000)
        ]
    assert (draws[0] - expected).abs().max() > 0.05  # one draw is not the whole
    assert (torch.cat(draws).mean(0) - expected[0]).abs().max() < 0.1


def test_with_a_fan_out_only_the_generator_decides():
    data = graph()
    encoder, block = encoder_of(data), whole_graph(data)

    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        return vectors(encoder, block, WANTED, sampled=True, num_neighbors=1, generator=generator)["user"]

    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))
