"""Searches the options of a model on validation users within a budget; the test part stays sealed."""

import hashlib
import importlib.metadata
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from gnnrec.data.config import TableData
from gnnrec.errors import ConfigError, InputError
from gnnrec.evaluation.evaluator import evaluate
from gnnrec.evaluation.metrics import higher_is_better
from gnnrec.evaluation.side_information import side_information
from gnnrec.experiment.config import MODELINE, MODELS, NamedConfig, TuningConfig, replace_options
from gnnrec.experiment.results import config_checksum
from gnnrec.experiment.run import audited_fit, choosing_users, load_split
from gnnrec.experiment.study import Proposal, Record, Study
from gnnrec.options.resolve import changed_options, resolve
from gnnrec.options.search_space import SearchSpace, searched, value_of
from gnnrec.runtime.devices import place
from gnnrec.runtime.files import replace_file
from gnnrec.runtime.threads import threads_for
from gnnrec.runtime.versions import versions
from gnnrec.splits.parts import VALIDATION
from gnnrec.splits.split import Split
from gnnrec.training.tracking import Tracker

JOURNAL = "studies.journal"
TUNED = "# Tuned "
"""What the lines that a search adds to a config's head begin with."""


@dataclass(frozen=True)
class Tuned:
    """Where a search has come to.

    Attributes:
        name: of the config.
        metric: that the options were chosen by, on the validation users.
        best: the best trial; None while other workers are at the first trials.
        own: the trial with the config's own options, once there is one.
        trials: how many are finished, failed ones included.
        seconds: of all trials together.
        file: the config with the best options; None where nothing was written.
    """

    name: str
    metric: str
    best: Record | None
    own: Record | None
    trials: int
    seconds: float
    file: Path | None


def tune(
    config: NamedConfig,
    out: Path,
    *,
    budget: TuningConfig | None = None,
    storage: str | Path | None = None,
    seed: int = 0,
    report: Callable[[str], None] = lambda line: None,
) -> Tuned:
    """Makes trials until the budget is spent, and writes the config with the best options and the log of all trials.

    The first trial has the config's own options. Each fits on `split.train` and is measured on `split.validation` by
    the budget's metric. Several processes may do this at once, and a search that was broken off goes on;
    one whose budget is spent is not made again.

    Args:
        config: what to tune. A model without a `search_space` gets one trial.
        out: folder of `<config name>.yaml` and `<config name>.json`.
        budget: left out, that of the config.
        storage: a file or a URL that holds the trials; left out, a file in `out`.
        seed: of the search.
        report: told a line after each trial.

    Raises:
        ConfigError: every trial failed, the storage cannot be used or holds trials on other data, or `out` is the
            folder of the config itself.
    """
    if (out / f"{config.name}.yaml").resolve() == (config.folder / f"{config.name}.yaml").resolve():
        raise ConfigError(f"--out {out}: would overwrite the config that is tuned; choose another folder")
    space = searched(resolve(config.config.model["class"], MODELS), config.config.model)
    budget = budget or config.config.tuning
    metric = budget.metric or config.config.evaluate.plain_names[0]
    if metric not in config.config.evaluate.plain_names:
        raise ConfigError(f"{config.name}: {metric!r} is not measured, so nothing can be chosen by it")
    budget = budget.model_copy(update={"metric": metric})
    study = Study(
        _study_name(config, space, seed, metric),
        storage or out / JOURNAL,
        space=space,
        own={name: value_of(config.config.model, name) for name in space},
        budget=budget if space else budget.model_copy(update={"trials": 1}),
        lower_is_better=higher_is_better(metric) is False,
        seed=seed,
    )
    proposal = study.ask()
    split = None if proposal is None else _load(config, study)
    while proposal is not None:
        assert split is not None
        try:
            record = _attempt(config, split, proposal, metric)
        except BaseException:
            study.give_back(proposal)
            raise
        study.tell(proposal, record)
        report(_line(config, study, record, proposal.trial.number))
        proposal = study.ask()
    return _write(config, study, out, seed)


def _study_name(config: NamedConfig, space: SearchSpace, seed: int, metric: str) -> str:
    """A search goes on only where config, space, seed and metric are the same."""
    searched_for = {name: [type(tried).__name__, asdict(tried)] for name, tried in space.items()}
    checksum = config_checksum(config.config.model_dump(mode="json"))
    text = json.dumps([checksum, searched_for, seed, metric], sort_keys=True)
    return f"{config.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _load(config: NamedConfig, study: Study) -> Split:
    """The split, which must be that of the trials which are there already."""
    split, measured = load_split(config), config.config.evaluate
    everyone = split.train.users
    side_information(
        measured.measured, split.train, everyone, measured.groups, everyone.items
    )  # what is missing stops here
    for name, checksum in (("data", split.dataset.checksum), ("split", split.checksum)):
        known = study.fact(name, checksum)
        if known != checksum:
            raise ConfigError(
                f"{config.name}: the storage holds trials on another {name} (checksum {known[:12]}, this one "
                f"{checksum[:12]}); choose another --storage or --out"
            )
    return split


def _attempt(config: NamedConfig, split: Split, proposal: Proposal, metric: str) -> Record:
    """One trial; an error that a person could mend makes it a failed one."""
    start = time.perf_counter()
    value, chosen, error = None, {}, None
    seed, measured = config.config.seed, config.config.evaluate
    try:
        model = config.model({} if proposal.own else proposal.options)
        validation = choosing_users(split, measured) if getattr(model, "chooses_on_validation", False) else None
        with Tracker() as tracker, threads_for(split.dataset.num_items):
            trainer = config.config.trainer
            placement = place(trainer.device, trainer.precision)
            audited_fit(model, split, split.train, validation, tracker, seed, placement)
        candidates = split.candidates(VALIDATION, split.train)
        evaluation = evaluate(model, split.validation, candidates, measured, seed, split.train)
        value = measured.objective(evaluation.metrics, metric)
        chosen = changed_options(config.options, model.best_params)
        if value is None:
            error = f"{type(model).__name__} cannot score the validation users, so there is nothing to choose by"
    except InputError as failure:
        error = str(failure)
    seconds = round(time.perf_counter() - start, 3)
    return Record(proposal.options, value, seconds, chosen, error, proposal.own)


def _metric(config: NamedConfig, study: Study) -> str:
    """What the options are chosen by, see `EvaluateConfig.objective`."""
    name = str(study.budget.metric)
    return name if config.config.evaluate.shots is None else f"{name}, mean over shots"


def _line(config: NamedConfig, study: Study, record: Record, number: int) -> str:
    """What a trial found, the best so far, and how much of the budget is spent."""
    finished, best = study.finished(), study.best()
    found = "failed" if record.value is None else f"{record.value:.4f}"
    so_far = "" if best is None else f"; best {best.value:.4f} in trial {best.number}"
    spent = f"{len(finished)} of {study.budget.trials} trials, {sum(r.seconds for r in finished):.0f} s"
    return f"{config.name} trial {number}: {_metric(config, study)} {found} in {record.seconds:.1f} s{so_far} ({spent})"


def _write(config: NamedConfig, study: Study, out: Path, seed: int) -> Tuned:
    """Writes the files, again where another worker has finished a trial meanwhile: the last one writes all of them."""
    while True:
        finished, best = study.finished(), study.best()
        own = next((record for record in finished if record.own), None)
        seconds = round(sum(record.seconds for record in finished), 3)
        if best is None and finished and not study.running:
            raise ConfigError(
                f"{config.name}: all {len(finished)} trials failed; the first one: {finished[0].error}. Mend the "
                "config, or start anew with another --storage"
            )
        file = None
        if best is not None:
            file = out / f"{config.name}.yaml"
            out.mkdir(parents=True, exist_ok=True)
            replace_file(file, _config_text(config, study, best, out).encode())
            replace_file(file.with_suffix(".json"), _log_text(config, study, finished, best, seed).encode())
        if len(study.finished()) == len(finished):
            return Tuned(config.name, _metric(config, study), best, own, len(finished), seconds, file)


def _config_text(config: NamedConfig, study: Study, best: Record, out: Path) -> str:
    """The keys of the config and of what it extends, with the best options in their places and where these are from.

    The file extends none: it holds what was tuned, wherever it is moved to and whatever becomes of the bases. What a
    model chooses itself stays open, so that the final run chooses again on its own validation users.
    """
    said = {key: value for key, value in config.said.items() if key not in ("expected", "base")}
    if not best.own:
        said["model"] = replace_options(said["model"], best.options)
    if _has_paths(config) and config.folder != out.resolve():
        said["base"] = os.path.relpath(config.folder, out)
    finished, budget = study.finished(), study.budget
    head = [
        *(line for line in config.head if not line.startswith((TUNED, MODELINE))),  # no schema lies beside this file
        f"{TUNED}on the validation users of seed {config.config.seed}: {_metric(config, study)} {best.value:.4f} in "
        f"trial {best.number} of {len(finished)}, {sum(record.seconds for record in finished):.0f} s in all.",
        f"{TUNED}within {budget.trials} trial{'s' * (budget.trials > 1)} or {budget.minutes:g} minutes, sampler seed "
        f"{study.seed}; study {study.name}, see {config.name}.json.",
    ]
    return config_text(said, head)


def config_text(said: Mapping[str, Any], head: Sequence[str]) -> str:
    """The text of a config file.

    Args:
        said: its keys, without defaults.
        head: the lines of comment it begins with.
    """
    return "\n".join([*head, *(_yaml(key, value) for key, value in said.items())]) + "\n"


def _yaml(key: str, value: Any, indent: str = "") -> str:
    """A key on one line where it fits, as the configs have it; else a mapping with each of its keys so."""
    line = indent + yaml.safe_dump({key: value}, default_flow_style=True, sort_keys=False, width=10**6).strip()[1:-1]
    if len(line) <= 120 or not isinstance(value, dict):
        return line
    return "\n".join([f"{indent}{key}:", *(_yaml(k, v, indent + "  ") for k, v in value.items())])


def _has_paths(config: NamedConfig) -> bool:
    one = config.config
    parts = [one.model, *one.model.get("components", {}).values()]
    return isinstance(one.data, TableData) or one.split.has_paths or any(part.get("pretrained") for part in parts)


def _log_text(config: NamedConfig, study: Study, finished: list[Record], best: Record, seed: int) -> str:
    """The log of all trials as JSON, a line for each."""
    about: Mapping[str, Any] = {
        "best": best.number,
        "budget": study.budget.model_dump(),
        "checksums": {**study.facts, "config": config_checksum(config.config.model_dump(mode="json"))},
        "config": config.name,
        "direction": "minimize" if study.lower_is_better else "maximize",
        "metric": _metric(config, study),
        "sampler_seed": seed,
        "seconds": round(sum(record.seconds for record in finished), 3),
        "seed": config.config.seed,
        "space": {name: f"{type(tried).__name__}{tried.extremes}" for name, tried in study.space.items()},
        "study": study.name,
        "versions": {**versions(), "optuna": importlib.metadata.version("optuna")},
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in about.items()]
    trials = ",\n".join("    " + json.dumps(asdict(record), sort_keys=True) for record in finished)
    return "{\n" + ",\n".join([*lines, f'  "trials": [\n{trials}\n  ]']) + "\n}\n"
