"""Notifications of PostgreSQL about changed users."""

import logging
import os
import threading
import time
from collections.abc import Callable

import psycopg
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger("gnnrec.serve")
USERS, BEATS = "gnnrec_users", "gnnrec_beats"
"""Channels: a trigger of the database sends `version id` of a changed user on the first."""
BEAT, LEASE = 0.5, 2.0
"""Seconds between two heartbeats, and for which one of them holds."""


class Watch:
    """Receives notifications of changed users on a connection of its own.

    Twice a second it sends a notification to its own connection. PostgreSQL delivers notifications in the order of
    commits: when this one arrives, those of all earlier changes have arrived, and cached users are at most `LEASE`
    seconds old, mostly milliseconds. When none arrives (the database is gone, or a connection pool drops
    notifications), `current` is false.

    Args:
        engine: of PostgreSQL.
        changed: is called, in a thread, with id and version of a user who was written; version 0 for a deleted one.
        missed: is called before `current` becomes true again: notifications may have been lost.
    """

    def __init__(self, engine: Engine, changed: Callable[[str, int], None], missed: Callable[[], None]) -> None:
        self._engine, self._changed, self._missed = engine, changed, missed
        self._own = os.urandom(8).hex()
        self._until = 0.0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gnnrec-watch", daemon=True)
        self._thread.start()

    @property
    def current(self) -> bool:
        """Whether the notification of every change that is older than `LEASE` seconds has arrived."""
        return time.monotonic() < self._until

    def close(self) -> None:
        """Ends the thread and its connection."""
        self._ends.set()
        try:
            with self._engine.begin() as connection:
                connection.execute(text(f"NOTIFY {BEATS}"))  # wakes the thread
        except SQLAlchemyError:
            log.debug("the watch ends by itself")
        self._thread.join()

    def _run(self) -> None:
        warned = False
        while not self._ends.is_set():
            try:
                self._listen()
            except (SQLAlchemyError, psycopg.Error, ValueError) as error:
                if not warned:
                    fields = {"error": type(error).__name__}
                    log.warning(
                        "no notifications of changes; the database is queried before each list",
                        extra={"fields": fields},
                    )
                warned = self._until == 0.0
            self._until = 0.0
            self._ends.wait(BEAT)

    def _listen(self) -> None:
        with self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            raw = connection.connection.driver_connection
            assert isinstance(raw, psycopg.Connection)
            connection.detach()  # it ends with this, and no other call gets it
            raw.execute(f"LISTEN {USERS}")
            raw.execute(f"LISTEN {BEATS}")
            self._missed()
            while not self._ends.is_set():
                raw.execute("SELECT pg_notify(%s, %s)", [BEATS, f"{time.monotonic()} {self._own}"])
                for one in raw.notifies(timeout=BEAT):
                    number, _, name = one.payload.partition(" ")
                    if one.channel == USERS:
                        self._changed(name, int(number))
                    elif name == self._own:
                        self._until = float(number) + LEASE
                    if self._ends.is_set():
                        break
