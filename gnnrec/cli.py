"""The command line: thin; each command imports what it needs when it is called, so that --help answers at once."""

import json
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from gnnrec.errors import InputError

app = typer.Typer(
    help="Inductive cold-start recommendation on heterogeneous graphs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Data sources: what there is, fetching, counts.", no_args_is_help=True)
app.add_typer(data_app, name="data")
out, err = Console(width=None if sys.stdout.isatty() else 200), Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def main() -> None:
    """Entry point: an error that a person can mend is one line and exit code 2."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    sys.path.insert(0, str(Path.cwd()))  # a layer in a file beside the config can be named
    try:
        app()
    except InputError as error:
        err.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("stopped; the same command goes on from the last checkpoint")
        sys.exit(130)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    if not issubclass(category, DeprecationWarning | FutureWarning | PendingDeprecationWarning):
        err.print(f"warning: {message}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def run(
    arguments: Annotated[list[str], typer.Argument(metavar="CONFIG... [KEY=VALUE...]", help="Configs and overrides.")],
    seeds: Annotated[str | None, typer.Option(help="Seeds, for example 0,1,2; left out, the config's seed.")] = None,
    to: Annotated[Path, typer.Option("--out", help="Folder of the runs.")] = Path("runs"),
    check: Annotated[bool, typer.Option("--check", help="Compare with the config's expected numbers.")] = False,
    as_json: AsJson = False,
) -> None:
    """Runs configs and prints a table. A finished run is not run again; a broken one goes on."""
    from gnnrec.run import run as run_one
    from gnnrec.tables import expected_rows, metrics_table

    configs = _configs(arguments, "gnnrec run configs/ml-100k/graphsage.yaml")
    runs = []
    for config in configs:
        for seed in _seeds(seeds) if seeds is not None else [config.config.seed]:
            one = config.with_seed(seed)
            result = run_one(one, to / one.name / str(seed), progress=err.is_terminal and not as_json)
            runs.append(result)
            if not as_json:
                _report(result)
    table = metrics_table([r.result for r in runs])
    if as_json:
        typer.echo(json.dumps([r.result.model_dump() for r in runs]))
    else:
        out.print(table.rich())
    if check:
        rows = expected_rows(runs, {config.name: config.config.expected for config in configs})
        for row in rows:
            err.print(row.text, markup=False, highlight=False, soft_wrap=True)
        if not all(row.met for row in rows):
            raise typer.Exit(1)


def _configs(arguments: list[str], example: str) -> list[Any]:
    """The configs that arguments name, with the overrides that stand among them."""
    from gnnrec.config import read_config

    overrides = [a for a in arguments if "=" in a and not Path(a).is_file()]
    configs = [read_config(Path(a), overrides) for a in arguments if a not in overrides]
    if not configs:
        raise InputError(f"no config is given; for example: {example}")
    names = [config.name for config in configs]
    if len(set(names)) < len(names):
        raise InputError(f"two configs are called {max(names, key=names.count)}; what is written has a config's name")
    return configs


def _report(run: Any) -> None:
    result = run.result
    shown = "  ".join(f"{k} {'-' if v is None else f'{v:.4f}'}" for k, v in list(result.metrics.items())[:3])
    err.print(f"{result.name} seed {result.seed}: {shown}  ({sum(result.seconds.values()):.1f} s)", highlight=False)


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--seeds: {text!r} is no list of whole numbers; write for example --seeds 0,1,2") from None
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds: {text!r}; each seed must be at least 0 and stand there once")
    return seeds


@app.command()
def tune(
    arguments: Annotated[list[str], typer.Argument(metavar="CONFIG... [KEY=VALUE...]", help="Configs and overrides.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Most trials; left out, tuning.trials.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Most minutes; left out, tuning.minutes.")] = None,
    to: Annotated[Path, typer.Option("--out", help="Folder of the tuned configs and of the logs.")] = Path("tuned"),
    storage: Annotated[
        str | None, typer.Option(help="File or Optuna URL of the trials, for several workers; left out, one in --out.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Searches options on validation users within a budget; the test part stays sealed. A broken search goes on."""
    from gnnrec.tune import tune as tune_one

    if minutes is not None and not minutes > 0:
        raise InputError(f"--minutes: must be above 0, got {minutes:g}")
    given = {"trials": trials, "minutes": minutes}
    rows = []
    for config in _configs(arguments, "gnnrec tune configs/ml-100k/als-mean.yaml"):
        budget = config.config.tuning.model_copy(update={k: v for k, v in given.items() if v is not None})
        found = tune_one(config, to, budget=budget, storage=storage, seed=seed, report=_say)
        if found.file is None:
            _say(f"{config.name}: other workers have taken all trials; the last one writes the files")
        rows.append(found)
    if as_json:
        typer.echo(json.dumps([{**asdict(row), "file": row.file and str(row.file)} for row in rows]))
        return
    table = Table("config", "metric", "own options", "best", "trial", "trials", "seconds", "file")
    for row in rows:
        own, best = ("-" if r is None or r.value is None else f"{r.value:.4f}" for r in (row.own, row.best))
        number = "-" if row.best is None else str(row.best.number)
        table.add_row(
            row.name, row.metric, own, best, number, str(row.trials), f"{row.seconds:.0f}", str(row.file or "-")
        )
    out.print(table)


def _say(line: str) -> None:
    err.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, or folders that hold some.")],
    reference: Annotated[
        str | None, typer.Option(help="Name of the model to compare with; left out, the first.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Metric to compare by; left out, the first one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Shows runs side by side, with paired confidence intervals and Holm-corrected p-values."""
    from gnnrec.results import find_runs, read_run
    from gnnrec.tables import compare as compare_runs

    table = compare_runs([read_run(folder) for folder in find_runs(runs)], reference=reference, metric=metric)
    if as_json:
        typer.echo(json.dumps(table.rows))
    else:
        out.print(table.rich())


@app.command()
def recommend(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    user: Annotated[str, typer.Option(help='The user as JSON, for example \'{"age": 25, "gender": "F"}\'.')] = "{}",
    items: Annotated[str, typer.Option(help="Ids of items the user has chosen already, for example 50,181.")] = "",
    number: Annotated[int, typer.Option("-k", min=1, help="Length of the list.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Recommends items to a user who stands in no file."""
    from gnnrec.profile import parse
    from gnnrec.serve import RECALL_AT, RECALL_OF, load_run, recommend_to

    profile = parse(user)
    served = load_run(run_folder)
    chosen = [item.strip() for item in items.split(",") if item.strip()]
    rows, notes = recommend_to(served, profile, chosen, number)
    for note in notes:
        err.print(f"warning: {note}", markup=False, highlight=False, soft_wrap=True)
    if served.index is not None:
        found = f"it finds {served.index.recall:.0%} of the best {RECALL_AT} for {RECALL_OF} training users"
        err.print(f"an index of {len(served.index.items)} items was asked; {found}", highlight=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps({"items": rows, "warnings": notes}))
        return
    table = Table("rank", "item", "title", "score")
    for row in rows:
        table.add_row(str(row["rank"]), row["item"], row["title"], f"{row['score']:.3f}")
    out.print(table)


@data_app.command("list")
def data_list(as_json: AsJson = False) -> None:
    """Lists the data sources, their size, licence and origin."""
    from gnnrec.data.describe import list_sources

    rows = list_sources()
    if as_json:
        typer.echo(json.dumps(rows))
        return
    columns = ("name", "title", "size", "terms", "from", "here")
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    out.print(table)


@data_app.command("fetch")
def data_fetch(name: Annotated[str, typer.Argument(help="A source of `gnnrec data list`.")]) -> None:
    """Fetches a data set's files and checks their checksums."""
    from gnnrec.data.sources import fetch

    for file, path in fetch(name, progress=err.is_terminal).items():
        typer.echo(f"{file}: {path}")


@data_app.command("describe")
def data_describe(
    name: Annotated[str, typer.Argument(help="A source of `gnnrec data list`, or a config whose data to describe.")],
    as_json: AsJson = False,
) -> None:
    """Shows counts, attributes, degrees, licence, and how far popularity alone goes."""
    from gnnrec.config import read_config
    from gnnrec.data import load
    from gnnrec.data.config import NamedData
    from gnnrec.data.describe import describe, describe_text
    from gnnrec.data.sources import source_named

    if Path(name).suffix in (".yaml", ".yml"):
        config = read_config(Path(name))
        dataset = load(config.config.data, config.folder)
    else:
        dataset = load(NamedData(source=source_named(name).name))
    facts = describe(dataset)
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        out.print(describe_text(facts))


@app.command()
def layers(as_json: AsJson = False) -> None:
    """Lists the layers that a config can name."""
    from gnnrec.resolve import available_layers

    rows = available_layers()
    if as_json:
        typer.echo(json.dumps([row._asdict() for row in rows]))
        return
    table = Table("layer", "what it is")
    for row in rows:
        table.add_row(row.name, row.summary)
    out.print(table)


@app.command("check-layer")
def check_layer(
    name: Annotated[str, typer.Argument(help="A layer, for example my_package.my_file.MyConv.")],
    options: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE...]", help="Options of the layer.")] = None,
    as_json: AsJson = False,
) -> None:
    """Checks that a layer keeps the contract; exit code 1 when a check fails."""
    from omegaconf import OmegaConf

    import gnnrec.layers
    from gnnrec.resolve import resolve
    from gnnrec.testing import check_layer as check

    layer = resolve(name, gnnrec.layers)
    plain = OmegaConf.to_container(OmegaConf.from_dotlist(options or []))
    assert isinstance(plain, dict)
    checks = check(layer, {str(key): value for key, value in plain.items()})
    if as_json:
        typer.echo(json.dumps([c._asdict() if hasattr(c, "_asdict") else vars(c) for c in checks]))
    else:
        table = Table("check", "result", "what was found")
        for one in checks:
            table.add_row(one.name, "passed" if one.passed else "[bold red]FAILED[/]", one.message)
        out.print(table)
    if not all(one.passed for one in checks):
        raise typer.Exit(1)
