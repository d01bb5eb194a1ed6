"""One config -> one result: the whole experiment in one short function."""

import contextlib
import hashlib
import json
import resource
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gnnrec.audit.held_out import audit_held_out
from gnnrec.audit.side_information import audit_side_information
from gnnrec.audit.test_access import TestAccess, record_test_access
from gnnrec.audit.training import audit, audit_graph
from gnnrec.data import load
from gnnrec.data.config import TableData
from gnnrec.errors import ConfigError, InputError, TrainingError
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.evaluation.side_information import side_information
from gnnrec.experiment.card import CARD_TEXT, private_card_text
from gnnrec.experiment.config import MODELS, NamedConfig
from gnnrec.experiment.results import Result, Run, config_checksum, finished_result, read_run, write_result
from gnnrec.models.saving import STRUCTURE
from gnnrec.options.own_code import own_files
from gnnrec.options.resolve import build, changed_options, complete_options, resolve
from gnnrec.runtime import distributed
from gnnrec.runtime.devices import CPU, DeviceName, Placement, place
from gnnrec.runtime.files import LOCK, claimed, replace_file, writing_to
from gnnrec.runtime.threads import threads_for
from gnnrec.runtime.versions import versions
from gnnrec.serving.artifact import MODEL, save
from gnnrec.serving.vocabulary import Vocabulary
from gnnrec.splits import make_split
from gnnrec.splits.controls import shuffle_attributes
from gnnrec.splits.kshot import reveal_each
from gnnrec.splits.parts import TEST, VALIDATION
from gnnrec.splits.split import Split
from gnnrec.training.tracking import Tracker, remove_checkpoints
from gnnrec.views import USER, TestSet, TrainingData

UNFINISHED = "unfinished.json"


def run(config: NamedConfig, folder: Path | None = None, *, progress: bool = False) -> Run:
    """Loads, splits, chooses on validation users, fits again on all but the test users, and evaluates those.

    A finished run in `folder` is read, not made again; one that was broken off goes on from its checkpoints, which hold
    the checksum of all that it computes from. Of several processes, the first one alone looks at the folder and writes
    into it.

    Args:
        config: what to run.
        folder: the run's folder; None writes nothing.
        progress: whether to show progress bars.

    Returns:
        The result, with the values per user.

    Raises:
        InputError: something that a person can mend; the message names it.
    """
    checksum = config_checksum(config.config.model_dump(mode="json"))
    trainer = config.config.trainer
    placement = distributed.start(trainer.devices, place(trainer.device, trainer.precision))
    finished = distributed.from_first(lambda: _finished(config, folder, checksum))
    if finished is not None:
        _tidy_after_kill(finished.folder)
        return finished
    if distributed.rank() > 0:
        folder, progress = None, False
    with contextlib.ExitStack() as stack:
        if folder is not None:
            stack.enter_context(claimed(folder))
            finished = _finished(config, folder, checksum)  # another process may have made it in the meantime
            if finished is not None:
                return finished
            _mark(folder, config, checksum)
        return _run(config, folder, checksum, progress, placement)


def _run(config: NamedConfig, folder: Path | None, checksum: str, progress: bool, placement: Placement) -> Run:
    """Makes the run, in a folder that no other process writes into."""
    plain = config.config.model_dump(mode="json")
    seconds: dict[str, float] = {}
    name = f"{config.name} {config.config.seed}"
    wandb = config.config.tracking.wandb if distributed.rank() == 0 else None
    with Tracker(folder, progress=progress, wandb=wandb, config=plain, name=name) as tracker:
        with _timed(seconds, "load"):
            split = load_split(config)
        files = _own_files_checksum(config)
        there = versions(placement)
        known = map(there.get, ("gnnrec", "torch", "device"))
        about = [checksum, split.dataset.checksum, split.checksum, files, *known]
        tracker.identity = " ".join(map(str, about))

        def record_access(why: str) -> None:
            if folder is not None:
                with writing_to(out := folder.resolve().parents[1]):
                    record_test_access(out, _test_access(config, split, checksum, why))

        measured, seed = config.config.evaluate, config.config.seed
        with threads_for(split.dataset.num_items):
            experiment = _experiment(
                config.model, config.options, split, measured, seed, tracker, placement, seconds, record_access
            )
        checksums = {**experiment.checksums, "config": checksum, **({"files": files} if files else {})}
        if folder is not None:
            vocabulary = Vocabulary.of(split.full, split.dataset.ids[USER], config.config.data)
            index_from = config.config.serve.index_from
            with writing_to(folder):
                checksums["model"] = save(experiment.model, folder / MODEL, vocabulary, index_from=index_from)
        result = Result(
            name=config.name,
            seed=config.config.seed,
            checksums=checksums,
            config=plain if folder is None else config.written(folder),
            **experiment.facts,
        )
        if folder is not None:
            tracker.write_history()
            with writing_to(folder):
                if result.guarantee:
                    replace_file(folder / CARD_TEXT, private_card_text(result.model_dump()).encode())
                write_result(folder, result, experiment.per_user)
                _tidy(folder)
    return Run(result, experiment.per_user, folder)


def fit_and_evaluate(
    split: Split,
    model: str | type,
    options: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    evaluate: EvaluateConfig = EvaluateConfig(),  # noqa: B008  (frozen)
    seed: int = 0,
    device: DeviceName = "auto",
) -> Run:
    """The same experiment without files, for a notebook: on a split that is at hand.

    Args:
        split: from `make_split`.
        model: a class, or a name as a config has it.
        options: of its constructor, in the form that a config has.
        name: row of the table; left out, the class's name.
        evaluate: what is measured.
        seed: source of every random number.
        device: where to train; `auto` takes a GPU where there is one.

    Returns:
        A run, for `metrics_table` and `compare`, with the fitted model.
    """
    cls = resolve(model, MODELS) if isinstance(model, str) else model

    complete = complete_options(cls, options or {})

    def make(best_params: Mapping[str, Any]) -> Any:
        return build(cls, {**complete, **best_params})

    seconds = {"load": 0.0}
    with Tracker() as tracker, threads_for(split.dataset.num_items):
        experiment = _experiment(make, complete, split, evaluate, seed, tracker, place(device), seconds)
    config = {"class": cls.__name__, **complete}
    result = Result(
        name=name or cls.__name__,
        seed=seed,
        checksums={**experiment.checksums, "config": config_checksum({"model": config})},
        config={"seed": seed, "model": config, "evaluate": evaluate.model_dump(mode="json")},
        **experiment.facts,
    )
    return Run(result, experiment.per_user, model=experiment.model)


@dataclass(frozen=True)
class _Experiment:
    """A fitted model, and the facts of its result."""

    model: Any
    per_user: pd.DataFrame
    checksums: dict[str, str]
    facts: dict[str, Any]


def _experiment(
    make: Callable[[Mapping[str, Any]], Any],
    options: Mapping[str, Any],
    split: Split,
    measured: EvaluateConfig,
    seed: int,
    tracker: Tracker,
    placement: Placement,
    seconds: dict[str, float],
    record_access: Callable[[str], None] = lambda why: None,
) -> _Experiment:
    """Chooses on validation users, fits again on all but the test users, and evaluates those.

    `record_access` is called just before the test part is opened, with the reason.
    """
    everyone = split.full.users
    side_information(
        measured.measured, split.full, everyone, measured.groups, everyone.items
    )  # what is missing stops here
    best_params: dict[str, Any] = {}
    with _timed(seconds, "fit"):
        model = make({})
        if getattr(model, "chooses_on_validation", False):
            tracker.prefix = "choose/"
            audited_fit(model, split, split.train, choosing_users(split, measured), tracker, seed, placement)
            best_params = dict(model.best_params)
        tracker.prefix = "final/"
        model = make(best_params)
        record = audited_fit(model, split, split.full, None, tracker, seed, placement)
    if getattr(model, "loaded", None):
        record["pretrained"] = model.loaded
    chosen = changed_options(options, best_params)
    why = f"options chosen on validation users: {chosen}" if chosen else "nothing was left to choose"
    record_access(why)
    split.open_test(why)
    record["asked"] = audit_held_out(split, split.test, split.full, TEST)
    if (split.user_part == TEST).any():
        record["side_information"] = audit_side_information(split.full, split.test)
    with _timed(seconds, "evaluate"):
        evaluation = evaluate(model, split.test, split.candidates(TEST, split.full), measured, seed, split.full)
    tracker.summary({k: v for k, v in evaluation.metrics.items() if v is not None})
    return _Experiment(
        model=model,
        per_user=evaluation.per_user.assign(user=split.dataset.ids[USER][evaluation.per_user["user"]]),
        checksums={
            "data": split.dataset.checksum,
            "split": split.checksum,
            "evaluation": evaluation.checksum,
        },
        facts={
            "metrics": evaluation.metrics,
            "users": evaluation.users,
            "users_without_target": evaluation.users_without_target,
            "seconds": {k: round(v, 3) for k, v in seconds.items()},
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "versions": versions(placement),
            "chosen": chosen,
            "audit": record,
            "guarantee": getattr(model, "guarantee", {}),
            "skipped_rows": split.dataset.skipped_rows,
            "skipped_values": split.dataset.skipped_values,
        },
    )


def load_split(config: NamedConfig) -> Split:
    """The data of a config, split as configured, the test part sealed."""
    dataset = load(config.config.data, config.folder)
    if config.config.shuffle_attributes:
        dataset = shuffle_attributes(dataset, config.config.seed)
    split = make_split(dataset, config.split, config.config.seed)
    if dataset.skipped:
        told = f"{config.name}: left out, since it cannot be read (data.on_bad_row: skip): {dataset.skipped}"
        warnings.warn(told, stacklevel=2)
    users = split.train.users
    if not users.features and not any(len(edges) for edges in users.relations.values()):
        warnings.warn(
            f"{config.name}: no training user has any attribute or friend; unseen users cannot be told apart",
            stacklevel=2,
        )
    return split


def choosing_users(split: Split, measured: EvaluateConfig) -> TestSet:
    """The users that a model chooses on: the validation users, with shots once for each number of them."""
    if measured.shots is None:
        return split.validation
    return reveal_each(split.validation, measured.shots, split.dataset.num_users)


def _test_access(config: NamedConfig, split: Split, checksum: str, why: str) -> TestAccess:
    return TestAccess(
        config=f"{config.folder.name}/{config.name}",
        seed=config.config.seed,
        split_checksum=split.checksum,
        config_checksum=checksum,
        why=why,
    )


def audited_fit(
    model: Any,
    split: Split,
    train: TrainingData,
    validation: TestSet | None,
    tracker: Tracker,
    seed: int,
    placement: Placement = CPU,
) -> dict[str, Any]:
    """Proves that nothing of a held-out user is in what the model is about to see, then fits it.

    Args:
        model: not fitted yet.
        split: what the model may know part of.
        train: `split.train` or `split.full`.
        validation: `split.validation` where the model is to choose on it.
        tracker: where to report.
        seed: the run's seed.
        placement: where to compute.

    Returns:
        What was checked.
    """
    for name, value in (("tracker", tracker), ("placement", placement)):
        if hasattr(model, name):
            setattr(model, name, value)
    if hasattr(model, "build"):
        graph = model.build(train, seed)
        record = audit(split, train, model.tables)
        if graph is not None:
            record["graph"] = audit_graph(graph, split, train)
    else:
        record = audit(split, train)
    if validation is not None:
        audit_held_out(split, split.validation, train, VALIDATION)
        if (split.user_part == VALIDATION).any():
            audit_side_information(train, split.validation)
    try:
        model.fit(train, validation, seed)
    except np.linalg.LinAlgError as error:
        raise TrainingError(
            f"{type(model).__name__}: a system of equations cannot be solved ({error}); raise its penalty or "
            "regularization"
        ) from error
    return record


def _finished(config: NamedConfig, folder: Path | None, checksum: str) -> Run | None:
    """The finished run in a folder, None where there is none.

    Raises:
        ConfigError: it is of another config, or the config's own files have changed since.
    """
    result = None if folder is None else finished_result(folder, checksum)
    if folder is None or result is None:
        return None
    own = isinstance(config.config.data, TableData) or config.config.split.kind == "file"  # others have known checksums
    changed = "data" if own and not same_data(load_split(config), result) else ""
    if result.checksums.get("files", "") != _own_files_checksum(config):
        changed = "pretrained model, or the code of a class of one's own,"
    if changed:
        raise ConfigError(
            f"{folder}: the {changed} has changed since this run; choose another --out, or delete the folder to run it "
            "again"
        )
    return read_run(folder)


def _own_files_checksum(config: NamedConfig) -> str:
    """SHA-256 of the files that a run depends on besides its data: a pretrained model, classes of one's own; or ""."""
    digest, files = hashlib.sha256(), sorted(set(_own_files(config.config.model, config.folder)))
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest() if files else ""


def _own_files(options: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _own_files(value, folder)
        elif key == "pretrained" and value:
            path = folder / value
            yield from (file for file in (path / MODEL / STRUCTURE, path / STRUCTURE) if file.is_file())
        elif key in ("class", "layer", "name") and "." in str(value):  # `name` is that of a decoder
            yield from own_files(resolve(str(value), MODELS))


def same_data(split: Split, result: Result) -> bool:
    """Whether a finished run was made on these data and this split."""
    return split.checksum == result.checksums["split"] and split.dataset.checksum == result.checksums["data"]


def _tidy(folder: Path) -> None:
    """Deletes what a finished run needs no more."""
    remove_checkpoints(folder)
    (folder / UNFINISHED).unlink(missing_ok=True)


def _tidy_after_kill(folder: Path | None) -> None:
    """The same for a run that was killed between its result and its end, which has left its lock."""
    if folder is not None and distributed.rank() == 0 and (folder / LOCK).exists():
        with contextlib.suppress(InputError, OSError), claimed(folder):  # unless somebody is about to do so
            _tidy(folder)


def _mark(folder: Path, config: NamedConfig, checksum: str) -> None:
    """Marks an unfinished folder with its config.

    Raises:
        ConfigError: it is that of a config of the same name in another folder.
    """
    mark, about = folder / UNFINISHED, {"config": checksum, "from": str(config.folder)}
    try:
        there = json.loads(mark.read_text()) if mark.is_file() else about
    except (OSError, ValueError):  # a kill or a full disk has cut it
        there = about
    if there != about and there.get("from") != about["from"]:
        raise ConfigError(
            f"{folder}: holds an unfinished run of another config of that name, from {there.get('from')}; choose "
            "another --out, or delete the folder"
        )
    with writing_to(folder):
        replace_file(mark, json.dumps(about).encode())


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
