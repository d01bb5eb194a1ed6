"""`gnnrec run`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gnnrec.cli.arguments import config_paths, each, parse_seeds, refuse_namesakes
from gnnrec.cli.cluster import OnRay, on_cluster
from gnnrec.cli.console import AsJson, err, line, out


def run(
    arguments: Annotated[list[str], typer.Argument(metavar="CONFIG... [KEY=VALUE...]", help="Configs and overrides.")],
    seeds: Annotated[str | None, typer.Option(help="Seeds, for example 0,1,2; left out, the config's seed.")] = None,
    to: Annotated[Path, typer.Option("--out", help="Folder of the runs.")] = Path("runs"),
    check: Annotated[bool, typer.Option("--check", help="Compare with the config's expected numbers.")] = False,
    ray: OnRay = None,
    as_json: AsJson = False,
) -> None:
    """Runs configs and prints a table. A finished run is not run again; a broken one goes on.

    Of several configs, one that cannot run says so in a line, the others are run, and the exit code is 2.

    With --ray each config and seed is a task of a cluster, whose nodes must see the folder of the runs; one whose
    worker dies is begun again, and goes on from its checkpoint.

    A config may extend others: `extends: _base.yaml`. Bases, whose names begin with _, are no runs themselves.
    """
    from gnnrec.experiment.config import read_config
    from gnnrec.experiment.results import read_run
    from gnnrec.experiment.run import run as run_one
    from gnnrec.experiment.tables import expected_rows, metrics_table

    paths, overrides = config_paths(arguments, "gnnrec run configs/ml-100k/graphsage.yaml")
    configs, all_read = each(paths, lambda path: read_config(path, overrides), str)
    refuse_namesakes(configs)
    chosen = parse_seeds(seeds)
    seeded = [config.with_seed(seed) for config in configs for seed in (chosen or [config.config.seed])]

    def run_and_report(one: Any) -> Any:
        result = run_one(one, to / one.name / str(one.config.seed), progress=err.is_terminal and not as_json)
        if not as_json:
            _report(result)
        return result

    if ray is None:
        runs, all_run = each(seeded, run_and_report, _named)
    else:
        folders = [(to / one.name / str(one.config.seed)).resolve() for one in seeded]
        report = (lambda *_: None) if as_json else (lambda number, _: _report(read_run(folders[number])))
        jobs = list(zip(seeded, folders, strict=True))
        done, all_run = on_cluster(ray, _run_there, jobs, [_named(one) for one in seeded], report)
        runs = [read_run(folders[number]) for number, _ in done]
    if as_json:
        typer.echo(json.dumps([r.result.model_dump() for r in runs]))
    elif runs:
        out.print(metrics_table([r.result for r in runs]).rich())
    if check:
        rows = expected_rows(runs, {config.name: config.config.expected for config in configs})
        for row in rows:
            line(row.text)
        if all_read and all_run and not all(row.met for row in rows):
            raise typer.Exit(1)
    if not (all_read and all_run):
        raise typer.Exit(2)


def _named(config: Any) -> str:
    return f"{config.name} seed {config.config.seed}"


def _run_there(config: Any, folder: Path) -> None:
    """On a worker, whose files are this machine's."""
    from gnnrec.experiment.run import run as run_one

    run_one(config, folder)


def _report(run: Any) -> None:
    result = run.result
    names = list(result.metrics)
    told = [name for name in names if name.rpartition("/")[2] == names[0].rpartition("/")[2]]  # at each number of items
    told = told if len(told) > 1 else names[:3]
    values = {name: result.metrics[name] for name in told}
    shown = "  ".join(f"{k} {'-' if v is None else f'{v:.4f}'}" for k, v in values.items())
    err.print(f"{result.name} seed {result.seed}: {shown}  ({sum(result.seconds.values()):.1f} s)")
