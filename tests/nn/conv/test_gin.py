"""GIN by hand: the sum of the sources and the own vector, through the network."""

import pytest
import torch

from gnnrec.nn.conv import GIN


@pytest.mark.parametrize("learn_epsilon", [True, False])
def test_the_network_of_the_sum(learn_epsilon: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layer = GIN(2, 3, learn_epsilon=learn_epsilon)
    if learn_epsilon:
        layer.eps.data.fill_(0.5)
    source = torch.tensor([[1.0, 2.0], [3.0, -1.0], [5.0, 5.0]])
    target = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    edges = torch.tensor([[0, 1], [0, 0]])  # the second target has none
    own = 1.5 if learn_epsilon else 1.0
    summed = torch.stack([source[0] + source[1] + own * target[0], own * target[1]])
    first, _, second = layer.nn
    expected = (summed @ first.weight.t() + first.bias).clamp(min=0) @ second.weight.t() + second.bias
    torch.testing.assert_close(layer((source, target), edges), expected)
    assert any(name == "eps" for name, _ in layer.named_parameters()) == learn_epsilon


def test_both_kinds_of_nodes_have_one_width() -> None:
    with pytest.raises(ValueError, match="in_channels must be the same"):
        GIN((2, 3), 4)
