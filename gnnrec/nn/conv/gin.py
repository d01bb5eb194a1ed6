"""The graph isomorphism operator with its network made from widths, as a config needs it."""

from torch import nn
from torch_geometric.nn import GINConv


class GIN(GINConv):  # type: ignore[misc]
    r"""Adds up the sources of each target and its own vector, and maps the sum by a network with one hidden layer.

    .. math::
        y_t = \mathrm{MLP}\Big((1 + \epsilon) x_t + \sum_{s \in N(t)} x_s\Big)

    Source:
        Xu, Hu, Leskovec, Jegelka, "How Powerful are Graph Neural Networks?", ICLR 2019, equation 4.1,
        arXiv:1810.00826; layer of torch_geometric. Differs: no batch normalisation in the network.

    Shapes:
        x_source [S, D], x_target [T, D], edge_index [2, E] -> [T, out_channels].
        A target without edges gets the network of its own vector.

    Args:
        in_channels: width of both kinds of nodes, the same for both.
        out_channels: width of the output, and of the hidden layer.
        learn_epsilon: whether epsilon is learned; it starts at 0.
    """

    def __init__(self, in_channels: int | tuple[int, int], out_channels: int, learn_epsilon: bool = True) -> None:
        source, target = in_channels if isinstance(in_channels, tuple) else (in_channels, in_channels)
        if source != target:
            raise ValueError(f"in_channels must be the same for sources and targets, got {source} and {target}")
        network = nn.Sequential(nn.Linear(source, out_channels), nn.ReLU(), nn.Linear(out_channels, out_channels))
        super().__init__(network, train_eps=learn_epsilon)
