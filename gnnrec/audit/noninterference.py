"""Noninterference: a model must be the same, bit for bit, for other held-out interactions."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from gnnrec.errors import AuditError
from gnnrec.recommender import Recommender
from gnnrec.splits.parts import TRAIN
from gnnrec.splits.split import Split


def audit_noninterference(make: Callable[[Split], Recommender], split: Split, seed: int) -> dict[str, Any]:
    """Fits a model on a split and on the same split with other held-out interactions, and compares scores.

    `audit` checks the inputs of a fit; this compares its results, so it also finds leaks by other ways: a file, a
    cache, or a statistic over all users behind initial vectors or the draws of negatives. It takes two fits, so it is
    for tests and for small data.

    Source: the noninterference of Goguen, Meseguer, Security Policies and Security Models, IEEE S&P 1982.

    Args:
        make: returns a new model, not fitted; its argument is for models that read their data elsewhere.
        split: one that holds out users, without support.
        seed: of both fits.

    Returns:
        What was compared, ready for JSON.

    Raises:
        AuditError: a score differs.
    """
    scores = []
    for one in (split, other_interactions(split)):
        model = make(one)
        model.fit(one.train, None, seed)
        batches = [one.train.users, one.validation.users] if model.supports_cold_users else [one.train.users]
        scores.append([model.score(users) for users in batches])
    for users, before, after in zip(("training", "held-out"), *scores, strict=False):
        differ = (before != after).any(1)
        if differ.any():
            raise AuditError(
                f"audit: the scores of {int(differ.sum())} of {len(differ)} {users} users change with the interactions "
                "of held-out users; the model learned from them"
            )
    return {"compared_scores": sum(score.numel() for score in scores[0])}


def other_interactions(split: Split) -> Split:
    """The same split with other held-out interactions: each item is replaced by the one with the next index."""
    raw = split.dataset.interactions
    moved = torch.where(split.edge_part == TRAIN, raw.item, (raw.item + 1) % split.dataset.num_items)
    return replace(split, dataset=replace(split.dataset, interactions=replace(raw, item=moved)), _opened=[])
