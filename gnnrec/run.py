"""One config -> one result: the whole experiment in one short function."""

import importlib.metadata
import platform
import resource
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from gnnrec.audit import audit, audit_graph
from gnnrec.config import NamedConfig
from gnnrec.data import load
from gnnrec.data.dataset import USER
from gnnrec.evaluate import evaluate
from gnnrec.known import Training
from gnnrec.results import Result, Run, config_checksum, finished_result, read_run, write_result
from gnnrec.shuffle import shuffle_attributes
from gnnrec.split import TEST, Split, make_split
from gnnrec.tracking import Tracker

MODEL = "model.pt"
UNFINISHED = "unfinished.sha256"


def run(config: NamedConfig, folder: Path | None = None, *, progress: bool = False) -> Run:
    """Loads, splits, chooses on validation users, fits again on all but the test users, and evaluates those.

    A finished run in `folder` is read, not made again; one that was broken off goes on from its checkpoints.

    Args:
        config: what to run.
        folder: the run's folder; None writes nothing.
        progress: whether to show progress bars.

    Returns:
        The result, with the values per user.

    Raises:
        InputError: something that a person can mend; the message says what.
    """
    checksum = config_checksum(config.config.model_dump(mode="json"))
    if folder is not None and finished_result(folder, checksum) is not None:
        return read_run(folder)
    seed, seconds = config.config.seed, {"load": 0.0, "fit": 0.0, "evaluate": 0.0}
    work = None if folder is None else _claim(folder, checksum)
    plain = config.config.model_dump(mode="json")
    tracking = config.config.tracking.wandb
    with Tracker(work, progress=progress, wandb=tracking, config=plain, name=f"{config.name} {seed}") as tracker:
        with _timed(seconds, "load"):
            split = load_split(config)
        with _timed(seconds, "fit"):
            model = config.model()
            chosen: dict[str, Any] = {}
            if getattr(model, "chooses_on_validation", False):
                tracker.prefix = "choose/"
                _audited_fit(model, split, split.train, tracker, seed)
                chosen = dict(model.chosen)
            tracker.prefix = "final/"
            model = config.model(chosen)
            record = _audited_fit(model, split, split.full, tracker, seed)
        split.open_test(f"options chosen on validation users: {chosen}")
        with _timed(seconds, "evaluate"):
            candidates = split.candidates(TEST, split.full)
            evaluation = evaluate(model, split.test, candidates, config.config.evaluate, seed)
        tracker.summary({k: v for k, v in evaluation.metrics.items() if v is not None})
        per_user = evaluation.per_user.assign(user=split.dataset.ids[USER][evaluation.per_user["user"]])
        result = Result(
            name=config.name,
            seed=seed,
            metrics=evaluation.metrics,
            users=evaluation.users,
            users_without_target=evaluation.users_without_target,
            checksums={
                "data": split.dataset.checksum,
                "split": split.checksum,
                "config": checksum,
                "evaluation": evaluation.checksum,
            },
            seconds={k: round(v, 3) for k, v in seconds.items()},
            peak_rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            versions=versions(),
            chosen=chosen,
            audit=record,
            skipped_rows=split.dataset.skipped_rows,
            config=plain if folder is None else config.written(folder),
        )
        if folder is not None:
            tracker.write_history()
            if hasattr(model, "state_dict"):
                Tracker.write(folder / MODEL, model.state_dict())
            write_result(folder, result, per_user)
            tracker.remove_checkpoints()
            (folder / UNFINISHED).unlink()
    return Run(result, per_user, folder)


def load_split(config: NamedConfig) -> Split:
    """The data of a config, split as it says, the test part sealed."""
    dataset = load(config.config.data, config.folder)
    if config.config.shuffle_attributes:
        dataset = shuffle_attributes(dataset, config.config.seed)
    split = make_split(dataset, config.split, config.config.seed)
    if not any(len(edges) for edges in split.train.users.relations.values()):
        warnings.warn(
            f"{config.name}: no training user has any attribute or friend; unseen users cannot be told apart",
            stacklevel=2,
        )
    return split


def _audited_fit(model: Any, split: Split, train: Training, tracker: Tracker, seed: int) -> dict[str, Any]:
    """Proves that nothing of a held-out user is in what the model is about to see, then fits it."""
    if hasattr(model, "build"):
        model.tracker = tracker
        graph = model.build(train, seed)
        record = {**audit(split, train, model.tables), "graph": audit_graph(graph, split, train)}
    else:
        record = audit(split, train)
    model.fit(train, split.validation if train is split.train else None, seed)
    return record


def versions() -> dict[str, str]:
    """Versions that numbers depend on."""
    found = {"python": platform.python_version(), "threads": str(torch.get_num_threads())}
    for name in ("gnnrec", "torch", "torch-geometric", "numpy", "scipy", "scikit-learn", "implicit", "lightfm-next"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _claim(folder: Path, checksum: str) -> Path:
    """Marks an unfinished folder with its config, so that no other config goes on from its checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / UNFINISHED
    if not mark.is_file() or mark.read_text() != checksum:
        left = list(folder.glob("checkpoint-*"))
        if left:
            warnings.warn(
                f"{folder}: the config has changed since this run was broken off; it starts anew", stacklevel=3
            )
        for path in left:
            path.unlink()
        mark.write_text(checksum)
    return folder


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] += time.perf_counter() - start
