"""A leak found by its effect: a model must be the same, bit for bit, had the held-out users chosen other items."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from gnnrec.audit.training import AuditError
from gnnrec.recommender import Recommender
from gnnrec.splits.parts import TRAIN
from gnnrec.splits.split import Split


def audit_interference(make: Callable[[Split], Recommender], split: Split, seed: int) -> dict[str, Any]:
    """Fits a model twice, in a world as it is and in one whose held-out users chose other items, and compares scores.

    `audit` reads what a model is given; this reads what the model became, so it also finds what came by another way: a
    file, a cache, a statistic over everyone that initial vectors or the draws of negatives are made from. It takes two
    fits, so it is for tests and for small data.

    Source: the noninterference of Goguen, Meseguer, Security Policies and Security Models, IEEE S&P 1982.

    Args:
        make: gives a new model, fitted on nothing; told the world, for what reads its data elsewhere.
        split: one that holds out users, of whom no item is shown.
        seed: of both fits.

    Returns:
        What was compared, ready for JSON.

    Raises:
        AuditError: a score differs.
    """
    scores = []
    for world in (split, other_choices(split)):
        model = make(world)
        model.fit(world.train, None, seed)
        asked = [world.train.users, world.validation.users] if model.supports_cold_users else [world.train.users]
        scores.append([model.score(users) for users in asked])
    for users, one, other in zip(("training", "held-out"), *scores, strict=False):
        differ = (one != other).any(1)
        if differ.any():
            raise AuditError(
                f"audit: the scores of {int(differ.sum())} of {len(differ)} {users} users change with what held-out "
                "users chose; the model learned from them"
            )
    return {"compared_scores": sum(score.numel() for score in scores[0])}


def other_choices(split: Split) -> Split:
    """The same split of a world in which each held-out user chose other items: each item's neighbour by number."""
    raw = split.dataset.interactions
    moved = torch.where(split.edge_part == TRAIN, raw.item, (raw.item + 1) % split.dataset.num_items)
    return replace(split, dataset=replace(split.dataset, interactions=replace(raw, item=moved)), _opened=[])
