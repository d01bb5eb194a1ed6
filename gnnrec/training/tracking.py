"""What a run reports while it trains: progress on the terminal, history and checkpoints in files, Weights & Biases."""

import io
import json
import time
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from gnnrec.errors import ConfigError
from gnnrec.runtime.files import replace_file, writing_to

CHECKPOINT_SECONDS = 5.0


class WandbConfig(BaseModel):
    """Tracking with Weights & Biases."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str
    """Project that the run is shown under."""
    mode: Literal["online", "offline"] = "offline"
    """`offline` needs no network: the run lies in its folder until `wandb sync` sends it."""


class Tracker:
    """Where a training stage reports to. Without a folder it keeps nothing.

    Args:
        folder: the run's folder, for `history.json` and checkpoints; None keeps them out of files.
        progress: whether to show a progress bar on the error stream.
        wandb: settings of Weights & Biases, None for none.
        config: the run's config, shown there.
        name: the run's name, shown in the progress bar and there.

    Attributes:
        identity: checksum of all that a run computes from; it is in each checkpoint, and one with another is not read.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        progress: bool = False,
        wandb: WandbConfig | None = None,
        config: dict[str, Any] | None = None,
        name: str = "",
    ) -> None:
        self.folder = folder
        self.name = name
        self.history: list[dict[str, Any]] = []
        self.prefix = ""
        self.identity = ""
        self._saved_at = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[values]}"),
            console=Console(stderr=True),
            transient=True,
            disable=not progress,
        )
        self._tasks: dict[str, TaskID] = {}
        self._wandb = None if wandb is None else _start_wandb(wandb, folder, config or {}, name)

    def __enter__(self) -> "Tracker":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._wandb is not None:
            self._wandb.finish(exit_code=0 if kind is None else 1)

    def epoch(self, stage: str, epoch: int, total: int, values: dict[str, float]) -> None:
        """Reports one finished epoch of a stage."""
        stage = self.prefix + stage
        self.history.append({"stage": stage, "epoch": epoch, **values})
        if self._wandb is not None:
            self._wandb.log({f"{stage}/{key}": value for key, value in values.items()})
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(f"{self.name} {stage}".strip(), total=total, values="")
        shown = "  ".join(f"{key} {value:.4f}" for key, value in values.items())
        self._progress.update(self._tasks[stage], completed=epoch, values=shown)

    def end_stage(self, stage: str) -> None:
        """Takes a finished stage off the terminal."""
        task = self._tasks.pop(self.prefix + stage, None)
        if task is not None:
            self._progress.remove_task(task)

    def summary(self, values: dict[str, float]) -> None:
        """Reports the final metrics of the run."""
        if self._wandb is not None:
            self._wandb.summary.update(values)

    def due(self) -> bool:
        """Whether it is time for another checkpoint."""
        return self.folder is not None and time.monotonic() - self._saved_at >= CHECKPOINT_SECONDS

    def save(self, stage: str, state: dict[str, Any]) -> None:
        """Writes a stage's checkpoint, whole or not at all."""
        if self.folder is None:
            return
        content = io.BytesIO()
        torch.save({**state, "history": self.history, "identity": self.identity}, content)
        with writing_to(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self._path(stage), content.getvalue())
        self._saved_at = time.monotonic()

    def load(self, stage: str) -> dict[str, Any] | None:
        """The checkpoint of a stage; None where there is none, or, with a warning, none to go on from."""
        path = self._path(stage)
        if self.folder is None or not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            history, identity = state.pop("history"), state.pop("identity")
        except Exception as error:  # whatever a file that was cut, or is none of torch's, raises
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            warnings.warn(f"{path}: is damaged and not used ({reason}); the stage starts anew", stacklevel=2)
            return None
        if identity != self.identity:
            warnings.warn(
                f"{path}: the config or its data have changed since this run was broken off; the stage starts anew",
                stacklevel=2,
            )
            return None
        self.history = history
        return state

    def write_history(self) -> None:
        """Writes `history.json`, one record per epoch, for plots and for a look."""
        if self.folder is not None:
            text = "[\n" + ",\n".join(json.dumps(record) for record in self.history) + "\n]\n"
            with writing_to(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                replace_file(self.folder / "history.json", text.encode())

    def _path(self, stage: str) -> Path:
        name = (self.prefix + stage).replace("/", "-")
        return (self.folder or Path()) / f"checkpoint-{name}.pt"


def remove_checkpoints(folder: Path) -> None:
    """Deletes the checkpoints of a finished run, and what a kill has left of one."""
    for path in (*folder.glob("checkpoint-*.pt*"), *folder.glob(".checkpoint-*.partial")):
        path.unlink(missing_ok=True)


def _start_wandb(settings: WandbConfig, folder: Path | None, config: dict[str, Any], name: str) -> Any:
    try:
        import wandb
    except ModuleNotFoundError:
        raise ConfigError("tracking: the package wandb is missing; pip install 'gnnrec[wandb]'") from None
    directory = folder or Path()
    with writing_to(directory):
        directory.mkdir(parents=True, exist_ok=True)
    try:
        return wandb.init(
            project=settings.project,
            name=name,
            config=config,
            dir=str(directory),
            mode=settings.mode,
            settings=wandb.Settings(silent=True, console="off"),
        )
    except wandb.Error as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(
            f"tracking.wandb: Weights & Biases: {reason}; run `wandb login`, or set tracking.wandb.mode to offline"
        ) from error
