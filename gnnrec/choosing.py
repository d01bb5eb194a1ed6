"""Choices on held-out users: how good the members are, and how much the paths beside the encoder should say."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor

from gnnrec.copying import Mixed, choose_shares
from gnnrec.evaluate import EvaluateConfig, evaluate
from gnnrec.graph import INTERACTS
from gnnrec.known import HeldOut
from gnnrec.member import REGRESSION, Member
from gnnrec.recommender import Recommender

REGULARIZATIONS = (0.3, 1.0, 3.0, 10.0, 30.0)
MEASURE = EvaluateConfig(metrics=["ndcg"], at=[10])


class _Alone:
    """A member as a recommender, its encoder alone."""

    scores_unseen_users = True
    predicts_values = False

    def __init__(self, member: Member) -> None:
        self.chosen: dict[str, Any] = {}
        self._member = member

    def fit(self, train: Any, validation: HeldOut | None, seed: int) -> None:
        """It is fitted."""

    def score(self, users: Any) -> Tensor:
        """[B, I] float32."""
        return self._member.score(users, {})


def measured(members: Sequence[Member], held_out: Sequence[HeldOut], seed: int) -> dict[str, float]:
    """NDCG@10 of the encoders alone, after their weights have changed; see `_pooled`."""
    for member in members:
        member.remember()
    values = _pooled([_Alone(member) for member in members], members, held_out, seed)
    return {"ndcg@10": float(values.mean())}


def _pooled(
    models: Sequence[Recommender], members: Sequence[Member], held_out: Sequence[HeldOut], seed: int
) -> np.ndarray:
    """[U] NDCG@10 of the held-out users of all cuts, each scored by the model that was trained without them."""
    values = [
        evaluate(model, asked, member.part.train.candidates, MEASURE, seed).per_user["ndcg@10"].to_numpy()
        for model, member, asked in zip(models, members, held_out, strict=True)
    ]
    return np.concatenate(values)


def choose_paths(
    members: Sequence[Member], held_out: Sequence[HeldOut], regularization: float | Literal["choose"], seed: int
) -> dict[str, Any]:
    """Picks the shares of the paths beside the encoder, and the regularization of the regression.

    Args:
        members: one for each cut, fitted.
        held_out: of each cut, the users that its member was trained without.
        regularization: of the regression, where it is given.
        seed: the run's seed.

    Returns:
        `shares`, and `regularization` if it was to be chosen and there is something to regress on.
    """
    chosen: dict[str, Any] = {}
    users = [asked.users for asked in held_out]
    scores = [member.score(u, {}) for member, u in zip(members, users, strict=True)]

    def choices(paths: Sequence[str]) -> list[Tensor]:
        return [member.choices(u, paths) for member, u in zip(members, users, strict=True)]

    def measure(choices: Sequence[Tensor], shares: Sequence[float]) -> np.ndarray:
        mixed = [Mixed(u, score, c, shares) for u, score, c in zip(users, scores, choices, strict=True)]
        return _pooled(mixed, members, held_out, seed)

    paths = members[0].useful_paths()
    if REGRESSION in paths and regularization == "choose":
        value: dict[float, float] = {}
        for tried in REGULARIZATIONS:
            for member in members:
                member.regress(tried)
            value[tried] = float(measure(choices([REGRESSION]), [1.0]).mean())
        best = max(value, key=lambda r: value[r])
        chosen["regularization"] = best
        for member in members:
            member.regress(best)
    if len(users[0].items):
        paths.append(INTERACTS[1])
    of_paths = choices(paths)
    shares = choose_shares(len(paths), lambda tried: measure(of_paths, tried))
    return {**chosen, "shares": dict(zip(paths, shares, strict=True))}
