"""`gnnrec demo-shop`."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from gnnrec.cli.console import PIPE, AsJson, line, out
from gnnrec.errors import ConfigError, InputError

DRAWS, SELDOM, LINES = 1000, 20, 10
"""Draws of an interval while it moves; how much longer there is no drawing than there is; lines for a file."""


def demo_shop(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run, whose model is in service.")],
    url: Annotated[str, typer.Option(help="Where `gnnrec serve RUN` answers.")] = "http://127.0.0.1:8000",
    token: Annotated[
        str | None, typer.Option(envvar="GNNREC_TOKEN", help="Token with the role write, where the service wants one.")
    ] = None,
    users: Annotated[int, typer.Option(min=1, help="Newcomers, at most; they are drawn from the test users.")] = 200,
    events: Annotated[int, typer.Option(min=0, max=90, help="Events of each, at most.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Draws the users, and whose turn it is.")] = 0,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Requests a second, at most; left out, as fast as it goes.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Of the users' ids in the service.")] = "demo-",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the demo users in the service.")] = False,
    any_model: Annotated[
        bool, typer.Option("--any-model", help="Go on with a warning where the run's model is not in service.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Plays a day in a shop: test users of a finished run come as newcomers to the running service.

    Each is shown a list, chooses what it chose in the data, and is shown the next one, popular items beside it.

    The service has to have the run's own model (`gnnrec serve RUN`), which was fitted on all but the test users.

    Nothing is tuned on what is measured. The demo users are deleted at the end, also after Ctrl-C.
    """
    try:
        from gnnrec.experiment.demo_shop.client import Client
    except ImportError as error:
        raise ConfigError(f"demo-shop: {error.name} is not installed; pip install 'gnnrec[serve]'") from None
    from gnnrec.experiment.demo_shop.newcomers import read_newcomers, version_of
    from gnnrec.experiment.demo_shop.shop import Shop, answering, check_words

    if not prefix.strip():
        raise ConfigError("--prefix: is empty; without one, the shop's own users could be taken for demo users")
    version, client = version_of(run), Client(url, token, rate)
    try:
        model = answering(client, version, any_model)
        newcomers = read_newcomers(run, users, seed)
        notes = [*model.notes, *newcomers.notes, *check_words(client, newcomers)]
        for note in notes:
            line(f"warning: {note}")
        shop = Shop(client, newcomers, model, events, prefix)
        if left := shop.clear():
            line(f"{left} users of an earlier demo were still there, and are deleted")
        strangers = ": it was trained on none of these users" if model.version else ""
        title = (
            f"{len(newcomers.users)} of {newcomers.test_users} test users of {newcomers.dataset} come to {url}\n"
            f"model {model.version or 'of another training'}{strangers}"
        )
        stop, began = None, time.monotonic()
        try:
            with _shown(shop, title, as_json) as told:
                shop.open(seed, told)
        except (KeyboardInterrupt, InputError) as error:
            stop = error
        try:
            about = {"run": str(run), "url": url, "model": model.version, "seed": seed, "notes": notes}
            _report(shop, about, time.monotonic() - began, stop is None, as_json)
        finally:
            gone = _end(shop, keep)
    finally:
        client.close()
    if isinstance(stop, InputError):
        raise stop
    if stop is not None or not gone:
        raise typer.Exit(2 if stop is None else 130)


@contextmanager
def _shown(shop: Any, title: str, as_json: bool) -> Iterator[Callable[[], None]]:
    """Shows what is measured while it is: in place on a terminal, else as a line now and then."""
    from rich.live import Live

    from gnnrec.experiment.demo_shop.picture import LEGEND, progress_line, table

    if as_json:
        yield lambda: None
        return
    printed = 0
    next_drawing = 0.0

    def picture(draws: int) -> Any:
        inside = f", {shop.inside} are in the shop" if shop.inside else ""
        caption = f"{shop.come} users have come{inside}; {len(shop.scores):,} of {shop.lists:,} lists\n\n{LEGEND}"
        return table(shop.scores.rows(draws), min(out.console.width, PIPE), title, caption)

    def as_line() -> None:
        nonlocal printed
        if len(shop.scores) * LINES >= (printed + 1) * shop.lists:
            printed += 1
            line(progress_line(shop.scores.rows(DRAWS), len(shop.scores), shop.lists))

    if not out.is_terminal:
        try:
            yield as_line
        finally:
            out.print(picture(shop.scores.draws))
        return
    with Live(console=out.console, auto_refresh=False) as live:

        def drawn() -> None:
            nonlocal next_drawing
            began = time.monotonic()
            if began >= next_drawing:
                live.update(picture(DRAWS), refresh=True)
                next_drawing = began + max(0.25, SELDOM * (time.monotonic() - began))

        try:
            yield drawn
        finally:
            live.update(picture(shop.scores.draws), refresh=True)


def _report(shop: Any, about: dict[str, Any], seconds: float, complete: bool, as_json: bool) -> None:
    """Says what came out."""
    from gnnrec.experiment.demo_shop.scores import conclusion
    from gnnrec.experiment.demo_shop.shop import facts

    if as_json:
        told = {**about, "complete": complete, "seconds": seconds, **facts(shop)}
        typer.echo(json.dumps(told, allow_nan=False))
        return
    out.print()
    out.print(conclusion(shop.scores.rows()))
    for note in shop.notes:
        out.print(note)
    if not complete:
        out.print(f"The demo was ended early: {len(shop.scores):,} of {shop.lists:,} lists, in {seconds:.0f} s.")
    else:
        out.print(f"{len(shop.scores):,} lists in {seconds:.0f} s.")


def _end(shop: Any, keep: bool) -> bool:
    """Deletes the demo users; returns whether all is as it should be."""
    if keep:
        line(f"{len(shop.there)} demo users stay in the service, for example {next(iter(shop.there), 'none')}")
        return True
    try:
        shop.close()
    except (KeyboardInterrupt, InputError) as error:
        why = str(error) or "interrupted"
        line(f"warning: {len(shop.there)} demo users are not deleted ({why}); the same command deletes them")
        return False
    return True
