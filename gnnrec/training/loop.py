"""The one training loop, with early stopping, checkpoints and exact resume."""

import copy
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from gnnrec.errors import TrainingError
from gnnrec.runtime import distributed, seeds
from gnnrec.runtime.devices import CPU, Placement
from gnnrec.training.tracking import Tracker

Measured: TypeAlias = Mapping[str, float | Tensor]
"""Name -> value on held-out data, higher is better; or [B] float64, one value for each held-out user."""


class LoopConfig(BaseModel):
    """How long and how fast a stage trains."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(100, ge=0)
    """Passes over the training users or edges; with validation users, at most this many."""
    learning_rate: float = Field(0.01, gt=0)
    """Step size of AdamW."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay of AdamW."""
    ema_decay: float = Field(0.0, ge=0, lt=1)
    """Decay per step of the running average of the weights that is measured and kept; 0 keeps the last weights."""
    evaluate_every: int = Field(2, ge=1)
    """Epochs between two looks at the validation part."""
    patience: int = Field(10, ge=1)
    """Looks without a better value after which a stage stops."""


def train(
    module: nn.Module,
    losses: Callable[[torch.Generator], Iterator[Tensor]],
    measure: Callable[[], Measured] | None,
    config: LoopConfig,
    stage: str,
    seed: int,
    tracker: Tracker,
    placement: Placement = CPU,
    optimizer_of: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None,
) -> int:
    """Trains a module in place.

    With `measure`, stops once its first value has not risen for `patience` looks and leaves the module in its best
    state; without, runs `epochs` epochs. A stage that was broken off goes on from its checkpoint and ends with the
    same numbers, bit for bit: the state of every source of random numbers is part of it, those of torch's global
    generators included, which dropout draws from.

    Of several processes, each has its own summand of each loss, and all take the same step by the sum of the gradients.
    Each draws its own dropout, from a generator that is seeded anew in each epoch: a checkpoint is the first one's.

    Args:
        module: what to train; parameters that require no gradient stay as they are.
        losses: one epoch, a scalar loss per step; draws from the generator it is handed. Of several processes, each
            yields as often as the others, and the losses of a step are summed.
        measure: name -> value on held-out data, higher is better, the same in each process; None to train for a fixed
            number of epochs. Of one value for each held-out user, an epoch is better than the best one where the mean
            gain is larger than `config.standard_errors` times its standard error.
        config: how long and how fast.
        stage: name of the stage, for checkpoints and messages.
        seed: the run's seed.
        tracker: where to report.
        placement: device of the module, and precision of the losses.
        optimizer_of: makes the optimizer of the parameters; None for AdamW.

    Returns:
        The number of epochs that the module's final state has seen.

    Raises:
        TrainingError: a loss is not a number.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    if optimizer_of is None:
        optimizer_of = functools.partial(torch.optim.AdamW, lr=config.learning_rate, weight_decay=config.weight_decay)
    optimizer = optimizer_of(parameters)
    generator = seeds.generator(seed, stage)
    torch.manual_seed(seeds.integer(seed, f"{stage}/dropout"))
    average = _Average(parameters, config.ema_decay)
    state: dict[str, Any] = {"epoch": 0, "best_epoch": 0, "best_value": None, "best": None, "done": False}
    saved = distributed.from_first(lambda: tracker.load(stage))
    complete = saved is not None and saved["done"]
    if saved is not None:
        module.load_state_dict(saved.pop("module"))
        optimizer.load_state_dict(saved.pop("optimizer"))
        average.load_state_dict(saved.pop("average"))
        generator.set_state(saved.pop("generator"))
        torch.set_rng_state(saved.pop("global"))
        placement.set_rng_state(saved.pop("on_device", None))
        state = saved
    distributed.take_from_first(module)

    def checkpoint() -> None:
        tracker.save(
            stage,
            {
                **state,
                "module": module.state_dict(),
                "optimizer": optimizer.state_dict(),
                "average": average.state_dict(),
                "generator": generator.get_state(),
                "global": torch.get_rng_state(),
                "on_device": placement.rng_state(),
            },
        )

    if measure is not None and state["best_value"] is None:
        module.eval()
        state |= {"best_value": next(iter(measure().values())), "best": copy.deepcopy(module.state_dict())}
    while state["epoch"] < config.epochs and not state["done"]:
        module.train()
        state["epoch"] += 1
        if distributed.count() > 1:
            torch.manual_seed(seeds.integer(seed, f"{stage}/dropout/{state['epoch']}/{distributed.rank()}"))
        steps = placed(losses(generator), placement)
        values: dict[str, float] = {"loss": _epoch(steps, optimizer, average, stage, state["epoch"], config)}
        if measure is not None and state["epoch"] % config.evaluate_every == 0:
            module.eval()
            with average.in_place():
                measured = measure()
                first = next(iter(measured.values()))
                if _better(first, state["best_value"], getattr(config, "standard_errors", 0.0)):
                    best = copy.deepcopy(module.state_dict())
                    state |= {"best_value": first, "best_epoch": state["epoch"], "best": best}
            values |= {name: one if isinstance(one, float) else float(one.mean()) for name, one in measured.items()}
            looks = (state["epoch"] - state["best_epoch"]) // config.evaluate_every
            state["done"] = looks >= config.patience
        tracker.epoch(stage, state["epoch"], config.epochs, values)
        if tracker.due():
            checkpoint()
    if not complete:
        state["done"] = True
        checkpoint()
    module.eval()
    tracker.end_stage(stage)
    if measure is None:
        average.copy_to_parameters()
        return int(state["epoch"])
    module.load_state_dict(state["best"])
    return int(state["best_epoch"])


def _better(value: float | Tensor, best: float | Tensor, errors: float) -> bool:
    """Whether a value is higher; of one for each user, whether the mean gain is larger than so many standard errors.

    Source: Breiman, Friedman, Olshen, Stone, Classification and Regression Trees (1984), section 3.4.3. Differs: the
        standard error is of the paired differences.
    """
    if not isinstance(value, Tensor):
        return bool(value > best)
    gain = value - best
    return len(gain) > 1 and float(gain.mean()) > errors * float(gain.std()) / len(gain) ** 0.5


def placed(losses: Iterator[Tensor], placement: Placement) -> Iterator[Tensor]:
    """The losses, each computed in the precision of the placement; what is done with them is not."""
    while True:
        with placement.autocast():
            loss = next(losses, None)
        if loss is None:
            return
        yield loss


def side_by_side(
    each: Sequence[Callable[[torch.Generator], Iterator[Tensor]]],
) -> Callable[[torch.Generator], Iterator[Tensor]]:
    """One epoch of several modules that share nothing but the steps, so that one early stopping serves all of them.

    Args:
        each: one epoch of each module, a scalar loss per step.

    Returns:
        One epoch of all: the mean loss of each step, over the modules that have one left.
    """

    def epoch(generator: torch.Generator) -> Iterator[Tensor]:
        for step in itertools.zip_longest(*(losses(generator) for losses in each)):
            yield torch.stack([loss for loss in step if loss is not None]).mean()

    return epoch


class _Average:
    """A running average of the weights, which measures better and wavers less than the last weights.

    Source: Polyak, Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control Optim. 1992; with
        exponential decay, and a faster one in the first steps, so that the start is forgotten.
    """

    def __init__(self, parameters: list[nn.Parameter], decay: float) -> None:
        self.parameters = parameters
        self.decay = decay
        self.steps = 0
        self.values = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the weights after one step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.decay else 0.0
        for value, parameter in zip(self.values, self.parameters, strict=True):
            value.lerp_(parameter, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Puts the average in the module's place for a while."""
        last = [p.detach().clone() for p in self.parameters]
        self.copy_to_parameters()
        yield
        self._copy(last)

    def copy_to_parameters(self) -> None:
        """Puts the average in the module's place."""
        self._copy(self.values)

    @torch.no_grad()
    def _copy(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        for value, saved in zip(self.values, state["values"], strict=True):
            value.copy_(saved)


def _epoch(
    losses: Iterator[Tensor],
    optimizer: torch.optim.Optimizer,
    average: _Average,
    stage: str,
    epoch: int,
    config: LoopConfig,
) -> float:
    """One pass; returns the mean loss."""
    total, steps = 0.0, 0
    for loss in losses:
        value = distributed.total(loss.detach())
        if not value.isfinite():
            raise TrainingError(
                f"{stage}: the loss is {value.item()} in epoch {epoch}, step {steps + 1}; lower "
                f"model.{stage}.learning_rate (now {config.learning_rate:g}) or look for huge edge weights"
            )
        optimizer.zero_grad()
        loss.backward()
        distributed.sum_gradients(average.parameters)
        optimizer.step()
        average.update()
        total, steps = total + value.item(), steps + 1
    return total / max(steps, 1)
