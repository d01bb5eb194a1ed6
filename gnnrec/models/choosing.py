"""Choices on held-out users: how good the members are, and how much the paths beside the encoder should say."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.models.copying import STAGES, Scored, choose_shares, mix
from gnnrec.models.denoising import PENALTIES, path_name
from gnnrec.models.member import REGRESSION, Member, by_stage
from gnnrec.recommender import Recommender
from gnnrec.views import TestSet

REGULARIZATIONS = (0.3, 1.0, 3.0, 10.0, 30.0)
MEASURE = EvaluateConfig(metrics=["ndcg"], at=[10])


def measured(members: Sequence[Member], held_out: Sequence[TestSet], seed: int) -> dict[str, float]:
    """NDCG@10 of the encoders alone, after their weights have changed; see `_pooled`."""
    for member in members:
        member.precompute()
    alone = [Scored(a.users, m.score(a.users, {})) for m, a in zip(members, held_out, strict=True)]
    values = _pooled(alone, members, held_out, seed)
    return {"ndcg@10": float(values.mean())}


def _pooled(
    models: Sequence[Recommender], members: Sequence[Member], held_out: Sequence[TestSet], seed: int
) -> np.ndarray:
    """[U] NDCG@10 of the held-out users of all cuts, each scored by the model that was trained without them."""
    values = [
        evaluate(model, asked, member.part.train.candidates, MEASURE, seed).per_user["ndcg@10"].to_numpy()
        for model, member, asked in zip(models, members, held_out, strict=True)
    ]
    return np.concatenate(values)


def choose_paths(
    members: Sequence[Member], held_out: Sequence[TestSet], regularization: float | Literal["choose"], seed: int
) -> dict[str, Any]:
    """Picks the shares of the paths beside the encoder, and the regularization of the regression.

    Args:
        members: one for each cut, fitted.
        held_out: of each cut, the users that its member was trained without.
        regularization: of the regression, where it is given.
        seed: the run's seed.

    Returns:
        `shares` for each stage at which there are held-out users, and `regularization` if it was to be chosen and there
        is something to regress on.
    """
    chosen: dict[str, Any] = {}
    paths = members[0].useful_paths()
    if REGRESSION in paths and regularization == "choose":
        value: dict[float, float] = {}
        for tried in REGULARIZATIONS:
            scored = []
            for member, asked in zip(members, held_out, strict=True):
                member.regress(tried)
                scored.append(Scored(asked.users, member.choices(asked.users, [REGRESSION])[0]))
            value[tried] = float(_pooled(scored, members, held_out, seed).mean())
        best = max(value, key=lambda r: value[r])
        chosen["regularization"] = best
        for member in members:
            member.regress(best)
    stages = {least for asked in held_out for least, _ in by_stage(asked.users, STAGES)}
    return {**chosen, "shares": {least: _shares(members, held_out, paths, least, seed) for least in sorted(stages)}}


def _shares(
    members: Sequence[Member], held_out: Sequence[TestSet], paths: Sequence[str], least: int, seed: int
) -> dict[str, float]:
    """The shares for users at one stage: with `least` known items, and fewer than at the next stage."""
    at_stage = []
    for member, asked in zip(members, held_out, strict=True):
        rows = dict(by_stage(asked.users, STAGES)).get(least)
        if rows is not None:
            at_stage.append((member, asked.take(rows)))
    if least > 0:
        paths = [*paths, *members[0].history_paths(), _best_denoising(at_stage, least, seed)]
    scores = [member.score(asked.users, {}) for member, asked in at_stage]
    choices = [member.choices(asked.users, paths, least) for member, asked in at_stage]

    def measure(shares: Sequence[float]) -> np.ndarray:
        mixed = [
            Scored(asked.users, mix(score, chosen, shares))
            for (_, asked), score, chosen in zip(at_stage, scores, choices, strict=True)
        ]
        return _pooled(mixed, [member for member, _ in at_stage], [asked for _, asked in at_stage], seed)

    return dict(zip(paths, choose_shares(len(paths), measure), strict=True))


def _best_denoising(at_stage: Sequence[tuple[Member, TestSet]], least: int, seed: int) -> str:
    """The name of the regression from known items whose penalty is best by itself for users at one stage."""
    members, held_out = [member for member, _ in at_stage], [asked for _, asked in at_stage]
    value: dict[str, float] = {}
    for name in map(path_name, PENALTIES):
        scored = [Scored(a.users, m.choices(a.users, [name], least)[0]) for m, a in at_stage]
        value[name] = float(_pooled(scored, members, held_out, seed).mean())
    return max(value, key=lambda name: value[name])
