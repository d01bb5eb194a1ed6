import gc
import weakref
from unittest import mock

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnrec.graph.adjacency import Adjacency
from tests.stand_in_device import DEVICE, StandInDevice

SIZE = st.integers(1, 6)


@st.composite
def relations(draw):
    """Numbers of sources and targets, distinct edges in any order, and which of them are kept at first and then."""
    sources, targets = draw(SIZE), draw(SIZE)
    pair = st.tuples(st.integers(0, sources - 1), st.integers(0, targets - 1))
    edges = draw(st.lists(pair, unique=True, max_size=15))
    masks = [draw(st.lists(st.booleans(), min_size=len(edges), max_size=len(edges))) for _ in range(2)]
    return sources, targets, edges, *masks


def adjacency_of(sources, targets, edges, device="cpu"):
    adjacency = Adjacency(torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T, sources, targets)
    return adjacency.to(torch.device(device))


def states(case, device="cpu"):
    """Each adjacency - whole, with hidden edges, with more hidden - and the edges that a loop says are visible."""
    sources, targets, edges, first, second = case
    whole = adjacency_of(sources, targets, edges, device)
    once = whole.hide(torch.tensor(first, dtype=torch.bool).to(device))
    twice = once.hide(torch.tensor(second, dtype=torch.bool).to(device))
    yield whole, edges
    yield once, [edge for edge, kept in zip(edges, first, strict=True) if kept]
    yield twice, [edge for edge, *kept in zip(edges, first, second, strict=True) if all(kept)]
    yield whole, edges  # hiding has changed nothing there


def vectors(count, width=3, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def slow(edges, targets, x, mean):
    rows = []
    for target in range(targets):
        received = [x[source] for source, other in edges if other == target]
        total = sum(received) if received else x[0] * 0
        rows.append(total / len(received) if received and mean else total)
    return torch.stack(rows)


@settings(max_examples=60)
@given(relations())
def test_edges_are_sorted_by_target_and_remember_their_place(case):
    sources, targets, edges = case[:3]
    whole = adjacency_of(sources, targets, edges)
    assert list(map(tuple, whole.edge_index.T.tolist())) == sorted(edges, key=lambda edge: (edge[1], edge[0]))
    assert [edges[place] for place in whole.edge_id.tolist()] == list(map(tuple, whole.edge_index.T.tolist()))
    assert whole.num_edges == len(edges)
    assert whole.pointer.tolist() == [sum(target < t for _, target in edges) for t in range(targets + 1)]


@settings(max_examples=60)
@given(relations())
def test_visible_edges_and_degrees_are_those_of_a_loop(case):
    targets = case[1]
    for adjacency, visible in states(case):
        found = list(map(tuple, adjacency.visible().T.tolist()))
        assert found == sorted(visible, key=lambda edge: (edge[1], edge[0]))
        assert adjacency.degree().tolist() == [sum(target == t for _, target in visible) for t in range(targets)]
        start = [sum(target < t for _, target in visible) for t in range(targets + 1)]
        assert adjacency.csr()[0].tolist() == start
        assert adjacency.num_edges == len(case[2])  # the hidden ones too


@settings(max_examples=60)
@given(relations())
def test_sum_and_mean_are_those_of_a_loop_with_gradients(case):
    sources, targets = case[:2]
    for adjacency, visible in states(case):
        for mean in (False, True):
            x, y = vectors(sources), vectors(sources)
            fast = adjacency.mean(x) if mean else adjacency.sum(x)
            expected = slow(visible, targets, y, mean)
            torch.testing.assert_close(fast, expected)
            direction = vectors(targets, seed=1).detach()
            (fast * direction).sum().backward()
            (expected * direction).sum().backward()
            torch.testing.assert_close(x.grad, y.grad)


@settings(max_examples=40)
@given(relations(), st.integers(1, 4))
def test_on_a_device_long_rows_are_summed_in_pieces(case, piece):
    sources, targets = case[:2]
    on_cpu = list(states(case))
    with StandInDevice(), mock.patch("gnnrec.graph.adjacency.PIECE", piece):
        for (adjacency, visible), (there, _) in zip(states(case, DEVICE), on_cpu, strict=True):
            x, y = vectors(sources), vectors(sources)
            moved = x.detach().to(DEVICE).requires_grad_()
            fast, expected = adjacency.sum(moved), slow(visible, targets, y, mean=False)
            torch.testing.assert_close(fast.detach().cpu(), expected.detach())
            direction = vectors(targets, seed=1).detach()
            (fast * direction.to(DEVICE)).sum().backward()
            (expected * direction).sum().backward()
            torch.testing.assert_close(moved.grad.cpu(), y.grad)
            of_edges, of_pieces = (pointer.cpu() for pointer in adjacency.pieces())
            assert (of_edges.diff() <= piece).all()
            assert torch.equal(of_edges[of_pieces.long()], there.csr()[0])  # each row begins with a piece


@settings(max_examples=30)
@given(relations())
def test_weights_stand_in_the_sorted_order(case):
    sources, targets, edges = case[:3]
    for adjacency, visible in states(case):
        weight = vectors(len(edges), 1, seed=2).detach()[:, 0]  # one for each edge as given
        x, y = vectors(sources), vectors(sources)
        fast = adjacency.sum(x, weight[adjacency.edge_id])
        expected = torch.zeros(targets, 3) + 0 * y.sum()
        for edge, w in zip(edges, weight, strict=True):
            if edge in visible:
                expected[edge[1]] += w * y[edge[0]]
        torch.testing.assert_close(fast, expected)
        (fast**2).sum().backward()
        (expected**2).sum().backward()
        torch.testing.assert_close(x.grad, y.grad)


@settings(max_examples=60)
@given(relations())
def test_the_transpose_turns_every_edge_round(case):
    sources, targets, edges = case[:3]
    adjacency = adjacency_of(sources, targets, edges)
    pointer, column, order = adjacency.transpose()
    row = torch.repeat_interleave(torch.arange(sources), pointer.diff())
    turned = list(zip(row.tolist(), column.tolist(), strict=True))
    assert turned == sorted(edges)  # by source, then target
    assert torch.equal(adjacency.edge_index[:, order], torch.stack([row, column.long()]))


def test_hand_worked_sum_and_mean():
    # Target 0 has edges from sources 1 and 2, target 1 has none, target 2 one from source 0.
    adjacency = adjacency_of(3, 3, [(2, 0), (0, 2), (1, 0)])
    x = torch.tensor([[1.0], [10.0], [100.0]])
    assert adjacency.sum(x).flatten().tolist() == [110, 0, 1]
    assert adjacency.mean(x).flatten().tolist() == [55, 0, 1]
    hidden = adjacency.hide(torch.tensor([False, True, True]))  # 2 -> 0 passes nothing
    assert hidden.sum(x).flatten().tolist() == [10, 0, 1]
    assert hidden.mean(x).flatten().tolist() == [10, 0, 1]


def test_a_relation_without_sources_or_targets():
    no_sources = adjacency_of(0, 3, [])
    assert no_sources.mean(torch.empty(0, 2)).tolist() == [[0, 0]] * 3
    assert adjacency_of(3, 0, []).sum(torch.ones(3, 2)).shape == (0, 2)


@settings(max_examples=60)
@given(relations(), st.data())
def test_silent_sources_are_hidden_and_stay_so(case, data):
    sources, targets, edges, first, _ = case
    silent = data.draw(st.lists(st.booleans(), min_size=sources, max_size=sources))
    whole = adjacency_of(sources, targets, edges)
    mask, quiet = torch.tensor(first, dtype=torch.bool), torch.tensor(silent)
    received = [e for e, kept in zip(edges, first, strict=True) if kept and not silent[e[0]]]
    for adjacency in (whole.hide(mask).without_messages_from(quiet), whole.without_messages_from(quiet).hide(mask)):
        x, y = vectors(sources), vectors(sources)
        assert adjacency.hides
        assert sorted(map(tuple, adjacency.visible().T.tolist())) == sorted(received)
        torch.testing.assert_close(adjacency.mean(x), slow(received, targets, y, True))
        place = torch.arange(len(edges))
        assert torch.equal(adjacency.alive(place), adjacency.kept)
    assert not whole.hides
    assert whole.kept is None


@settings(max_examples=60)
@given(relations(), st.data())
def test_the_edges_that_reach_some_targets(case, data):
    sources, targets = case[:2]
    chosen = data.draw(st.lists(st.integers(0, targets - 1), unique=True))
    for adjacency, _ in states(case):
        some = adjacency.reaching(torch.tensor(chosen, dtype=torch.int64))
        x, y = vectors(sources), vectors(sources)
        few, expected = some.mean(x), adjacency.mean(y)[chosen]
        torch.testing.assert_close(few, expected)
        (few**2).sum().backward()
        (expected**2).sum().backward()
        torch.testing.assert_close(x.grad, y.grad)


def test_edges_in_order_are_left_as_they_stand():
    edges = torch.tensor([[2, 0, 1], [0, 0, 1]])
    adjacency = Adjacency(edges, 3, 2, in_order=True)
    assert torch.equal(adjacency.edge_index, edges)
    assert adjacency.sum(torch.tensor([[1.0], [10.0], [100.0]])).flatten().tolist() == [101, 10]


def test_it_is_freed_as_soon_as_nobody_holds_it():
    """Not when the garbage collector next runs: training makes and drops many large ones in each step."""
    gc.disable()
    try:
        adjacency = Adjacency(torch.tensor([[0, 1, 2], [0, 0, 1]]), 3, 2)
        masked = adjacency.hide(torch.tensor([True, False, True]))
        hidden = masked.without_messages_from(torch.tensor([True, False, False]))
        some = hidden.reaching(torch.tensor([1]))
        hidden.transpose()
        held = [weakref.ref(each) for each in (adjacency, hidden, some)]
        del adjacency, masked, hidden, some
        assert [each() for each in held] == [None] * 3
    finally:
        gc.enable()
