"""The edges of one relation, sorted by target, as a sparse product with a fast backward pass."""

from typing import Any

import torch
from torch import Tensor

PIECE = 128
"""Most edges that a GPU adds up one after the other."""


class Adjacency:
    """The edges of one relation in CSR order of their targets.

    Edges can be hidden for a step without sorting again: `hide` and `without_messages_from` store masks, and the masked
    CSR is built on first use. `alive` evaluates the masks for single edges and never builds it.

    Attributes:
        edge_index: [2, E] int64, sorted by target, then source (by target alone where made with `in_order`).
        edge_id: [E] int64, the position of each edge in the edge list that this was made from.
        pointer: [T + 1] int64, position of the first edge of each target.
        time: [E] int64, of each edge; None where edges have no times.
        weight: [E] float32, of each edge: of its vector in sums, and of its part in means; None where every one is 1.

    Args:
        edge_index: [2, E] int64, in any order.
        num_sources: S.
        num_targets: T.
        time: [E] int64, in the order of `edge_index`.
        weight: [E] float32, in the order of `edge_index`.
        in_order: the edges ascend by target already and are not sorted.
    """

    def __init__(
        self,
        edge_index: Tensor,
        num_sources: int,
        num_targets: int,
        time: Tensor | None = None,
        *,
        weight: Tensor | None = None,
        in_order: bool = False,
    ) -> None:
        self.num_sources = num_sources
        self.num_targets = num_targets
        if in_order:
            self.edge_id = torch.arange(edge_index.shape[1], device=edge_index.device)
            self.edge_index = edge_index
        else:
            self.edge_id = (edge_index[1] * max(num_sources, 1) + edge_index[0]).argsort(stable=True)
            self.edge_index = edge_index[:, self.edge_id]
        self.time = None if time is None else time[self.edge_id]
        self.weight = None if weight is None else weight[self.edge_id]
        self.pointer = _pointer(self.edge_index[1], num_targets)
        self._whole: Adjacency | None = None  # without masks; its CSR and transpose are built once
        self._shown: tuple[Tensor, ...] = ()  # [E] bool each, in the order of `edge_id`
        self._silent: tuple[Tensor, ...] = ()  # [S] bool each
        self._forget()

    def _forget(self) -> None:
        """Clears what is cached of the visible edges."""
        self._kept: Tensor | None = None
        self._csr: tuple[Tensor, Tensor] | None = None
        self._transpose: tuple[Tensor, Tensor, Tensor] | None = None
        self._share: Tensor | None = None
        self._pieces: dict[bool, tuple[Tensor, Tensor]] = {}

    def _copy(self) -> "Adjacency":
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._whole = self if self._whole is None else self._whole
        other._forget()
        return other

    @property
    def num_edges(self) -> int:
        """Number of edges, hidden ones included."""
        return self.edge_index.shape[1]

    @property
    def hides(self) -> bool:
        """Whether some edges may be hidden."""
        return bool(self._shown or self._silent)

    def hide(self, kept: Tensor) -> "Adjacency":
        """The same edges, some of them hidden. What is hidden already stays hidden.

        Args:
            kept: [E] bool, the edges that stay visible, in the order of the edge list that this was made from.
        """
        other = self._copy()
        other._shown = (*self._shown, kept)
        return other

    def to(self, device: torch.device) -> "Adjacency":
        """The same edges on a device; none of them may be hidden yet."""
        assert not self.hides
        other = self._copy()
        other._whole = None
        other.edge_index, other.edge_id = self.edge_index.to(device), self.edge_id.to(device)
        other.pointer = self.pointer.to(device)
        other.time = None if self.time is None else self.time.to(device)
        other.weight = None if self.weight is None else self.weight.to(device)
        return other

    def without_messages_from(self, silent: Tensor) -> "Adjacency":
        """The same edges, those from some sources hidden.

        Args:
            silent: [S] bool, the sources whose edges are hidden.
        """
        other = self._copy()
        other._silent = (*self._silent, silent)
        return other

    def alive(self, place: Tensor | slice) -> Tensor:
        """[E'] bool, whether the edges at some positions of the sorted order are visible; only these are evaluated."""
        kept = torch.ones_like(self.edge_id[place], dtype=torch.bool)
        for shown in self._shown:
            kept &= shown[self.edge_id[place]]
        for silent in self._silent:
            kept &= ~silent[self.edge_index[0, place]]
        return kept

    @property
    def kept(self) -> Tensor | None:
        """[E] bool in the sorted order, which edges are visible; None where all are."""
        if self._kept is None and self.hides:
            self._kept = self.alive(slice(None))
        return self._kept

    def visible(self) -> Tensor:
        """[2, E'] int64, the visible edges, sorted by target."""
        return self.edge_index if self.kept is None else self.edge_index[:, self.kept]

    def degree(self) -> Tensor:
        """[T] float32, number of visible edges of each target; the sum of their weights where they have some."""
        if self.weight is None:
            return self.csr()[0].diff().float()
        return self.sum(self.weight.new_ones(self.num_sources, 1))[:, 0]

    def reaching(self, target: Tensor) -> "Adjacency":
        """The visible edges to some targets, which are renumbered.

        Args:
            target: [T'] int64, no target twice.
        """
        count = self.pointer[target + 1] - self.pointer[target]
        row, place = runs(self.pointer[target], count)
        alive = self.alive(place)
        other = self._copy()
        edges = torch.stack([self.edge_index[0, place[alive]], row[alive]])
        time, weight = (None if one is None else one[place[alive]] for one in (self.time, self.weight))
        Adjacency.__init__(other, edges, self.num_sources, len(target), time, weight=weight, in_order=True)
        return other

    def csr(self) -> tuple[Tensor, Tensor]:
        """Row pointers [T + 1] and columns [E'] of the visible edges, as int32 where they fit: half the memory."""
        if self._csr is None and self.hides:
            assert self.kept is not None
            assert self._whole is not None
            pointer, column = self._whole.csr()
            self._csr = (_squeezed(pointer, self.kept), column[self.kept])
        elif self._csr is None:
            index = torch.int32 if self._small else torch.int64
            self._csr = (self.pointer.to(index), self.edge_index[0].to(index))
        return self._csr

    def transpose(self) -> tuple[Tensor, Tensor, Tensor]:
        """Row pointers [S + 1] and columns [E'] of the reversed visible edges, and their [E'] positions in the order.

        All are int32 where they fit; within a source, edges ascend as they do here.
        """
        if self._transpose is None and self.hides:
            assert self.kept is not None
            assert self._whole is not None
            pointer, column, order = self._whole.transpose()
            kept = self.kept[order]
            self._transpose = (_squeezed(pointer, kept), column[kept], order[kept])
        elif self._transpose is None:
            column = self.csr()[1]
            order = column.argsort(stable=True)
            first, target = _pointer(column, self.num_sources), self.edge_index[1, order]
            self._transpose = (first.to(column.dtype), target.to(column.dtype), order.to(column.dtype))
        return self._transpose

    def pieces(self, *, turned: bool = False) -> tuple[Tensor, Tensor]:
        """The rows of `csr` (turned: of `transpose`) cut into pieces of at most `PIECE` edges, see `_bags`.

        Returns:
            Pointers [Q + 1] to the first edge of each piece, and [T + 1] to the first piece of each row.
        """
        if turned not in self._pieces and self.hides:
            assert self.kept is not None
            assert self._whole is not None
            of_edges, of_pieces = self._whole.pieces(turned=turned)
            kept = self.kept[self._whole.transpose()[2]] if turned else self.kept
            self._pieces[turned] = _squeezed(of_edges, kept), of_pieces
        elif turned not in self._pieces:
            self._pieces[turned] = _cut((self.transpose() if turned else self.csr())[0])
        return self._pieces[turned]

    @property
    def _small(self) -> bool:
        return max(self.num_edges, self.num_sources, self.num_targets) < 2**31

    def sum(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """Sums the vectors of each target's sources.

        Args:
            x: [S, D] float32.
            weight: [E] float32 in the sorted order, without gradient; None for the edges' own weights.

        Returns:
            [T, D] float32, zero for a target without visible edges.
        """
        return _product(self, self.weight if weight is None else weight, x)

    def mean(self, x: Tensor) -> Tensor:
        """Averages the vectors of each target's sources: [S, D] -> [T, D], zero for a target without visible edges."""
        if self._share is None:
            least = 1 if self.weight is None else 1e-12
            self._share = self.degree().clamp(min=least).reciprocal()[:, None]  # [T, 1]
        return self.sum(x) * self._share


def runs(first: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Consecutive numbers of several runs, concatenated: [R] int64 starts and lengths -> [P] run and [P] number.

    Example:
        >>> runs(torch.tensor([5, 0, 9]), torch.tensor([2, 0, 1]))
        (tensor([0, 0, 2]), tensor([5, 6, 9]))
    """
    run = torch.arange(len(count), device=count.device).repeat_interleave(count)
    return run, torch.arange(len(run), device=count.device) + (first - (count.cumsum(0) - count))[run]


def _pointer(sorted_index: Tensor, size: int) -> Tensor:
    count = torch.bincount(sorted_index, minlength=size)
    return torch.nn.functional.pad(count.cumsum(0), (1, 0))


def _squeezed(pointer: Tensor, kept: Tensor) -> Tensor:
    """Row pointers of the entries that are kept ([E] bool)."""
    return torch.nn.functional.pad(kept.cumsum(0, dtype=pointer.dtype), (1, 0))[pointer]


class _Product(torch.autograd.Function):
    """A sparse matrix times dense vectors, whose backward multiplies by the transpose that was built once.

    Both passes are sums over bags of rows (`torch.embedding_bag`): the kernel reads 32-bit indices, needs no values
    where every weight is 1, prefetches, and took a third of the time of a product of torch's CSR tensors.
    """

    @staticmethod
    def forward(ctx: Any, adjacency: Adjacency, weight: Tensor | None, x: Tensor) -> Tensor:
        ctx.adjacency, ctx.weight = adjacency, weight
        return _forward(adjacency, weight, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor]:
        pointer, column, order = ctx.adjacency.transpose()
        pieces = ctx.adjacency.pieces(turned=True) if grad.device.type != "cpu" else None
        return None, None, _bags(grad, pointer, column, None if ctx.weight is None else ctx.weight[order], pieces)


def _forward(adjacency: Adjacency, weight: Tensor | None, x: Tensor) -> Tensor:
    if weight is not None and adjacency.kept is not None:
        weight = weight[adjacency.kept]
    return _bags(x, *adjacency.csr(), weight, adjacency.pieces() if x.device.type != "cpu" else None)


def _bags(
    x: Tensor, pointer: Tensor, column: Tensor, weight: Tensor | None, pieces: tuple[Tensor, Tensor] | None
) -> Tensor:
    """The sum of each row's sources: [S, D] -> [T, D].

    A GPU adds up a bag one row after the other, so that all wait for the longest one: half of all users share a gender.
    There, bags are summed in pieces, and then the pieces. Unlike the atomic additions of `index_add` or of a sparse
    product, this has one order and so one result, see docs/performance.md.
    """
    if not len(column):
        return x.new_zeros(len(pointer) - 1, x.shape[1])
    if pieces is None:
        return _bag(x, column, pointer, weight)
    of_edges, of_pieces = pieces
    parts = _bag(x, column, of_edges, weight)
    return _bag(parts, torch.arange(len(parts), dtype=column.dtype, device=column.device), of_pieces, None)


def _bag(x: Tensor, column: Tensor, pointer: Tensor, weight: Tensor | None) -> Tensor:
    return torch.embedding_bag(x.contiguous(), column, pointer, False, 0, False, weight, True)[0]


def _cut(pointer: Tensor) -> tuple[Tensor, Tensor]:
    """Row pointers of the pieces of each row, and of the rows of pieces; see `Adjacency.pieces`."""
    count = (pointer.diff() + PIECE - 1) // PIECE
    row, place = runs(torch.zeros_like(count), count)
    of_edges = torch.cat([pointer[row] + PIECE * place, pointer[-1:]]).to(pointer.dtype)
    return of_edges, torch.nn.functional.pad(count.cumsum(0, dtype=pointer.dtype), (1, 0))


def _product(adjacency: Adjacency, weight: Tensor | None, x: Tensor) -> Tensor:
    if not (torch.is_grad_enabled() and x.requires_grad):  # autograd's overhead is larger than the product for one user
        return _forward(adjacency, weight, x)
    result: Tensor = _Product.apply(adjacency, weight, x)  # type: ignore[no-untyped-call]
    return result
