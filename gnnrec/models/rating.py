"""GraphRatingRecommender: an encoder that predicts what biases leave of a rating, as a recommender."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor
from torch_geometric.data import HeteroData

import gnnrec.nn.conv
from gnnrec.errors import ConfigError
from gnnrec.graph.sharding import Shard
from gnnrec.models.rating_member import RatingMember, Shrinkages
from gnnrec.models.rating_points import Point, Predict, median_cuts, predicted_and_rated
from gnnrec.nn.encoder import EncoderConfig
from gnnrec.options.resolve import check_layer_options, resolve
from gnnrec.options.search_space import Choice, Log, SearchSpace, Uniform
from gnnrec.runtime import seeds
from gnnrec.splits.folds import selection_folds
from gnnrec.training.pretrain import PretrainConfig, pretrain
from gnnrec.training.rating import RatingFinetuneConfig, finetune_ratings
from gnnrec.training.tracking import Tracker
from gnnrec.views import ITEM, USER, TestSet, TrainingData, UserBatch

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
        opinions: whether ratings carry messages, too, from and to the encoder's users; otherwise they are only what it
            predicts, and a user's known ratings move nothing but its bias. With it, `finetune.history_dropout` should
            be below 1, and for users without any rating it did not pay (ML-100K).
        choose_on: users to choose on, at least; where there are fewer validation users, training users are held out in
            turn as well, each time with an encoder of its own. 0 chooses on the validation users alone.
        members: encoders, drawn and trained apart, whose predictions are averaged in the final fit; at least 1.
        predict: which point of a rating's distribution, see `gnnrec.models.rating_points.Point`.
        cut_points: of the median, see `gnnrec.models.rating_points.median_cuts`; `choose` finds them on the validation
            users, and rounds to the nearest value where there are none.
    """

    supports_cold_users = True
    predicts_ratings = True
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
        opinions: bool = False,
        choose_on: int = 300,
        members: int = 1,
        predict: Predict = "mean",
        cut_points: list[float] | Literal["choose"] = "choose",
    ) -> None:
        try:
            self.layer_class = resolve(encoder.layer, gnnrec.nn.conv)
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
        if choose_on < 0 or members < 1:
            raise ValueError(f"choose_on must be at least 0 and members at least 1, got {choose_on} and {members}")
        if cut_points != "choose" and (predict != "median" or cut_points != sorted(cut_points)):
            raise ValueError(
                f"cut_points must ascend, and are for `predict: median` alone, got {cut_points} and {predict}"
            )
        self.encoder_config = encoder.model_copy(update={"layer_options": options})
        self.pretrain_config = pretrain
        self.finetune_config = finetune
        self.shares = shares
        self.user_shrinkage = user_shrinkage
        self.item_shrinkage = item_shrinkage
        self.rater_shrinkage = rater_shrinkage
        self.effect_shrinkage = effect_shrinkage
        self.opinions = opinions
        self.choose_on = choose_on
        self.members = members
        self.predict = predict
        self.cut_points = None if cut_points == "choose" else cut_points
        self.tracker = Tracker()
        self.chosen: dict[str, Any] = {}
        self._shares = dict.fromkeys(PATHS, 0.7) if shares == "choose" else dict(shares)
        self._members: list[RatingMember]

    @property
    def tables(self) -> dict[str, int]:
        """Node type -> rows of its learned table, for the audit."""
        return self._members[0].tables

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Fits biases and effects, pretrains and trains the encoder; see `Recommender.fit`.

        Chosen on the held-out users are the epochs of both stages, the shares of encoder and effects, and the cut
        points of a median.

        Raises:
            ConfigError: the interactions have no values, or a median's do not fit its cut points.
            TrainingError: a loss is not a number.
        """
        self._point = point = Point.of(self.predict, train, self.cut_points, validation)
        cuts = []
        if validation is not None:
            cuts = selection_folds(point.learned(train), point.asked(validation), self.choose_on, seed)
        held_out = [asked for _, asked in cuts]
        with torch.random.fork_rng():
            if cuts:
                self._members = [self._member(part, seed) for part, _ in cuts]
            else:
                self.build(train, seed)
            chosen: dict[str, Any] = self._pretrain(choose=bool(cuts), seed=seed)
            chosen["finetune.epochs"] = finetune_ratings(
                [member.rater for member in self._members],
                [member.block for member in self._members],
                [member.residuals for member in self._members],
                self.finetune_config,
                measure=(lambda: self._measured(held_out)) if cuts else None,
                seed=seed,
                tracker=self.tracker,
            )
        for member in self._members:
            member.precompute()
        if cuts:
            if self.shares == "choose":
                self._shares = chosen["shares"] = self._choose_shares(held_out)
            if self.predict == "median" and self.cut_points is None:
                chosen["cut_points"] = self._choose_cut_points(held_out)
                self._point = Point.of("median", train, chosen["cut_points"], validation)
            self.chosen = chosen
            self._members = self._members[:1]

    def score(self, users: UserBatch) -> Tensor:
        """Predicts every rating: [B, I] float32, within the range of the training values."""
        means = self._means(self._members, self._point.known(users))
        return torch.from_numpy(self._point.read(means)).float()

    def embed(self, users: UserBatch) -> Tensor:
        """[B, D] float32, the vectors of B users from what is known of them; of several members, the first one's."""
        return self._members[0].embed(self._point.known(users))

    def state_dict(self) -> dict[str, Any]:
        """Weights and shares; biases and effects are counted again from the training data."""
        return {
            "weights": [member.rater.state_dict() for member in self._members],
            "shares": dict(self._shares),
            "cut_points": list(self._point.cuts),
        }

    def load_state_dict(self, train: TrainingData, state: Mapping[str, Any]) -> None:
        """Takes the weights of a finished run; `train` must be what that run was fitted on."""
        self.build(train, seed=0)
        self._shares = dict(state["shares"])
        self._point = replace(self._point, cuts=tuple(state.get("cut_points", self._point.cuts)))  # not in older runs
        for member, weights in zip(self._members, state["weights"], strict=True):
            member.rater.load_state_dict(weights)
            member.precompute()

    def build(self, train: TrainingData, seed: int) -> HeteroData:
        """Fits what has a closed form, builds graph and encoders without training; returns the graph, for the audit."""
        self._point = Point.of(self.predict, train, self.cut_points)
        train = self._point.learned(train)
        seeds_of_members = [seed, *(seeds.integer(seed, f"member {j}") for j in range(1, self.members))]
        self._members = [self._member(train, s) for s in seeds_of_members]
        return self._members[0].graph

    def _member(self, train: TrainingData, seed: int) -> RatingMember:
        shrinkages = Shrinkages(self.user_shrinkage, self.item_shrinkage, self.rater_shrinkage, self.effect_shrinkage)
        outputs = None if self.pretrain_config is not None else (USER, ITEM)
        return RatingMember(train, shrinkages, self.encoder_config, self.layer_class, outputs, self.opinions, seed)

    def _means(self, members: Sequence[RatingMember], users: UserBatch) -> np.ndarray:
        """[B, I] float64, the predicted means, within the range of the training values."""
        encoded = torch.stack([member.encoded(users) for member in members]).mean(0)
        added = self._shares["encoder"] * encoded + self._shares["effects"] * members[0].effects(users)
        return (members[0].base(users) + added).clamp(*members[0].range).numpy()

    def _pretrain(self, *, choose: bool, seed: int) -> dict[str, Any]:
        """Pretrains each member; returns the epochs of the first one, if there are any."""
        if self.pretrain_config is None:
            return {}
        prefix, epochs = self.tracker.prefix, []
        for place, member in enumerate(self._members):
            self.tracker.prefix = prefix + (f"{place}/" if place else "")
            epochs.append(
                pretrain(
                    member.rater.encoder,
                    Shard.whole(member.block),
                    member.edges,
                    self.pretrain_config,
                    choose=choose,
                    num_neighbors=None,
                    seed=seed,
                    tracker=self.tracker,
                )
            )
        self.tracker.prefix = prefix
        return {"pretrain.epochs": epochs[0]}

    def _measured(self, held_out: list[TestSet]) -> dict[str, float]:
        """Minus the mean error of the held-out ratings, biases and encoder together, after weights have changed."""
        errors = []
        for member, asked in zip(self._members, held_out, strict=True):
            member.precompute()
            errors.append(_left(member, asked) - _at_target(member.encoded(asked.users), asked))
        error = torch.cat(errors)
        if self.finetune_config.loss == "squared":
            return {"minus squared error": -float(error.square().mean())}
        return {"minus absolute error": -float(error.abs().mean())}

    def _choose_shares(self, held_out: list[TestSet]) -> dict[str, float]:
        """Least squares without negative shares, each user's own mean left out: it is no path's to explain."""
        rows = []
        for member, asked in zip(self._members, held_out, strict=True):
            paths = (member.encoded(asked.users), member.effects(asked.users))
            values = torch.stack([*(_at_target(path, asked) for path in paths), _left(member, asked)])  # [K + 1, E]
            row, users = asked.target.row, len(asked.users)
            count = torch.bincount(row, minlength=users).clamp(min=1)
            mean = torch.zeros(len(values), users, dtype=torch.float64).index_add(1, row, values) / count
            rows.append((values - mean[:, row]).numpy())
        *columns, left = np.concatenate(rows, axis=1)
        shares, _ = nnls(np.stack(columns, axis=1), left)
        return {name: round(float(share), 3) for name, share in zip(PATHS, shares, strict=True)}

    def _choose_cut_points(self, held_out: list[TestSet]) -> list[float]:
        """The cuts with the least absolute error, of the held-out ratings of all cuts together."""
        pairs = [
            predicted_and_rated(functools.partial(self._means, [member]), asked)
            for member, asked in zip(self._members, held_out, strict=True)
        ]
        predicted, rated = np.concatenate(pairs, axis=1)
        return median_cuts(predicted, rated, self._point.values)


def _at_target(values: Tensor, held_out: TestSet) -> Tensor:
    """[E] float64, the values ([B, I]) of the ratings to find."""
    return values[held_out.target.row, held_out.target.node].double()


def _left(member: RatingMember, held_out: TestSet) -> Tensor:
    """[E] float64, what biases leave of the ratings to find."""
    assert held_out.target.weight is not None
    return held_out.target.weight - _at_target(member.base(held_out.users), held_out)
