"""Blend: named recommenders mixed with weights per history-length bucket, chosen on held-out users."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import torch
from pydantic import AfterValidator, BeforeValidator
from scipy.optimize import nnls
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.models.held_out import MixedNDCG
from gnnrec.models.selection import BUCKETS, Fold, by_bucket, fold_models, score_in_batches
from gnnrec.options.resolve import build, complete_options, resolve
from gnnrec.recommender import Recommender
from gnnrec.runtime.devices import CPU
from gnnrec.splits.folds import selection_folds
from gnnrec.splits.kshot import reveal_ground_truth
from gnnrec.training.tracking import Tracker
from gnnrec.views import TestSet, TrainingData, UserBatch

REGISTRY = "gnnrec.models.registry"
GRID = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
"""Weights that are tried."""
LEAST = 0.1
"""Weight that the main component keeps in a ranking."""
SHOTS = (1, 2, 5, 10)
"""Known items of held-out users of whom the split lets nothing be known, to choose the weights of longer histories."""
DEFAULT: Mapping[str, Mapping[str, Any]] = {
    "graphsage": {"class": "GraphSAGE"},
    "regression": {
        "class": "AttributeLinear",
        "regularization": "choose",
        "svd_rank": 64,
        "friends": True,
        "edge_weights": "log",
        "idf": True,
        "normalise": "length",
    },
    "friends": {"class": "NeighbourPopularity", "friends": 1.0, "attributes": 0.0, "popularity": 0.0},
    "item-knn": {"class": "ItemKNN"},
    "denoising": {"class": "DenoisingRegression"},
}
"""Components of a blend that names none."""


def complete_components(components: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The components with every default of their options filled in.

    Raises:
        ValueError: a name cannot be used, a class is missing or unknown, or an option does not fit.
    """
    if not components:
        raise ValueError("name at least one component, for example {graphsage: {class: GraphSAGE}}")
    complete = {}
    for name, options in components.items():
        if "." in name or "/" in name:
            raise ValueError(f"{name!r}: a component's name has no dot and no slash")
        if "class" not in options:
            why = "; `extends` is read in a config file, not in an override" if "extends" in options else ""
            raise ValueError(f"{name}: missing key 'class', for example `class: GraphSAGE`{why}")
        try:
            cls = resolve(str(options["class"]), REGISTRY)
            if cls is Blend:
                raise ConfigError(f"{name}: a blend cannot be a component; name its components instead")
            own = complete_options(cls, {k: v for k, v in options.items() if k != "class"}, at=name)
        except ConfigError as error:
            text = str(error)
            raise ValueError(text if text.startswith(f"{name}: ") else f"{name}: {text}") from None
        complete[name] = {"class": options["class"], **own}
    return complete


def check_weights(weights: Any) -> Any:
    """The weights, whose form is that of `Blend`.

    Raises:
        ValueError: a key is no number of known items, or something else than weights stands there.
    """
    if isinstance(weights, Mapping):
        for least, of in weights.items():
            if not str(least).isdecimal() or not isinstance(of, Mapping):
                raise ValueError(
                    f"{least!r}: {of!r}: give the least number of known items of a bucket, and the weight of each "
                    "component in it, for example {0: {graphsage: 0.7, regression: 0.3}}"
                )
    elif weights != "choose":
        raise ValueError(
            f"{weights!r}: must be choose, or a mapping, for example {{0: {{graphsage: 0.7, regression: 0.3}}}}"
        )
    return weights


Components = Annotated[dict[str, dict[str, Any]], AfterValidator(complete_components)]
Weights: TypeAlias = dict[int, dict[str, float]]
FoldModels: TypeAlias = Mapping[str, Sequence[Recommender]]


class Blend:
    """Mixes the scores of named recommenders; each of them can also be a model, and a row, by itself.

    Of a ranking, each component's scores are scaled to their maximum over the items (of log scores, the exponential;
    negative scores count as 0) and added up with the weights of the user's history-length bucket. A component whose
    scores are all equal for a user leaves the order to the others. Predicted ratings are added up as they are.

    The weights are chosen on held-out users of several folds, each scored by components that were trained without them:
    step by step, the one change of one weight that raises mean NDCG@10 most. The main component is used alone,
    unless all together gain more than twice the standard error of the gain. For ratings, the weights are found by
    least squares. Where nothing is known of the validation users, some of their ground truth is revealed for the
    buckets from 1 on.

    Source: the mixture of several predictors is stacking, Wolpert, "Stacked Generalization", Neural Networks 5 (1992),
        with weights that depend on the length of the history. Differs: greedy weights on a grid, for NDCG.
    Shapes: B users -> [B, I] scores.

    Args:
        components: name -> class and options, as a config's `model` has them.
        main: the component that is used where nothing is gained by mixing; it must score cold users. None: the first.
        weights: least number of known items of a bucket -> component -> weight, together 1; at least 0 for a ranking.
            `choose` picks them on the validation users; without such users, the main component is used alone.
        choose_on: held-out users that a choice is made on, at least; where there are fewer validation users (and
            nothing of their histories is known), training users are held out in turn too, in at most 8 folds in all.
    """

    supports_cold_users = True
    chooses_on_validation = True

    def __init__(
        self,
        *,
        components: Components = DEFAULT,  # type: ignore[assignment]
        main: str | None = None,
        weights: Annotated[dict[int, dict[str, float]] | Literal["choose"], BeforeValidator(check_weights)] = "choose",
        choose_on: int = 300,
    ) -> None:
        self.components = complete_components(components)
        self.models: dict[str, Any] = {name: self._make(name, {}) for name in self.components}
        self.predicts_ratings = all(model.predicts_ratings for model in self.models.values())
        if not self.predicts_ratings and any(model.predicts_ratings for model in self.models.values()):
            names = [name for name, model in self.models.items() if model.predicts_ratings]
            raise ValueError(f"components: {', '.join(names)} predict ratings and the others rank; mix one kind")
        self.main = next(iter(self.components)) if main is None else main
        if self.main not in self.components:
            raise ValueError(f"main: no component is called {main!r}; there are {', '.join(self.components)}")
        if not self.models[self.main].supports_cold_users:
            raise ValueError(f"main: {self.main} cannot score users without known items; name another component")
        if choose_on < 0:
            raise ValueError(f"choose_on must be at least 0, got {choose_on}")
        given = {} if weights == "choose" else {int(least): dict(of) for least, of in weights.items()}
        for least, of in given.items():
            self._check(least, of)
        self.weights = given
        self.choose_weights = weights == "choose"
        self.choose_on = choose_on
        self.trains_in_processes = False
        self.best_params: dict[str, Any] = {}
        self._range = (-np.inf, np.inf)
        self.tracker = Tracker()
        self.placement = CPU

    @property
    def tables(self) -> dict[str, int]:
        """Node type -> rows of a learned table of any component, for the audit."""
        found: dict[str, int] = {}
        for model in self.models.values():
            found |= getattr(model, "tables", {})
        return found

    def build(self, train: TrainingData, seed: int) -> Any:
        """Builds what components build before a fit; returns the first graph, None where no component has one."""
        for model in self.models.values():
            self._hand_on(model)
        graphs = [model.build(train, seed) for model in self.models.values() if hasattr(model, "build")]
        return next((graph for graph in graphs if graph is not None), None)

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Fits the components, and with validation users chooses their options and the weights."""
        self._keep_range(train)
        if validation is None:
            for name, model in self.models.items():
                with self._reporting(name):
                    model.fit(train, None, seed)
            return
        folds = []
        for part, test in selection_folds(train, validation, self.choose_on, seed):
            known = len(test.users.items) > 0
            folds.append(Fold(part, test, test if known else reveal_ground_truth(test, SHOTS, seed)))
        fitted: dict[str, list[Recommender]] = {}
        best: dict[str, dict[str, Any]] = {}
        for name in self.components:
            with self._reporting(name):
                fitted[name] = fold_models(functools.partial(self._renewed, name), folds, seed)
            cls = type(self.models[name])
            params = self.models[name].best_params
            own = {k: v for k, v in self.components[name].items() if k != "class"}
            best[name] = {"class": self.components[name]["class"], **complete_options(cls, {**own, **params})}
        self.best_params = {"components": best}
        if self.choose_weights:
            choose = self._rating_weights if self.predicts_ratings else self._ranking_weights
            self.weights = choose(fitted, folds, seed)
            self.best_params["weights"] = self.weights
        self.models = {name: models[0] for name, models in fitted.items()}

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32; see `Recommender.score`."""
        scores: Tensor = self.models[self.main].score(users)
        for least, rows in by_bucket(users, list(self.weights)):
            used = {name: weight for name, weight in self.weights[least].items() if weight != 0}
            if set(used) == {self.main}:
                continue
            some = users.take(rows)
            parts = {name: scores[rows] if name == self.main else self.models[name].score(some) for name in used}
            if self.predicts_ratings:
                mixed = sum((weight * parts[name] for name, weight in used.items()), torch.zeros(()))
                scores[rows] = mixed.clamp(*self._range)
            else:
                scaled = {name: _scaled(part, self.models[name]) for name, part in parts.items()}
                scores[rows] = sum((weight * scaled[name] for name, weight in used.items()), torch.zeros(()))
        return scores

    def _check(self, least: int, of: Mapping[str, float]) -> None:
        for name in of:
            if name not in self.components:
                known = ", ".join(self.components)
                raise ValueError(f"weights: {least}: no component is called {name!r}; there are {known}")
        total = sum(of.values())
        if not abs(total - 1) <= 1e-6:
            raise ValueError(f"weights: {least}: must sum to 1, but {dict(of)} sum to {total:g}")
        if not self.predicts_ratings and min(of.values()) < 0:
            raise ValueError(f"weights: {least}: must be at least 0 where items are ranked, got {dict(of)}")

    def _make(self, name: str, params: Mapping[str, Any]) -> Any:
        options = {k: v for k, v in self.components[name].items() if k != "class"}
        return build(resolve(str(self.components[name]["class"]), REGISTRY), {**options, **params}, at=name)

    def _renewed(self, name: str, params: Mapping[str, Any]) -> Any:
        """A new model of a component; one without best parameters is kept, since it finds them."""
        model = self._make(name, params)
        if not params:
            self.models[name] = model
        self._hand_on(model)
        return model

    def _hand_on(self, model: Any) -> None:
        """Where to report to and to compute, as this model was told."""
        for name in ("tracker", "placement"):
            if hasattr(model, name):
                setattr(model, name, getattr(self, name))

    @contextmanager
    def _reporting(self, name: str) -> Iterator[None]:
        """While a component is fitted, its stages are reported and checkpointed under its name."""
        before = self.tracker.prefix
        self.tracker.prefix = f"{before}{name}/"
        self._hand_on(self.models[name])
        yield
        self.tracker.prefix = before

    def _keep_range(self, train: TrainingData) -> None:
        values = train.users.items.weight
        if self.predicts_ratings and values is not None:
            self._range = (float(values.min()), float(values.max()))

    def _ranking_weights(
        self, fitted: Mapping[str, Sequence[Recommender]], folds: Sequence[Fold], seed: int
    ) -> Weights:
        """The weights for each bucket that has held-out users."""
        weights: Weights = {}
        for least in BUCKETS:
            sets = [(place, test) for place, fold in enumerate(folds) if (test := _in_bucket(fold, least)) is not None]
            if not sets:
                continue
            names = [name for name in fitted if least > 0 or fitted[name][0].supports_cold_users]
            scaled = {
                name: [_scaled(score_in_batches(models[place], test.users), models[place]) for place, test in sets]
                for name, models in ((name, fitted[name]) for name in names)
            }
            others = [n for n in names if n != self.main and any(_informative(part) for part in scaled[n])]
            measures = [
                MixedNDCG([scaled[n][j] for n in (self.main, *others)], test, test.candidates(folds[place].train), seed)
                for j, (place, test) in enumerate(sets)
            ]

            def measure(shares: Sequence[float], measures: list[MixedNDCG] = measures) -> np.ndarray:
                return np.concatenate([ndcg([1 - sum(shares), *shares]) for ndcg in measures])

            shares = choose_shares(len(others), measure)
            weights[least] = {self.main: 1 - sum(shares), **dict(zip(others, shares, strict=True))}
        return weights

    def _rating_weights(self, fitted: FoldModels, folds: Sequence[Fold], seed: int) -> Weights:
        """Least squares without negative weights but the main one's, each user's own mean left out: it is its bias."""
        others = [name for name in fitted if name != self.main]
        rows = []
        for place, fold in enumerate(folds):
            test = fold.test
            assert test.ground_truth.weight is not None
            row, node = test.ground_truth.row, test.ground_truth.node
            base = score_in_batches(fitted[self.main][place], test.users)[row, node].double()
            added = [score_in_batches(fitted[n][place], test.users)[row, node].double() - base for n in others]
            values = torch.stack([*added, test.ground_truth.weight.double() - base])  # [K + 1, E]
            count = torch.bincount(row, minlength=len(test.users)).clamp(min=1)
            mean = torch.zeros(len(values), len(test.users), dtype=torch.float64).index_add(1, row, values) / count
            rows.append((values - mean[:, row]).numpy())
        *columns, residual = np.concatenate(rows, axis=1)
        found = nnls(np.stack(columns, axis=1), residual)[0] if columns else np.empty(0)
        shares = {name: round(float(share), 3) for name, share in zip(others, found, strict=True)}
        return {0: {self.main: 1 - sum(shares.values()), **shares}}


def _in_bucket(fold: Fold, least: int) -> TestSet | None:
    """The held-out users of a fold in one bucket; None where there are none."""
    test = fold.test if least == 0 else fold.revealed
    rows = dict(by_bucket(test.users)).get(least)
    return None if rows is None else test.take(rows)


def _informative(scaled: Tensor) -> bool:
    """Whether the scores of any user differ between items."""
    return bool((scaled.amax(1) > scaled.amin(1)).any())


def _scaled(scores: Tensor, model: Any) -> Tensor:
    """[B, I] float32 in [0, 1], scaled to each user's maximum; all 0 where no score is above 0."""
    if getattr(model, "log_scores", False):
        return (scores - scores.amax(1, keepdim=True)).exp()
    scores = scores.clamp(min=0)
    return scores / scores.amax(1, keepdim=True).clamp(min=1e-12)


def choose_shares(
    others: int, measure: Callable[[list[float]], np.ndarray], grid: Sequence[float] = GRID
) -> list[float]:
    """Picks the weight of each component but the main one: the one change that raises the mean most, and again.

    The main component is used alone, unless all together gain more than twice the standard error of the gain: of many
    weights that are tried, some are better on the users at hand by luck, even where the attributes mean nothing. Asking
    as much of every single step was too strict: on Last.fm it left the friends out after the regression, which has
    them as features.

    Args:
        others: K, the number of components besides the main one.
        measure: K weights -> [U] value of each held-out user, higher is better.
        grid: weights to try, ascending from 0. Where the others leave too little, a component takes from them in
            proportion, so that the main one keeps a tenth.

    Returns:
        K weights; 0 for a component that does not help, and of all where there is no held-out user to measure.
    """
    alone = [0.0] * others
    values, shares = measure(alone), alone
    if len(values) == 0:
        return alone
    gain = np.zeros_like(values)
    for _ in range(others + 1):
        tried = [_with(shares, place, share) for place in range(others) for share in grid if share != shares[place]]
        measured = [(measure(one) - values, one) for one in tried]
        best, best_shares = max(measured, key=lambda pair: pair[0].mean(), default=(gain, shares))
        if not best.mean() > gain.mean():
            break
        gain, shares = best, best_shares
    return shares if gain.mean() > 2 * gain.std() / np.sqrt(len(gain)) else alone


def _with(shares: Sequence[float], place: int, share: float) -> list[float]:
    """The weights with one replaced, the others cut down where all together would leave the main one too little."""
    others = sum(shares) - shares[place]
    left = 1 - LEAST - share
    kept = 1.0 if others <= left else left / others
    return [share if other == place else round(old * kept, 4) for other, old in enumerate(shares)]
