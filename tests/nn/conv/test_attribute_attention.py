import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch_geometric.nn import SAGEConv

from gnnrec.nn.conv import AttributeAttention
from gnnrec.runtime import seeds


def by_hand(**weights: float) -> AttributeAttention:
    """A layer of width one whose weights are given numbers; those not named are zero."""
    layer = AttributeAttention(1, 1)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.fill_(weights.pop(name.replace(".", "_"), 0.0))
    assert not weights
    return layer


def test_weights_by_hand():
    layer = by_hand(prior_weight=1.0, value_weight=2.0, own_weight=3.0, own_bias=1.0)
    x_source, x_target = torch.tensor([[0.0], [math.log(3)]]), torch.tensor([[10.0], [20.0]])
    out = layer((x_source, x_target), torch.tensor([[0, 1], [0, 0]]))
    # Target 0: scores 0 and log 3, weights 1/5 and 3/5 (1 + exp 0 + exp log 3 = 5): 3*10 + 1 + 3/5 * 2 * log 3.
    # Target 1 has no edge: 3*20 + 1.
    torch.testing.assert_close(out, torch.tensor([[31 + 1.2 * math.log(3)], [61.0]]))


def test_one_edge_is_a_gate():
    layer = by_hand(prior_bias=math.log(4), value_weight=1.0)
    out = layer((torch.tensor([[5.0]]), torch.zeros(1, 1)), torch.tensor([[0], [0]]))
    torch.testing.assert_close(out, torch.tensor([[4.0]]))  # 4 / (1 + 4) * 5


def test_the_target_shifts_the_weights():
    layer = by_hand(key_weight=1.0, query_weight=math.log(2), value_weight=1.0)
    out = layer(
        (torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [0.0]])), torch.tensor([[0, 1, 0, 1], [0, 0, 1, 1]])
    )
    # Target 0: scores log 2 and 2 log 2, weights 2/7 and 4/7. Target 1 is zero: both scores 0, weights 1/3.
    torch.testing.assert_close(out, torch.tensor([[10 / 7], [1.0]]))


def slow(
    layer: AttributeAttention, x_source: torch.Tensor, x_target: torch.Tensor, edges: torch.Tensor
) -> torch.Tensor:
    """One target after the other, without segments."""
    rows = []
    for t in range(len(x_target)):
        row = layer.own(x_target[t])
        sources = edges[0, edges[1] == t]
        exponents = [
            torch.exp(layer.prior(x_source[s])[0] + layer.key(x_source[s]) @ layer.query(x_target[t]) / math.sqrt(4))
            for s in sources
        ]
        for s, exponent in zip(sources, exponents, strict=True):
            row = row + exponent / (1 + sum(exponents)) * layer.value(x_source[s])
        rows.append(row)
    return torch.stack(rows)


@given(st.integers(0, 2**31), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=8))
def test_agrees_with_a_loop(seed: int, pairs: list[tuple[int, int]]):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layer = AttributeAttention((5, 3), 4)
        x_source, x_target = torch.randn(3, 5), torch.randn(4, 3)
    edges = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t()
    torch.testing.assert_close(layer((x_source, x_target), edges), slow(layer, x_source, x_target, edges))


def test_large_scores_stay_finite():
    layer = by_hand(prior_weight=1.0, value_weight=1.0)
    out = layer((torch.tensor([[1e4], [-1e4]]), torch.zeros(2, 1)), torch.tensor([[0, 1], [0, 1]]))
    torch.testing.assert_close(out, torch.tensor([[1e4], [0.0]]))  # all the weight, and none


def test_dropout_works_in_training_only():
    layer = by_hand(value_weight=1.0)
    layer.dropout.p = 0.5
    inputs = (torch.ones(1, 1), torch.zeros(64, 1)), torch.stack([torch.zeros(64), torch.arange(64)]).long()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert sorted(set(layer.train()(*inputs).flatten().tolist())) == [0.0, 1.0]  # 0, or twice the weight 1/2
    assert set(layer.eval()(*inputs).flatten().tolist()) == {0.5}


def test_the_same_draw_gives_the_same_weights():
    layers = [AttributeAttention(3, 2) for _ in range(2)]
    with torch.random.fork_rng():
        for layer in layers:
            torch.manual_seed(1)
            layer.reset_parameters()
    first, second = (dict(layer.named_parameters()) for layer in layers)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_finds_the_telling_attributes_better_than_a_mean():
    """One of nine attribute edges of a user tells its group of four; users of the test have no vector and are new."""
    generator = seeds.generator(0, "test")
    users, telling, noisy = 800, 8, 200
    group = torch.randint(4, (users,), generator=generator)
    value = torch.cat(
        [
            (torch.randint(2, (users, 1), generator=generator) * 4 + group[:, None]),
            torch.randint(telling, telling + noisy, (users, 8), generator=generator),
        ],
        dim=1,
    )
    edges = torch.stack([value.flatten(), torch.arange(users).repeat_interleave(9)])
    known = edges[:, edges[1] < users // 2]

    def right(layer_class: type[nn.Module]) -> tuple[float, nn.Module, nn.Embedding]:
        table, layer, head = nn.Embedding(telling + noisy, 16), layer_class(16, 16), nn.Linear(16, 4)
        optimizer = torch.optim.Adam([p for m in (table, layer, head) for p in m.parameters()], lr=0.01)
        for _ in range(100):
            optimizer.zero_grad()
            logits = head(layer((table.weight, torch.zeros(users // 2, 16)), known))
            nn.functional.cross_entropy(logits, group[: users // 2]).backward()
            optimizer.step()
        logits = head(layer((table.weight, torch.zeros(users, 16)), edges))
        return (logits.argmax(1) == group)[users // 2 :].float().mean().item(), layer, table

    with torch.random.fork_rng():
        torch.manual_seed(0)
        ours, layer, table = right(AttributeAttention)
        mean, _, _ = right(SAGEConv)
    prior = layer.prior(table.weight).flatten()
    assert ours > 0.88
    assert ours > mean + 0.05  # chance is 0.25 for both
    # At most one group may be recognised by the absence of the others; the values of the other three stand out.
    assert prior[:telling].median() > prior[telling:].quantile(0.95)
