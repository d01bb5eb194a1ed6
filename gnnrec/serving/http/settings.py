"""Settings of a service, each with its limit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Settings:
    """How a service is run.

    Attributes:
        model: folder of a run or of a saved model, in service first.
        store: URL of the database.
        models: folder in whose folders lie models that may be loaded, by the names of these; None for none.
        unknown: whether events of users, items or kinds that the model does not know are kept and counted, or refused.
        seconds: a request that takes longer is given up.
        waiting: requests that wait for a thread at once; more are told to come again.
        threads: that score and talk to the database.
        body: largest body, in bytes.
        depth: of brackets in a body.
        batch: most events, or users of a batch, in one request.
        cached: users who are kept encoded.
        keep_lists: seconds that a list that was shown is kept, for events that name it.
    """

    model: Path
    store: str
    models: Path | None = None
    unknown: Literal["accept", "refuse"] = "accept"
    seconds: float = 10.0
    waiting: int = 128
    threads: int = 2
    body: int = 2**20
    depth: int = 8
    batch: int = 1000
    cached: int = 20_000
    keep_lists: float = 86_400.0
