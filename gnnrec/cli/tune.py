"""`gnnrec tune`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from gnnrec.cli.arguments import config_paths, each, refuse_namesakes
from gnnrec.cli.cluster import OnRay, on_cluster
from gnnrec.cli.console import AsJson, line, out
from gnnrec.errors import InputError


def tune(
    arguments: Annotated[list[str], typer.Argument(metavar="CONFIG... [KEY=VALUE...]", help="Configs and overrides.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Most trials; left out, tuning.trials.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Most minutes; left out, tuning.minutes.")] = None,
    to: Annotated[Path, typer.Option("--out", help="Folder of the tuned configs and of the logs.")] = Path("tuned"),
    storage: Annotated[
        str | None, typer.Option(help="File or Optuna URL of the trials, for several workers; left out, one in --out.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    ray: OnRay = None,
    as_json: AsJson = False,
) -> None:
    """Searches options on validation users within a budget; the test part stays sealed. A broken search goes on.

    The tuned config holds what its config extended, so that it is complete by itself.
    """
    from gnnrec.experiment.config import read_config
    from gnnrec.experiment.tune import tune as tune_one

    if minutes is not None and not minutes > 0:
        raise InputError(f"--minutes: must be above 0, got {minutes:g}")
    given = {"trials": trials, "minutes": minutes}
    paths, overrides = config_paths(arguments, "gnnrec tune configs/ml-100k/als-mean.yaml")
    configs, all_read = each(paths, lambda path: read_config(path, overrides), str)
    refuse_namesakes(configs)

    def budget_of(config: Any) -> Any:
        return config.config.tuning.model_copy(update={k: v for k, v in given.items() if v is not None})

    def search(config: Any) -> Any:
        found = tune_one(config, to, budget=budget_of(config), storage=storage, seed=seed, report=line)
        if found.file is None:
            line(f"{config.name}: other workers have taken all trials; the last one writes the files")
        return found

    if ray is None:
        rows, all_tuned = each(configs, search, lambda config: str(config.name))
    else:
        where = storage if storage is None or "://" in storage else Path(storage).resolve()
        rows, all_tuned = _on_cluster(ray, [(c, to.resolve(), budget_of(c), where, seed) for c in configs])
    if as_json:
        typer.echo(json.dumps([{**asdict(row), "file": row.file and str(row.file)} for row in rows]))
    else:
        out.print(_table(rows))
    if not (all_read and all_tuned):
        raise typer.Exit(2)


def _search_there(config: Any, to: Path, budget: Any, storage: Any, seed: int) -> Any:
    """On a worker, whose files are this machine's."""
    from gnnrec.experiment.tune import tune as tune_one

    return tune_one(config, to, budget=budget, storage=storage, seed=seed)


def _on_cluster(address: str, searches: list[tuple[Any, ...]]) -> tuple[list[Any], bool]:
    """Each config is searched by as many workers as it has trials, which share them; those of one config first.

    Returns:
        Where each search has come to, and whether all of them ended well.
    """
    jobs = [search for search in searches for _ in range(search[2].trials)]
    names = [str(search[0].name) for search in jobs]
    told: set[str] = set()

    def report(number: int, found: Any) -> None:
        if found.file is not None and found.name not in told:
            told.add(found.name)
            line(f"{found.name}: {found.trials} trials, best {found.best.value:.4f} in trial {found.best.number}")

    done, all_done = on_cluster(address, _search_there, jobs, names, report)
    last = {found.name: found for _, found in sorted(done, key=lambda one: one[1].file is not None)}
    return list(last.values()), all_done


def _table(rows: list[Any]) -> Any:
    from rich.table import Table

    table = Table("config", "metric", "own options", "best", "trial", "trials", "seconds", "file")
    for row in rows:
        own, best = ("-" if r is None or r.value is None else f"{r.value:.4f}" for r in (row.own, row.best))
        number = "-" if row.best is None else str(row.best.number)
        table.add_row(
            row.name, row.metric, own, best, number, str(row.trials), f"{row.seconds:.0f}", str(row.file or "-")
        )
    return table
