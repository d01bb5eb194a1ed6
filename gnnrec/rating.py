"""GraphRatingRecommender: an encoder that predicts what biases leave of a rating, as a recommender."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor
from torch_geometric.data import HeteroData

import gnnrec.layers
from gnnrec import seeds
from gnnrec.data.dataset import ITEM, USER, EdgeType
from gnnrec.encoder import Block, Encoder, EncoderConfig, Vectors, whole_graph
from gnnrec.errors import ConfigError
from gnnrec.graph import build_graph, node_counts
from gnnrec.known import Edges, HeldOut, Training, Users
from gnnrec.matrices import UserFeatures
from gnnrec.pretrain import PretrainConfig, pretrain
from gnnrec.rating_effects import (
    expected_item_bias,
    fit_biases,
    item_values,
    known_user_bias,
    ratings_of,
    residual_directions,
    value_effects,
)
from gnnrec.rating_finetune import (
    DISLIKES,
    LIKES,
    ItemRater,
    RatingFinetuneConfig,
    by_opinion,
    finetune_ratings,
    with_opinions,
)
from gnnrec.resolve import check_layer_options, resolve
from gnnrec.search_space import Choice, Log, SearchSpace, Uniform
from gnnrec.tracking import Tracker

PATHS = ("encoder", "effects")


class GraphRatingRecommender:
    """Predicts ratings of any user, seen or not: item's value, user's bias, and what encoder and counting add to them.

    rating = value of the item + bias of the user + share * encoder + share * effects. An item's value is its bias,
    shrunk to what its popularity and attributes lead to expect. The encoder predicts what biases leave, from the edges
    of the user alone. Effects are the mean residuals that users with the same attribute values gave to the item.
    Predictions are clipped to the range of the training values.

    Source: Hamilton, Ying, Leskovec, "Inductive Representation Learning on Large Graphs", NeurIPS 2017; one relation
        per opinion after van den Berg, Kipf, Welling, "Graph Convolutional Matrix Completion", KDD Deep Learning Day
        2018. Differs: users have no features and no table, training hides whole histories, and the product of the
        vectors starts at 0 on top of biases.
    Shapes: B users -> [B, I] values.

    Args:
        encoder: shape of the encoder; with `start: spectral`, item vectors start from the residuals' directions.
        pretrain: link prediction over every relation; None leaves it out.
        finetune: error of predicted ratings.
        shares: what encoder and effects are multiplied by; `choose` picks both on the validation users by least
            squares, and takes .7 for both where there are none.
        user_shrinkage: ratings with the mean user's bias that are added to each user; at least 0.
        item_shrinkage: ratings with the expected value that are added to each item; at least 0.
        rater_shrinkage: see `item_values`; at least 0, or None.
        effect_shrinkage: ratings without effect that are added to each pair of attribute value and item; above 0.
    """

    scores_unseen_users = True
    predicts_values = True
    chooses_on_validation = True
    search_space: ClassVar[SearchSpace] = {
        "encoder.channels": Choice((16, 32, 64)),
        "encoder.layers": Choice((1, 2)),
        "encoder.dropout": Uniform(0.0, 0.5),
        "finetune.learning_rate": Log(0.002, 0.03),
        "finetune.weight_decay": Log(0.01, 1.0),
        "finetune.quiet": Log(0.03, 1.0),
        "item_shrinkage": Log(1, 30),
        "effect_shrinkage": Log(30, 300),
    }

    def __init__(
        self,
        *,
        encoder: EncoderConfig = EncoderConfig(channels=32, dropout=0.3),  # noqa: B008  (frozen)
        pretrain: PretrainConfig | None = None,
        finetune: RatingFinetuneConfig = RatingFinetuneConfig(),  # noqa: B008
        shares: dict[str, float] | Literal["choose"] = "choose",
        user_shrinkage: float = 3.0,
        item_shrinkage: float = 5.0,
        rater_shrinkage: float | None = 20.0,
        effect_shrinkage: float = 100.0,
    ) -> None:
        try:
            self.layer_class = resolve(encoder.layer, gnnrec.layers)
        except ConfigError as error:
            raise ConfigError(f"encoder.layer: {error}") from None
        options = check_layer_options(self.layer_class, encoder.layer_options, at="encoder.layer_options")
        if shares != "choose" and not (set(shares) == set(PATHS) and all(share >= 0 for share in shares.values())):
            raise ValueError(f"shares: give a number of at least 0 for each of {', '.join(PATHS)}, got {shares}")
        for name, weight in (("user_shrinkage", user_shrinkage), ("item_shrinkage", item_shrinkage)):
            if not weight >= 0:
                raise ValueError(f"{name} must be at least 0, got {weight}")
        if rater_shrinkage is not None and not rater_shrinkage >= 0:
            raise ValueError(f"rater_shrinkage must be at least 0, or none; got {rater_shrinkage}")
        if not effect_shrinkage > 0:
            raise ValueError(f"effect_shrinkage must be above 0, got {effect_shrinkage}")
        self.encoder_config = encoder.model_copy(update={"layer_options": options})
        self.pretrain_config = pretrain
        self.finetune_config = finetune
        self.shares = shares
        self.user_shrinkage = user_shrinkage
        self.item_shrinkage = item_shrinkage
        self.rater_shrinkage = rater_shrinkage
        self.effect_shrinkage = effect_shrinkage
        self.tracker = Tracker()
        self.chosen: dict[str, Any] = {}
        self._rater: ItemRater
        self._block: Block
        self._edges: dict[EdgeType, Tensor]
        self._residuals: Edges

    @property
    def tables(self) -> dict[str, int]:
        """Node type -> rows of its learned table, for the audit."""
        encoder = self._rater.encoder
        return {t: encoder.table(t).num_embeddings for t in encoder.node_types if t != USER}

    def fit(self, train: Training, validation: HeldOut | None, seed: int) -> None:
        """Fits biases and effects, pretrains and trains the encoder; see `Recommender.fit`.

        Chosen on the validation users are the epochs, and the shares of encoder and effects.

        Raises:
            ConfigError: the interactions have no values.
            TrainingError: a loss is not a number.
        """
        chosen: dict[str, Any] = {}
        with torch.random.fork_rng():
            self.build(train, seed)
            if self.pretrain_config is not None:
                chosen["pretrain.epochs"] = pretrain(
                    self._rater.encoder,
                    self._block,
                    self._edges,
                    self.pretrain_config,
                    choose=validation is not None,
                    fan_out=None,
                    seed=seed,
                    tracker=self.tracker,
                )
            chosen["finetune.epochs"] = finetune_ratings(
                self._rater,
                self._block,
                self._residuals,
                self.finetune_config,
                measure=None if validation is None else self._measure(validation),
                seed=seed,
                tracker=self.tracker,
            )
        self._remember()
        if validation is not None:
            if self.shares == "choose":
                self._shares = self._choose_shares(validation)
                chosen["shares"] = self._shares
            self.chosen = chosen

    def score(self, users: Users) -> Tensor:
        """Predicts every rating: [B, I] float32, within the range of the training values."""
        base, bias = self._base(users)
        paths = self._paths(users, bias)
        extra = sum(self._shares[name] * paths[name] for name in PATHS)
        return (base + extra).clamp(*self._range).float()

    def embed(self, users: Users) -> Tensor:
        """[B, D] float32, the vectors of B users from what is known of them."""
        return self._embed(users, self._base(users)[1])

    def state_dict(self) -> dict[str, Any]:
        """Weights and shares; biases and effects are counted again from the training data."""
        return {"weights": self._rater.state_dict(), "shares": dict(self._shares)}

    def load_state_dict(self, train: Training, state: Mapping[str, Any]) -> None:
        """Takes the weights of a finished run; `train` must be what that run was fitted on."""
        self.build(train, seed=0)
        self._rater.load_state_dict(state["weights"])
        self._shares = dict(state["shares"])
        self._remember()

    def build(self, train: Training, seed: int) -> HeteroData:
        """Fits what has a closed form, builds graph and encoder without training; returns the graph, for the audit."""
        ratings = ratings_of(train)
        first = fit_biases(ratings, self.user_shrinkage, self.item_shrinkage)
        expected = expected_item_bias(train, ratings, first)
        biases = fit_biases(ratings, self.user_shrinkage, self.item_shrinkage, expected)
        residual = biases.residual(ratings)
        self._range = ratings.range
        self._item_value = item_values(train, ratings, biases, self.rater_shrinkage)
        self._features = UserFeatures(train)
        self._effects = value_effects(self._features(train.users), ratings, residual, self.effect_shrinkage)
        self._shares = dict.fromkeys(PATHS, 0.7) if self.shares == "choose" else dict(self.shares)
        items = train.users.items
        self._residuals = Edges(items.row, items.node, torch.from_numpy(residual).float())
        graph = build_graph(train)
        assert self._residuals.weight is not None
        parted = by_opinion(graph, self._residuals.weight > 0)
        names = (LIKES, DISLIKES, *train.users.relations, *(relation.type for relation in train.relations))
        self._edges = {t: parted[t].edge_index for t in names if parted[t].edge_index.numel()}
        self._block = whole_graph(parted)
        outputs = parted.node_types if self.pretrain_config is not None else (USER, ITEM)
        with torch.random.fork_rng():
            torch.manual_seed(seeds.integer(seed, "weights"))
            encoder = Encoder(node_counts(parted), parted.edge_types, self.encoder_config, self.layer_class, outputs)
            if self.encoder_config.start == "spectral":
                start = residual_directions(ratings, residual, self.encoder_config.channels, seed)
                encoder.table(ITEM).weight.data.copy_(torch.from_numpy(0.5 * start))
            self._rater = ItemRater(encoder)
        self._rater.eval()
        return graph

    def _base(self, users: Users) -> tuple[Tensor, Tensor]:
        """[B, I] float64 value of the items for each user, and [B] the users' biases against the mean user's."""
        bias = known_user_bias(users.items, self._item_value, np.zeros(len(users)), self.user_shrinkage)
        return torch.from_numpy(self._item_value + bias[:, None]), torch.from_numpy(bias)

    def _embed(self, users: Users, bias: Tensor) -> Tensor:
        items = users.items
        expected = torch.from_numpy(self._item_value)[items.node] + bias[items.row]
        liked = torch.zeros(len(items), dtype=torch.bool) if items.weight is None else items.weight > expected
        with torch.no_grad():
            return self._rater.encoder.attach(self._states, with_opinions(users, liked))

    def _paths(self, users: Users, bias: Tensor) -> dict[str, Tensor]:
        """Path -> [B, I], what it adds to the biases."""
        with torch.no_grad():
            encoder = self._rater.score(self._embed(users, bias), self._items)
        effects = torch.from_numpy((self._features(users) @ self._effects).toarray())
        return {"encoder": encoder, "effects": effects}

    def _remember(self) -> None:
        """Computes what an unseen user hears from: once, after training."""
        self._rater.eval()
        encoder = self._rater.encoder
        with torch.no_grad():
            self._states: list[Vectors] = encoder.states(self._block)
            last = encoder([self._block] * self.encoder_config.layers, outputs=(ITEM,))[ITEM]
        assert last is not None
        self._items = last

    def _measure(self, validation: HeldOut) -> Callable[[], dict[str, float]]:
        """Minus the mean error of the validation users' ratings, biases and encoder together."""
        users, target = validation.users, validation.target
        base, bias = self._base(users)
        left = self._left(validation, base)
        squared = self.finetune_config.loss == "squared"

        def measure() -> dict[str, float]:
            self._remember()
            with torch.no_grad():
                predicted = self._rater.score(self._embed(users, bias), self._items)[target.row, target.node]
            error = left - predicted
            return (
                {"minus squared error": -float(error.square().mean())}
                if squared
                else {"minus absolute error": -float(error.abs().mean())}
            )

        return measure

    @staticmethod
    def _left(held_out: HeldOut, base: Tensor) -> Tensor:
        """[E] float64, what the base leaves of the ratings to find."""
        assert held_out.target.weight is not None
        return held_out.target.weight - base[held_out.target.row, held_out.target.node]

    def _choose_shares(self, validation: HeldOut) -> dict[str, float]:
        """Least squares without negative shares, each user's own mean left out: it is no path's to explain."""
        users, target = validation.users, validation.target
        base, bias = self._base(users)
        paths = self._paths(users, bias)
        columns = torch.stack([*(paths[name][target.row, target.node].double() for name in PATHS)])
        values = torch.cat([columns, self._left(validation, base)[None]])  # [K + 1, E]
        count = torch.bincount(target.row, minlength=len(users)).clamp(min=1)
        mean = torch.zeros(len(values), len(users), dtype=torch.float64).index_add(1, target.row, values) / count
        *centred, left = (values - mean[:, target.row]).numpy()
        shares, _ = nnls(np.stack(centred, axis=1), left)
        return {name: round(float(share), 3) for name, share in zip(PATHS, shares, strict=True)}
