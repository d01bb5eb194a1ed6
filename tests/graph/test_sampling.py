import math
from collections import Counter, defaultdict

import pytest
import torch
from torch_geometric.nn import SAGEConv

from gnnrec.data.synthetic import synthetic
from gnnrec.graph.adjacency import Adjacency
from gnnrec.graph.block import whole_graph
from gnnrec.graph.build import build_graph, node_counts
from gnnrec.graph.sampling import sample_blocks, sample_edges
from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.training.negatives import NegativeSampler


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_relation(sources=9, targets=7, seed=0):
    """Every target has another number of edges: 0, 1, 2 ... up to 6."""
    edges = [
        (source, target)
        for target in range(targets)
        for source in torch.randperm(sources, generator=generator(seed + target))[:target].tolist()
    ]
    order = torch.randperm(len(edges), generator=generator(seed))
    return torch.tensor(edges)[order].T, Adjacency(torch.tensor(edges)[order].T, sources, targets)


def neighbours(edge_index, kept=None):
    found = defaultdict(set)
    for place, (source, target) in enumerate(edge_index.T.tolist()):
        if kept is None or kept[place]:
            found[target].add(source)
    return found


def drawn_sources(adjacency, target, num_neighbors, drawn_by):
    """Sources of the drawn edges, and positions of their targets."""
    place, row = sample_edges(adjacency, target, num_neighbors, drawn_by)
    return adjacency.edge_index[0, place], row


def drawn_sets(source, row):
    found = defaultdict(list)
    for s, r in zip(source.tolist(), row.tolist(), strict=True):
        found[r].append(s)
    return found


@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("num_neighbors", [None, 1, 3, 6])
def test_drawn_edges_are_true_visible_distinct_and_not_too_many(hide, num_neighbors):
    edge_index, adjacency = random_relation()
    kept = torch.rand(edge_index.shape[1], generator=generator(5)) < 0.7 if hide else None
    if kept is not None:
        adjacency = adjacency.hide(kept)
    true = neighbours(edge_index, kept)
    target = torch.tensor([6, 0, 3, 5])
    for seed in range(20):
        source, row = drawn_sources(adjacency, target, num_neighbors, generator(seed))
        assert row.tolist() == sorted(row.tolist())
        drawn = drawn_sets(source, row)
        for place, node in enumerate(target.tolist()):
            assert len(drawn[place]) == len(set(drawn[place]))
            assert set(drawn[place]) <= true[node]
            if num_neighbors is None or len(true[node]) <= num_neighbors:
                assert set(drawn[place]) == true[node]
            else:
                assert 1 <= len(drawn[place]) <= num_neighbors


@pytest.mark.parametrize("hidden", [0, 6])
def test_the_mean_of_drawn_neighbours_is_unbiased(hidden):
    # Neighbours 0 to 8 of one target; of six hidden ones (0 to 5) none may be drawn, and a target that still has
    # three visible ones must always get some. A mean of 2 draws has a standard deviation below 2, that of 20,000 below
    # 0.015.
    adjacency = Adjacency(torch.stack([torch.arange(9), torch.zeros(9, dtype=torch.int64)]), 9, 1)
    adjacency = adjacency.hide(torch.arange(9) >= hidden)
    times = 20_000
    source, row = drawn_sources(adjacency, torch.zeros(times, dtype=torch.int64), 2, generator())
    count = torch.bincount(row, minlength=times)
    assert int(count.min()) >= 1
    assert int(count.max()) == 2
    mean = torch.zeros(times).index_add(0, row, source.float()) / count
    assert mean.mean().item() == pytest.approx(sum(range(hidden, 9)) / (9 - hidden), abs=0.06)


@pytest.mark.parametrize("hidden", [1, 190, 199, 200])
def test_of_a_target_with_many_edges_hidden_ones_are_never_drawn_and_visible_ones_evenly(hidden):
    # Above 64 edges not all are looked at, unless a hidden one comes up. Beside it, a target with few edges.
    many = torch.stack([torch.arange(200), torch.zeros(200, dtype=torch.int64)])
    few = torch.tensor([[7, 199], [1, 1]])
    kept = torch.cat([torch.arange(200) >= hidden, torch.tensor([False, True])])
    adjacency = Adjacency(torch.cat([many, few], dim=1), 200, 2).hide(kept)
    times = 4_000
    source, row = drawn_sources(adjacency, torch.arange(2).repeat(times), 2, generator())
    assert row.tolist() == sorted(row.tolist())
    of_many = source[row % 2 == 0]
    assert set(source[row % 2 == 1].tolist()) == {199}
    assert set(of_many.tolist()) == set(range(hidden, 200))
    count = torch.bincount(of_many, minlength=200)[hidden:].double()
    if hidden < 199:  # each draw of two: chance 1 - (1 - 1/n)^2 of every visible edge; within six standard deviations
        expected = times * (1 - (1 - 1 / (200 - hidden)) ** 2)
        assert (count - expected).abs().max() < 6 * math.sqrt(expected)


def test_every_edge_has_the_same_chance():
    adjacency = Adjacency(torch.stack([torch.arange(5), torch.zeros(5, dtype=torch.int64)]), 5, 1)
    times = 10_000
    source, _ = drawn_sources(adjacency, torch.zeros(times, dtype=torch.int64), 3, generator())
    # An edge is missed by three draws with chance 0.8 ** 3; standard deviation sqrt(times * 0.25) at most.
    expected = times * (1 - 0.8**3)
    assert all(abs(Counter(source.tolist())[edge] - expected) < 5 * math.sqrt(times * 0.25) for edge in range(5))


def test_draws_come_from_the_generator_alone():
    _, adjacency = random_relation()
    torch.manual_seed(0)
    one = sample_edges(adjacency, torch.arange(7), 2, generator(1))
    torch.manual_seed(99)
    same = sample_edges(adjacency, torch.arange(7), 2, generator(1))
    other = [sample_edges(adjacency, torch.arange(7), 2, generator(seed))[0].tolist() for seed in range(2, 8)]
    assert torch.equal(one[0], same[0])
    assert any(sources != one[0].tolist() for sources in other)


@pytest.fixture
def small():
    """The graph of synthetic data and a plan of two steps."""
    graph = build_graph(make_split(synthetic(0), UnseenUsers(test=0.2, validation=0.1), seed=0).train)
    encoder = Encoder(node_counts(graph), graph.edge_types, EncoderConfig(channels=4, layers=2), SAGEConv)
    return whole_graph(graph), encoder.plan(("user", "item"))


@pytest.mark.parametrize("num_neighbors", [None, 2, {"interacts": 1, "rev_interacts": 2}])
def test_blocks_hold_true_edges_and_begin_with_their_targets(small, num_neighbors):
    whole, plan = small
    wanted = {"user": torch.tensor([7, 3]), "item": torch.tensor([0, 11, 5])}
    nodes, blocks = sample_blocks(whole, plan, wanted, num_neighbors, generator())
    assert len(blocks) == 2
    assert blocks[-1].num_targets == {t: len(wanted.get(t, ())) for t in whole.num_targets}
    for node_type, index in nodes.items():
        assert len(index.unique()) == len(index)
        count = len(wanted.get(node_type, ()))
        assert torch.equal(index[:count], wanted.get(node_type, index[:0]))
    for depth, block in enumerate(blocks):
        assert set(block.adjacency) == set(plan[depth])
        for (source, name, target), adjacency in block.adjacency.items():
            true = set(map(tuple, whole.adjacency[source, name, target].edge_index.T.tolist()))
            s, t = nodes[source][adjacency.edge_index[0]], nodes[target][adjacency.edge_index[1]]
            found = list(zip(s.tolist(), t.tolist(), strict=True))
            assert set(found) <= true
            assert len(set(found)) == len(found)
            limit = num_neighbors.get(name) if isinstance(num_neighbors, dict) else num_neighbors
            reached = set(nodes[target][: adjacency.num_targets].tolist())
            assert set(t.tolist()) <= reached
            if limit is None:  # a relation that the mapping does not name is taken whole
                assert set(found) == {edge for edge in true if edge[1] in reached}
            else:
                assert max(Counter(t.tolist()).values(), default=0) <= limit


def test_negative_items_are_drawn_in_proportion_and_never_if_nobody_chose_them():
    popularity = torch.tensor([0.0, 1.0, 4.0, 0.0, 9.0, 16.0, 0.0])
    times = 40_000
    for power, weight in ((0.0, [0, 1, 1, 0, 1, 1, 0]), (0.5, [0, 1, 2, 0, 3, 4, 0]), (1.0, [0, 1, 4, 0, 9, 16, 0])):
        sampler = NegativeSampler(popularity, power)
        drawn = sampler.draw((times // 8, 8), generator())
        assert drawn.shape == (times // 8, 8)
        count = torch.bincount(drawn.flatten(), minlength=7)
        chance = torch.tensor(weight, dtype=torch.float64) / sum(weight)
        assert count[chance == 0].tolist() == [0, 0, 0]
        expected = (chance * times)[chance > 0]
        # Chi-square with three degrees of freedom: above 16.3 once in a thousand.
        assert float(((count[chance > 0] - expected) ** 2 / expected).sum()) < 16.3
        torch.testing.assert_close(sampler.log_chance, chance.log().float())
        assert sampler.log_chance[0] == -torch.inf


def test_a_draw_at_the_very_ends_is_an_item_that_somebody_chose(monkeypatch):
    sampler = NegativeSampler(torch.tensor([0.0, 0.0, 3.0, 5.0, 0.0]), 0.7)
    for point, item in ((0.0, 2), (1 - 2**-53, 3)):
        monkeypatch.setattr(torch, "rand", lambda size, point=point, **_: torch.full(size, point, dtype=torch.float64))
        assert sampler.draw((2,), generator()).tolist() == [item, item]
