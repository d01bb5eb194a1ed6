"""Training of a cold-start model, with the epochs chosen on held-out users."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.runtime.devices import Placement
from gnnrec.training.loop import LoopConfig
from gnnrec.training.loop import train as run_stage
from gnnrec.training.tracking import Tracker
from gnnrec.views import TestSet, TrainingData, UserBatch


class FitConfig(LoopConfig):
    """How long and how fast a model trains."""

    batch_users: int = Field(128, ge=1)
    """Users of one step."""


def fit(
    net: nn.Module,
    losses: Callable[[torch.Generator], Iterator[Tensor]],
    score: Callable[[UserBatch], Tensor],
    config: LoopConfig,
    train: TrainingData,
    validation: TestSet | None,
    seed: int,
    tracker: Tracker,
    placement: Placement,
) -> dict[str, Any]:
    """Trains a network in place.

    Args:
        net: on the device of the placement.
        losses: one epoch, a scalar loss per step.
        score: [B, I] scores of users with the weights as they are.
        config: its options under `model.fit`; with validation users, `epochs` is the most of them.
        train: the training users.
        validation: held-out users, whose NDCG@10 the epochs are chosen by; None trains for `config.epochs`.
        seed: the run's seed.
        tracker: where to report.
        placement: where to compute.

    Returns:
        The model's best parameters: empty where nothing was chosen.

    Raises:
        TrainingError: a loss is not a number.
    """
    measure = None
    if validation is not None:
        ndcg = HeldOutNDCG(validation, validation.candidates(train), seed)
        if len(ndcg.prepared[0]):  # else none of them has chosen an item that is ranked
            queries = validation.users

            def measure() -> dict[str, float]:
                return {"ndcg@10": float(ndcg(score(queries)).mean())}

    with torch.random.fork_rng(), placement.deterministic():
        epochs = run_stage(net, losses, measure, config, "fit", seed, tracker, placement)
    return {} if measure is None else {"fit": config.model_copy(update={"epochs": epochs})}
