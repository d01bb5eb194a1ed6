"""Runs every config of every protocol with every seed, keeps the small results, and renders the tables and figures.

python -m experiments.reproduce                     everything; goes on where it was broken off
python -m experiments.reproduce ml-100k --seeds 1   one protocol, its first seed
python -m experiments.reproduce --workers 2         two runs side by side; each run keeps one core busy
python -m experiments.reproduce --ray HOST:PORT     as many side by side as a Ray cluster has cores
python -m experiments.reproduce --quick             a smoke run of every table there is; results are thrown away
python -m experiments.reproduce --render            tables and figures again, from the committed results
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import joblib
import torch
import typer
from rich.console import Console
from threadpoolctl import threadpool_limits

from experiments import encoders, posters
from experiments.budgets import render_budgets
from experiments.figures import draw
from experiments.keep import EXPLAINED, keep
from experiments.numbers import numbers_tex
from experiments.overview import replaced
from experiments.protocols import CONFIGS, FIGURES, PROTOCOLS, RESULTS, TABLES, Protocol
from experiments.quick import TWINS, is_left_out, quick_overrides
from experiments.render import read_kept, reference_lines, render, suspects
from experiments.targets import render_targets
from gnnrec.data.config import NamedData
from gnnrec.data.datasets import source_named
from gnnrec.data.features import missing_file
from gnnrec.data.sources import fetch, find
from gnnrec.errors import DataError, InputError
from gnnrec.experiment.config import NamedConfig, read_config
from gnnrec.experiment.run import run
from gnnrec.runtime.cluster import connected
from gnnrec.serving.artifact import MODEL

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # tables are made on the CPU, so that their digits are the same everywhere
README = Path(__file__).parent / "README.md"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Protocols; left out, all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One seed, one epoch, nothing kept.")] = False,
    only_render: Annotated[bool, typer.Option("--render", help="Run nothing; render from what is kept.")] = False,
    seeds: Annotated[int | None, typer.Option(min=1, help="Only the first so many seeds.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Runs that go side by side, each with one thread.")] = 1,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Runs go to a Ray cluster, as of gnnrec run.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
) -> None:
    """Reproduces the tables and figures of the paper."""
    chosen = chosen_protocols(names)
    if quick:
        there = [protocol for protocol in chosen if protocol.results.is_file() and not is_left_out(protocol.name)]
        chosen = chosen if names else there
        with tempfile.TemporaryDirectory() as folder:
            reproduce(chosen, Path(folder) / "runs", Path(folder) / "results", 1, workers, quick=True)
            render_all(*(Path(folder) / part for part in ("results", "tables", "figures")))
        return
    if not only_render:
        reproduce(chosen, out, RESULTS, seeds, workers, ray)
    kept = render_all(RESULTS, TABLES, FIGURES)
    README.write_text(replaced(README.read_text(), kept))
    for protocol in PROTOCOLS:
        if protocol.name in kept:
            _say_what_is_odd(protocol, kept[protocol.name])


def reproduce(
    protocols: list[Protocol],
    out: Path,
    results: Path,
    seeds: int | None = None,
    workers: int = 1,
    ray: str | None = None,
    *,
    quick: bool = False,
) -> None:
    """Runs the protocols one after the other, and keeps each one's results as it finishes.

    Args:
        protocols: which ones; one without configs, or whose data cannot be had, is skipped with a word.
        out: folder of the runs, `<out>/<protocol>/<config>/<seed>/`; finished runs are not run again.
        results: folder of the result files.
        seeds: only the first so many; None runs all.
        workers: runs that go side by side, each with one thread: numbers do not hang on how many there are.
        ray: address of a cluster that the runs go to instead, see `gnnrec.runtime.cluster.connected`.
        quick: smoke runs, and only of data that is on this machine already; of their saved models, gigabytes in all,
            only the one that a table explains is kept.
    """
    for protocol in protocols:
        started = time.monotonic()
        configs = [read_config(path) for path in protocol.configs()]
        missing = missing_data([*configs, *encoders.sources(encoders.wanted(configs))], local=quick)
        if not configs or missing:
            why = f"no data {missing} on this machine" if missing else f"no configs in {CONFIGS.name}/{protocol.name}"
            err.print(f"{protocol.name}: skipped, {why}")
            continue
        if quick:
            named = [path for path in protocol.configs() if path.stem not in TWINS]
            configs = [read_config(path, quick_overrides(read_config(path))) for path in named]
        if any(posters.wanted(config) for config in configs):
            posters.make()
        configs = _with_files(protocol, configs)
        names = encoders.wanted(configs)
        if names:
            folder = out.parent / "encoders" if quick else encoders.FOLDER
            encoders.make(names, folder, quick=quick, progress=err.is_terminal)
            err.print(f"{protocol.name}: encoders {', '.join(names)} are in {folder}")
            configs = [_from_encoders(config, folder) for config in configs] if quick else configs
        jobs = [(config, seed) for seed in protocol.seeds[:seeds] for config in configs]
        show = err.is_terminal and workers == 1 and ray is None
        folder = (out / protocol.name).resolve()
        calls = [(*job, protocol.main, folder, show, not quick or job[0].name == EXPLAINED) for job in jobs]
        for number, line in enumerate(_lines(calls, workers, ray), start=1):
            err.print(f"{protocol.name} {number} of {len(jobs)}: {line}")
        keep(protocol, out / protocol.name, results / f"{protocol.name}.json")
        err.print(f"{protocol.name}: {len(jobs)} runs, {time.monotonic() - started:.0f} s")


def render_all(results: Path, tables: Path, figures: Path) -> dict[str, dict[str, Any]]:
    """Renders every table and figure that there are results for, and the numbers of the text.

    Returns:
        Protocol -> its results.
    """
    kept = [(p, read_kept(path)) for p in PROTOCOLS if (path := results / f"{p.name}.json").is_file()]
    tables.mkdir(parents=True, exist_ok=True)
    for protocol, content in kept:
        for path, text in render(protocol, content, tables).items():
            path.write_text(text)
    for path, text in {**render_budgets(tables), **render_targets(kept, tables)}.items():
        path.write_text(text)
    (tables / "numbers.tex").write_text(numbers_tex(kept))
    draw(kept, figures)
    return {protocol.name: content for protocol, content in kept}


def _say_what_is_odd(protocol: Protocol, kept: dict[str, Any]) -> None:
    """Reference scores that are not met, and controls that are not where they must be."""
    for met, line in reference_lines(protocol, kept):
        if not met:
            err.print(line)
    for name in suspects(protocol, kept):
        err.print(f"{protocol.name}: the control {name} differs from {protocol.plain} by more than noise")


def _lines(calls: list[tuple[Any, ...]], workers: int, ray: str | None) -> Iterator[str]:
    """Runs all of them, and yields what `_run` says of each one as it finishes."""
    if ray is None:
        yield from joblib.Parallel(workers, return_as="generator_unordered")(joblib.delayed(_run)(*c) for c in calls)
        return
    with connected(ray) as cluster:
        for _, line in cluster.finished(_run, calls, [f"{call[0].name} seed {call[1]}" for call in calls], err.print):
            if isinstance(line, InputError):
                raise line
            yield line


def _run(config: NamedConfig, seed: int, metric: str, out: Path, progress: bool, saved: bool) -> str:
    """Runs one config with one seed and one thread; keeps its saved model or not; returns a line with what came out."""
    torch.set_num_threads(1)
    started = time.monotonic()
    folder = out / config.name / str(seed)
    with threadpool_limits(1):
        result = run(config.with_seed(seed), folder, progress=progress).result
    if not saved:
        shutil.rmtree(folder / MODEL, ignore_errors=True)  # gone already where the run was finished before
    value = result.metrics.get(metric)
    shown = "-" if value is None else f"{value:.4f}"
    return f"{config.name} seed {seed}  {metric} {shown}  ({time.monotonic() - started:.1f} s)"


def missing_data(configs: list[NamedConfig], *, local: bool) -> str:
    """The first data source that cannot be had; empty where all is there.

    Args:
        configs: what needs data.
        local: only what is on this machine already counts as had.
    """
    for config in configs:
        data = config.config.data
        if isinstance(data, NamedData) and {f.key for f in source_named(data.source).files} > find(data.source).keys():
            if local:
                return data.source
            try:
                fetch(data.source, progress=err.is_terminal)
            except DataError:
                return data.source
    return ""


def _from_encoders(config: NamedConfig, folder: Path) -> NamedConfig:
    """The same config with the encoders of another folder."""

    def moved(options: Any) -> Any:
        if not isinstance(options, Mapping):
            return options
        return {k: str(folder / Path(v).name) if k == "pretrained" and v else moved(v) for k, v in options.items()}

    return replace(config, config=config.config.model_copy(update={"model": moved(config.config.model)}))


def _with_files(protocol: Protocol, configs: list[NamedConfig]) -> list[NamedConfig]:
    """The rows whose pictures and vectors are on this machine; a line for each of the others."""
    there = []
    for config in configs:
        missing = missing_file(config.config.data.features, config.folder)
        if missing is None:
            there.append(config)
        else:
            err.print(f"{protocol.name}: {config.name} left out, no {missing} beside its config or under GNNREC_DATA")
    return there


def chosen_protocols(names: list[str] | None) -> list[Protocol]:
    """The protocols of these names; of none, all.

    Raises:
        InputError: there is no such protocol.
    """
    known = {protocol.name: protocol for protocol in PROTOCOLS}
    for name in names or []:
        if name not in known:
            raise InputError(f"no protocol is called {name!r}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(PROTOCOLS)


def start(command: typer.Typer) -> None:
    """Runs a command line; what a person can mend ends it with one line and exit code 2."""
    try:
        command()
    except InputError as error:
        err.print(f"error: {error}", markup=False)
        sys.exit(2)


if __name__ == "__main__":
    start(app)
