"""The ranking objective: a loss on the order of items, on training users of whose history a part is hidden."""

import copy
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from gnnrec.errors import ConfigError
from gnnrec.graph.adjacency import runs
from gnnrec.graph.block import Block
from gnnrec.graph.histories import Histories
from gnnrec.graph.sampling import NumNeighbors
from gnnrec.graph.sharding import Shard
from gnnrec.nn import losses
from gnnrec.nn.decoders.dot import Dot
from gnnrec.nn.linear import LinearPath
from gnnrec.nn.propagation import vectors
from gnnrec.options.messages import nearest
from gnnrec.runtime import distributed
from gnnrec.training.loop import LoopConfig
from gnnrec.training.negatives import NegativeSampler
from gnnrec.views import INTERACTS, ITEM, USER, TrainingData, UserBatch, reverse


class RankingConfig(LoopConfig):
    """A ranking loss on the target relation."""

    objective: Literal["ranking"] = "ranking"
    """Items are ranked."""

    loss: Literal["softmax", "sampled_softmax", "bpr", "bce"] = "softmax"
    """`softmax` ranks a user's items among all items; the others among drawn ones."""
    epochs: int = Field(24, ge=0)
    """Passes over the training users; with validation users, at most this many."""
    learning_rate: float = Field(0.005, gt=0)
    """Step size of AdamW."""
    weight_decay: float = Field(0.1, ge=0)
    """Decoupled weight decay of AdamW."""
    ema_decay: float = Field(0.97, ge=0, lt=1)
    """Decay per step of the running average of the weights that is measured and kept; 0 keeps the last weights."""
    batch_users: int = Field(256, ge=1)
    """Users of one step, at least."""
    most_steps: int = Field(20, ge=1)
    """Most steps of an epoch: where there are more users, a batch has more of them, because a step over the
    whole graph costs about the same for few of them. Not with `num_neighbors`."""
    graph_users: int = Field(16_384, ge=1)
    """Most users of the graph that one epoch trains on: where there are more, each epoch draws so many of them, learns
    in the graph of them alone, each of them in one batch. Not with several processes or with `num_neighbors`."""
    history_dropout: float = Field(0.7, ge=0, le=1)
    """Share of a batch's users whose whole history is hidden; of the others, a random part stays."""
    shown: Literal["few", "any"] = "few"
    """How many items that part has: `few` is as good as uniform on a logarithmic scale, for users with one, two or five
    first items; `any` is uniform, for users of whom a long history is known."""
    new_items: float = Field(0.0, ge=0, le=1)
    """Share of the loss in which every item is scored as a new one: by the encoder's linear path, from what describes
    it. Above 0, items without any interaction are ranked like others; at 0 they come last. At 1, all items are always
    scored so, and new ones have the same chance as those that were chosen before."""
    negatives: int = Field(100, ge=1)
    """Drawn items: per step for sampled_softmax, per interaction for bpr and bce."""
    negative_power: float = Field(0.5, ge=0, le=1)
    """Items are drawn in proportion to this power of their popularity."""
    freeze_attributes: bool = False
    """Whether the tables of attribute values keep their pretrained vectors."""
    choose_by: Literal["ndcg", "likelihood"] = "ndcg"
    """What an epoch is chosen by on validation users: NDCG@10, or the mean logarithm of what the softmax gives to the
    items that are to be found, which every item moves and few users tell better."""
    standard_errors: float = Field(0.0, ge=0)
    """A later epoch is taken only where what validation users gain is larger than so many of its standard errors: of
    few users, the best of many noisy looks is no better than the start. 0 takes any gain."""
    target: Literal["rest", "next"] = "rest"
    """What is asked for: all that a user does not show, of which a random part is shown; or, by time, the item that
    follows the first ones."""
    half_life: float | None = Field(None, gt=0)
    """The age at which what is asked for counts half, as a share of training's time; None counts all the same. Also the
    item biases start from such counts."""
    balance: str | None = None
    """User attribute whose values are groups that count alike, however many users have them; None counts all users'
    interactions the same. Users with several values, or none, count as much as before."""
    balance_power: float = Field(1.0, ge=0)
    """A group counts its share of the users to the power of 1 less this: at 1 all groups count alike, at 0 nothing is
    changed, above 1 small groups count more than large ones."""
    queries: int = Field(1024, ge=1)
    """Most queries of a step with no item shown, and most with some, of a decoder that reads histories; where there are
    more, so many are drawn, each with a chance that falls with the number of its items."""

    @model_validator(mode="after")
    def _whole_softmax(self) -> "RankingConfig":
        if self.loss != "softmax" and (self.target == "next" or self.half_life is not None or self.new_items):
            raise ValueError(f"loss must be softmax with target: next or with half_life or new_items, got {self.loss}")
        if self.balance is None and self.balance_power != 1:
            raise ValueError(f"balance_power is {self.balance_power:g}, but balance names no attribute of users")
        if self.loss != "softmax" and self.balance is not None:
            raise ValueError(f"loss must be softmax with balance, got {self.loss}")
        return self

    @property
    def needs_times(self) -> bool:
        """Whether an option is set that the times of interactions are needed for."""
        return self.target == "next" or self.half_life is not None


def balanced(users: UserBatch, attribute: str, power: float) -> Tensor:
    """[U] float32, what each user counts so that groups count alike: (mean size of a group / size of its own) ** power.

    Users with several values or none count 1; the weights of the others have a mean of 1.

    Source: inverse frequency weights, as of Huang, Li, Loy, Tang, "Learning Deep Representation for Imbalanced
        Classification", CVPR 2016, section 1. Differs: groups of users instead of classes.

    Args:
        users: U training users.
        attribute: whose values are the groups.
        power: 0 changes nothing.

    Raises:
        ConfigError: there is no such attribute of users.
    """
    named = {name: edges for (_, name, target), edges in users.relations.items() if target not in (USER, ITEM)}
    if attribute not in named:
        raise ConfigError(
            f"model.finetune.balance: {attribute!r} is no attribute of users.{nearest(attribute, named)} Allowed: "
            f"{', '.join(named) or 'none, users have no attributes'}"
        )
    edges, weight = named[attribute], torch.ones(len(users))
    one = torch.bincount(edges.row, minlength=len(users))[edges.row] == 1
    row, group = edges.row[one], edges.node[one]
    if len(row):
        size = torch.bincount(group).float()
        own = (size[size > 0].mean() / size[group]) ** power
        weight[row] = own / own.mean()
    return weight


class ItemRanker(nn.Module):
    """Scores items for users: inner product of the encoder's vectors, times a logit scale, plus an item bias.

    The bias starts at log popularity and the logit scale at 0, so that training starts from popularity and can only be
    kept for being better (exploratory runs, ML-100K's validation users: NDCG@10 .395 against .381 with a logit scale
    that starts at 1).

    Shapes: [B, D] users and [I, D] items -> [B, I].

    Args:
        encoder: the encoder, or a table of item vectors.
        popularity: [I] float32, `TrainingData.popularity`, or with a half-life what is left of it.
        decoder: as `gnnrec.nn.decoder.Decoder`; None for `Dot`.
        kinds: other kinds of events among the items that the decoder reads; each adds a learned vector, 0 at first.
        linear: whose vectors of users and items follow those of the encoder; None for none.
    """

    def __init__(
        self,
        encoder: Any,
        popularity: Tensor,
        decoder: nn.Module | None = None,
        kinds: int = 0,
        linear: LinearPath | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.width: int = encoder.embedding_dim if isinstance(encoder, nn.Embedding) else encoder.config.channels
        self.linear = linear
        self.decoder: Any = decoder if decoder is not None else Dot(encoder.config.channels, 1)
        # Finite: an item without interactions comes last.
        self.register_buffer("no_interactions", torch.where(popularity > 0, 0.0, -1e4))  # [I]
        share = (popularity + 0.1) / (
            popularity + 0.1
        ).sum()  # 0.1: an item nobody chose is rarer than any, not infinitely
        self.bias = nn.Parameter(share.log() - share.log().mean())
        self.logit_scale = nn.Parameter(torch.zeros(()))
        self.kind_vectors = nn.Parameter(torch.zeros(kinds, encoder.config.channels)) if kinds else None

    no_interactions: Tensor

    @property
    def kinds(self) -> Tensor | None:
        """[K + 1, D] float32, what an event's kind adds to the vector of its item, 0 for an interaction."""
        return None if self.kind_vectors is None else nn.functional.pad(self.kind_vectors, (0, 0, 1, 0))

    def score(self, user: Tensor, item: Tensor) -> Tensor:
        """[B, D] and [I, D] -> [B, I]."""
        if user.shape[1] == self.width:
            return self.logit_scale * (user @ item.t()) + self.bias + self.no_interactions
        return self.scaled(user) @ item.t() + self.bias + self.no_interactions

    def scaled(self, user: Tensor) -> Tensor:
        """[B, D], the vectors of users whose inner products with those of items are scores, but for the biases."""
        if user.shape[1] == self.width:
            return self.logit_scale * user
        return torch.cat([self.logit_scale * user[:, : self.width], user[:, self.width :]], dim=1)

    def score_pairs(self, user: Tensor, item: Tensor, index: Tensor) -> Tensor:
        """Scores of given pairs: [..., D] users, [..., D] items and the items' indices [...] -> [...]."""
        return self.logit_scale * (user * item).sum(-1) + self.bias[index]


def ranking_losses(
    ranker: ItemRanker,
    shard: Shard,
    part: TrainingData,
    config: RankingConfig,
    num_neighbors: NumNeighbors,
    generator: torch.Generator,
    histories: Histories | None = None,
    batches: Iterable[Tensor] | None = None,
    user_weight: Tensor | None = None,
) -> Iterator[Tensor]:
    """One epoch: the loss of each batch of users, or of several processes this one's summand of it.

    Each step takes a batch of training users and hides from the graph, in both directions, all interactions of some and
    a random part of those of the others; the hidden ones are the queries. So the encoder is trained on what it is used
    for: users without a history, and users with the beginning of one. Where there are events of other kinds, what is
    shown is the beginning in the order of time, and the events before the first query.

    Args:
        ranker: encoder with item biases.
        shard: of its graph, on the ranker's device, what this process holds; all processes draw the same for all users
            of a batch, and each computes the loss of its own users.
        part: the training users, those of other processes too.
        config: settings.
        num_neighbors: edges drawn per target and relation in each step; None propagates over the whole graph.
        generator: source of the draws.
        histories: of the training users, where times are needed.
        batches: [B] int64 each, the users of each step; None for all users in a random order. With one process alone.
        user_weight: [U] float32, what each user's interactions count; None where all count the same.
    """
    device = ranker.bias.device
    by_time = None if histories is None else _ByTime(histories, shard.block, part)
    count_of = torch.bincount(part.users.items.row, minlength=part.num_users).to(device)  # [U]
    if batches is None and shard.alone and num_neighbors is None and part.num_users > config.graph_users:
        some = torch.randperm(part.num_users, generator=generator)[: config.graph_users].sort().values.to(device)
        shard, count_of = Shard.whole(shard.block.of_users(some)), count_of[some]
        user_weight = None if user_weight is None else user_weight[some]
        by_time = None if by_time is None else by_time.of_users(some)
    by_user = shard.block.adjacency[reverse(INTERACTS)]  # sorted by user, so that a batch's edges are runs
    active = count_of.nonzero().flatten()
    sampler = NegativeSampler(part.popularity, config.negative_power)
    if batches is None:
        order = active[torch.randperm(len(active), generator=generator).to(device)]
        at_least = 0 if num_neighbors is not None else -(-len(order) // config.most_steps)
        batches = order.split(max(config.batch_users, at_least))
    for batch in (users.to(device) for users in batches):
        count = count_of[batch]
        row, place = runs(torch.zeros_like(count), count)  # [P] each, the batch's edges: user, place among its edges
        shown = shown_counts(count, config.history_dropout, generator, config.shown)
        if by_time is None or (config.target == "rest" and not by_time.has_events):
            order = random_places(row, generator)
        else:
            order = by_time.place[by_time.pointer[batch[row]] + place]
        hidden = order >= shown[row]
        asked = order[hidden] == shown[row[hidden]] if config.target == "next" else None
        row, place = row[hidden], place[hidden]
        moment = None
        if by_time is not None and by_time.has_events:
            moment = by_time.moment_of(batch[row], place, shard.num_users)
        weight = None if by_time is None else by_time.weight_of(batch[row], place)
        if user_weight is not None:
            of_user = user_weight[batch[row]]
            weight = of_user if weight is None else weight * of_user
        queries = len(row)
        if not queries:
            continue
        in_batch = torch.zeros(len(count_of), dtype=torch.bool, device=device)
        in_batch[shard.number(batch)] = True
        own = shard.own(batch)
        mine = own[row]  # [P] bool, from here on P are the hidden edges
        users = shard.number(batch[own])
        row = (own.cumsum(0) - 1)[row[mine]]
        place = by_user.pointer[users[row]] + place[mine]
        item, edge = by_user.edge_index[0, place], by_user.edge_id[place]
        kept = torch.ones(by_user.num_edges, dtype=torch.bool, device=device)
        kept[edge] = False
        block = shard.block.hide(INTERACTS, kept).without_messages_from(in_batch)
        if moment is not None:
            block = block.events_before(moment)
        if config.loss == "softmax":
            wanted = {USER: users, ITEM: torch.arange(part.num_items, device=device)}
            x = _vectors(ranker, block, wanted, num_neighbors, generator)
            if asked is not None:
                row, item, weight = row[asked], item[asked], None if weight is None else weight[asked]
                queries = len(row)
            if ranker.linear is None:
                loss = losses.softmax(ranker.score(x[USER], x[ITEM]), row, item, weight)
            else:
                linear = ranker.linear.in_graph(block, users)
                user, items = torch.cat([x[USER], linear], 1), torch.cat([x[ITEM], ranker.linear.items()], 1)
                loss = losses.softmax(ranker.score(user, items), row, item, weight)
                if config.new_items:
                    as_new = ranker.linear.score_new(linear) + ranker.no_interactions
                    loss = torch.lerp(loss, losses.softmax(as_new, row, item, weight), config.new_items)
        else:
            loss = _sampled_loss(ranker, block, users, row, item, mine, config, sampler, num_neighbors, generator)
        yield loss * (len(row) / queries)  # the mean over all queries, as a sum over the processes


class _ByTime:
    """The places, times and weights of the interactions, in the order in which the graph has them.

    Attributes:
        pointer: [U] int64, position of each user's first one.
        place: [E] int64, number of interactions of the same user before each one, by time.
        has_events: whether users have events of other kinds, too.
    """

    def __init__(self, histories: Histories, block: Block, part: TrainingData) -> None:
        by_user = block.adjacency[reverse(INTERACTS)]
        device = by_user.edge_id.device
        place = torch.empty_like(histories.place)
        place[histories.edge] = histories.place
        self.pointer = by_user.pointer
        self.place = place.to(device)[by_user.edge_id]
        self.has_events = bool(block.event_types)
        time = part.users.items.time
        self._time = None if time is None else time.to(device)[by_user.edge_id]
        self._weight: Tensor | None = None
        if histories.weight is not None:
            weight = torch.empty_like(histories.weight)
            weight[histories.edge] = histories.weight
            self._weight = weight.to(device)[by_user.edge_id]

    def of_users(self, users: Tensor) -> "_ByTime":
        """Of some users, [U'] int64, who are renumbered."""
        part = copy.copy(self)
        part.pointer = self.pointer[users]
        return part

    def moment_of(self, user: Tensor, place: Tensor, num_users: int) -> Tensor:
        """[U] int64, the time of the first of a user's interactions, given as for `weight_of`; the end for others."""
        assert self._time is not None
        never = torch.full((num_users,), torch.iinfo(torch.int64).max, device=user.device)
        return never.scatter_reduce(0, user, self._time[self.pointer[user] + place], "amin")

    def weight_of(self, user: Tensor, place: Tensor) -> Tensor | None:
        """[P] float32, of the place-th interaction of each user in the graph's order ([P] int64 each)."""
        return None if self._weight is None else self._weight[self.pointer[user] + place]


def shown_counts(
    count: Tensor, history_dropout: float, generator: torch.Generator, many: Literal["few", "any"] = "few"
) -> Tensor:
    """How many of its interactions each user shows: none, or from 1 up.

    Args:
        count: [B] int64, interactions of each user, at least 1.
        history_dropout: chance to show none.
        generator: source of the draws.
        many: as `RankingConfig.shown`.

    Returns:
        [B] int64, less than `count`; of `few`, small numbers come as often as large ones, so that users with one, two
        or five first items are met in training however long the histories are.
    """
    cold = torch.rand(len(count), generator=generator) < history_dropout
    part = torch.rand(len(count), generator=generator).to(count.device)
    drawn = (part * count.log()).exp().long() if many == "few" else (1 + part * (count - 1)).long()  # from 1 to count
    return torch.where(cold.to(count.device), 0, drawn).clamp(max=count - 1)


def random_places(row: Tensor, generator: torch.Generator) -> Tensor:
    """[P] int64, the place of each edge in a random order of its user's edges; `row` ascends."""
    key = (torch.rand(len(row), generator=generator, dtype=torch.float64) * 2**40).long()
    place = torch.empty_like(row)
    by_user = (row * 2**40 + key.to(row.device)).argsort()  # user after user
    place[by_user] = torch.arange(len(row), device=row.device)
    first = torch.searchsorted(row, row)
    return place - first


def _vectors(
    ranker: ItemRanker, block: Block, wanted: dict[str, Tensor], num_neighbors: NumNeighbors, generator: torch.Generator
) -> dict[str, Tensor]:
    sampled = num_neighbors is not None
    own = distributed.own_generator(generator) if sampled else None
    return vectors(ranker.encoder, block, wanted, num_neighbors=num_neighbors, sampled=sampled, generator=own)


def _sampled_loss(
    ranker: ItemRanker,
    block: Block,
    users: Tensor,
    row: Tensor,
    item: Tensor,
    mine: Tensor,
    config: RankingConfig,
    sampler: NegativeSampler,
    num_neighbors: NumNeighbors,
    generator: torch.Generator,
) -> Tensor:
    """The loss of one batch against drawn items.

    Args:
        ranker: encoder and item biases.
        block: the graph without the hidden interactions.
        users: [B] int64.
        row: [P] int64, the hidden interactions' users, as rows of the batch.
        item: [P] int64, their items.
        mine: [P'] bool, which ones of the hidden interactions in all processes these are; for all, items are drawn.
        config: settings.
        sampler: of the drawn items.
        num_neighbors: see `ranking_losses`.
        generator: source of the draws.
    """
    if config.loss == "sampled_softmax":
        drawn = sampler.draw((config.negatives,), generator).to(item.device)
        x = _vectors(ranker, block, {USER: users, ITEM: torch.cat([item, drawn])}, num_neighbors, generator)
        if not len(item):
            return _nothing(x)
        true, false = x[ITEM][: len(item)], x[ITEM][len(item) :]
        positive = ranker.score_pairs(x[USER][row], true, item)
        negative = ranker.score_pairs(x[USER][:, None], false, drawn)  # [B, K]
        log_chance = sampler.log_chance.to(item.device)
        return losses.sampled_softmax(positive, negative, log_chance[item], log_chance[drawn], row)
    drawn = sampler.draw((len(mine), config.negatives), generator).to(item.device)[mine]  # [P, K]
    x = _vectors(ranker, block, {USER: users, ITEM: torch.cat([item, drawn.flatten()])}, num_neighbors, generator)
    if not len(item):
        return _nothing(x)
    true, false = x[ITEM][: len(item)], x[ITEM][len(item) :].view(*drawn.shape, -1)
    positive = ranker.score_pairs(x[USER][row], true, item)
    negative = ranker.score_pairs(x[USER][row][:, None], false, drawn)
    return (losses.bpr if config.loss == "bpr" else losses.link_bce)(positive, negative)


def _nothing(x: dict[str, Tensor]) -> Tensor:
    """The loss of a process without queries: 0, through all that the other processes compute too."""
    return 0 * torch.stack([each.sum() for each in x.values()]).sum()
