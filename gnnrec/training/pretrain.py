"""Pretraining: link prediction over every relation of the graph."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gnnrec.errors import ConfigError
from gnnrec.graph.sampling import NumNeighbors
from gnnrec.graph.sharding import Shard
from gnnrec.nn import losses
from gnnrec.nn.encoder import Encoder
from gnnrec.nn.propagation import vectors
from gnnrec.runtime import distributed, seeds
from gnnrec.runtime.devices import CPU, Placement
from gnnrec.training.loop import LoopConfig, train
from gnnrec.training.pretext import TASKS, Matcher
from gnnrec.training.tracking import Tracker
from gnnrec.views import INTERACTS, USER, EdgeType, TrainingData


class PretrainConfig(LoopConfig):
    """Link prediction over every relation, or another task."""

    task: Literal["links", "values", "histories", "views", "words"] = "links"
    """`links`: which edges are true; `values`: which value a user has; `histories`: whose whole history belongs to a
    profile and a part of it; `views`: which of two parts of a graph is of the same user; `words`: which features are
    of an item. `loss` and `negatives` are of links."""
    loss: Literal["bce", "bpr"] = "bce"
    """Loss of a true edge against drawn ones."""
    epochs: int = Field(6, ge=0)
    """Passes over the edges; with validation users, at most this many."""
    learning_rate: float = Field(0.005, gt=0)
    """Step size of AdamW."""
    ema_decay: float = Field(0.97, ge=0, lt=1)
    """Decay per step of the running average of the weights that is measured and kept; 0 keeps the last weights."""
    negatives: int = Field(5, ge=1)
    """Drawn targets per true edge."""
    query_share: float = Field(0.2, gt=0, le=1)
    """Share of each relation's edges that are the queries of one step; they pass no message in that step."""
    history_dropout: float = Field(0.3, ge=0, le=1)
    """Share of the users who lose all their interaction edges in a step, so that attributes must do."""


class LinkPredictor(nn.Module):
    """Scores edges of every relation: DistMult on the encoder's vectors.

    Source: Yang et al., "Embedding Entities and Relations for Learning and Inference in Knowledge Bases", ICLR 2015,
        eq. 2 with a diagonal matrix. Differs: a bias per relation, so that log-odds need not be centred.
    Shapes: [B, D] and [B, D] or [B, K, D] -> [B] or [B, K].
    """

    def __init__(self, encoder: Encoder, edge_types: tuple[EdgeType, ...]) -> None:
        super().__init__()
        self.encoder = encoder
        self.relation = nn.Parameter(torch.ones(len(edge_types), encoder.config.channels))
        self.bias = nn.Parameter(torch.zeros(len(edge_types)))

    def score(self, relation: int, source: Tensor, target: Tensor) -> Tensor:
        """Log-odds that an edge is there: [B, D] and [B, D] -> [B]; [B, D] and [B, K, D] -> [B, K]."""
        source = source * self.relation[relation]
        if target.dim() == 3:
            source = source[:, None]
        return (source * target).sum(-1) + self.bias[relation]


def pretrain(
    encoder: Encoder,
    shard: Shard,
    edges: Mapping[EdgeType, Tensor],
    config: PretrainConfig,
    *,
    choose: bool,
    num_neighbors: NumNeighbors,
    seed: int,
    tracker: Tracker,
    placement: Placement = CPU,
    train_on: TrainingData | None = None,
) -> int:
    """Trains the encoder in place to tell true edges from drawn ones, or on a task of `gnnrec.training.pretext`.

    In each step a share of every relation's edges are the queries, hidden in both directions (both directions of a
    friendship too), and part of the users lose their history. Targets of drawn edges are uniform over the other
    nodes that the relation reaches.

    Args:
        encoder: the encoder, on the device of the shard, whose `outputs` must hold every node type of `edges`.
        shard: of the graph, what this process holds; its queries are the edges of its own users.
        edges: relations to predict, [2, E] int64 in the graph's order, on the shard's device, all of them in each
            process; reverses are not among them.
        config: settings.
        choose: holds some edges out of training and messages, and keeps the state with the best MRR on them; else
            trains for exactly `config.epochs`.
        num_neighbors: edges drawn per target and relation in each step; None propagates over the whole graph.
        seed: the run's seed.
        tracker: where to report.
        placement: device and precision.
        train_on: what the graph was built from, for tasks but links.

    Returns:
        The number of epochs of the final state.

    Raises:
        ConfigError: the data have not what the task needs, or it is to be done by several processes or on drawn edges.
    """
    if config.task != "links":
        if num_neighbors is not None or not shard.alone:
            raise ConfigError(
                f"model.pretrain.task: {config.task} takes the whole graph in one process; leave out "
                "model.num_neighbors and trainer.devices, or take links"
            )
        assert train_on is not None
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(seed, "pretext weights"))
            task = TASKS[config.task](train_on, shard.block, encoder.config.channels, seed)
        how: dict[str, Any] = {"choose": choose, "share": config.query_share, "seed": seed}
        matcher = Matcher(encoder, task, shard.block, **how).to(placement.device)
        measured = functools.partial(matcher.measure, ogb_evaluator()) if choose else None
        return train(matcher, matcher.losses, measured, config, "pretrain", seed, tracker, placement)
    edge_types = tuple(t for t in edges if len(edges[t][1].unique()) > 1)  # with one target there is nothing to predict
    if not edge_types:
        return 0
    device = placement.device
    model = LinkPredictor(encoder, edge_types).to(device)
    reached = [edges[t][1].unique() for t in edge_types]
    mates = [_mates(edges[t]) if t[0] == t[2] else None for t in edge_types]
    drawer = seeds.generator(seed, "pretext edges")
    held_out = [_hold_out(edges[t].shape[1] if choose else 0, drawer).to(device) for t in edge_types]
    visible = [_without(edges[t].shape[1], held_out[i], mates[i]) for i, t in enumerate(edge_types)]
    loss = losses.link_bce if config.loss == "bce" else losses.bpr

    def epoch(generator: torch.Generator) -> Iterator[Tensor]:
        parts = [_parts(kept.nonzero().flatten(), config.query_share, generator) for kept in visible]
        for step in range(max(len(part) for part in parts)):
            queries = [part[step] if step < len(part) else part[0][:0] for part in parts]
            hidden = shard
            for i, edge_type in enumerate(edge_types):
                kept = visible[i].clone()
                kept[queries[i]] = False
                if mates[i] is not None:
                    kept[mates[i][queries[i]]] = False  # type: ignore[index]
                if edge_type == INTERACTS:
                    cold = torch.rand(shard.num_users, generator=generator) < config.history_dropout
                    kept &= ~cold.to(device)[edges[edge_type][0]]
                hidden = hidden.hide(edge_type, kept)
            yield _step(model, hidden, edge_types, edges, queries, reached, config, loss, num_neighbors, generator)

    seen = shard
    for i, edge_type in enumerate(edge_types):
        seen = seen.hide(edge_type, visible[i])
    negative = [_others(edges[t][1, held_out[i]], reached[i], 100, drawer) for i, t in enumerate(edge_types)]
    measure = _measure(model, seen, edge_types, edges, held_out, negative) if choose else None
    return train(model, epoch, measure, config, "pretrain", seed, tracker, placement)


def _step(
    model: LinkPredictor,
    shard: Shard,
    edge_types: tuple[EdgeType, ...],
    edges: Mapping[EdgeType, Tensor],
    queries: list[Tensor],
    reached: list[Tensor],
    config: PretrainConfig,
    loss: Callable[[Tensor, Tensor], Tensor],
    num_neighbors: NumNeighbors,
    generator: torch.Generator,
) -> Tensor:
    """The loss of one step, the mean over relations; of several processes, this one's summand of it."""
    questions = []  # of each relation: source [B], true and drawn targets [B, 1 + K], in the shard's numbers
    for i, edge_type in enumerate(edge_types):
        source, target = edges[edge_type][:, queries[i]]
        drawn = _drawn(target, reached[i], config.negatives, generator)
        mine = shard.mine(edge_type, source)
        targets = torch.cat([target[mine], drawn[mine].flatten()])
        questions.append((_number(shard, edge_type[0], source[mine]), _number(shard, edge_type[2], targets)))
    wanted: dict[str, list[Tensor]] = {}
    for edge_type, (source, targets) in zip(edge_types, questions, strict=True):
        wanted.setdefault(edge_type[0], []).append(source)
        wanted.setdefault(edge_type[2], []).append(targets)
    x = _vectors(
        model.encoder, shard, {t: torch.cat(parts) for t, parts in wanted.items()}, edge_types, num_neighbors, generator
    )
    pieces = {t: iter(x[t].split([len(part) for part in parts])) for t, parts in wanted.items()}
    total = torch.zeros((), device=model.bias.device)
    count = sum(len(positions) > 0 for positions in queries)
    for i, edge_type in enumerate(edge_types):
        source, targets = next(pieces[edge_type[0]]), next(pieces[edge_type[2]])
        if not len(queries[i]):
            continue
        if not len(source):  # a process without queries takes part in the backward pass all the same
            total = total + source.sum() + targets.sum()
            continue
        positive, negative = targets[: len(source)], targets[len(source) :]
        negative = negative.view(len(source), config.negatives, -1)  # [B, K, D]
        value = loss(model.score(i, source, positive), model.score(i, source, negative))
        total = total + value * (len(source) / len(queries[i]))
    return total / max(count, 1)


def _number(shard: Shard, node_type: str, nodes: Tensor) -> Tensor:
    """The numbers that nodes of the graph have in the shard: only users are numbered anew."""
    return shard.number(nodes) if node_type == USER else nodes


def _vectors(
    encoder: Encoder,
    shard: Shard,
    wanted: dict[str, Tensor],
    edge_types: tuple[EdgeType, ...],
    num_neighbors: NumNeighbors,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """The vectors of wanted nodes, in the shard's numbers; where a relation reaches users, those of other processes."""
    fetched = not shard.alone and any(t[2] == USER for t in edge_types)
    own = {**wanted, USER: torch.arange(shard.size, device=encoder.device)} if fetched else wanted
    sampled = num_neighbors is not None
    if sampled and generator is not None:
        generator = distributed.own_generator(generator)
    x = vectors(encoder, shard.block, own, num_neighbors=num_neighbors, sampled=sampled, generator=generator)
    return {**x, USER: shard.everyone(x[USER])[wanted[USER]]} if fetched else x


def _measure(
    model: LinkPredictor,
    shard: Shard,
    edge_types: tuple[EdgeType, ...],
    edges: Mapping[EdgeType, Tensor],
    held_out: list[Tensor],
    negative: list[Tensor],
) -> Callable[[], dict[str, float]]:
    """OGB's MRR and Hits@10 of held-out edges against up to 100 other targets each, mean over relations."""
    evaluate = ogb_evaluator()

    @torch.no_grad()
    def measure() -> dict[str, float]:
        types = dict.fromkeys(t for edge_type in edge_types for t in (edge_type[0], edge_type[2]))
        device = model.bias.device
        every = {t: torch.arange(shard.block.num_targets[t], device=device) for t in types}
        if any(t[2] == USER for t in edge_types):
            every[USER] = torch.arange(shard.num_users, device=device)
        x = _vectors(model.encoder, shard, every, edge_types, None)
        results = []
        for i, edge_type in enumerate(edge_types):
            if len(held_out[i]):
                source, target = edges[edge_type][:, held_out[i]]
                mine = shard.mine(edge_type, source)
                from_ = x[edge_type[0]][_number(shard, edge_type[0], source[mine])]
                to = x[edge_type[2]]
                positive = torch.zeros(len(source), device=device)
                positive[mine] = model.score(i, from_, to[_number(shard, edge_type[2], target[mine])])
                others = torch.zeros(negative[i].shape, device=device)
                others[mine] = model.score(i, from_, to[_number(shard, edge_type[2], negative[i][mine])])
                results.append(evaluate(distributed.total(positive).cpu(), distributed.total(others).cpu()))
        return {name: sum(r[name] for r in results) / len(results) for name in ("mrr", "hits@10")}

    return measure


def ogb_evaluator() -> Callable[[Tensor, Tensor], dict[str, float]]:
    """OGB's Evaluator of link prediction: [B] true and [B, K] drawn scores -> MRR and Hits@10.

    Source: Hu et al., "Open Graph Benchmark", NeurIPS 2020; the evaluator of ogbl-citation2, which ranks each true edge
        among its own drawn ones.
    """
    from ogb.linkproppred import Evaluator

    evaluator = Evaluator(name="ogbl-citation2")

    def evaluate(positive: Tensor, negative: Tensor) -> dict[str, float]:
        result = evaluator.eval({"y_pred_pos": positive, "y_pred_neg": negative})
        return {"mrr": float(result["mrr_list"].mean()), "hits@10": float(result["hits@10_list"].mean())}

    return evaluate


def _drawn(target: Tensor, reached: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """[B, K] int64, for each true target K draws from the other nodes of `reached` ([R] int64, ascending)."""
    draw = torch.randint(len(reached) - 1, (len(target), number), generator=generator).to(target.device)
    return reached[draw + (draw >= torch.searchsorted(reached, target)[:, None])]


def _others(target: Tensor, reached: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """As `_drawn`; every other node once where there are no more than `number`: gender has one rival, not 100."""
    if len(reached) > number + 1:
        return _drawn(target, reached, number, generator)
    every = torch.arange(len(reached) - 1, device=target.device).expand(len(target), -1)
    return reached[every + (every >= torch.searchsorted(reached, target)[:, None])]


def _hold_out(num_edges: int, generator: torch.Generator) -> Tensor:
    """Positions of the pretext's held-out edges: a twentieth, at least one and at most 500; of no edges, none."""
    return torch.randperm(num_edges, generator=generator)[: min(500, max(1, num_edges // 20))]


def _without(num_edges: int, held_out: Tensor, mates: Tensor | None) -> Tensor:
    """[E] bool, the edges that are not held out in either direction."""
    kept = torch.ones(num_edges, dtype=torch.bool, device=held_out.device)
    kept[held_out] = False
    if mates is not None:
        kept[mates[held_out]] = False
    return kept


def _parts(positions: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, ...]:
    """The positions in a new order, cut into parts of the given share."""
    order = positions[torch.randperm(len(positions), generator=generator).to(positions.device)]
    return tuple(order.split(max(1, round(share * len(order)))))


def _mates(edge_index: Tensor) -> Tensor:
    """[E] int64, the position of each edge's reverse in a relation within one type; its own place if there is none."""
    size = int(edge_index.max()) + 1
    key, turned = edge_index[0] * size + edge_index[1], edge_index[1] * size + edge_index[0]
    ordered, order = key.sort()
    place = torch.searchsorted(ordered, turned).clamp(max=len(key) - 1)
    return torch.where(ordered[place] == turned, order[place], torch.arange(len(key), device=key.device))
