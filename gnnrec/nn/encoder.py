"""One torch_geometric layer per relation, stacked: a heterogeneous graph -> a vector per node."""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GraphConv, SAGEConv

from gnnrec.graph.adjacency import Adjacency
from gnnrec.graph.block import Block
from gnnrec.graph.build import attached_edges
from gnnrec.nn.features import UserInputs
from gnnrec.views import ITEM, USER, EdgeType, Features, UserBatch, reverse


class EncoderConfig(BaseModel):
    """The encoder's shape."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: str = "torch_geometric.nn.SAGEConv"
    """Class of the layers: a dotted name, or the bare name of one of `gnnrec.nn.conv`."""
    layer_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the layer's constructor, besides in_channels and out_channels."""
    channels: int = Field(64, ge=1)
    """Width of every vector."""
    layers: int = Field(3, ge=1)
    """Steps of message passing."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of each vector's entries that is dropped after each step but the last, in training."""
    residual: bool = True
    """Whether each step adds its input to its output."""
    norm: Literal["layer", "none"] = "layer"
    """Normalisation after each step but the last."""
    linear: int = Field(0, ge=0)
    """Width of a linear path beside the layers, from what describes items and from histories; 0 for none."""
    linear_reads: Literal["histories", "all"] = "histories"
    """What of a user the linear path reads: its history alone, or its attribute values too."""
    regression: Annotated[int, Field(ge=0)] | None = None
    """Width of vectors beside those of the layers that are a regression from all that is known of a user to items, in
    closed form; 0 for none. Left out, 128 where items are ranked with softmax by inner products with vectors that the
    layers alone have learned, from the platform's own interactions; elsewhere 0."""
    regression_shares: tuple[Annotated[float, Field(ge=0)], ...] | None = Field(None, min_length=7, max_length=7)
    """What the regression counts after 0, 1, 2, 5, 10, 20 and 50 known items. Left out, it is chosen on held-out users,
    0 where they do not gain more than a standard error, and half where there is nobody to choose on."""
    init: Literal["svd", "random"] = "svd"
    """Initial vectors of items and of the values of users' attributes: from a truncated SVD of the training
    interactions, or small random numbers."""


Vectors = Mapping[str, "Tensor | None"]
"""Node type -> [N, D] float32. None stands for vectors that are all zero: users before the first step."""


class Encoder(nn.Module):
    """GraphSAGE on a heterogeneous graph: a learned table for items and attribute values, none for users.

    A user begins with a linear map of the words, pictures and vectors that describe it, or with nothing. Each step sums
    what its relations bring to a node type, adds the node's own vector (residual), and for all but the last step
    normalises, applies ReLU and dropout. Relations whose output is not read are left out, and those from users in the
    first step: there most users have nothing to say yet.

    Source: Hamilton, Ying, Leskovec, "Inductive Representation Learning on Large Graphs", NeurIPS 2017, Algorithm 1;
        one layer per relation as in Schlichtkrull et al., "Modeling Relational Data with Graph Convolutional Networks",
        ESWC 2018. Differs: most users have no input features at all; layer normalisation instead of the projection to
        unit length.
    Shapes: blocks over N nodes -> node type -> [T, D] float32.

    Args:
        node_counts: nodes of each type.
        edge_types: relations of the graph.
        config: the encoder's shape.
        layer_class: the class that `config.layer` names.
        outputs: node types whose vectors are read; layers exist for these only.
        interpolated: relations from users whose edges' weights count in means, see `TrainingData`.
        described: name of each feature of users -> its width.

    Attributes:
        users: what describes the users of the graph, on the encoder's device; empty where nothing does.
    """

    def __init__(
        self,
        node_counts: Mapping[str, int],
        edge_types: Sequence[EdgeType],
        config: EncoderConfig,
        layer_class: Callable[..., nn.Module],
        outputs: Sequence[str] = (USER, ITEM),
        interpolated: Collection[EdgeType] = (),
        described: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.interpolated = tuple(interpolated)
        self.node_types = tuple(node_counts)
        self.edge_types = tuple(edge_types)
        width = config.channels
        self.tables = nn.ModuleDict(
            {_key(t): nn.Embedding(count, width) for t, count in node_counts.items() if t != USER}
        )
        for node_type in self.node_types:
            if node_type != USER:
                nn.init.normal_(self.table(node_type).weight, std=0.1)
        plan = self.plan(outputs)
        self.steps = nn.ModuleList(
            nn.ModuleDict({_edge_key(t): layer_class(width, width, **config.layer_options) for t in relations})
            for relations in plan
        )
        reached = [sorted({t[2] for t in relations}) for relations in plan[:-1]]
        self.norms = nn.ModuleList(
            nn.ModuleDict({_key(t): nn.LayerNorm(width) for t in types} if config.norm == "layer" else {})
            for types in reached
        )
        self.memory: dict[tuple[int, EdgeType], Memory] = {}
        """(step, relation) -> messages of users elsewhere; of layers that take the mean."""
        self.inputs = UserInputs(described, width) if described else None
        self.users: tuple[Features, ...] = ()

    def plan(self, outputs: Sequence[str]) -> list[list[EdgeType]]:
        """For each step, the relations whose output is read on the way to `outputs`."""
        needed, plan = set(outputs), []
        for depth in reversed(range(self.config.layers)):
            relations = [t for t in self.edge_types if t[2] in needed and not (depth == 0 and t[0] == USER)]
            plan.append(relations)
            needed |= {t[0] for t in relations}
        return plan[::-1]

    def initial(self, nodes: Mapping[str, Tensor] | None = None) -> dict[str, Tensor | None]:
        """The vectors before the first step, of all nodes or of the chosen ones ([N] int64 for each type)."""
        first: dict[str, Tensor | None] = {USER: None}
        if self.inputs is not None and self.users:
            own = self.users if nodes is None else tuple(one.take(nodes[USER]) for one in self.users)
            first[USER] = self.inputs(own, len(own[0].known))
        for node_type in self.node_types:
            if node_type != USER:
                table = self.table(node_type)
                first[node_type] = table.weight if nodes is None else table(nodes[node_type])
        return first

    def table(self, node_type: str) -> nn.Embedding:
        """The learned table of a node type."""
        table = self.tables[_key(node_type)]
        assert isinstance(table, nn.Embedding)
        return table

    def renamed(self, name: str, relations: Mapping[EdgeType, EdgeType], types: Mapping[str, str]) -> str | None:
        """The name that a weight of the layers has in an encoder of other relations and node types.

        Args:
            name: as in `state_dict`.
            relations: own relation -> the other encoder's.
            types: own node type -> the other encoder's.

        Returns:
            None for the weight of a relation or node type that is not among them, and for a table.
        """
        if name.startswith("inputs."):  # features of users have their own names
            return name
        keys = {"steps": {_edge_key(own): _edge_key(other) for own, other in relations.items()}}
        keys["norms"] = {_key(own): _key(other) for own, other in types.items()}
        part, _, rest = name.partition(".")
        depth, _, rest = rest.partition(".")
        own, _, weight = rest.partition(".")
        other = keys.get(part, {}).get(own)
        return None if other is None else f"{part}.{depth}.{other}.{weight}"

    def sums_of(self, depth: int, relations: Sequence[EdgeType]) -> list[tuple[bool, Tensor, Tensor | None, Tensor]]:
        """The layers of some relations in a step as linear maps; they are such, see `convolves_by_sums`.

        Returns:
            Of each whether messages are averaged, [D', D] of them, [D', D] of the targets' own vectors (None for none),
            and [D'] what is added.
        """
        found = []
        for edge_type in relations:
            parts = _linear(self.steps[depth][_edge_key(edge_type)])  # type: ignore[index]
            assert parts is not None
            linear = [one for one in (parts.neighbours, parts.own) if one is not None]
            biases: list[Tensor] = [one.bias for one in linear if one.bias is not None]
            bias = torch.stack(biases).sum(0) if biases else torch.zeros(len(parts.neighbours.weight))
            own = None if parts.own is None else parts.own.weight
            found.append((parts.mean, parts.neighbours.weight, own, bias))
        return found

    def norm_of(self, depth: int, node_type: str) -> nn.Module | None:
        """What normalises a node type's vectors after a step; None where nothing does."""
        if depth >= len(self.norms) or _key(node_type) not in self.norms[depth]:  # type: ignore[operator]
            return None
        norm: nn.Module = self.norms[depth][_key(node_type)]  # type: ignore[index]
        return norm

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    def forward(
        self,
        blocks: Sequence[Block],
        nodes: Mapping[str, Tensor] | None = None,
        outputs: Sequence[str] = (USER, ITEM),
    ) -> Vectors:
        """Vectors of the last block's targets.

        Args:
            blocks: one for each step.
            nodes: node type -> [N] int64, the sources of the first block; None where they are all nodes in order.
            outputs: node types that will be read; what no one reads is not computed.
        """
        x: Vectors = self.initial(nodes)
        for depth, (block, relations) in enumerate(zip(blocks, self.plan(outputs), strict=True)):
            x = self.step(depth, x, x, block, relations)
        return x

    def states(self, block: Block) -> list[Vectors]:
        """The vectors of all nodes before each step: the sources of messages to new users."""
        states: list[Vectors] = [self.initial()]
        for depth, relations in enumerate(self.plan((USER, ITEM))[:-1]):
            states.append(self.step(depth, states[-1], states[-1], block, relations))
        return states

    def attach(self, states: Sequence[Vectors], users: UserBatch) -> Tensor:
        """Vectors of users who are not in the graph, from what is known of them: [B, D].

        Args:
            states: the result of `states`.
            users: B users, on the CPU. New users send no messages: an embedding does not depend on the rest of the
                batch.
        """
        counts = {t: len(x) for t, x in states[-1].items() if x is not None}
        edges, none = attached_edges(users), (torch.empty(2, 0, dtype=torch.int64), None)
        adjacency = {}
        shares = {reverse(t) for t in self.interpolated}
        for t in self.edge_types:  # all of them: a layer may give a user without edges a vector, too
            if t[2] == USER and t[0] in counts:
                edge_index, weight = edges.get(t, none)
                share = weight.to(self.device) if weight is not None and t in shares else None
                adjacency[t] = Adjacency(edge_index.to(self.device), counts[t[0]], len(users), weight=share)
        block = Block(adjacency, {USER: len(users)})
        x: Vectors = {USER: None if self.inputs is None else self.inputs(users.features, len(users))}
        for depth, known in enumerate(states):
            relations = [t for t in adjacency if not (depth == 0 and t[0] == USER)]
            x = self.step(depth, known, x, block, relations)
        vectors = x[USER]
        return torch.zeros(len(users), self.config.channels, device=self.device) if vectors is None else vectors

    def step(
        self, depth: int, sources: Vectors, targets: Vectors, block: Block, relations: Sequence[EdgeType]
    ) -> dict[str, Tensor | None]:
        """One step of message passing.

        Args:
            depth: which step, 0 the first.
            sources: vectors that messages start from.
            targets: vectors of the receiving nodes, which come first; more may follow.
            block: the edges.
            relations: the edge types to follow.

        Returns:
            Node type -> [T, D]; a type that no relation reaches keeps its vectors.
        """
        result: dict[str, Tensor | None] = {}
        linear: dict[str, list[_Linear]] = {}
        for edge_type in relations:
            source, target = sources[edge_type[0]], targets.get(edge_type[2])
            if source is None:
                continue
            target = None if target is None else target[: block.num_targets[edge_type[2]]]
            layer = self.steps[depth][_edge_key(edge_type)]  # type: ignore[index]
            parts = _linear(layer)
            if parts is None:
                message = convolve(layer, source, target, block.adjacency[edge_type])
            else:  # the map of the targets' own vectors is linear too: once for all relations, below
                message = parts.aggregated(source, block.adjacency[edge_type])
                if (memory := self.memory.get((depth, edge_type))) is not None and parts.mean:
                    message = memory.joined(message, block.adjacency[edge_type].degree(), parts.neighbours.weight)
                linear.setdefault(edge_type[2], []).append(parts)
            so_far = result.get(edge_type[2])
            result[edge_type[2]] = message if so_far is None else so_far + message
        for node_type, every in linear.items():
            target, received = targets.get(node_type), result[node_type]
            assert received is not None
            result[node_type] = _with_own(received, every, None if target is None else target[: len(received)])
        last = depth == self.config.layers - 1
        for node_type, count in block.num_targets.items():
            before, received = targets.get(node_type), result.get(node_type)
            before = None if before is None else before[:count]
            if received is None:
                result[node_type] = before
                continue
            if self.config.residual and before is not None:
                received = received + before
            if not last:
                if self.config.norm == "layer":
                    received = self.norms[depth][_key(node_type)](received)  # type: ignore[index]
                received = functional.dropout(received.relu(), self.config.dropout, self.training)
            result[node_type] = received
        return result


def convolve(layer: nn.Module, x_source: Tensor, x_target: Tensor | None, adjacency: Adjacency) -> Tensor:
    """Applies one layer to one relation: `layer((x_source, x_target), edge_index)`, by the fastest way there is.

    SAGEConv and GraphConv that aggregate by mean or sum are computed as a sparse product (the same numbers, many times
    faster on a CPU); every other layer is called as it stands.

    Args:
        layer: the layer.
        x_source: [S, D] float32.
        x_target: [T, D] float32; None where all zero.
        adjacency: the edges.

    Returns:
        [T, D'] float32.
    """
    parts = _linear(layer, normalised=True)
    if parts is None:
        if x_target is None:
            x_target = x_source.new_zeros(adjacency.num_targets, x_source.shape[1])
        result: Tensor = layer((x_source, x_target), adjacency.visible())
        return result
    out = _with_own(parts.aggregated(x_source, adjacency), [parts], x_target)
    return functional.normalize(out, dim=-1) if getattr(layer, "normalize", False) else out


@dataclass(frozen=True)
class Memory:
    """Mean messages of another platform's users to the nodes of a relation, beside those of the users who are there.

    Attributes:
        message: [T, D] float32, their mean vector, for each node.
        users: [T] float32, as so many users it counts.
    """

    message: Tensor
    users: Tensor

    def joined(self, own: Tensor, degree: Tensor, weight: Tensor) -> Tensor:
        """[T, D'], the mean over the users who are there and those who are remembered.

        Args:
            own: [T, D'] mean over those who are there, times `weight`.
            degree: [T] float32, their number.
            weight: [D', D] of the layer.
        """
        total = (degree + self.users).clamp(min=1e-12)
        return (degree / total)[:, None] * own + (self.users / total)[:, None] * (self.message @ weight.t())

    def to(self, device: torch.device) -> "Memory":
        """The same on a device."""
        return Memory(self.message.to(device), self.users.to(device))


@dataclass(frozen=True)
class _Linear:
    """A layer that is a sum of two linear maps: of the aggregated messages, and of the targets' own vectors.

    Attributes:
        mean: whether messages are aggregated by the mean, or by the sum.
        neighbours: the map of the aggregated messages; its bias counts.
        own: the map of own vectors; None where there is none.
    """

    mean: bool
    neighbours: nn.Linear
    own: nn.Linear | None

    def aggregated(self, x_source: Tensor, adjacency: Adjacency) -> Tensor:
        """[S, D] -> [T, D'], without the bias."""
        aggregate, weight = adjacency.mean if self.mean else adjacency.sum, self.neighbours.weight.t()
        if adjacency.num_sources < adjacency.num_targets:  # both are linear: multiply the fewer rows by the weights
            return aggregate(x_source @ weight)
        return aggregate(x_source) @ weight


def _with_own(received: Tensor, parts: Sequence[_Linear], x_target: Tensor | None) -> Tensor:
    """[T, D'], messages, biases, and the map of the targets' own vectors ([T, D], None: all zero), added up.

    The maps of several relations are added before they are applied, so that one product serves all of them.
    """
    own = [part.own for part in parts if part.own is not None]
    biases = [linear.bias for linear in (*(part.neighbours for part in parts), *own) if linear.bias is not None]
    if own and x_target is not None:
        received = torch.addmm(received, x_target, _total([linear.weight for linear in own]).t())
    return received + _total(biases) if biases else received


def _total(tensors: Sequence[Tensor]) -> Tensor:
    return functools.reduce(torch.add, tensors)


def _linear(layer: nn.Module, *, normalised: bool = False) -> _Linear | None:
    """The two maps of a layer that has no more to it, else None. A subclass may do anything: None.

    Args:
        layer: any layer.
        normalised: whether a layer that scales its output to unit length counts too.
    """
    known = (type(layer) is SAGEConv and not layer.project) or type(layer) is GraphConv
    if not known or layer.flow != "source_to_target" or str(layer.aggr) not in ("mean", "add", "sum"):
        return None
    if getattr(layer, "normalize", False) and not normalised:
        return None
    mean = str(layer.aggr) == "mean"
    if isinstance(layer, SAGEConv):
        return _Linear(mean, layer.lin_l, layer.lin_r if layer.root_weight else None)
    assert isinstance(layer, GraphConv)
    return _Linear(mean, layer.lin_rel, layer.lin_root)


def convolves_by_sums(layer: nn.Module) -> bool:
    """Whether a layer is two linear maps, of the sum or the mean of messages and of the targets' own vectors."""
    return _linear(layer) is not None


def _key(node_type: str) -> str:
    return "type " + node_type.replace(".", "·")  # a module's name may hold no dot, nor be that of a method


def _edge_key(edge_type: EdgeType) -> str:
    return " ".join(edge_type).replace(".", "·")
