from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch_geometric.nn import GATv2Conv, GraphConv, SAGEConv

from gnnrec.data.synthetic import synthetic
from gnnrec.graph.adjacency import Adjacency
from gnnrec.graph.block import Block, whole_graph
from gnnrec.graph.build import attach, build_graph, node_counts
from gnnrec.nn.conv import AttributeAttention
from gnnrec.nn.encoder import Encoder, EncoderConfig, convolve
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.views import INTERACTS, Edges, Relation, UserBatch, reverse

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
FRIEND = ("user", "friend", "user")
LAYERS = {
    "SAGEConv": (SAGEConv, {}),
    "GATv2Conv": (GATv2Conv, {"add_self_loops": False}),
    "GraphConv": (GraphConv, {}),
    "AttributeAttention": (AttributeAttention, {}),
}


def whole_split():
    """Synthetic data with a weighted relation to a node type of its own, and a support of two items."""
    data = synthetic(0)
    edge_index = torch.stack([torch.arange(60), torch.arange(60) % 5])
    skill = Relation("user", "has", "skill", edge_index, torch.arange(60).float())
    data = replace(data, ids={**data.ids, "skill": pd.Index(list("abcde"))}, relations=(*data.relations, skill))
    return make_split(data, UnseenUsers(test=0.2, validation=0.2, support=2), seed=0)


def encoder_of(graph, layer="SAGEConv", layers=2, outputs=("user", "item"), **changes):
    torch.manual_seed(0)  # weights are drawn from the global generator
    layer_class, options = LAYERS[layer]
    config = EncoderConfig(**{"channels": 8, "layers": layers, "layer_options": options, "dropout": 0.5, **changes})
    encoder = Encoder(node_counts(graph), graph.edge_types, config, layer_class, outputs).eval()
    for parameter in encoder.parameters():  # biases of zero and gains of one would hide mistakes
        torch.nn.init.normal_(parameter, std=0.3)
    return encoder


class TestAttach:
    """The embedding of a user who is not in the graph."""

    @pytest.mark.parametrize("layers", [1, 2, 3])
    @pytest.mark.parametrize("layer", LAYERS)
    @torch.no_grad()
    def test_equals_inference_on_the_whole_larger_graph(self, layer, layers):
        split = whole_split()
        users, graph = split.validation.users, build_graph(split.train)
        assert all(len(edges) for edges in (users.items, *users.relations.values()))  # of everything something
        encoder = encoder_of(graph, layer, layers)
        larger = whole_graph(attach(graph, users))
        every = encoder([larger] * layers)
        before = encoder([whole_graph(graph)] * layers)
        attached = encoder.attach(encoder.states(whole_graph(graph)), users)
        assert attached.shape == (12, 8)
        torch.testing.assert_close(attached, every["user"][-12:], **CLOSE)
        # New users send no messages: all other vectors are as before.
        torch.testing.assert_close(every["user"][:-12], before["user"], **CLOSE)
        torch.testing.assert_close(every["item"], before["item"], **CLOSE)
        assert attached.std(0).min() > 0.01  # and the users are told apart

    @pytest.mark.parametrize("changes", [{"residual": False}, {"norm": "none"}])
    @torch.no_grad()
    def test_equals_it_for_every_shape_of_encoder(self, changes):
        split = whole_split()
        users, graph = split.validation.users, build_graph(split.train)
        encoder = encoder_of(graph, layers=3, outputs=graph.node_types, **changes)
        every = encoder([whole_graph(attach(graph, users))] * 3)
        attached = encoder.attach(encoder.states(whole_graph(graph)), users)
        torch.testing.assert_close(attached, every["user"][-12:], **CLOSE)

    @torch.no_grad()
    def test_does_not_depend_on_who_else_is_in_the_batch(self):
        split = whole_split()
        users, graph = split.validation.users, build_graph(split.train)
        encoder = encoder_of(graph)
        states = encoder.states(whole_graph(graph))
        together = encoder.attach(states, users)
        for rows in (torch.tensor([3]), torch.tensor([7, 0, 5]), torch.arange(11, -1, -1)):
            torch.testing.assert_close(encoder.attach(states, users.take(rows)), together[rows], **CLOSE)

    @torch.no_grad()
    def test_gives_a_training_user_the_vector_it_has_in_the_graph(self):
        # After one step nothing has come back to it of what it told others.
        split = whole_split()
        graph = build_graph(split.train)
        encoder = encoder_of(graph, layers=1)
        attached = encoder.attach(encoder.states(whole_graph(graph)), split.train.users)
        torch.testing.assert_close(attached, encoder([whole_graph(graph)])["user"], **CLOSE)

    @pytest.mark.parametrize("layers", [1, 2])
    @torch.no_grad()
    def test_a_user_of_whom_nothing_is_known_gets_what_the_whole_graph_gives_it(self, layers):
        split = whole_split()
        graph = build_graph(split.train)
        nothing = Edges(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))
        nobody = UserBatch(torch.tensor([-1]), nothing, {})  # not even an empty list of edges for each relation
        encoder = encoder_of(graph, layers=layers)
        every = encoder([whole_graph(attach(graph, nobody))] * layers)
        attached = encoder.attach(encoder.states(whole_graph(graph)), nobody)
        torch.testing.assert_close(attached, every["user"][-1:], **CLOSE)

    @torch.no_grad()
    def test_an_empty_batch(self):
        split = whole_split()
        graph = build_graph(split.train)
        encoder = encoder_of(graph)
        none = split.validation.users.take(torch.empty(0, dtype=torch.int64))
        assert encoder.attach(encoder.states(whole_graph(graph)), none).shape == (0, 8)


def relation_of(sources, targets, edges, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.randperm(sources * targets, generator=generator)[:edges]
    return Adjacency(torch.stack([pairs % sources, pairs // sources]), sources, targets)


HALF = torch.rand(20, generator=torch.Generator().manual_seed(0)) < 0.5
ADJACENCIES = {
    "fewer sources": relation_of(4, 9, 12),  # some targets have no edge
    "more sources": relation_of(9, 4, 12),
    "hidden": relation_of(9, 4, 20).hide(HALF),
    "hidden, fewer sources": relation_of(4, 9, 20).hide(
        torch.rand(20, generator=torch.Generator().manual_seed(0)) < 0.5
    ),
    "no edges": relation_of(4, 9, 0),
    "all hidden": relation_of(9, 4, 12).hide(torch.zeros(12, dtype=torch.bool)),
}


def values_and_gradients(layer, run, x_source, x_target):
    leaves = [x_source.clone().requires_grad_(), None if x_target is None else x_target.clone().requires_grad_()]
    layer.zero_grad()
    out = run(*leaves)
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(3))).sum().backward()
    read = [leaves[0], *(() if x_target is None else leaves[1:]), *layer.parameters()]
    return [out, *(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in read)]


def same_as_plain(layer, adjacency, x_target_given=True, width=5):
    generator = torch.Generator().manual_seed(1)
    x_source = torch.randn(adjacency.num_sources, width, generator=generator)
    zeros = torch.zeros(adjacency.num_targets, width)
    x_target = torch.randn(zeros.shape, generator=generator) if x_target_given else None
    plain = values_and_gradients(
        layer, lambda s, t: layer((s, zeros if t is None else t), adjacency.visible()), x_source, x_target
    )
    ours = values_and_gradients(layer, lambda s, t: convolve(layer, s, t, adjacency), x_source, x_target)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)
    return ours[0]


class Doubled(SAGEConv):
    """A layer of one's own that only inherits."""

    def message(self, x_j):
        return 2 * x_j


class TestConvolve:
    """Fused products give the numbers of the plain layer."""

    @pytest.mark.parametrize("x_target_given", [True, False])
    @pytest.mark.parametrize("edges", ADJACENCIES)
    @pytest.mark.parametrize(
        "make",
        [
            lambda: SAGEConv(5, 6),
            lambda: SAGEConv(5, 6, aggr="sum"),
            lambda: SAGEConv(5, 6, aggr="add", normalize=True),
            lambda: SAGEConv(5, 6, root_weight=False),
            lambda: SAGEConv(5, 6, bias=False),
            lambda: SAGEConv(5, 6, normalize=True, root_weight=False, bias=False),
            lambda: GraphConv(5, 6),
            lambda: GraphConv(5, 6, aggr="mean"),
            lambda: GraphConv(5, 6, bias=False),
        ],
    )
    def test_fused(self, make, edges, x_target_given, monkeypatch):
        torch.manual_seed(0)
        layer = make()
        same_as_plain(layer, ADJACENCIES[edges], x_target_given)
        monkeypatch.setattr(type(layer), "propagate", lambda *_, **__: pytest.fail("the plain path was taken"))
        convolve(layer, torch.ones(ADJACENCIES[edges].num_sources, 5), None, ADJACENCIES[edges])

    @pytest.mark.parametrize("x_target_given", [True, False])
    @pytest.mark.parametrize("edges", ADJACENCIES)
    @pytest.mark.parametrize(
        "make",
        [
            lambda: SAGEConv(5, 6, aggr="max"),
            lambda: SAGEConv(5, 6, project=True),
            lambda: Doubled(5, 6),
            lambda: GraphConv(5, 6, aggr="max"),
            lambda: GATv2Conv(5, 6, add_self_loops=False),
        ],
    )
    def test_every_other_layer_is_called_as_it_stands(self, make, edges, x_target_given):
        torch.manual_seed(0)
        same_as_plain(make(), ADJACENCIES[edges], x_target_given)

    def test_a_subclass_may_do_anything(self):
        torch.manual_seed(0)
        one, other = SAGEConv(5, 6), Doubled(5, 6)
        other.load_state_dict(one.state_dict())
        adjacency = ADJACENCIES["more sources"]
        assert not torch.allclose(same_as_plain(one, adjacency), same_as_plain(other, adjacency), atol=1e-2)

    def test_a_layer_that_reads_edges_the_other_way_round_is_not_fused(self):
        # As many sources as targets, so that torch_geometric does not mind.
        torch.manual_seed(0)
        same_as_plain(SAGEConv(5, 6, flow="target_to_source"), relation_of(6, 6, 12))


class TestBlock:
    def test_hide_hides_both_directions(self):
        split = whole_split()
        graph = build_graph(split.train)
        kept = torch.rand(graph[INTERACTS].num_edges, generator=torch.Generator().manual_seed(0)) < 0.5
        block = whole_graph(graph)
        hidden = block.hide(INTERACTS, kept)
        expected = set(map(tuple, graph[INTERACTS].edge_index[:, kept].T.tolist()))
        assert set(map(tuple, hidden.adjacency[INTERACTS].visible().T.tolist())) == expected
        assert {(u, i) for i, u in hidden.adjacency[reverse(INTERACTS)].visible().T.tolist()} == expected
        for edge_type, adjacency in block.adjacency.items():
            assert adjacency.kept is None  # the block itself is unchanged
            assert edge_type in (INTERACTS, reverse(INTERACTS)) or hidden.adjacency[edge_type] is adjacency

    def test_hide_of_edges_between_users_hides_what_it_is_told(self):
        graph = build_graph(whole_split().train)
        kept = torch.arange(graph[FRIEND].num_edges) % 3 > 0
        hidden = whole_graph(graph).hide(FRIEND, kept)
        expected = set(map(tuple, graph[FRIEND].edge_index[:, kept].T.tolist()))
        assert set(map(tuple, hidden.adjacency[FRIEND].visible().T.tolist())) == expected

    @torch.no_grad()
    def test_a_hidden_edge_passes_no_message_in_either_direction(self):
        split = whole_split()
        graph = build_graph(split.train)
        encoder = encoder_of(graph)
        kept = torch.rand(graph[INTERACTS].num_edges, generator=torch.Generator().manual_seed(0)) < 0.5
        without = build_graph(split.train)
        for edge_type in (INTERACTS, reverse(INTERACTS)):
            without[edge_type].edge_index = graph[edge_type].edge_index[:, kept]
        hidden = encoder([whole_graph(graph).hide(INTERACTS, kept)] * 2)
        expected = encoder([whole_graph(without)] * 2)
        for node_type in ("user", "item"):
            torch.testing.assert_close(hidden[node_type], expected[node_type], **CLOSE)


CLUB, CATEGORY = ("user", "club", "club"), ("item", "category", "category")
TYPES = [INTERACTS, reverse(INTERACTS), FRIEND, CLUB, reverse(CLUB), CATEGORY, reverse(CATEGORY)]
COUNTS = {"user": 3, "item": 4, "club": 2, "category": 2}


def plan(layers, outputs):
    encoder = Encoder(COUNTS, TYPES, EncoderConfig(channels=4, layers=layers), SAGEConv, outputs)
    assert [set(step) for step in encoder.steps] == [{" ".join(t) for t in step} for step in encoder.plan(outputs)]
    return [set(step) for step in encoder.plan(outputs)]


class TestPlan:
    """Which relations each step follows: worked out by hand."""

    def test_one_step(self):
        # Users and items receive messages from all nodes but users.
        assert plan(1, ("user", "item")) == [{reverse(INTERACTS), reverse(CLUB), reverse(CATEGORY)}]
        assert plan(1, ("user",)) == [{reverse(INTERACTS), reverse(CLUB)}]

    def test_two_steps(self):
        # The last step: what ends at users and items. The first: what ends at the sources of those, all nodes,
        # but nothing that begins at users: so clubs receive nothing.
        assert plan(2, ("user", "item")) == [
            {reverse(INTERACTS), reverse(CLUB), reverse(CATEGORY), CATEGORY},
            {INTERACTS, reverse(INTERACTS), FRIEND, reverse(CLUB), reverse(CATEGORY)},
        ]
        # Only items are read: they receive from users and categories; no message from clubs counts in the last step.
        assert plan(2, ("item",)) == [
            {reverse(INTERACTS), reverse(CLUB), reverse(CATEGORY), CATEGORY},
            {INTERACTS, reverse(CATEGORY)},
        ]

    def test_three_steps(self):
        assert plan(3, ("user",))[2] == {reverse(INTERACTS), FRIEND, reverse(CLUB)}
        assert plan(3, ("user",))[1] == {INTERACTS, reverse(INTERACTS), FRIEND, CLUB, reverse(CLUB), reverse(CATEGORY)}
        assert plan(3, ("user",))[0] == {reverse(INTERACTS), reverse(CLUB), CATEGORY, reverse(CATEGORY)}

    def test_all_types_read(self):
        assert plan(1, tuple(COUNTS)) == [{reverse(INTERACTS), reverse(CLUB), CATEGORY, reverse(CATEGORY)}]


class TestParameters:
    def test_there_is_no_table_for_users(self):
        split = whole_split()
        encoder = encoder_of(build_graph(split.train))
        rows = {name: p.shape[0] for name, p in encoder.named_parameters() if name.startswith("tables")}
        assert sorted(rows.values()) == [4, 4, 4, 4, 5, 40]  # club, colour, age, category, skill, item
        fewer = encoder_of(build_graph(split.full))
        assert sum(p.numel() for p in encoder.parameters()) == sum(p.numel() for p in fewer.parameters())

    @pytest.mark.parametrize("layers", [1, 2, 3])
    @pytest.mark.parametrize(("layer", "own"), [("SAGEConv", "lin_r"), ("GraphConv", "lin_root")])
    def test_every_parameter_gets_a_gradient(self, layer, own, layers):
        graph = build_graph(whole_split().train)
        encoder = encoder_of(graph, layer, layers, graph.node_types)
        x = encoder([whole_graph(graph)] * layers, outputs=graph.node_types)
        generator = torch.Generator().manual_seed(0)
        sum((x[t] * torch.randn(x[t].shape, generator=generator)).sum() for t in x).backward()
        dead = {n for n, p in encoder.named_parameters() if p.grad is None or p.grad.abs().sum() == 0}
        # In the first step a user's own vector is zero, and so is the gradient of the weights that it is multiplied by.
        reached = [edge_type for edge_type in encoder.plan(graph.node_types)[0] if edge_type[2] == "user"]
        assert dead == {f"steps.0.{' '.join(edge_type)}.{own}.weight" for edge_type in reached}

    def test_dropout_and_norms_are_of_all_steps_but_the_last(self):
        graph = build_graph(whole_split().train)
        encoder = encoder_of(graph, layers=2).train()
        assert len(encoder.norms) == 1
        torch.manual_seed(0)
        one, other = (encoder([whole_graph(graph)] * 2)["user"] for _ in range(2))
        assert not torch.equal(one, other)
        single = encoder_of(graph, layers=1).train()
        assert len(single.norms) == 0
        assert torch.equal(*(single([whole_graph(graph)])["user"] for _ in range(2)))


@pytest.mark.parametrize(
    ("start", "users", "items"),
    [
        # Step 1: users have the means 2 and 3 (no vector of their own), items receive nothing and stay.
        # Step 2: user 0: mean(1, 3) + 2 = 4; user 1: 3 + 3 = 6; item 0: 2 + 1 = 3; item 1: mean(2, 3) + 3 = 5.5.
        ([1.0, 3.0], [4, 6], [3, 5.5]),
        # Step 1: the means -1 and -3 become 0 (ReLU), items stay. Step 2: -1 + 0, -3 + 0; 0 + 1, 0 - 3 (no ReLU).
        ([1.0, -3.0], [-1, -3], [1, -3]),
    ],
)
@torch.no_grad()
def test_two_steps_worked_by_hand(start, users, items):
    # User 0 chose items 0 and 1, user 1 chose item 1. Width 1; SAGEConv with the mean, lin_l = 1, bias and lin_r = 0;
    # no norm, residual.
    edges = torch.tensor([[0, 0, 1], [0, 1, 1]])
    types = [INTERACTS, reverse(INTERACTS)]
    config = EncoderConfig(channels=1, layers=2, dropout=0, norm="none")
    encoder = Encoder({"user": 2, "item": 2}, types, config, SAGEConv)
    for name, parameter in encoder.named_parameters():
        parameter.fill_(1.0 if name.endswith("lin_l.weight") else 0.0)
    encoder.table("item").weight.copy_(torch.tensor(start)[:, None])
    both = {INTERACTS: Adjacency(edges, 2, 2), reverse(INTERACTS): Adjacency(edges.flip(0), 2, 2)}
    block = Block(both, {"user": 2, "item": 2})
    x = encoder([block, block])
    assert x["user"].flatten().tolist() == users
    assert x["item"].flatten().tolist() == items


def test_silent_users_are_heard_by_nobody_and_hear_as_before() -> None:
    from gnnrec.data.synthetic import synthetic
    from gnnrec.graph.build import build_graph
    from gnnrec.splits import UnseenUsers, make_split

    train = make_split(synthetic(0), UnseenUsers(test=0.2, validation=0.2), 0).train
    block = whole_graph(build_graph(train))
    silent = torch.zeros(train.num_users, dtype=torch.bool)
    silent[[1, 4]] = True
    quiet = block.without_messages_from(silent)
    for edge_type, edges in quiet.adjacency.items():
        source, before = edges.visible()[0], block.adjacency[edge_type].visible()
        if edge_type[0] == "user":
            assert not silent[source].any()
            assert len(source) == int((~silent[before[0]]).sum())
        else:
            assert torch.equal(edges.visible(), before)


class TestOfUsers:
    """The graph of some users alone."""

    @staticmethod
    def dense(adjacency):
        """[T, S], how many edges lead from each source to each target."""
        total = torch.zeros(adjacency.num_targets, adjacency.num_sources, dtype=torch.int64)
        source, target = adjacency.visible()
        return total.index_put((target, source), torch.ones_like(source), accumulate=True)

    def test_has_their_edges_and_no_others(self):
        block = whole_graph(build_graph(whole_split().train))
        users = torch.arange(1, block.num_targets["user"], 3)
        some = block.of_users(users)
        assert list(some.adjacency) == list(block.adjacency)
        assert some.num_targets == {**block.num_targets, "user": len(users)}
        between = 0
        for t, adjacency in some.adjacency.items():
            expected = self.dense(block.adjacency[t])
            expected = expected[:, users] if t[0] == "user" else expected
            expected = expected[users] if t[2] == "user" else expected
            assert torch.equal(self.dense(adjacency), expected), t
            between += int(expected.sum()) if t == FRIEND else 0
        assert between > 0

    def test_hiding_an_edge_hides_both_directions(self):
        some = whole_graph(build_graph(whole_split().train)).of_users(torch.arange(0, 30, 2))
        back = some.adjacency[reverse(INTERACTS)]
        kept = torch.rand(back.num_edges, generator=torch.Generator().manual_seed(0)) < 0.5
        hidden = some.hide(INTERACTS, kept)
        one, other = (self.dense(hidden.adjacency[t]) for t in (INTERACTS, reverse(INTERACTS)))
        assert torch.equal(one, other.t())
        assert int(one.sum()) == int(kept.sum())
