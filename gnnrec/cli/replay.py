"""`gnnrec replay`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gnnrec.cli.arguments import config_paths, each, refuse_namesakes
from gnnrec.cli.console import AsJson, err, out


def replay(
    arguments: Annotated[list[str], typer.Argument(metavar="CONFIG... [KEY=VALUE...]", help="Configs and overrides.")],
    to: Annotated[Path, typer.Option("--out", help="Folder of the replays.")] = Path("replays"),
    as_json: AsJson = False,
) -> None:
    """Replays what comes after a moment: each event is predicted, then recorded; policies say how the model changes.

    A replay that was broken off goes on. OUT/<config>/<seed> gets events.parquet, replay.json, and pictures.
    """
    from gnnrec.experiment.config import read_config
    from gnnrec.experiment.replay import Replayed, draw
    from gnnrec.experiment.replay import replay as replay_one

    paths, overrides = config_paths(arguments, "gnnrec replay configs/ml-100k-next/graphsage.yaml")
    configs, all_read = each(paths, lambda path: read_config(path, overrides), str)
    refuse_namesakes(configs)
    shown = err.is_terminal and not as_json

    def told(window: str) -> None:
        err.print(window)

    def one(config: Any) -> tuple[str, Replayed]:
        folder = to / config.name / str(config.config.seed)
        found = replay_one(config, folder, progress=shown, advance=told if shown else lambda what: None)
        draw(found, folder)
        return config.name, found

    found, all_run = each(configs, one, lambda config: config.name)
    if as_json:
        typer.echo(json.dumps({name: {"seconds": one.seconds, "summary": one.summary} for name, one in found}))
    for name, replayed in found if not as_json else []:
        out.print(_table(name, replayed))
    if not (all_read and all_run):
        raise typer.Exit(2)


def _table(name: str, found: Any) -> Any:
    """A row for each policy: the first metric by how much was known of the user, and what it cost."""
    metric = found.metrics[0]
    groups = list(dict.fromkeys(group for part in found.summary.values() for group in part))
    from rich.table import Table

    table = Table(f"{name}: {metric}", *groups, "update, s per 1,000 events", "scores, s per 1,000")
    for policy, part in found.summary.items():
        cells = [f"{part[group][metric][0]:.4f}" if metric in part.get(group, {}) else "-" for group in groups]
        table.add_row(policy, *cells, *(f"{found.seconds[policy][key]:.2f}" for key in ("update", "score")))
    return table
