"""The command line: thin; each command imports what it needs when it is called, so that --help answers at once."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import typer

from gnnrec.cli import (
    attack,
    compare,
    data,
    demo_shop,
    embed,
    export,
    export_events,
    export_graph,
    layers,
    pretrain,
    recommend,
    replay,
    report,
    rerank,
    run,
    schema,
    serve,
    tune,
    update,
)
from gnnrec.cli.console import err, line
from gnnrec.errors import InputError
from gnnrec.runtime.waiting import wait_passively

app = typer.Typer(
    help="Inductive cold-start recommendation on heterogeneous graphs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # the one with boxes takes longer to import than all else
    context_settings={"max_content_width": 120},
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(
    help="Data sources: what there is, fetching, counts, what two have in common.", no_args_is_help=True
)
data_app.command("list")(data.list_)
data_app.command("fetch")(data.fetch_)
data_app.command("describe")(data.describe_)
data_app.command("match")(data.match_)
app.command()(run.run)
app.command()(pretrain.pretrain)
app.command()(tune.tune)
app.command()(compare.compare)
app.command()(report.report)
app.command()(rerank.rerank)
app.command()(replay.replay)
app.command()(attack.attack)
app.command()(recommend.recommend)
app.command()(embed.embed)
app.command()(update.update)
app.command()(serve.serve)
app.command("demo-shop")(demo_shop.demo_shop)
app.command("export-events")(export_events.export_events)
app.command("export")(export.export)
app.command("export-graph")(export_graph.export_graph)
app.command()(schema.schema)
app.add_typer(data_app, name="data")
app.command()(layers.layers)
app.command("check-layer")(layers.check_layer)


def main() -> None:
    """Entry point: an error that a person can mend is one line and exit code 2."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    wait_passively()
    try:
        _without_working_folder()
        app()
    except InputError as error:
        line(f"error: {error}")
        sys.exit(2)
    except RecursionError:
        line("error: something that was handed in is nested too deeply; make it flatter")
        sys.exit(2)
    except MemoryError as error:
        line(f"error: there is not enough memory ({error}); take fewer factors, channels or bins, or less data")
        sys.exit(2)
    except BrokenPipeError:  # `gnnrec ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        line(f"error: {error.filename or 'a file'}: {error.strerror or error}")
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("stopped; the same command goes on from the last checkpoint")
        sys.exit(130)


def _without_working_folder() -> None:
    """A file that is called as a library does not stand in for it, not even for one that is not installed.

    A class of one's own is found there all the same, see `gnnrec.options.resolve`.
    """
    here = Path.cwd().resolve()
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != here]


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    if not issubclass(category, DeprecationWarning | FutureWarning | PendingDeprecationWarning):
        line(f"warning: {message}")
