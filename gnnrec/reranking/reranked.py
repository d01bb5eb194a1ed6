"""Reranked: a recommender whose best items are put into another order."""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from gnnrec.errors import ConfigError
from gnnrec.evaluation.metrics.beyond_accuracy import head, shares_of_values
from gnnrec.evaluation.ranking import top
from gnnrec.evaluation.side_information import attribute_weights
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.models.selection import score_in_batches
from gnnrec.options.messages import nearest
from gnnrec.reranking.fair import Fair
from gnnrec.reranking.kind import GRID, ByVectors, Reranking
from gnnrec.reranking.pool import Items, Pool, stretched
from gnnrec.views import ITEM, TestSet, TrainingData, UserBatch

HANDED_ON = ("build", "embed", "loaded", "tables", "trains_in_processes")
"""What a recommender may have, and this one has where its model does."""
BATCH = 256
"""Users whose lists are chosen at once."""


class Reranked:
    """A recommender whose best items are put into another order, so that lists are found, saved and served as others.

    Scores stay those of the model, but within each user's pool the item that comes first gets the highest one, and so
    on. Known and rejected items, and those that are no candidates, are in no pool.

    With `strength: choose`, the largest strength of a grid is taken up to which NDCG@10 of the validation users stays
    within `most_lost` of what it is without: strengths are tried in turn, and the first that loses more ends it.

    Shapes: B users -> [B, I] scores.

    Args:
        model: that scores.
        how: the order.

    Raises:
        ConfigError: the model predicts ratings, of which the order of a list is no part.
    """

    predicts_ratings = False

    def __init__(self, model: Any, how: Reranking) -> None:
        if model.predicts_ratings:
            raise ConfigError(
                f"rerank: {type(model).__name__} predicts ratings, and no list is put into order; leave rerank out, or "
                "take a model that ranks"
            )
        self.model, self.how = model, how
        self.strength = 0.0 if how.strength == "choose" else how.strength
        self.best_params: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name in HANDED_ON:
            return getattr(self.model, name)
        raise AttributeError(f"{type(self).__name__} has no {name}")

    @property
    def supports_cold_users(self) -> bool:
        """As of the model."""
        return bool(self.model.supports_cold_users)

    @property
    def options(self) -> dict[str, Any]:
        """The order as a config has it, and the class of the model, for people to read."""
        how = self.how.model_copy(update={"strength": self.strength})
        return {"class": type(self.model).__name__, "rerank": how.model_dump(mode="json")}

    @property
    def chooses_on_validation(self) -> bool:
        """Whether the model chooses, or the strength is to be chosen."""
        return self.how.strength == "choose" or bool(getattr(self.model, "chooses_on_validation", False))

    @property
    def tracker(self) -> Any:
        """Of the model."""
        return self.model.tracker

    @tracker.setter
    def tracker(self, tracker: Any) -> None:
        self.model.tracker = tracker

    @property
    def placement(self) -> Any:
        """Of the model."""
        return self.model.placement

    @placement.setter
    def placement(self, placement: Any) -> None:
        self.model.placement = placement

    @property
    def update(self) -> Callable[..., None]:
        """As of the model, whose new items can be in lists from then on; there is none where the model has none."""
        taken_in = self.model.update

        def update(train: TrainingData, **how: Any) -> None:
            taken_in(train, **how)
            self.attached(train)

        return update

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Fits the model; with validation users, also chooses the strength where it is to be chosen.

        Raises:
            ConfigError: the way asks for attributes of items, a value of them, or vectors, which are not there.
        """
        self._check(train)
        chooses = getattr(self.model, "chooses_on_validation", False)
        self.model.fit(train, validation if chooses else None, seed)
        self.attached(train)
        self.best_params = dict(self.model.best_params)
        if validation is not None and self.how.strength == "choose":
            self.strength = self._chosen(validation, train, seed)
            self.best_params["rerank"] = self.how.model_copy(update={"strength": self.strength}).model_dump(mode="json")

    def attached(self, train: TrainingData) -> "Reranked":
        """The same, knowing the items of what its model was fitted on; errors as of `fit`."""
        self.candidates, self.items = train.candidates, self._items(train)
        return self

    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32; see `Recommender.score`."""
        return self.score_among(users, self.candidates)

    def score_among(self, users: UserBatch, eligible: Tensor) -> Tensor:
        """The same for lists of other items than the candidates: those of `eligible` ([I] bool) are put in order."""
        return self._reordered(users, self.model.score(users), self.strength, eligible)

    def _chosen(self, validation: TestSet, train: TrainingData, seed: int) -> float:
        score = score_in_batches(self.model, validation.users)
        measure = HeldOutNDCG(validation, validation.candidates(train), seed)
        least = (1 - self.how.most_lost) * float(measure(score).mean())
        found = 0.0
        for strength in GRID:
            rows = torch.arange(len(score)).split(BATCH)
            parts = [(validation.users.take(part), score[part]) for part in rows]
            again = torch.cat([self._reordered(*part, strength, self.candidates) for part in parts])
            if float(measure(again).mean()) < least:
                break
            found = strength
        return found

    def _reordered(self, users: UserBatch, score: Tensor, strength: float, among: Tensor) -> Tensor:
        if strength == 0 or len(users) == 0:
            return score
        eligible = among & ~UserBatch(users.index, users.unranked, {}).history(score.shape[1])
        nobody = torch.zeros_like(users.index)  # equal scores are in an order of chance, the same for all users
        item = top(score, eligible, nobody, min(self.how.pool, score.shape[1]), 0)  # [B, P]
        if self.items.protected is not None:  # the best of these can be shown, also where none is in the pool
            inside = torch.zeros_like(eligible).scatter(1, item.clamp(min=0), True)
            others = top(score, eligible & self.items.protected & ~inside, nobody, self.how.places, 0)
            item = torch.cat([item, others], 1)
        place, listed = item.clamp(min=0), item >= 0
        value = score.gather(1, place).masked_fill(~listed, -torch.inf)
        relevance = stretched(value, listed)
        taste = self._taste(users, score, eligible, item, relevance) if self.how.uses_taste else None
        pool = Pool(item, relevance, users.index, taste)
        chosen = self.how.order(pool, self.items, strength)  # [B, K]
        rest = torch.ones_like(listed).scatter(1, chosen, False)
        order = torch.cat([chosen, rest.nonzero()[:, 1].view(len(item), -1)], 1)  # [B, P]
        ordered, listed = place.gather(1, order), listed.gather(1, order)
        falling = _falling(value)
        changed = score.clone()
        row = torch.arange(len(item))[:, None].expand_as(ordered)
        changed[row[listed], ordered[listed]] = falling[listed]
        return changed

    def _taste(self, users: UserBatch, score: Tensor, eligible: Tensor, item: Tensor, relevance: Tensor) -> csr_array:
        """[B, A], what the model expects.

        Of models whose scores are no logarithms of probabilities, what the user has chosen so far, and of a user who
        has chosen nothing, the best items, weighted by their relevance.
        """
        if getattr(self.model, "log_scores", False):
            chance = score.double().masked_fill(~eligible, -torch.inf).softmax(1).numpy()
            return shares_of_values(csr_array(chance @ self.items.values))
        unknown = torch.bincount(users.items.row, minlength=len(users)) == 0
        row, place = ((item >= 0) & unknown[:, None]).nonzero(as_tuple=True)
        cells = (torch.cat([users.items.row, row]).numpy(), torch.cat([users.items.node, item[row, place]]).numpy())
        weight = np.concatenate([np.ones(len(users.items)), relevance[row, place].double().numpy()])
        history = csr_array((weight, cells), shape=(len(users), len(self.candidates)))
        return shares_of_values(csr_array(history @ self.items.values))

    def _check(self, train: TrainingData) -> None:
        """What the data or the class of the model tell before anything is fitted."""
        by_vectors = isinstance(self.how, ByVectors)
        by_attributes = isinstance(self.how, ByVectors) and self.how.by_attributes
        if by_vectors and not by_attributes and not hasattr(self.model, "item_vectors"):
            self._no_vectors()
        if isinstance(self.how, Fair):
            _protected(self.how, train)
        if attribute_weights(train).shape[1] == 0 and (by_attributes or self.how.uses_values):
            raise ConfigError(
                f"rerank.method: {self.how.method} needs attributes of items, but the data have none; add some "  # type: ignore[attr-defined]
                "(README, 'Your own data'), or take less_popular or plackett_luce, which need none"
            )

    def _no_vectors(self) -> NoReturn:
        raise ConfigError(f"rerank.by: {type(self.model).__name__} has no vectors of items; set it to attributes")

    def _items(self, train: TrainingData) -> Items:
        self._check(train)
        values, vectors = attribute_weights(train), None
        if isinstance(self.how, ByVectors) and not self.how.by_attributes:
            vectors = self.model.item_vectors()
            if vectors is None:
                self._no_vectors()
            vectors = torch.nn.functional.normalize(vectors, dim=1)
        protected = _protected(self.how, train) if isinstance(self.how, Fair) else None
        return Items(shares_of_values(values), train.popularity.float(), vectors, protected)


def _protected(how: Fair, train: TrainingData) -> Tensor:
    """[I] bool."""
    if how.protected == "long_tail":
        return ~head(train.popularity)
    named = {r.name: r for r in train.relations if r.source == ITEM and r.target != ITEM}
    found = torch.zeros(train.num_items, dtype=torch.bool)
    for name, value in how.protected.items():
        if name not in named:
            raise ConfigError(
                f"rerank.protected: {name!r} is no attribute of items.{nearest(name, named)} Allowed: "
                f"{', '.join(named) or 'long_tail alone, items have no attributes'}"
            )
        texts = [str(one) for one in train.ids[named[name].target]]
        if str(value) not in texts:
            raise ConfigError(
                f"rerank.protected: {name}: no item has the value {value!r}.{nearest(str(value), texts)} There are "
                f"{len(texts)}, for example {', '.join(texts[:3])}"
            )
        item, node = named[name].edge_index
        found[item[node == texts.index(str(value))]] = True
    return found


def _falling(value: Tensor) -> Tensor:
    """[B, P], the values of each row as they are, raised by last bits where the next one is not below."""
    falling = value.clone()
    for place in range(value.shape[1] - 2, -1, -1):
        above = torch.nextafter(falling[:, place + 1], torch.full_like(falling[:, 0], torch.inf))
        falling[:, place] = torch.maximum(falling[:, place], above)
    return falling
