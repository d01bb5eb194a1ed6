from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gnnrec.errors import TrainingError
from gnnrec.training import tracking
from gnnrec.training.loop import LoopConfig, train
from gnnrec.training.tracking import Tracker


class StoppedError(Exception):
    """Stands for a kill."""


class KilledAfter(Tracker):
    """Reports as usual and stops the program after some epochs."""

    def __init__(self, folder: Path, epochs: int) -> None:
        super().__init__(folder)
        self.left = epochs

    def epoch(self, *args: Any) -> None:
        super().epoch(*args)
        self.left -= 1
        if self.left < 0:
            raise StoppedError


def regression() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))


def losses_of(module: nn.Module) -> Any:
    def losses(generator: torch.Generator) -> Iterator[Tensor]:
        for _ in range(3):
            x = torch.randn(8, 3, generator=generator)
            yield functional.mse_loss(module(x).squeeze(1), x.sum(1))

    return losses


def fit(tracker: Tracker, epochs: int = 12) -> tuple[nn.Module, int]:
    module = regression()
    x = torch.eye(3)

    def measure() -> dict[str, float]:
        return {"minus loss": -functional.mse_loss(module(x).squeeze(1), x.sum(1)).item()}

    config = LoopConfig(epochs=epochs, learning_rate=0.05, evaluate_every=2, patience=3)
    return module, train(module, losses_of(module), measure, config, "stage", 0, tracker)


@pytest.mark.parametrize("killed_after", [1, 4, 7])
def test_a_killed_stage_goes_on_to_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    monkeypatch.setattr(tracking, "CHECKPOINT_SECONDS", 0.0)
    whole, epochs = fit(Tracker())
    with pytest.raises(StoppedError):
        fit(KilledAfter(tmp_path, killed_after))
    tracker = Tracker(tmp_path)
    resumed, resumed_epochs = fit(tracker)
    assert resumed_epochs == epochs
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    # The killed epoch was reported but not saved, so it stands there once.
    assert [record["epoch"] for record in tracker.history] == list(range(1, len(tracker.history) + 1))


def test_a_finished_stage_is_not_trained_again(tmp_path: Path) -> None:
    first, epochs = fit(Tracker(tmp_path))
    again = KilledAfter(tmp_path, 0)  # would stop at its first epoch
    second, second_epochs = fit(again)
    assert second_epochs == epochs
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())


def test_keeps_the_best_state_and_stops_when_patience_is_out() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    seen: list[float] = []

    def losses(_: torch.Generator) -> Iterator[Tensor]:
        yield -module.weight.sum()  # AdamW moves the weight up by about the learning rate in each epoch

    def measure() -> dict[str, float]:
        seen.append(module.weight.item())
        return {"value": -abs(module.weight.item() - 0.3)}  # best at 0.3

    config = LoopConfig(epochs=100, learning_rate=0.1, evaluate_every=1, patience=4)
    assert train(module, losses, measure, config, "stage", 0, Tracker()) == 3
    assert module.weight.item() == pytest.approx(0.3, abs=0.01)
    assert len(seen) == 1 + 3 + 4  # before the first epoch, up to the best, and as long as patience lasts


def test_a_model_that_only_gets_worse_stays_as_it_was() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 1.0)

    def losses(_: torch.Generator) -> Iterator[Tensor]:
        yield -module.weight.sum()

    def measure() -> dict[str, float]:
        return {"value": -module.weight.item()}

    config = LoopConfig(epochs=10, evaluate_every=1, patience=3)
    assert train(module, losses, measure, config, "stage", 0, Tracker()) == 0
    assert module.weight.item() == 1.0


def test_without_measure_trains_for_the_given_number_of_epochs() -> None:
    module = regression()
    tracker = Tracker()
    config = LoopConfig(epochs=5, patience=1, evaluate_every=1)
    assert train(module, losses_of(module), None, config, "stage", 0, tracker) == 5
    assert [record["epoch"] for record in tracker.history] == [1, 2, 3, 4, 5]


def test_a_loss_that_is_no_number_stops_with_where_and_what_to_do() -> None:
    module = nn.Linear(1, 1)
    count = iter(range(100))

    def losses(_: torch.Generator) -> Iterator[Tensor]:
        for _ in range(2):
            yield module.weight.sum() * (float("nan") if next(count) == 3 else 1.0)

    with pytest.raises(TrainingError, match=r"finetune: the loss is nan in epoch 2, step 2.*lower .*learning_rate"):
        train(module, losses, None, LoopConfig(epochs=3), "finetune", 0, Tracker())


def test_frozen_parameters_stay() -> None:
    module = regression()
    frozen = module[0].weight.requires_grad_(False)
    before, other = frozen.clone(), module[2].weight.clone()
    train(module, losses_of(module), None, LoopConfig(epochs=2, weight_decay=0.5), "stage", 0, Tracker())
    assert torch.equal(frozen, before)
    assert not torch.equal(module[2].weight, other)


def test_the_average_of_the_weights_is_what_is_measured_and_kept() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    last: list[float] = []

    def losses(_: torch.Generator) -> Iterator[Tensor]:
        for _ in range(5):
            yield -module.weight.sum()
            last.append(module.weight.item())

    train(module, losses, None, LoopConfig(epochs=4, learning_rate=0.1, ema_decay=0.9), "stage", 0, Tracker())
    average = 0.0
    for step, weight in enumerate(last, start=1):
        average += (weight - average) * (1 - min(0.9, (1 + step) / (10 + step)))
    assert module.weight.item() == pytest.approx(average, rel=1e-5)
    assert module.weight.item() < last[-1] - 0.1
