"""The edges of one relation, sorted once by target, and products with them whose backward pass is as fast."""

import warnings
from typing import Any

import torch
from torch import Tensor

# torch says so once per process; the products used here are tested against gather and scatter
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")


class Adjacency:
    """The edges of one relation in CSR order of their targets.

    Edges can be hidden for a step without sorting again: `hide` keeps the structure and changes only which edges count.

    Attributes:
        edge_index: [2, E] int64, sorted by target, then source.
        edge_id: [E] int64, the position of each edge in the edge list that this was made from.
        kept: [E] bool in the sorted order, which edges carry messages; None where all do.
    """

    def __init__(self, edge_index: Tensor, num_sources: int, num_targets: int) -> None:
        self.num_sources = num_sources
        self.num_targets = num_targets
        self.edge_id = (edge_index[1] * max(num_sources, 1) + edge_index[0]).argsort(stable=True)
        self.edge_index = edge_index[:, self.edge_id]
        self.pointer = _pointer(self.edge_index[1], num_targets)  # [T + 1], where the edges of each target begin
        self.kept: Tensor | None = None
        self._transpose: tuple[Tensor, Tensor, Tensor] | None = None
        self._csr: tuple[Tensor, Tensor] | None = None

    @property
    def num_edges(self) -> int:
        """Edges, hidden ones included."""
        return self.edge_index.shape[1]

    def hide(self, kept: Tensor) -> "Adjacency":
        """The same edges, of which only some carry messages. What is hidden already stays hidden.

        Args:
            kept: [E] bool in the order of the edge list that this was made from.
        """
        other = object.__new__(Adjacency)
        other.__dict__.update(self.__dict__)
        self.csr()  # built once, and shared with every copy that hides edges
        self.transpose()
        other._csr, other._transpose = self._csr, self._transpose
        sorted_kept = kept[self.edge_id]
        other.kept = sorted_kept if self.kept is None else self.kept & sorted_kept
        return other

    def visible(self) -> Tensor:
        """[2, E'] int64, the edges that carry messages, sorted by target."""
        return self.edge_index if self.kept is None else self.edge_index[:, self.kept]

    def visible_pointer(self) -> Tensor:
        """[T + 1] int64, where the edges of each target begin among the visible ones."""
        if self.kept is None:
            return self.pointer
        total = torch.cat([torch.zeros(1, dtype=torch.int32), self.kept.cumsum(0, dtype=torch.int32)])
        return total[self.pointer].long()

    def degree(self) -> Tensor:
        """[T] float32, visible edges of each target."""
        return self.visible_pointer().diff().float()

    def csr(self) -> tuple[Tensor, Tensor]:
        """Row pointers [T + 1] and columns [E] as int32, which the product kernels like best."""
        if self._csr is None:
            self._csr = (self.pointer.int(), self.edge_index[0].int())
        return self._csr

    def transpose(self) -> tuple[Tensor, Tensor, Tensor]:
        """Row pointers [S + 1] and columns [E] (int32) of the transpose, and the [E] int64 order that leads to it."""
        if self._transpose is None:
            order = self.edge_index[0].argsort(stable=True)
            pointer = _pointer(self.edge_index[0][order], self.num_sources)
            self._transpose = (pointer.int(), self.edge_index[1][order].int(), order)
        return self._transpose

    def sum(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """Sums the vectors of each target's sources.

        Args:
            x: [S, D] float32.
            weight: [E] float32 in the sorted order, no gradient; None where every edge counts 1.

        Returns:
            [T, D] float32, zero for a target without visible edges.
        """
        value = torch.ones(self.num_edges) if weight is None else weight
        return _product(self, value if self.kept is None else value * self.kept, x)

    def mean(self, x: Tensor) -> Tensor:
        """Averages the vectors of each target's sources: [S, D] -> [T, D], zero for a target without visible edges."""
        share = self.degree().clamp(min=1).reciprocal()[self.edge_index[1]]
        return self.sum(x, share)


def _pointer(sorted_index: Tensor, size: int) -> Tensor:
    count = torch.bincount(sorted_index, minlength=size)
    return torch.cat([torch.zeros(1, dtype=torch.int64), count.cumsum(0)])


class _Product(torch.autograd.Function):
    """A sparse matrix times dense vectors, whose backward multiplies by the transpose that was built once."""

    @staticmethod
    def forward(ctx: Any, adjacency: Adjacency, value: Tensor, x: Tensor) -> Tensor:
        ctx.adjacency, ctx.value = adjacency, value
        pointer, column = adjacency.csr()
        size = (adjacency.num_targets, adjacency.num_sources)
        return torch.sparse_csr_tensor(pointer, column, value, size, check_invariants=False) @ x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor]:
        adjacency = ctx.adjacency
        pointer, column, order = adjacency.transpose()
        size = (adjacency.num_sources, adjacency.num_targets)
        matrix = torch.sparse_csr_tensor(pointer, column, ctx.value[order], size, check_invariants=False)
        return None, None, matrix @ grad.contiguous()


def _product(adjacency: Adjacency, value: Tensor, x: Tensor) -> Tensor:
    result: Tensor = _Product.apply(adjacency, value, x)  # type: ignore[no-untyped-call]
    return result
