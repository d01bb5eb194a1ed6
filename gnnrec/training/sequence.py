"""The ranking objective of a decoder that reads histories: what follows each number of items, in one pass."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gnnrec.graph.histories import Histories
from gnnrec.graph.paths import Paths, Reached
from gnnrec.graph.sampling import NumNeighbors
from gnnrec.graph.sharding import Shard
from gnnrec.nn import losses
from gnnrec.nn.propagation import vectors
from gnnrec.runtime import seeds
from gnnrec.training.ranking import ItemRanker, RankingConfig
from gnnrec.views import INTERACTS, ITEM, USER, TrainingData, reverse

BEFORE_ALL, AFTER_ALL = torch.iinfo(torch.int64).min, torch.iinfo(torch.int64).max
SCORES = 2**21
"""Scores that are held at once, 8 MiB: what fits into a processor's caches; on a GPU, 32 times as many."""


def sequence_losses(
    ranker: ItemRanker,
    shard: Shard,
    histories: Histories,
    config: RankingConfig,
    last: int,
    num_neighbors: NumNeighbors,
    generator: torch.Generator,
    paths: "PathsOfFolds | None" = None,
    batches: Iterable[Tensor] | None = None,
) -> Iterator[Tensor]:
    """One epoch: the loss of each batch of users, all of whose interactions and events are hidden from the graph.

    So a user's vector comes from its attributes and its edges to others alone, as that of a newcomer does, and items
    have the vectors that they have without the users of the batch. Events of other kinds are among the items that the
    decoder reads, each with the vector of its kind added; they are never asked for.

    Args:
        ranker: encoder, decoder and item biases.
        shard: the whole graph, on the ranker's device.
        histories: of the training users.
        config: settings.
        last: most items that the decoder reads.
        num_neighbors: edges drawn per target and relation in each step; None propagates over the whole graph.
        generator: source of the draws.
        paths: of a decoder that scores pairs.
        batches: [B] int64 each, the users of each step; None for all users in a random order.
    """
    device = ranker.bias.device
    block, count = shard.block, histories.count
    numbered = torch.arange(len(count))
    if batches is None and num_neighbors is None and len(count) > config.graph_users:
        numbered = torch.randperm(len(count), generator=generator)[: config.graph_users].sort().values
        block = block.of_users(numbered.to(device))
    by_user = block.adjacency[reverse(INTERACTS)]
    active = count[numbered].nonzero().flatten()
    if batches is None:
        order = active[torch.randperm(len(active), generator=generator)]
        at_least = 0 if num_neighbors is not None else -(-len(order) // config.most_steps)
        batches = order.split(max(config.batch_users, at_least))
    for batch in batches:
        users = batch.to(device)
        in_batch = torch.zeros(len(numbered), dtype=torch.bool, device=device)
        in_batch[users] = True
        kept = torch.empty(by_user.num_edges, dtype=torch.bool, device=device)
        kept[by_user.edge_id] = ~in_batch[by_user.edge_index[1]]
        visible = block.hide(INTERACTS, kept).without_messages_from(in_batch)
        if visible.event_types:
            visible = visible.events_before(torch.where(in_batch, BEFORE_ALL, AFTER_ALL))
        wanted = {USER: users, ITEM: torch.arange(len(ranker.bias), device=device)}
        sampled = num_neighbors is not None
        x = vectors(
            ranker.encoder,
            visible,
            wanted,
            num_neighbors=num_neighbors,
            sampled=sampled,
            generator=generator if sampled else None,
        )
        yield batch_loss(ranker, x[USER], x[ITEM], histories, numbered[batch], config, last, generator, paths)


def batch_loss(
    ranker: Any,
    user: Tensor,
    items: Tensor,
    histories: Histories,
    batch: Tensor,
    config: RankingConfig,
    last: int,
    generator: torch.Generator,
    paths: "PathsOfFolds | None" = None,
) -> Tensor:
    """Cross-entropy of what follows each number of items, against all items that the user has not chosen yet.

    Of a history longer than `last`, the first items are read in half of the steps, else a part that begins at random.
    The mean over the users' first items and that over what follows later count `history_dropout` and the rest.

    Args:
        ranker: with a `decoder`, `score` and, where there are several kinds of events, `kinds`, as `ItemRanker`.
        user: [B, D] float32, the vectors of the users.
        items: [I, D] float32, the vectors of all items.
        histories: of the training users.
        batch: [B] int64, the users, each with an interaction.
        config: settings.
        last: most items that the decoder reads.
        generator: source of the draws.
        paths: of a decoder that scores pairs.

    Returns:
        A scalar.
    """
    device = user.device
    count = histories.count[batch]
    first = torch.rand(len(batch), generator=generator) < 0.5
    drawn = (torch.rand(len(batch), generator=generator) * (count - last + 1)).long()
    start = torch.where(first | (count <= last), 0, drawn.clamp(min=0))  # [B]
    longest = int((count - start).clamp(max=last).max())
    step = torch.arange(longest + 1)
    place = start[:, None] + step  # [B, L + 1]
    asked = (place < count[:, None]) & ((start[:, None] == 0) | (step > 0))
    at = (histories.pointer[batch][:, None] + place).clamp(max=len(histories.item) - 1)
    item = torch.where(place < count[:, None], histories.item[at], 0)
    kind = None if histories.kind is None else torch.where(place < count[:, None], histories.kind[at], 0)
    if kind is not None:
        asked &= kind == 0
    shown = item[:, :-1].to(device)
    known = (place < count[:, None])[:, :-1].to(device)
    vectors = items[shown]
    if kind is not None:
        vectors = vectors + ranker.kinds[kind[:, :-1].to(device)]
    found = ranker.decoder(user, vectors * known[..., None], place.clamp(max=last).to(device))  # [B, L + 1, D]
    row, k = asked.nonzero().unbind(1)
    total = 0 * found.sum()
    weights = 0.0
    for chosen, weight in ((k == 0, config.history_dropout), (k > 0, 1 - config.history_dropout)):
        chosen = chosen.nonzero().flatten()
        if len(chosen) > config.queries:
            chance = torch.rand(len(chosen), generator=generator, dtype=torch.float64)
            order = chance.log() * k[chosen].clamp(min=1)  # the chance of a query falls as 1 / k
            chosen = chosen[order.topk(config.queries).indices.sort().values]
        if len(chosen) and weight:
            asked_for = _Asked(row[chosen], k[chosen], batch, item, place, at, count, kind)
            total = total + weight * _cross_entropy(ranker, found, items, asked_for, histories, config, paths)
            weights += weight
    loss: Tensor = total / max(weights, 1e-12)
    return loss


@dataclass(frozen=True)
class _Asked:
    """P queries among what the B users of a batch were shown.

    Attributes:
        row: [P] int64, the user.
        step: [P] int64, how many of its items are shown.
        batch: [B] int64, the users among those of training.
        item: [B, L + 1] int64, their items in the order of time.
        place: [B, L + 1] int64, the number of all items before each.
        at: [B, L + 1] int64, where each stands in the histories.
        count: [B] int64, all items of each user.
        kind: [B, L + 1] int64, of the events that the items are of, 0 for an interaction; None where all are one.
    """

    row: Tensor
    step: Tensor
    batch: Tensor
    item: Tensor
    place: Tensor
    at: Tensor
    count: Tensor
    kind: Tensor | None = None

    def take(self, part: Tensor) -> "_Asked":
        """Some of the queries."""
        return replace(self, row=self.row[part], step=self.step[part])

    @property
    def number(self) -> Tensor:
        """[P] int64, the number of all items so far."""
        return self.place[self.row, self.step]

    @property
    def shown(self) -> tuple[Tensor, Tensor]:
        """[S] int64 each: the query, and an item that it was shown an interaction with."""
        known = torch.arange(self.item.shape[1] - 1) < self.step[:, None]
        if self.kind is not None:
            known &= self.kind[self.row, :-1] == 0
        query, place = known.nonzero().unbind(1)
        return query, self.item[self.row[query], place]

    def targets(self, target: str, kind: Tensor | None) -> tuple[Tensor, Tensor]:
        """[T] int64 each: which query is asked for an item, and where that item stands in the histories.

        Args:
            target: `next` or `rest`.
            kind: `Histories.kind`.
        """
        first = self.at[self.row, self.step]
        query = torch.arange(len(self.row))
        if target == "rest":
            left = (self.count[self.row] - self.number).clamp(min=0)
            query = query.repeat_interleave(left)
            first = torch.arange(len(query)) - (left.cumsum(0) - left)[query] + first[query]
            if kind is not None:
                query, first = query[kind[first] == 0], first[kind[first] == 0]
        return query, first


def _cross_entropy(
    ranker: Any,
    found: Tensor,
    items: Tensor,
    asked: _Asked,
    histories: Histories,
    config: RankingConfig,
    paths: "PathsOfFolds | None",
) -> Tensor:
    """The mean over what is asked for, weighted by age; against all items that the query was not shown."""
    device = items.device
    query, position = asked.targets(config.target, histories.kind)
    weight = torch.ones(len(query)) if histories.weight is None else histories.weight[position]
    weight = (weight / weight.sum().clamp(min=1e-30)).to(device)

    def of_part(part: Tensor, own: Tensor, all_items: Tensor) -> Tensor:
        these = asked.take(part)
        score = ranker.score(own, all_items)  # [P', I]
        if paths is not None:
            reached = paths.reached(these.batch[these.row], these.item[these.row], these.step, these.number)
            score = ranker.decoder.add_pairs(score, reached, these.number)
        row, shown = these.shown
        score[row.to(device), shown.to(device)] = -torch.inf
        inside = ((query >= part[0]) & (query <= part[-1])).nonzero().flatten()
        counts = weight[inside.to(device)]
        target = histories.item[position[inside]].to(device)
        return losses.softmax(score, (query[inside] - part[0]).to(device), target, counts) * counts.sum()

    rows = found[asked.row.to(device), asked.step.to(device)]
    scores = SCORES if device.type == "cpu" else 32 * SCORES
    others = [one for name, one in ranker.named_parameters() if not name.startswith("encoder.")]
    return losses.in_parts(of_part, rows, items, others, max(scores // len(items), 1))


class PathsOfFolds:
    """Paths for each fold of the training users, counted without it, so that no user's own choices are on its paths.

    Args:
        train: the training users.
        histories: theirs.
        folds: how many.
        half_life: of the weights of interactions.
    """

    def __init__(self, train: TrainingData, histories: Histories, folds: int, half_life: float | None) -> None:
        self._users = train.users
        self._fold = torch.arange(train.num_users) * folds // max(train.num_users, 1)
        spread = torch.randperm(train.num_users, generator=seeds.generator(0, "paths"))
        self._fold = self._fold[spread]
        self._paths = [Paths.of(train, histories, self._fold != fold, half_life) for fold in range(folds)]

    def reached(self, user: Tensor, item: Tensor, count: Tensor, place: Tensor) -> list[Reached]:
        """What the paths reach from P queries, each counted without the fold of its user.

        Args:
            user: [P] int64, rows of the training users.
            item: [P, L] int64, recent items in the order of time.
            count: [P] int64, how many of them are shown.
            place: [P] int64, the number of all items so far.

        Returns:
            One for each path.
        """
        found: list[list[tuple[Tensor, Reached]]] = []
        for fold, paths in enumerate(self._paths):
            part = (self._fold[user] == fold).nonzero().flatten()
            if len(part):
                distinct, copy = user[part].unique(return_inverse=True)
                users = self._users.take(distinct).copies(copy)
                found.append([(part, one) for one in paths.reached(item[part], count[part], place[part], users)])
        return [Reached.join(parts, len(user)) for parts in zip(*found, strict=True)]
