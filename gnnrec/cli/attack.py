"""`gnnrec attack`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gnnrec.cli.arguments import config_paths, each, parse_seeds, refuse_namesakes
from gnnrec.cli.console import AsJson, err, out


def attack(
    arguments: Annotated[list[str], typer.Argument(metavar="CONFIG... [KEY=VALUE...]", help="Configs and overrides.")],
    shadows: Annotated[int, typer.Option(help="Models that are fitted, each on a random half of the users.")] = 16,
    seeds: Annotated[str | None, typer.Option(help="Seeds, for example 0,1,2; left out, the config's seed.")] = None,
    to: Annotated[Path, typer.Option("--out", help="Folder of the attacks.")] = Path("attacks"),
    as_json: AsJson = False,
) -> None:
    """Measures membership inference: can training users be told from others by a model's answers?

    Shadow models are fitted on random halves of the training users; test users stay sealed. An attack that was broken
    off goes on. OUT/<config>/<seed> gets attack.json and per_user.parquet.
    """
    from gnnrec.experiment.attack import attack as attack_one
    from gnnrec.experiment.config import read_config

    paths, overrides = config_paths(arguments, "gnnrec attack configs/ml-100k/graphsage.yaml")
    configs, all_read = each(paths, lambda path: read_config(path, overrides), str)
    refuse_namesakes(configs)
    chosen = parse_seeds(seeds)
    seeded = [config.with_seed(seed) for config in configs for seed in (chosen or [config.config.seed])]

    def told(line: str) -> None:
        err.print(line)

    def one(config: Any) -> Any:
        folder = to / config.name / str(config.config.seed)
        return attack_one(config, folder, shadows, report=(lambda line: None) if as_json else told)

    found, all_done = each(seeded, one, lambda config: f"{config.name} seed {config.config.seed}")
    if as_json:
        typer.echo(json.dumps([one.plain for one in found]))
    elif found:
        out.print(_table(found))
    if not (all_read and all_done):
        raise typer.Exit(2)


def _table(found: list[Any]) -> Any:
    """A row for each attack on each config and seed; .5 is guessing, and a TPR as high as its FPR."""
    rows = [
        (one.facts, statistic, attack, quality)
        for one in found
        for statistic, attacks in one.quality.items()
        for attack, quality in attacks.items()
    ]
    rates = list(rows[0][-1].tpr)
    columns = [f"TPR at FPR {rate}" for rate in rates]
    from rich.table import Table

    table = Table("model", "seed", "statistic", "attack", "AUC", "95 %", *columns, "balanced accuracy")
    for facts, statistic, attack, quality in rows:
        tpr = [quality.tpr[rate] for rate in rates]
        table.add_row(
            *(facts["name"], str(facts["seed"]), statistic, attack),
            f"{quality.auc:.4f}",
            f"{quality.auc_low:.4f} to {quality.auc_high:.4f}",
            *("-" if value is None else f"{value:.4f}" for value in tpr),
            f"{quality.balanced_accuracy:.4f}",
        )
    return table
