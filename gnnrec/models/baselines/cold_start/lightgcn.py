"""LightGCN: vectors that are averaged over the graph of users and items, and a map from attributes to them."""

import warnings
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gnnrec.graph.matrices import as_scores, histories
from gnnrec.models.baselines.cold_start.fit import FitConfig, fit
from gnnrec.models.baselines.cold_start.start import FeatureConfig
from gnnrec.models.ridge import RidgeMap
from gnnrec.options.search_space import Choice, Integer, Log, SearchSpace
from gnnrec.runtime import seeds
from gnnrec.runtime.devices import CPU
from gnnrec.training.tracking import Tracker
from gnnrec.views import TestSet, TrainingData, UserBatch


class LightGCN:
    """A vector for each training user and item, averaged over neighbours in the graph of interactions, without weights.

    Users who are not in training have no vector. One without items gets it by a ridge regression from its features to
    the averaged vectors of the training users; one with n items is one more node of the graph, with a fold-in: the sum
    of the items' vectors before each step, over the roots of both numbers of neighbours, as a training user has it,
    but for its own vector, in whose place stands that of the regression.

    Source: He, Deng, Wang, Li, Zhang, Wang, LightGCN: Simplifying and Powering Graph Convolution Network for
        Recommendation, SIGIR 2020, equations 3, 4 and 15 (layers, their mean, BPR); library torch_geometric. The map
        after Gantner, Drumond, Freudenthaler, Rendle, Schmidt-Thieme, Learning Attribute-to-Feature Mappings for
        Cold-Start Recommendations, ICDM 2010, section III-D. Differs: epochs are chosen by the newcomers' lists, since
        there are no others; the penalty of the vectors is the optimizer's weight decay.
    Shapes: users B, features A -> vectors [B, D] -> scores [B, I].

    Args:
        features: how attributes become features.
        factors: D, at least 1.
        layers: steps over the graph, at least 1.
        map_regularization: weight of the squared coefficients of the map; above 0.
        pairs: interactions of one step, each beside an item that the user has not chosen; at least 1.
        fit: how long and how fast it trains; `batch_users` is not read.

    Raises:
        ValueError: an option is out of its range.
    """

    supports_cold_users = True
    predicts_ratings = False
    chooses_on_validation = True
    search_space: ClassVar[SearchSpace] = {
        "features.edge_weights": Choice(("ignore", "log")),
        "features.idf": Choice((False, True)),
        "factors": Integer(16, 128, log=True),
        "layers": Integer(1, 3),
        "map_regularization": Log(0.1, 300),
        "fit.learning_rate": Log(0.003, 0.1),
        "fit.weight_decay": Log(1e-4, 0.3),
    }

    def __init__(
        self,
        *,
        features: FeatureConfig = FeatureConfig(),  # noqa: B008  (frozen)
        factors: int = 64,
        layers: int = 2,
        map_regularization: float = 3.0,
        pairs: int = 65_536,
        fit: FitConfig = FitConfig(learning_rate=0.02, weight_decay=0.01, epochs=200, evaluate_every=5),  # noqa: B008
    ) -> None:
        for name, number in (("factors", factors), ("layers", layers), ("pairs", pairs)):
            if number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        if not map_regularization > 0:
            raise ValueError(f"map_regularization must be above 0, got {map_regularization}")
        self.features, self.factors, self.layers, self.pairs = features, factors, layers, pairs
        self.map_regularization, self.fit_config = map_regularization, fit
        self.tracker = Tracker()
        self.placement = CPU
        self.best_params: dict[str, Any] = {}

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON."""
        names = ("factors", "layers", "map_regularization", "pairs")
        parts = {"features": self.features, "fit": self.fit_config}
        return {
            **{name: getattr(self, name) for name in names},
            **{name: part.model_dump(mode="json") for name, part in parts.items()},
        }

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Trains; the epochs are chosen on the validation users.

        Raises:
            ConfigError: there are too many users and features for the map.
            TrainingError: a loss is not a number.
        """
        from torch_geometric.nn import LightGCN as Layers

        edges, device = train.users.items, self.placement.device
        rows = self.features.of(train)
        learned = torch.bincount(edges.row, minlength=train.num_users).nonzero().flatten().numpy()
        self._features, given = rows, rows(train.users)[learned]
        graph = normalised(edges.row, edges.node, train.num_users, train.num_items).to(device)
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(seed, "weights"))
            nodes = train.num_users + train.num_items
            net = Layers(nodes, self.factors, self.layers, normalize=False).to(device)
            nn.init.normal_(net.embedding.weight, std=0.1)
        chosen = torch.unique(edges.row * train.num_items + edges.node)

        def losses(generator: torch.Generator) -> Iterator[Tensor]:
            for batch in torch.randperm(len(edges.row), generator=generator).split(self.pairs):
                user, item = edges.row[batch], edges.node[batch]
                other = others(user, chosen, train.num_items, generator)
                x = net.get_embedding(graph)
                better, worse = (x[user] * x[train.num_users + one] for one in (item, other))
                yield net.recommendation_loss(better.sum(1), worse.sum(1), lambda_reg=0.0)

        def take() -> None:
            """Keeps what scoring needs of the weights as they are."""
            with torch.no_grad():
                parts = (net.embedding.weight, net.get_embedding(graph), sent(net, graph))
                vectors, averages, messages = (part.cpu().double().numpy() for part in parts)
            degree = np.maximum(train.popularity.numpy(), 1)[:, None]
            self._items, self._messages = averages[train.num_users :], messages[train.num_users :] / np.sqrt(degree)
            targets = np.concatenate([vectors / (1 + self.layers), averages], axis=1)[learned]
            self._map = RidgeMap(given, targets, self.map_regularization)

        def score(users: UserBatch) -> Tensor:
            take()
            return self.score(users)

        self.best_params = fit(
            net, losses, score, self.fit_config, train, validation, seed, self.tracker, self.placement
        )
        take()

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, of which only the order means something."""
        own, vectors = np.split(self._map(self._features(users)), 2, axis=1)
        known = histories(users, len(self._items))
        count = known.sum(axis=1)[:, None]
        in_graph = own + (known @ self._messages) / np.sqrt(np.maximum(count, 1))
        return as_scores(np.where(count > 0, in_graph, vectors) @ self._items.T)


def sent(net: Any, graph: Tensor) -> Tensor:
    """[N, D], what each node has sent to its neighbours in all steps, but for the roots, over the steps and 1.

    A node's averaged vector is its own one over that number, plus the sum of what its neighbours have sent, each over
    the roots of both numbers of neighbours.
    """
    x = net.embedding.weight
    total = torch.zeros_like(x)
    for layer in net.convs:
        total, x = total + x, layer(x, graph)
    return total / (1 + len(net.convs))


def normalised(user: Tensor, item: Tensor, num_users: int, num_items: int) -> Tensor:
    """[U + I, U + I] sparse, the interactions in both directions, each over the roots of both numbers of neighbours."""
    size = num_users + num_items
    pairs = torch.unique(torch.stack([user, item + num_users]), dim=1)
    both = torch.cat([pairs, pairs.flip(0)], dim=1)
    root = torch.bincount(both[0], minlength=size).clamp(min=1).float().rsqrt()
    weight = root[both[0]] * root[both[1]]
    made = torch.sparse_coo_tensor(both, weight, (size, size), check_invariants=False).coalesce()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return made.to_sparse_csr()


def others(user: Tensor, chosen: Tensor, num_items: int, generator: torch.Generator) -> Tensor:
    """For each user an even draw among all items; one that falls on an item of the user's is drawn a second time.

    Args:
        user: [P] int64.
        chosen: users' items as sorted numbers, user * num_items + item.
        num_items: I.
        generator: source of the draws.
    """
    item = torch.randint(num_items, user.shape, generator=generator)
    place = torch.searchsorted(chosen, user * num_items + item).clamp(max=len(chosen) - 1)
    again = torch.randint(num_items, user.shape, generator=generator)
    return torch.where(chosen[place] == user * num_items + item, again, item)
