"""`gnnrec serve`."""

import logging
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from gnnrec.cli.console import line
from gnnrec.cli.newcomers import Model
from gnnrec.errors import ConfigError

HERE = ("127.0.0.1", "localhost", "::1")


def serve(
    model: Model,
    host: Annotated[str, typer.Option(help="Address to listen on; any but 127.0.0.1 needs --tokens.")] = HERE[0],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for a free one.")] = 8000,
    store: Annotated[
        str, typer.Option(metavar="URL", help="Database: sqlite:///FILE or postgresql://USER@HOST/NAME.")
    ] = "sqlite:///gnnrec.sqlite",
    tokens: Annotated[Path | None, typer.Option(help="YAML file of tokens with roles read, write and admin.")] = None,
    models: Annotated[Path | None, typer.Option(help="Folder of models that POST /v1/models may load by name.")] = None,
    unknown: Annotated[
        Literal["accept", "refuse"], typer.Option(help="Events of users, items or kinds that the model does not know.")
    ] = "accept",
    keep_lists: Annotated[float, typer.Option(min=0, help="Hours that shown lists are kept, to join events to.")] = 24,
    waiting: Annotated[int, typer.Option(min=1, help="Requests that may wait; more are answered with 503.")] = 128,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of one request, at most.")] = 10,
) -> None:
    """Serves a model over HTTP: profiles, events, lists, models in service; a page to try it at /.

    SIGTERM and Ctrl-C end it once the requests in flight are answered.
    """
    if host not in HERE and tokens is None:
        raise ConfigError(f"--host: {host}: is reached from other machines; name a file of tokens with --tokens")
    if models is not None and not models.is_dir():
        raise ConfigError(f"--models: {models}: no such folder")
    try:
        import uvicorn

        from gnnrec.serving.http.app import create_app
    except ImportError as error:
        raise ConfigError(f"serve: {error.name} is not installed; pip install 'gnnrec[serve]'") from None
    import torch

    from gnnrec.serving.http.guard import JsonLines
    from gnnrec.serving.http.settings import Settings
    from gnnrec.serving.http.tokens import read_tokens

    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.getLogger("gnnrec.serve").handlers = [handler]
    logging.getLogger("gnnrec.serve").setLevel(logging.INFO)
    sys.setswitchinterval(0.0005)  # a thread that scores keeps the one that answers waiting so long, and not 5 ms
    torch.set_num_threads(1)  # products of one user are small: a second thread only waits
    settings = Settings(model, store, models, unknown, seconds=seconds, waiting=waiting, keep_lists=3600 * keep_lists)
    app = create_app(settings, None if tokens is None else read_tokens(tokens))
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(seconds) + 5,
        timeout_keep_alive=75,  # longer than proxies keep a connection: they close it, not the service under their feet
        limit_concurrency=8 * waiting,
        backlog=2048,
    )
    listening = config.bind_socket() if port == 0 else None
    name = listening.getsockname()[1] if listening is not None else port
    line(f"http://{'[::1]' if host == '::1' else host}:{name}/  the page; Ctrl-C ends the service")
    server = uvicorn.Server(config)
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, lambda *_: None)  # the server raises it again once it has stopped in good order
    server.run(sockets=None if listening is None else [listening])
    sys.exit(0 if server.started else 2)
