"""A trained encoder as an ONNX model: from what is known of users to vectors, scores and lists, without torch."""

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gnnrec.errors import ConfigError
from gnnrec.graph.merge import OF_USERS
from gnnrec.models.erased import Erased
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.models.ranking_task import RankingTask
from gnnrec.nn.encoder import Encoder, Vectors, convolves_by_sums
from gnnrec.nn.regression import KNOWN
from gnnrec.reranking.reranked import Reranked
from gnnrec.runtime.files import replace_file
from gnnrec.serving.artifact import Artifact
from gnnrec.serving.vocabulary import Vocabulary
from gnnrec.views import INTERACTS, ITEM, USER, Edges, EdgeType, Features, UserBatch, reverse

Weights = Literal["float32", "float16", "int8"]
USERS, VECTOR, SCORE, BEST = "users", "vector", "score", "best"
ENDING = ".onnx"
BLOCK = 32
"""Numbers of a row with one scale: the parts of a vector, of layers and of the regression, differ in size."""
FORMAT = 1
"""Version of the file beside the model."""


class Table(nn.Module):
    """Rows of numbers, kept as 32-bit or 16-bit floats, or as bytes with a 16-bit scale for each `BLOCK` of a row.

    Args:
        rows: [N, D] float32.
        weights: how they are kept.
    """

    rows: Tensor
    scale: Tensor
    block: Tensor

    def __init__(self, rows: Tensor, weights: Weights) -> None:
        super().__init__()
        self.weights, self.width, rows = weights, rows.shape[1], rows.detach().float()
        if weights != "int8":
            self.register_buffer("rows", rows.to(torch.float16 if weights == "float16" else torch.float32))
            return
        blocks = nn.functional.pad(rows, (0, -self.width % BLOCK)).unflatten(1, (-1, BLOCK))  # [N, D / BLOCK, BLOCK]
        scale = (blocks.abs().amax(dim=2) / 127).clamp(min=1e-7).to(torch.float16)  # of 16 bits, the least is 6e-8
        whole = (blocks / scale.float()[:, :, None]).round().clamp(-127, 127)
        self.register_buffer("rows", whole.flatten(1)[:, : self.width].to(torch.int8))
        self.register_buffer("scale", scale)
        self.register_buffer("block", torch.arange(self.width) // BLOCK)

    def __getitem__(self, node: Tensor) -> Tensor:
        """[E, D] float32, the rows of [E] nodes."""
        found = self.rows[node].float()
        return found if self.weights != "int8" else found * self._each(self.scale[node])

    def all(self) -> Tensor:
        """[N, D] float32."""
        found = self.rows.float()
        return found if self.weights != "int8" else found * self._each(self.scale)

    def _each(self, scale: Tensor) -> Tensor:
        """[E, D], the scale of each number."""
        return scale.float()[:, self.block]


class _Sums:
    """Edges from nodes to a batch of users, which adds up rows of a `Table`; in the place of an `Adjacency`.

    Args:
        row: [E] int64, users.
        node: [E] int64.
        weight: [E] float32 of each edge in sums and means; None for 1.
        users: [B] anything.
    """

    num_sources, num_targets = 0, 0  # rows are multiplied by weights after they are added up

    def __init__(self, row: Tensor, node: Tensor, weight: Tensor | None, users: Tensor) -> None:
        self.row, self.node, self.weight, self._users = row, node, weight, users

    def sum(self, x: Any) -> Tensor:
        """[B, D] of the sources' rows."""
        message: Tensor = x[self.node]
        message = message if self.weight is None else message * self.weight[:, None]
        return message.new_zeros(self._users.shape[0], message.shape[1]).index_add(0, self.row, message)

    def degree(self) -> Tensor:
        """[B] float32, number of edges, or the sum of their weights."""
        each = torch.ones_like(self.row, dtype=torch.float32) if self.weight is None else self.weight
        return each.new_zeros(self._users.shape[0]).index_add(0, self.row, each)

    def mean(self, x: Any) -> Tensor:
        """[B, D] of the sources' rows; 0 where there are none."""
        total, degree = self.sum(x), self.degree()
        return total / torch.where(degree > 0, degree, torch.ones_like(degree))[:, None]


Given = dict[EdgeType, tuple[Tensor, Tensor, Tensor | None]]
"""Relation from users -> users, nodes, and weights where training has some."""


class _Linear(nn.Module):
    """A linear map of vectors that are divided by a unit.

    Args:
        weight: [D', D].
        weights: how it is kept.
        unit: of the vectors.
    """

    def __init__(self, weight: Tensor, weights: Weights, unit: float = 1.0) -> None:
        super().__init__()
        self.weight = Table(weight / unit, weights)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.all().t()


class _Step(nn.Module):
    """One step of message passing to users, as `Encoder.step` computes it.

    Args:
        encoder: whose step it is.
        depth: which one.
        state: node type -> [N, D], the vectors before it.
        weights: how they are kept.
    """

    constant: Tensor

    def __init__(self, encoder: Encoder, depth: int, state: Vectors, weights: Weights) -> None:
        super().__init__()
        relations = [t for t in encoder.edge_types if t[2] == USER and not (depth == 0 and t[0] == USER)]
        self.relations = [t for t in relations if state.get(t[0]) is not None]
        parts = encoder.sums_of(depth, self.relations)
        self.means = [mean for mean, _, _, _ in parts]
        self.tables = nn.ModuleDict({_key(t): Table(x, weights) for t, x in state.items() if x is not None})
        self.maps = nn.ModuleList(_Linear(weight, weights) for _, weight, _, _ in parts)
        width = encoder.config.channels
        zero = torch.zeros(width, width)
        self.own = _Linear(sum((own for _, _, own, _ in parts if own is not None), zero), weights)
        self.register_buffer("constant", sum((bias.detach() for *_, bias in parts), torch.zeros(width)).clone())
        self.residual, self.last = encoder.config.residual, depth == encoder.config.layers - 1
        self.norm = encoder.norm_of(depth, USER)

    def forward(self, x: Tensor | None, adjacency: Mapping[EdgeType, _Sums]) -> Tensor | None:
        """[B, D] before it, None for zeros -> [B, D]."""
        received: Tensor | None = None
        for t, mean, linear in zip(self.relations, self.means, self.maps, strict=True):
            table = self.tables[_key(t[0])]
            message = linear(adjacency[t].mean(table) if mean else adjacency[t].sum(table))
            received = message if received is None else received + message
        if received is None:
            return x
        received = received + self.constant
        if x is not None:
            received = received + self.own(x)
            received = received + x if self.residual else received
        if self.last:
            return received
        return (received if self.norm is None else self.norm(received)).relu()


class PortableEncoder(nn.Module):
    """What a fitted GraphSAGE computes for users, of plain tensors.

    Shapes: B users -> [B, Q] vectors, [B, I] scores, [B, k] places of the best items.

    Args:
        model: fitted for the order of items, with one member.
        vocabulary: of the model.
        weights: how tables are kept.
        k: length of the lists.

    Raises:
        ConfigError: the model has a part that cannot be written.
    """

    def __init__(self, model: Any, vocabulary: Vocabulary, weights: Weights, k: int) -> None:
        super().__init__()
        task = _exportable(model, vocabulary)
        attached = task._attached
        encoder, self.merge = attached.encoder, attached._merge
        self.edge_types, self.interpolated = encoder.edge_types, {reverse(t) for t in encoder.interpolated}
        self.features = {} if encoder.inputs is None else dict(encoder.inputs.widths)
        self.inputs_of = nn.ModuleDict({_key(name): _input(encoder, name, weights) for name in self.features})
        self.steps = nn.ModuleList(
            _Step(encoder, depth, state, weights) for depth, state in enumerate(attached._states)
        )
        self.width, self.logit_scale = task.head.width, float(task.head.logit_scale.detach())
        self.k = min(k, int(vocabulary.candidates.sum()))
        vectors = model.item_vectors()
        assert vectors is not None
        self.items = Table(vectors[:, :-1], weights)
        self.register_buffer("bias", vectors[:, -1].clone())
        self.register_buffer("no_candidate", ~vocabulary.candidates)
        self.shares, self.path = task.shares, None if not task.shares.any() else task.regression
        if self.path is not None:
            self.values, self.source = Table(self.path.values, weights), Table(self.path.source, weights)
            self.places = Table(self.path.places, weights)

    bias: Tensor
    no_candidate: Tensor

    def forward(self, users: Tensor, given: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors, scores and lists.

        Args:
            users: [B] anything.
            given: as of `inputs`: edges, and features, 0 where nothing is known.
        """
        raw = self._edges(given)
        features = {name: given[name] for name in self.features}
        vector = self._layers(users, raw, features)
        if self.path is not None:
            count = _Sums(*raw[INTERACTS][:2], None, users).degree()
            regressed = self._regressed(users, raw, features, count)
            vector = torch.cat([vector, _near(count, self.shares)[:, None] * regressed], dim=1)
        query = torch.cat([self.logit_scale * vector[:, : self.width], vector[:, self.width :]], dim=1)
        score = query @ self.items.all().t() + self.bias
        row, node, _ = raw[INTERACTS]
        known = torch.zeros_like(score).index_put((row, node), torch.ones_like(row, dtype=torch.float32), True)
        ranked = torch.where(self.no_candidate | (known > 0), -torch.inf, score)
        return query, score, ranked.topk(self.k).indices

    def _edges(self, given: Mapping[str, Tensor]) -> Given:
        return {
            t: (given[f"{name}.row"], given[f"{name}.node"], given.get(f"{name}.weight"))
            for t, name in ((t, _name(t)) for t in self._relations())
        }

    def _relations(self) -> list[EdgeType]:
        own = [t if t[0] == USER else reverse_of(t) for t in self.edge_types if t[2] == USER]
        return [
            INTERACTS,
            *(t for t in own if t not in (INTERACTS, (USER, OF_USERS, OF_USERS))),
            *self.merge._user_types,
        ]

    def _layers(self, users: Tensor, raw: Given, features: Mapping[str, Tensor]) -> Tensor:
        """[B, D] of the encoder, as `Encoder.attach` computes it."""
        edges, adjacency = self._merged(raw), {}
        for t in self.edge_types:
            if t[2] == USER:
                row, node, weight = edges[t if t[0] == USER else reverse_of(t)]
                adjacency[t] = _Sums(row, node, weight if t in self.interpolated else None, users)
        x: Tensor | None = None
        for name, given in features.items():
            part = self.inputs_of[_key(name)](given)
            x = part if x is None else x + part
        for step in self.steps:
            x = step(x, adjacency)
        return self.bias.new_zeros(users.shape[0], self.width) if x is None else x

    def _merged(self, raw: Given) -> Given:
        """The edges with merged attribute columns, as `AttributeMerge` has them."""
        types = self.merge._user_types
        if not types:
            return raw
        interpolated, first, rows, nodes, weights = self.merge._interpolated, 0, [], [], []
        for t in types:
            row, node, weight = raw[t]
            rows.append(row)
            nodes.append(node + first)
            keeps = weight is not None and (not interpolated or t in interpolated)
            weights.append(weight if keeps and weight is not None else torch.ones_like(row, dtype=torch.float32))
            first += self.merge._sizes[t[2]]
        kept = {t: edges for t, edges in raw.items() if t not in types}
        return {**kept, (USER, OF_USERS, OF_USERS): (torch.cat(rows), torch.cat(nodes), torch.cat(weights))}

    def _regressed(self, users: Tensor, raw: Given, features: Mapping[str, Tensor], count: Tensor) -> Tensor:
        """[B, L] of the regression, as `RegressionPath.users` computes it."""
        path = self.path
        assert path is not None
        rows = path.features
        found, nodes, weights = [], [], []
        every = self._merged(raw)
        for t, start in rows._start.items():
            row, node, weight = every[t]
            each = torch.ones_like(row, dtype=torch.float32) if weight is None else weight
            if weight is not None and t not in rows._interpolated and rows._edge_weights != "keep":
                each = weight.log1p() if rows._edge_weights == "log" else torch.ones_like(weight)
            found.append(row)
            nodes.append(node + start)
            weights.append(each)
        number = torch.zeros_like(count)
        rest = self.bias.new_zeros(users.shape[0], self.values.rows.shape[1])
        if found:
            row, node, each = torch.cat(found), torch.cat(nodes), torch.cat(weights)
            if rows._column_weight is not None:
                each = each * torch.from_numpy(rows._column_weight).float()[node]
            size = count.new_zeros(users.shape[0]).index_add(0, row, each.square()).sqrt()
            each = each / torch.where(size > 0, size, torch.ones_like(size))[row]
            edges = _Sums(row, node, each, users)
            rest, number = rest + edges.sum(self.values), number + _Sums(row, node, each, users).degree()
        first = rows._columns
        for name, one in rows._described.items():
            if name in features:
                rest = rest + features[name] / one.unit @ self.values.all()[first : first + one.width]
                number = number + features[name].abs().sum(dim=1)
            first += one.width
        if path.friends:
            pairs = [raw[t][:2] for t in path.friends]
            friends = _Sums(torch.cat([row for row, _ in pairs]), torch.cat([node for _, node in pairs]), None, users)
            rest, number = rest + friends.mean(self.places), number + friends.degree()
        rest = rest - (number > 0)[:, None] * path.mean
        items = _Sums(*raw[INTERACTS][:2], None, users)
        own = items.sum(self.source) * count.clamp(min=1).rsqrt()[:, None]
        gains = torch.stack([_near(count, part) for part in path.gains.t()], dim=1)
        return gains[:, :1] * own + gains[:, 1:] * rest

    def inputs(self, users: UserBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The arguments of `forward` for a batch of users: `<relation>.row`, `.node` and `.weight`, and features."""
        given = {}
        for t in self._relations():
            edges = users.items if t == INTERACTS else users.relations[t]
            given[f"{_name(t)}.row"], given[f"{_name(t)}.node"] = edges.row, edges.node
            if t != INTERACTS and edges.weight is not None:
                given[f"{_name(t)}.weight"] = edges.weight
        given |= {one.name: one.vector for one in users.features if one.name in self.features}
        return torch.zeros(len(users)), given


def _input(encoder: Encoder, name: str, weights: Weights) -> _Linear:
    """The map of a feature of users."""
    assert encoder.inputs is not None
    weight, unit = encoder.inputs.map_of(name)
    return _Linear(weight, weights, unit)


def reverse_of(t: EdgeType) -> EdgeType:
    """The relation that a reversed edge type is of."""
    return (t[2], t[1].removeprefix("rev_"), t[0])


def _key(node_type: str) -> str:
    return "type " + node_type.replace(".", "·")


def _name(t: EdgeType) -> str:
    return ITEM if t == INTERACTS else t[1]


def _near(count: Tensor, values: Tensor) -> Tensor:
    """[B], what lies between `values` ([1 + K], at no item and each of `KNOWN`), on the logarithm of count and 1."""
    knots, number = np.log1p((0, *KNOWN)).tolist(), count.log1p()
    total = values[0].expand_as(count)
    for place in range(len(KNOWN)):
        size = knots[place + 1] - knots[place]
        gone = ((number - knots[place]) / size).clamp(min=0.0).clamp(max=1.0)
        total = total + (values[place + 1] - values[place]) * gone
    return total


def _exportable(model: Any, vocabulary: Vocabulary) -> RankingTask:
    """The one task of a model.

    Raises:
        ConfigError: it cannot be written.
    """
    wrong = ""
    if isinstance(model, Reranked | Erased):
        key = "rerank" if isinstance(model, Reranked) else "erase"
        wrong = f"its config has {key}, which cannot be written; export a run without it"
    elif not isinstance(model, GraphSAGE):
        wrong = f"{type(model).__name__} is no graph encoder; export a run of GraphSAGE"
    elif model.predicts_ratings:
        wrong = "it predicts ratings; export a model for the order of items"
    elif model.members > 1:
        wrong = f"it has {model.members} members; train with members: 1"
    elif model.decoder.name != "Dot":
        wrong = f"its decoder is {model.decoder.name}; train with decoder: {{name: Dot}}"
    elif model.encoder.linear:
        wrong = "it has a linear path; train with encoder.linear: 0"
    elif not all(convolves_by_sums(layer) for step in model._tasks[0].head.encoder.steps for layer in step.values()):
        wrong = f"its layer is {model.encoder.layer}; SAGEConv and GraphConv that take means or sums can be written"
    elif vocabulary.kinds.weights:
        wrong = "it tells several kinds of events apart; train on interactions of one kind"
    if wrong:
        raise ConfigError(f"export: {wrong}")
    task: RankingTask = model._tasks[0]
    return task


def write(artifact: Artifact, to: Path, weights: Weights = "float32", k: int = 10) -> dict[str, Any]:
    """Writes an ONNX model and, beside it, a JSON file with the names that its numbers stand for.

    Args:
        artifact: a saved model with its vocabulary.
        to: the file, ending in .onnx; the other one ends in .json.
        weights: how tables are kept.
        k: length of the lists.

    Returns:
        What was written: bytes, inputs, and the largest difference of a candidate's score from the model's own, on some
        users.

    Raises:
        ConfigError: the model cannot be written, or a library is not there.
    """
    if to.suffix != ENDING:
        raise ConfigError(f"--out {to}: must end in {ENDING}")
    try:
        import onnx  # type: ignore[import-not-found, import-untyped, unused-ignore]  # noqa: F401
        import onnxscript  # type: ignore[import-not-found, import-untyped, unused-ignore]  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"export: needs onnx and onnxscript: pip install 'gnnrec[onnx]' ({error})") from error
    module = PortableEncoder(artifact.model, artifact.vocabulary, weights, k).eval()
    users = some_users(artifact.vocabulary)
    arguments = module.inputs(users)
    dynamic = tuple(_dynamic(one) for one in arguments)
    names = [USERS, *arguments[1]]
    with torch.no_grad(), _quiet():
        traced = torch.export.export(module, arguments, dynamic_shapes=dynamic)
        program: Any = torch.onnx.export(
            traced,
            dynamo=True,
            input_names=names,
            output_names=[VECTOR, SCORE, BEST],
            optimize=False,  # it would write tables of bytes as floats; a runtime does it when it starts
            verbose=False,
        )
        assert program is not None
    replace_file(to, _bare(program.model_proto).SerializeToString())
    replace_file(to.with_suffix(".json"), json.dumps(names_of(artifact, arguments, k), ensure_ascii=False).encode())
    with torch.no_grad():
        differing = (module(*arguments)[1] - artifact.model.score(users)).abs()
        difference = float(differing[:, artifact.vocabulary.candidates].max())
    return {"bytes": to.stat().st_size, "inputs": names, "weights": weights, "difference": difference}


def _bare(written: Any) -> Any:
    """A model without notes of where in the code each of its nodes comes from, which weigh more than its numbers."""
    graph = written.graph
    for part in (written, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("value_info")
    return written


def _dynamic(given: Any) -> Any:
    if isinstance(given, Mapping):
        return {name: _dynamic(one) for name, one in given.items()}
    return {0: torch.export.Dim.DYNAMIC}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of packages that it does not need."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)


def some_users(vocabulary: Vocabulary) -> UserBatch:
    """Three users: of the first two, values and items are known, the second's differ; of the third nothing is."""

    def drawn(count: int) -> tuple[Tensor, Tensor]:
        node = torch.tensor([0, count - 1, count // 2]) if count else torch.empty(0, dtype=torch.int64)
        return torch.tensor([0, 0, 1])[: len(node)], node

    relations = {
        t: vocabulary.edges(t, *drawn(len(vocabulary.ids[t[2]])))
        for t in vocabulary.relations
        if vocabulary.weight(t) is None
    }
    row, node = drawn(vocabulary.num_items)
    features = []
    for one in vocabulary.features:
        vector = torch.linspace(-1, 1, 3 * one.width).view(3, one.width) * torch.tensor([[1.0], [1.0], [0.0]])
        features.append(Features(USER, one.name, vector, torch.tensor([True, True, False])))
    weight = None if vocabulary.mean_value is None else torch.ones(len(row))
    return UserBatch(torch.full((3,), -1), Edges(row, node, weight), relations, tuple(features))


def names_of(artifact: Artifact, arguments: tuple[Any, ...], k: int) -> dict[str, Any]:
    """What the numbers of the model stand for, as JSON.

    Returns:
        `items` and `titles`, in the order of scores; `relations`: name -> `values` (ids, in the order of nodes),
        `bounds` of numbers (a number is the node of the bin that it lies in), `knots` (edges to the knots below and
        above it), and whether edges are `weighted`; `features`: name -> its width and encoder; `k`.
    """
    words, relations = artifact.vocabulary, {}
    for t, weighted in words.relations.items():
        if words.weight(t) is not None:
            continue
        bounds = words.bounds.get(t[1]) if t[2] != USER else None
        kind = "knots" if bounds is not None and weighted else "bounds"
        relations[t[1]] = {"values": [str(one) for one in words.texts[t[2]]], "weighted": weighted}
        relations[t[1]] |= {} if bounds is None else {kind: list(bounds)}
    return {
        "format": FORMAT,
        "items": [str(one) for one in words.texts[ITEM]],
        "titles": list(words.titles),
        "relations": relations,
        "features": {one.name: {"width": one.width, "encoder": one.encoder} for one in words.features},
        "inputs": [USERS, *arguments[1]],
        "k": k,
    }
