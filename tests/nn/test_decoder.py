"""Recent items as a decoder's input, and the decoders by hand."""

import math

import pytest
import torch

from gnnrec.graph.paths import PLACES, Reached
from gnnrec.nn.decoder import DecoderConfig, Recent, query
from gnnrec.nn.decoders import Dot, Linear, PairWise
from gnnrec.nn.decoders.pairwise import SPEED
from gnnrec.views import Edges


def test_recent_items_by_hand() -> None:
    """User 0 has three items, of which two are read, user 1 none, user 2 one."""
    edges = Edges(torch.tensor([2, 0, 0, 0]), torch.tensor([3, 5, 6, 4]), time=torch.tensor([1, 30, 10, 20]))
    recent = Recent.of(edges, 3, 2)
    assert recent.item.tolist() == [[4, 5], [0, 0], [3, 0]]
    assert recent.count.tolist() == [2, 0, 1]
    assert recent.place.tolist() == [[1, 2, 2], [0, 1, 2], [0, 1, 2]]
    assert recent.take(torch.tensor([2])).item.tolist() == [[3, 0]]
    empty = Recent.of(edges.take(torch.tensor([], dtype=torch.int64)), 2, 5)
    assert (empty.item.shape, empty.place.tolist()) == ((2, 0), [[0], [0]])


def test_the_query_is_the_one_after_the_last_item() -> None:
    """A decoder that adds the vectors up, with the number of items so far in place of a bias."""

    class Sum(torch.nn.Module):
        def forward(self, user, items, place):
            return user[:, None] + torch.nn.functional.pad(items, (0, 0, 1, 0)).cumsum(1) + 100 * place[..., None]

    edges = Edges(torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1]))
    items = torch.tensor([[9.0], [1.0], [2.0]])
    found = query(Sum(), torch.tensor([[10.0], [20.0], [30.0]]), Recent.of(edges, 3, 4), items)
    assert found.flatten().tolist() == [213, 20, 131]


def test_dot_is_the_users_vector() -> None:
    user = torch.randn(3, 4)
    assert torch.equal(Dot(4, 5)(user, torch.randn(3, 2, 4), torch.zeros(3, 3).long()), user[:, None].expand(3, 3, 4))


def test_linear_by_hand() -> None:
    """Two items are read: the last one counts 10, the one before 100; the third item has come off."""
    linear = Linear(1, 5, memory=2)
    with torch.no_grad():
        linear.of_items.weight.copy_(torch.tensor([[[100.0, 10.0]]]))
        linear.of_place.weight.copy_(torch.arange(6.0)[:, None] / 10)
    found = linear(torch.tensor([[7.0]]), torch.tensor([[[1.0], [2.0], [3.0]]]), torch.arange(4)[None])
    assert found.flatten().tolist() == pytest.approx([7, 17.1, 7 + 20 + 100 + 0.2, 7 + 30 + 200 + 0.3])


def test_pairs_by_hand() -> None:
    """A condition and two reasons reach item 1 from both queries, whose places 0 and 6 have other weights."""
    decoder = PairWise(2, 5)
    decoder.take_paths([False, True, True], 4)
    assert [PLACES[0], PLACES[4]] == [0, 5]
    with torch.no_grad():
        decoder.log_smoothing.zero_()
        decoder.weight[0] = torch.tensor([3.0, 0.0, math.log(2)]) / SPEED
        decoder.weight[4] = torch.tensor([1.0, math.log(4), 0.0]) / SPEED
        decoder.whole[4] = 0.5 / SPEED
    row, item = torch.tensor([0, 1]), torch.tensor([1, 1])
    reached = [Reached(row, item, torch.tensor(values)) for values in ([1.0, 3.0], [2.0, 7.0], [3.0, 8.0])]
    found = decoder.add_pairs(torch.zeros(2, 3), reached, torch.tensor([0, 6]))
    first = 3 * math.log(1 + 1) + 1 * math.log(1 + (2 + 2 * 3) / 4)
    second = 1 * math.log(1 + 3) + 0.5 * math.log(1 + (4 * 7 + 8) / 4)
    assert found.flatten().tolist() == pytest.approx([0, first, 0, 0, second, 0], rel=1e-5)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_pairs_of_one_start_are_those_of_each_query(seed: int, mixed: bool) -> None:
    """Seven queries from three starts: what they reach stands once, or for each of them; gradients are the same."""
    generator = torch.Generator().manual_seed(seed)
    start, value = torch.tensor([2, 0, 1, 1, 0, 2, 2]), torch.rand(3, 5, generator=generator)
    row, item = (value > 0.3).nonzero().t()
    each, its = (value[start] > 0.3).nonzero().t()
    once = [Reached(row, item, value[row, item], start)]
    for_each = [Reached(each, its, value[start][each, its])]
    halves = [
        (torch.tensor([0, 2, 5]), torch.tensor([1, 0, 1])),
        (torch.tensor([1, 3, 4, 6]), torch.tensor([0, 1, 0, 2])),
    ]
    parts = []
    for (queries, own), kept in zip(halves, ([1, 2], [0, 1, 2]), strict=True):
        first, second = (value[kept] > 0.3).nonzero().t()
        parts.append((queries, Reached(first, second, value[kept][first, second], own)))
    joined = [Reached.join(parts, 7)]
    found, grads = [], []
    for reached in (once, for_each, joined):
        decoder = PairWise(2, 5)
        decoder.take_paths([mixed], 4)
        score = decoder.add_pairs(torch.zeros(7, 5), reached, torch.tensor([0, 1, 2, 3, 4, 7, 20]))
        (score * torch.arange(35.0).view(7, 5)).sum().backward()
        found.append(score.detach())
        grads.append([decoder.weight.grad, decoder.log_smoothing.grad])
    for other in (1, 2):
        torch.testing.assert_close(found[other], found[0])
        torch.testing.assert_close(grads[other], grads[0])


def test_settings_are_checked() -> None:
    assert DecoderConfig(name="Transformer", options={"heads": 4}).make(8).layers.layers[0].self_attn.num_heads == 4
    assert isinstance(DecoderConfig().make(3), Dot)
