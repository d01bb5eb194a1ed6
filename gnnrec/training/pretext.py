"""Pretext tasks beside link prediction: what an encoder can be pretrained on, as a choice of the right key for a query.

Each task makes vectors of some queries and of some keys, of which one belongs to each query. The loss is the softmax of
their inner products over the keys of the batch; the measure is OGB's MRR of the own key among up to 100 others. A task
is a class here, and is listed once, in `TASKS`.

Source: van den Oord, Li, Vinyals, Representation Learning with Contrastive Predictive Coding, 2018, equation 4.
    Differs: inner products times one learned factor, and no network on top.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnnrec.errors import ConfigError
from gnnrec.graph.block import Block
from gnnrec.nn.encoder import Encoder
from gnnrec.nn.init import decompose
from gnnrec.nn.propagation import vectors
from gnnrec.runtime import seeds
from gnnrec.views import INTERACTS, ITEM, USER, TrainingData

Asked = tuple[Tensor, Tensor, Tensor]
"""Vectors of the queries [Q, D], of the keys [K, D], and the place of each query's own key, [Q] int64."""
HELD_OUT, OTHERS = 500, 100
"""The most held-out queries, and the most other keys that each of them is ranked among."""
SEEN = 0.5
"""Share of a history that a view, or a user whose whole history is to be recognised, shows on average."""


class PretextTask(Protocol):
    """A task: Q queries, of which any may be asked in one step."""

    count: int

    def ask(self, encoder: Encoder, block: Block, chosen: Tensor, generator: torch.Generator) -> Asked:
        """The vectors of some queries ([Q] int64) and of their keys, from a graph in which the answer is hidden."""
        ...


class MaskedValues(nn.Module):
    """Which value has a user of an attribute, from everything else that is known of it? The edge is hidden.

    Source: the masked attributes of Hu et al., Strategies for Pre-training Graph Neural Networks, ICLR 2020, section
        3.1.2. Differs: an attribute is an edge, so that it is masked by hiding it.
    """

    def __init__(self, train: TrainingData, block: Block, channels: int, seed: int) -> None:
        super().__init__()
        found = {t: torch.stack([e.row, e.node]) for t, e in train.users.relations.items() if t[2] not in (USER, ITEM)}
        self._edges = {t: edges for t, edges in found.items() if len(edges[1].unique()) > 1}
        if not self._edges:
            raise ConfigError("model.pretrain.task: values needs attributes of users; take another one")
        first = torch.tensor([0, *(edges.shape[1] for edges in self._edges.values())]).cumsum(0)
        self._first, self.count = first, int(first[-1])
        self.relation = nn.Parameter(torch.ones(len(self._edges), channels))

    def ask(self, encoder: Encoder, block: Block, chosen: Tensor, generator: torch.Generator) -> Asked:
        """See `PretextTask`; keys are the values of the attributes that are asked for."""
        device, each = encoder.device, []
        for number, (edge_type, edges) in enumerate(self._edges.items()):
            own = chosen[(chosen >= self._first[number]) & (chosen < self._first[number + 1])] - self._first[number]
            kept = torch.ones(edges.shape[1], dtype=torch.bool)
            kept[own] = False
            block = block.hide(edge_type, kept.to(device))
            each.append((edge_type, number, edges[:, own].to(device)))
        wanted = {t[2]: torch.arange(block.num_targets[t[2]], device=device) for t, _, _ in each}
        x = vectors(encoder, block, {USER: torch.arange(block.num_targets[USER], device=device), **wanted})
        queries, keys, places, size = [], [], [], 0
        for edge_type, number, (row, node) in each:
            distinct, place = node.unique(return_inverse=True)
            queries.append(x[USER][row] * self.relation[number])
            keys.append(x[edge_type[2]][distinct])
            places.append(place + size)
            size += len(distinct)
        return torch.cat(queries), torch.cat(keys), torch.cat(places)


class WholeHistories(nn.Module):
    """Whose whole history is this, from a user's attributes and a part of its history?

    A key is the user's place among the leading singular vectors of the histories, which are computed once, through a
    learned linear map.

    Source: Hao et al., Pre-Training Graph Neural Networks for Cold-Start Users and Items Representation, WSDM 2021,
        section 3: vectors of users with a long history are predicted from a part of it. Differs: a closed form makes
        them.
    """

    def __init__(self, train: TrainingData, block: Block, channels: int, seed: int) -> None:
        super().__init__()
        place = torch.from_numpy(decompose(train, channels, seed).user).float()
        self.register_buffer("place", functional.normalize(place, dim=1), persistent=False)
        self._user, self.count = train.users.items.row, train.num_users
        self.map = nn.Linear(place.shape[1], channels, bias=False)

    place: Tensor

    def ask(self, encoder: Encoder, block: Block, chosen: Tensor, generator: torch.Generator) -> Asked:
        """See `PretextTask`; the chosen users send no messages."""
        device = encoder.device
        silent = torch.zeros(self.count, dtype=torch.bool)
        silent[chosen] = True
        kept = _part(self._user, self.count, generator) | ~silent[self._user]
        block = block.hide(INTERACTS, kept.to(device)).without_messages_from(silent.to(device))
        x = vectors(encoder, block, {USER: chosen.to(device)})
        return x[USER], self.map(self.place[chosen.to(device)]), torch.arange(len(chosen), device=device)


class TwoViews(nn.Module):
    """Which of the second views is of the same user? Each view shows another part of all users' edges.

    Source: You et al., Graph Contrastive Learning with Augmentations, NeurIPS 2020, with dropped edges; equation 3.
    """

    def __init__(self, train: TrainingData, block: Block, channels: int, seed: int) -> None:
        super().__init__()
        relations = {t: e.row for t, e in train.users.relations.items() if t[2] not in (USER, ITEM)}
        self._user = {INTERACTS: train.users.items.row, **relations}
        self.count = train.num_users

    def ask(self, encoder: Encoder, block: Block, chosen: Tensor, generator: torch.Generator) -> Asked:
        """See `PretextTask`."""
        device, seen = encoder.device, []
        for _ in range(2):
            view = block
            for edge_type, user in self._user.items():
                view = view.hide(edge_type, _part(user, self.count, generator).to(device))
            seen.append(vectors(encoder, view, {USER: chosen.to(device)})[USER])
        first, second = (functional.normalize(x, dim=1) for x in seen)
        return first, second, torch.arange(len(chosen), device=device)


class ItemWords(nn.Module):
    """Which description is of this item? Keys are a learned linear map of the items' features (words, pictures).

    Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision (CLIP), ICML 2021,
        figure 3, with an item in the place of a picture. Differs: the softmax is over descriptions alone.
    """

    def __init__(self, train: TrainingData, block: Block, channels: int, seed: int) -> None:
        super().__init__()
        if not train.features:
            raise ConfigError("model.pretrain.task: words needs features of items; name one in data.features")
        rows = torch.cat([functional.normalize(one.vector, dim=1) for one in train.features], dim=1)
        known = torch.stack([one.known for one in train.features]).any(0) & (train.popularity > 0)
        self.register_buffer("rows", rows, persistent=False)
        self._items = known.nonzero().flatten()
        self.count = len(self._items)
        self.map = nn.Linear(rows.shape[1], channels, bias=False)

    rows: Tensor

    def ask(self, encoder: Encoder, block: Block, chosen: Tensor, generator: torch.Generator) -> Asked:
        """See `PretextTask`."""
        items = self._items[chosen].to(encoder.device)
        x = vectors(encoder, block, {ITEM: items})
        return x[ITEM], self.map(self.rows[items]), torch.arange(len(items), device=items.device)


TASKS: Mapping[str, Callable[..., nn.Module]] = {
    "values": MaskedValues,
    "histories": WholeHistories,
    "views": TwoViews,
    "words": ItemWords,
}
"""Name in a config -> task."""


class Matcher(nn.Module):
    """The encoder with a task and the factor of the inner products, for the training loop.

    Args:
        encoder: is trained.
        task: of `TASKS`.
        block: the graph.
        choose: whether some queries are held out of training, to measure on.
        share: of the queries that one step asks.
        seed: of what is held out.
    """

    def __init__(
        self, encoder: Encoder, task: nn.Module, block: Block, *, choose: bool, share: float, seed: int
    ) -> None:
        super().__init__()
        self.encoder, self.task = encoder, task
        self.scale = nn.Parameter(torch.ones(()))
        self._block, self._share, self._seed = block, share, seed
        count = int(task.count)  # type: ignore[arg-type]
        order = torch.randperm(count, generator=seeds.generator(seed, "pretext queries"))
        size = min(HELD_OUT, max(1, count // 20)) if choose else 0
        self._held_out, self._asked = order[:size], order[size:]

    def losses(self, generator: torch.Generator) -> Iterator[Tensor]:
        """One epoch: the loss of each batch of queries."""
        order = self._asked[torch.randperm(len(self._asked), generator=generator)]
        for chosen in order.split(max(2, round(self._share * len(order)))):
            queries, keys, place = self.task.ask(self.encoder, self._block, chosen.sort().values, generator)  # type: ignore[operator]
            yield functional.cross_entropy(self.scale * queries @ keys.t(), place)

    @torch.no_grad()
    def measure(self, evaluate: Callable[[Tensor, Tensor], dict[str, float]]) -> dict[str, float]:
        """OGB's measures of the held-out queries' own keys among up to 100 others."""
        generator = seeds.generator(self._seed, "pretext measure")
        queries, keys, place = self.task.ask(self.encoder, self._block, self._held_out.sort().values, generator)  # type: ignore[operator]
        scores = queries @ keys.t()
        own = scores.gather(1, place[:, None])[:, 0]
        others = torch.stack([torch.arange(len(keys) - 1)] * len(queries)).to(place.device)
        if len(keys) - 1 > OTHERS:
            drawn = torch.rand(len(queries), len(keys) - 1, generator=generator).argsort(1)[:, :OTHERS]
            others = drawn.to(place.device)
        return evaluate(own.cpu(), scores.gather(1, others + (others >= place[:, None])).cpu())


def _part(user: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """[E] bool, a random part of each user's edges ([E] int64): for each user another share, `SEEN` on average."""
    share = 2 * SEEN * torch.rand(count, generator=generator)
    return torch.rand(len(user), generator=generator) < share[user]
