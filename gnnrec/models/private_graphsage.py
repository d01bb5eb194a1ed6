"""GraphSAGE whose every number was learned from noisy sums of clipped contributions of whole users."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch_geometric.nn import SAGEConv

from gnnrec.nn.encoder import Encoder, EncoderConfig
from gnnrec.privacy.accountant import Release, calibrated
from gnnrec.privacy.declared import private_relations
from gnnrec.privacy.guarantee import guarantee
from gnnrec.privacy.moments import Moments, factors, log_popularity, log_ratios, release_moments
from gnnrec.privacy.sums import NoiseSource, generator
from gnnrec.training.private import GradientConfig, PrivateScorer, train_privately
from gnnrec.views import INTERACTS, ITEM, USER, EdgeType, TestSet, TrainingData, UserBatch, reverse


class PrivateGraphSAGE:
    """GraphSAGE under (epsilon, delta)-differential privacy of whole users.

    The guarantee. Let two sets of training users differ in one user, with all its interactions and attribute values.
    Whatever is done with the fitted model, nobody can tell from it which of the two it was fitted on, up to epsilon and
    delta. `fit` is the proof, read from top to bottom: it refuses what is outside (`private_relations`); it then reads
    the training users in two places and no other, `release_moments` (one sum over all users) and `train_privately`
    (`gradients.steps` sums over Poisson samples), each a Gaussian mechanism whose sensitivity is shown there; and
    everything else is arithmetic on what these two released. The accountant composes both.

    What does not exist here, and so cannot leak: tables of users, a graph of the training users, early stopping and
    other choices on validation users (`best_params` stays empty), checkpoints, losses in a log.

    Outside of the guarantee: the options, if they were chosen on these users; the metrics of a run, which are measured
    on its test users; the times that computing takes; and rounding of floating-point noise (Mironov, CCS 2012).

    Source: Abadi et al., CCS 2016; McMahan et al., ICLR 2018; Dwork et al., STOC 2014. Differs: the start is a closed
        form of noisy moments, naive Bayes over attribute values as in `SegmentPopularity`, so that gradients begin near
        the end.
    Shapes: B users -> [B, I] scores, logarithms of unnormalised probabilities.

    Args:
        epsilon: of the whole fit; None adds no noise, guarantees nothing and changes nothing else.
        delta: probability with which the guarantee may fail; well below one over the number of users.
        declared: node types whose ids are public, whoever is among the users: `item`, and those of the attributes.
        attributes: names of the relations from users to read; None for all, which must then be inside the guarantee.
        channels: width of vectors.
        history_clip: interactions of a user that count in full in the moments.
        spread: prior standard deviation of the log-ratio by which a value changes the share of an item.
        strength: what the start's log-ratios are multiplied by, since values go together.
        gradients: the steps of gradient descent; None for the closed form alone.
        moments_share: share of the budget that the moments cost, where there are gradients: the square of the ratio of
            noise multipliers, of the moments alone with all of it to the one that is used.
        noise: where random numbers come from.
    """

    supports_cold_users = True
    predicts_ratings = False
    log_scores = True

    def __init__(
        self,
        *,
        epsilon: Annotated[float, Field(gt=0)] | None = 4.0,
        delta: float = 1e-6,
        declared: tuple[str, ...] = (ITEM,),
        attributes: tuple[str, ...] | None = None,
        channels: int = 8,
        history_clip: float = 10.0,
        spread: float = 0.3,
        strength: float = 0.5,
        gradients: GradientConfig | None = GradientConfig(),  # noqa: B008  (frozen)
        moments_share: float = 0.9,
        noise: NoiseSource = "seed",
    ) -> None:
        if not 0 < delta < 1 or not 0 < moments_share < 1:
            raise ValueError(f"delta and moments_share must lie between 0 and 1, got {delta} and {moments_share}")
        if channels < 1 or not history_clip >= 1 or not spread > 0 or not strength >= 0:
            raise ValueError(
                "channels and history_clip must be at least 1, spread above 0 and strength at least 0, got "
                f"{channels}, {history_clip}, {spread} and {strength}"
            )
        self.epsilon, self.delta, self.declared = epsilon, delta, declared
        self.attributes = attributes
        self.channels, self.history_clip, self.spread, self.strength = channels, history_clip, spread, strength
        self.gradients, self.moments_share, self.noise = gradients, moments_share, noise
        self.best_params: dict[str, Any] = {}
        self.guarantee: dict[str, Any] = {}
        self._values: dict[EdgeType, int]
        self._scorer: PrivateScorer

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON."""
        names = ("epsilon", "delta", "channels", "history_clip", "spread", "strength", "moments_share", "noise")
        gradients = None if self.gradients is None else self.gradients.model_dump(mode="json")
        return {name: getattr(self, name) for name in names} | {
            "declared": list(self.declared),
            "attributes": None if self.attributes is None else list(self.attributes),
            "gradients": gradients,
        }

    def fit(self, train: TrainingData, validation: TestSet | None, seed: int) -> None:
        """Releases moments, starts from them, and descends along noisy gradients; `validation` is not looked at.

        Raises:
            ConfigError: the training data hold something outside of the guarantee, the budget is too small for the
                steps, or Opacus is not installed.
        """
        attributes = private_relations(train, self.attributes, self.declared)
        self._values = values = {t: len(train.ids[t[2]]) for t in attributes}
        releases = self.releases()
        once, steps = releases["moments"], releases.get("gradients")
        moments = release_moments(
            train.users,
            values,
            train.num_items,
            self.history_clip,
            once.noise_multiplier,
            generator(self.noise, seed, "privacy of moments"),
        )
        self._scorer = self._start(moments, values)
        if self.gradients is not None and steps is not None:
            expected = max(self.gradients.sample_rate * moments.users, 1.0)
            random = generator(self.noise, seed, "privacy of gradients")
            train_privately(self._scorer, train.users, self.gradients, steps.noise_multiplier, expected, random)
        self.guarantee = guarantee(releases, self.epsilon, self.delta, self.declared, self.noise)

    def releases(self) -> dict[str, Release]:
        """What a fit releases, with the noise that the budget asks for; it follows from the options alone."""
        steps = self.gradients
        if self.epsilon is None:
            without = {} if steps is None else {"gradients": Release(0.0, steps.sample_rate, steps.steps)}
            return {"moments": Release(0.0), **without}
        alone = calibrated(self.epsilon, self.delta)
        if steps is None:
            return {"moments": Release(alone)}
        once = Release(alone / self.moments_share**0.5)
        rate, number = steps.sample_rate, steps.steps
        found = calibrated(self.epsilon, self.delta, rate, number, (once,))
        return {"moments": once, "gradients": Release(found, rate, number)}

    def _start(self, moments: Moments, values: Mapping[EdgeType, int]) -> PrivateScorer:
        """The closed form of the moments as vectors: layers are the identity, and items send no messages yet."""
        popularity = log_popularity(moments.popularity, moments.noise)
        ratios = self.strength * log_ratios(moments, self.spread)
        value, item = factors(ratios, np.exp(popularity), self.channels)
        scorer = _scorer(values, len(popularity), self.channels)
        encoder, first = scorer.encoder, 0
        with torch.no_grad():
            scorer.popularity.copy_(torch.from_numpy(popularity))
            encoder.table(ITEM).weight.copy_(torch.from_numpy(item))
            for relation in encoder.edge_types:
                scorer.weight(relation).copy_(torch.eye(self.channels) * (relation[0] != ITEM))
            for (_, _, node_type), size in values.items():
                encoder.table(node_type).weight.copy_(torch.from_numpy(value[first : first + size]))
                first += size
        return scorer

    @torch.no_grad()
    def score(self, users: UserBatch) -> Tensor:
        """[B, I] float32, from a user's attribute values and known items alone."""
        scores: Tensor = self._scorer(users)
        return scores

    @torch.no_grad()
    def embed(self, users: UserBatch) -> Tensor:
        """[B, D] vectors of users."""
        return self._scorer.vectors(users)

    def state_dict(self) -> dict[str, Any]:
        """What was fitted: the last weights, the sizes of their tables, and the guarantee. Nothing is of one user."""
        return {"values": self._values, "weights": dict(self._scorer.state_dict()), "guarantee": self.guarantee}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave."""
        self._values, self.guarantee = dict(state["values"]), dict(state["guarantee"])
        self._scorer = _scorer(self._values, len(state["weights"]["popularity"]), self.channels)
        self._scorer.load_state_dict(state["weights"])


def _scorer(values: Mapping[EdgeType, int], num_items: int, channels: int) -> PrivateScorer:
    """A scorer without any numbers yet, on fixed ones: nothing is drawn."""
    relations = [reverse(t) for t in (*values, INTERACTS)]
    counts = {USER: 0, ITEM: num_items, **{t[2]: size for t, size in values.items()}}
    config = EncoderConfig(
        layer_options={"root_weight": False, "bias": False},
        channels=channels,
        layers=1,
        dropout=0,
        regression=0,
        init="random",
    )
    with torch.random.fork_rng(devices=[]):  # its first weights are replaced
        return PrivateScorer(Encoder(counts, relations, config, SAGEConv))
