"""A graph layer outside the package: something between a sum and a mean over a target's edges."""

from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import degree


class DegreePowerConv(MessagePassing):
    """Divides the sum over a target's edges by a power of their number.

    A mean forgets how many attributes a user has; a sum grows with their number. The power lies between.

    Source: an example. The idea of a degree scaler is that of Corso, Cavalleri, Beaini, Lio, Velickovic, "Principal
        Neighbourhood Aggregation for Graph Nets", NeurIPS 2020, arXiv:2004.05718, who scale by logarithms.
    Shapes: x_source [S, in_channels], x_target [T, in_channels], edge_index [2, E] -> [T, out_channels].
    """

    def __init__(self, in_channels: int, out_channels: int, power: float = 0.5) -> None:
        super().__init__(aggr="sum")
        self.power = power  # 0: a sum, 1: a mean
        self.own = nn.Linear(in_channels, out_channels)
        self.neighbours = nn.Linear(in_channels, out_channels, bias=False)

    def forward(self, x: tuple[Tensor, Tensor], edge_index: Tensor) -> Tensor:
        x_source, x_target = x
        total = self.propagate(edge_index, x=x, size=(len(x_source), len(x_target)))  # [T, in_channels]
        number = degree(edge_index[1], len(x_target)).clamp(min=1)  # no division by zero for a target without edges
        return self.own(x_target) + self.neighbours(total / number[:, None] ** self.power)
