"""Searches the options of every model of a protocol with one budget, and puts the best ones into its configs.

python -m experiments.tuning                     everything that has not been searched yet
python -m experiments.tuning ml-100k --again     one protocol, whether or not it has been searched
"""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments.protocols import ROOT, TUNING, Protocol
from experiments.reproduce import chosen_protocols, err, missing_data
from gnnrec.config import TuningConfig, read_config, replace_options
from gnnrec.errors import InputError
from gnnrec.results import replace_file
from gnnrec.search_space import has_part
from gnnrec.tune import TUNED, Tuned, config_text, tune

BUDGET = TuningConfig(trials=20, minutes=10)
"""For each model; a trial keeps one core busy, so that ten minutes of trials are five on two cores."""
VARIANTS = {
    "graphsage": "graphsage-no-pretraining",
    "graphsage-shuffled": "graphsage-no-pretraining",
    "graphsage-no-encoder": "graphsage-no-pretraining",
}
"""Config -> the one whose search it takes its options from: they differ in one thing, and in nothing else."""
BY_HAND = "Options chosen on validation users. "
"""What the head of a config says whose options were not searched."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Protocols; left out, all.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Search again where there is a log.")] = False,
    trials: Annotated[int, typer.Option(min=1, help="The most trials of a model.")] = BUDGET.trials,
    minutes: Annotated[float, typer.Option(help="The most minutes of a model's trials, on one core.")] = BUDGET.minutes,
    out: Annotated[Path, typer.Option(help="Folder of the trials; a search that was broken off goes on.")] = Path(
        "runs/tuning"
    ),
) -> None:
    """Tunes every model of the protocols on the validation users of the first seed; test users stay sealed."""
    for protocol in chosen_protocols(names):
        configs = [read_config(path) for path in protocol.configs()]
        if missing := missing_data(configs, local=False):
            err.print(f"{protocol.name}: skipped, no data {missing} on this machine")
            continue
        budget = TuningConfig(trials=trials, minutes=minutes, metric=protocol.main.rpartition("/")[2])
        tune_protocol(protocol, out / protocol.name, budget, again=again)


def tune_protocol(protocol: Protocol, out: Path, budget: TuningConfig, *, again: bool = False) -> None:
    """Searches each model's options, and writes them into the configs and the trials to `experiments/tuning/`.

    Args:
        protocol: which one.
        out: folder of the trials.
        budget: of each model.
        again: also where there is a log; the configs' present options are then the first trial.
    """
    logs = TUNING / protocol.name
    paths = protocol.configs()
    for path in (path for path in paths if path.stem not in VARIANTS):
        log = logs / f"{path.stem}.json"
        if log.is_file() and not again:
            continue
        tuned = tune(read_config(path), out, budget=budget, report=lambda line: err.print(f"{protocol.name} {line}"))
        for same in (p for p in paths if VARIANTS.get(p.stem, p.stem) == path.stem):
            adopt(same, tuned)
        assert tuned.file is not None
        logs.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tuned.file.with_suffix(".json"), log)


def adopt(path: Path, tuned: Tuned) -> None:
    """Writes a search's best options into a config, and where they come from into its head.

    Options of a part that the config leaves out (`pretrain: null`) are left out too.

    Args:
        path: the config.
        tuned: what the search of its own model, or of the one that it is a variant of, has found.
    """
    if tuned.best is None or tuned.file is None:
        raise InputError(f"{tuned.name}: another process is busy with its first trials; wait for it")
    config, found = read_config(path), read_config(tuned.file)
    *about, run = [line.replace(BY_HAND, "") for line in config.head if not line.startswith(TUNED)]
    log = f"{tuned.name}.json"
    where = (TUNING / path.parent.name / log).relative_to(ROOT)
    source = [line.replace(f"see {log}", f"see {where}") for line in found.head if line.startswith(TUNED)]
    model = config.said["model"]
    if not tuned.best.own:
        options = {name: value for name, value in tuned.best.options.items() if has_part(model, name)}
        model = replace_options(model, options)
    replace_file(path, config_text({**config.said, "model": model}, [*about, *source, run]).encode())


if __name__ == "__main__":
    try:
        app()
    except InputError as error:
        err.print(f"error: {error}", markup=False)
        sys.exit(2)
