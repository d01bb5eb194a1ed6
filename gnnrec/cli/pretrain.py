"""`gnnrec pretrain`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gnnrec.cli.arguments import config_paths
from gnnrec.cli.console import AsJson, err, line


def pretrain(
    arguments: Annotated[list[str], typer.Argument(metavar="CONFIG... [KEY=VALUE...]", help="Configs and overrides.")],
    to: Annotated[Path, typer.Option("--out", help="Folder of the encoder.")] = Path("encoder"),
    without: Annotated[
        Path | None, typer.Option(help="Config of a platform whose items are left out, as far as they are here too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Pretrains an encoder on the data of one or several configs, for another platform. A broken run goes on.

    Model and seed are those of the first config; all users are trained on. A run starts from the folder with
    model.pretrained, and `gnnrec data match` shows what it will find there.
    """
    from gnnrec.experiment.config import read_config
    from gnnrec.experiment.pretrain import CARD_TEXT
    from gnnrec.experiment.pretrain import pretrain as make

    paths, overrides = config_paths(arguments, "gnnrec pretrain configs/ml-1m/graphsage.yaml --out encoder")
    configs = [read_config(path, overrides) for path in paths]
    other = None if without is None else read_config(without)
    card = make(configs, to, without=other, progress=err.is_terminal and not as_json)
    if as_json:
        typer.echo(json.dumps(card))
        return
    names = ", ".join(one["data"] for one in card["platforms"])
    line(
        f"{to}: pretrained on {names}: {card['users']:,} users, {card['items']:,} items, "
        f"{card['interactions']:,} interactions ({card['seconds']} s); {to / CARD_TEXT} says what is in it"
    )
