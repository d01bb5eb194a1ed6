"""Searches the options of every model of a protocol with one budget, and puts the best ones into its configs.

python -m experiments.tuning                     everything that has not been searched yet
python -m experiments.tuning ml-100k --again     one protocol, whether or not it has been searched
python -m experiments.tuning --adopt             searches nothing; the logs' options go into the configs
"""

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from experiments.protocols import ROOT, TUNING, Protocol
from experiments.reproduce import chosen_protocols, err, missing_data, start
from gnnrec.errors import InputError
from gnnrec.experiment.config import TuningConfig, read_config, replace_options
from gnnrec.experiment.extends import BASE_PREFIX, EXTENDS
from gnnrec.experiment.tune import TUNED, config_text, tune
from gnnrec.options.search_space import has_part
from gnnrec.runtime.files import replace_file

BUDGET = TuningConfig(trials=20, minutes=10)
"""For each model; a trial keeps one core busy, so that ten minutes of trials are five on two cores."""
FIXED = (
    *("item-mean", "biases", "biases-zero"),
    *("friends-one-hop", "tag-cosine", "tag-neighbourhood", "mixed-neighbourhood"),
    *("graphsage-default", "graphsage-layers", "graphsage-regression", "regression", "denoising"),
    *("central", "ten-percent"),
)
"""Configs whose options are not searched: reference scores as they were computed, the graph model as it comes, what
chooses its only option itself, and rounds of clients, which were all tried with the same settings
(`experiments.exploratory.federated`). Blends and rows that extend another row have nothing of their own to search."""
BY_HAND = "# Options chosen on validation users."
"""The line at the head of a config whose options were not searched."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Protocols; left out, all.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Search again where there is a log.")] = False,
    adopt: Annotated[bool, typer.Option("--adopt", help="Search nothing; take the logs' options.")] = False,
    trials: Annotated[int, typer.Option(min=1, help="The most trials of a model.")] = BUDGET.trials,
    minutes: Annotated[float, typer.Option(help="The most minutes of a model's trials, on one core.")] = BUDGET.minutes,
    out: Annotated[Path, typer.Option(help="Folder of the trials; a search that was broken off goes on.")] = Path(
        "runs/tuning"
    ),
) -> None:
    """Tunes every model of the protocols on the validation users of the first seed; test users stay sealed."""
    for protocol in chosen_protocols(names):
        if protocol.reference or not protocol.searched:
            continue
        if adopt:
            adopt_options(protocol)
            continue
        configs = [read_config(path) for path in protocol.configs()]
        if missing := missing_data(configs, local=False):
            err.print(f"{protocol.name}: skipped, no data {missing} on this machine")
            continue
        budget = TuningConfig(trials=trials, minutes=minutes, metric=protocol.main.rpartition("/")[2])
        tune_protocol(protocol, out / protocol.name, budget, again=again)


def tune_protocol(protocol: Protocol, out: Path, budget: TuningConfig, *, again: bool = False) -> None:
    """Searches each model's options, writes the trials to `experiments/tuning/` and the best options into the configs.

    Args:
        protocol: which one; a model that `options_from` has a log of is not searched.
        out: folder of the trials.
        budget: of each model.
        again: also where there is a log; the configs' present options are then the first trial.
    """
    for path in filter(is_searched, protocol.configs()):
        log = log_of(path, protocol)
        if log == TUNING / protocol.name / f"{path.stem}.json" and (again or not log.is_file()):
            report = partial(_say, protocol.name)
            tuned = tune(read_config(path), out, budget=budget, report=report)
            if tuned.file is None:
                raise InputError(f"{protocol.name}: another process is busy with {path.stem}; wait for it")
            log.parent.mkdir(parents=True, exist_ok=True)
            replace_file(log, tuned.file.with_suffix(".json").read_bytes())
    adopt_options(protocol)


def adopt_options(protocol: Protocol) -> None:
    """Writes the best options of the logs there are into the protocol's configs."""
    for path in filter(is_searched, protocol.configs()):
        log = log_of(path, protocol)
        if log.is_file():
            replace_file(path, adopted(path, log).encode())


def is_searched(path: Path) -> bool:
    """Whether a config has options of its own to search: no blend, and no row that extends another row."""
    own = read_config(path).own
    bases = own.get(EXTENDS, ())
    bases = [bases] if isinstance(bases, str) else bases
    of_rows = any(not Path(base).name.startswith(BASE_PREFIX) for base in bases)
    return path.stem not in FIXED and not of_rows and own.get("model", {}).get("class") != "Blend"


def log_of(path: Path, protocol: Protocol) -> Path:
    """The log of the search of a config's options, perhaps that of another protocol on the same data."""
    name = path.stem + ".json"
    elsewhere = TUNING / protocol.options_from / name
    return elsewhere if protocol.options_from and elsewhere.is_file() else TUNING / protocol.name / name


def adopted(path: Path, log: Path) -> str:
    """The text of a config with the best options of a search in it, and where they come from in its head.

    The config goes on extending what it extended, and its own keys stay the only ones it has. Options of a part that
    it leaves out (`pretrain: null`) are left out too.

    Args:
        path: the config.
        log: the trials of its model.
    """
    config, found = read_config(path), json.loads(log.read_text())
    best = next(trial for trial in found["trials"] if trial["number"] == found["best"])
    options = {name: value for name, value in best["options"].items() if has_part(config.config.model, name)}
    model = replace_options(config.own.get("model", {}), options)
    about = [line for line in config.head if not line.startswith((TUNED, BY_HAND))]
    source = (
        f"{TUNED}on the validation users of seed {found['seed']}: {found['metric']} {best['value']:.4f} in trial "
        f"{best['number']} of {len(found['trials'])}, see {log.relative_to(ROOT)}."
    )
    return config_text({**config.own, "model": model}, [*about, source])


def _say(protocol: str, line: str) -> None:
    err.print(f"{protocol} {line}")


if __name__ == "__main__":
    start(app)
