"""Users, events, new items and shown lists in a database; what is written is there after a kill."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import (
    Connection,
    Engine,
    Row,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from gnnrec.errors import ConfigError, InputError
from gnnrec.serving.store import tables

if TYPE_CHECKING:
    from gnnrec.serving.store.watch import Watch

SECONDS = 5.0
"""How long a statement waits for others, or for the database to answer."""
CHUNK = 5000
"""Rows that are read, or named in one statement, at once."""
LOCK = "lock"


class StoreError(Exception):
    """The database does not answer, or refuses to write; it may do so again later. Nothing of the call is written."""


@dataclass(frozen=True)
class Event:
    """What a user did with an item.

    Attributes:
        id: tells it apart; an event of the same id is the same.
        user: its id as text.
        item: its id as text.
        kind: empty for the kind that is predicted.
        value: a rating or a count, None for none.
        time: whole part, in the unit of the model's data; None for none.
        fraction: of the time.
        request: that showed the item; None for none.
    """

    id: str
    user: str
    item: str
    kind: str = ""
    value: float | None = None
    time: int | None = None
    fraction: float = 0.0
    request: str | None = None


@dataclass(frozen=True)
class User:
    """A user as it is stored.

    Attributes:
        attributes: its profile.
        version: one more with each change of it or its events.
        events: in the order in which they came.
    """

    attributes: Mapping[str, Any]
    version: int
    events: Sequence[Event]


@dataclass(frozen=True)
class Shown:
    """A list that was shown.

    Attributes:
        request: its id.
        user: None where no id was given.
        model: version of the model.
        time: seconds since 1970.
        items: ids, best first.
    """

    request: str
    user: str | None
    model: str
    time: float
    items: Sequence[str]


class Store:
    """The database of a service.

    A call writes all or nothing, and returns once it is written. Calls may come from several threads.

    Args:
        url: of SQLAlchemy, `sqlite:///FILE` or `postgresql://USER@HOST/NAME`.
        read_only: whether nothing will be written: the database must be there, and another process may have it open.

    Attributes:
        alone: whether no other process can write (SQLite: one service for each file).

    Raises:
        ConfigError: the URL cannot be read, its driver is missing, or another service has the file.
        InputError: the database cannot be reached or written, or is of a later version.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self.url = _url(url)
        self.alone = self.url.get_backend_name() == "sqlite"
        self._file = Path(self.url.database or "") if self.alone else None
        if read_only and self._file is not None and not self._file.is_file():
            raise ConfigError(f"--store: {self._file}: no such file; `gnnrec serve` makes it")
        self._watch: Watch | None = None
        self._lock = None if self._file is None or read_only else _lock(self._file)
        try:
            self._engine = _engine(self.url)
            self._upgrade(read_only)
        except (SQLAlchemyError, OSError) as error:
            self._unlock()
            raise InputError(
                f"{self}: cannot be opened ({_reason(error)}); start the database, or name another"
            ) from error
        except BaseException:
            self._unlock()
            raise
        # A question begins no transaction, which takes PostgreSQL two answers more.
        self._reader = self._engine if self.alone else self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._prepare()
        self._identity = None if self._file is None else _identity(self._file)

    def _prepare(self) -> None:
        """Statements that are needed often; SQLAlchemy keeps what it makes of each."""
        self._insert: Any = sqlite.insert if self.alone else postgresql.insert
        more = tables.users.c.version + 1
        users = self._insert(tables.users)
        profile = {"attributes": users.excluded.attributes, "version": more}
        put = users.on_conflict_do_update(index_elements=["id"], set_=profile)
        self._put_user = put.returning(tables.users.c.version)
        count = users.on_conflict_do_update(index_elements=["id"], set_={"version": more})
        self._put_stranger = count.returning(tables.users.c.id, tables.users.c.version)
        events = self._insert(tables.events).on_conflict_do_nothing(index_elements=["id"])
        self._put_event = events.returning(tables.events.c.id)

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Ends all connections."""
        if self._watch is not None:
            self._watch.close()
        self._engine.dispose()
        self._unlock()

    def watch(self, changed: Callable[[str, int], None], missed: Callable[[], None]) -> None:
        """Calls a function for each user who is changed from now on, by this process or others.

        Args:
            changed: is called, in a thread, with a user's id and version, 0 for one who was deleted.
            missed: is called where notifications may have been lost.
        """
        if not self.alone:
            from gnnrec.serving.store.watch import Watch  # needs libpq

            self._watch = Watch(self._engine, changed, missed)

    @property
    def current(self) -> bool:
        """Whether cached users are up to date, but for changes of the last milliseconds.

        With SQLite always; with PostgreSQL while notifications arrive: then they are at most two seconds old.
        """
        return self.alone or (self._watch is not None and self._watch.current)

    def user(self, user: str) -> User | None:
        """A user with its events; None for one who is not stored."""
        with self._reading() as connection:
            row = connection.execute(select(tables.users).where(tables.users.c.id == user)).one_or_none()
            if row is None:
                return None
            own = select(tables.events).where(tables.events.c.user == user).order_by(tables.events.c.number)
            return User(json.loads(row.attributes), row.version, [_event(one) for one in connection.execute(own)])

    def about(self, user: str, last: int) -> tuple[dict[str, Any], int, list[str]] | None:
        """Profile, number of events and the items of the last ones, the last one last; None for who is not stored."""
        with self._reading() as connection:
            found = connection.scalar(select(tables.users.c.attributes).where(tables.users.c.id == user))
            if found is None:
                return None
            of_user = tables.events.c.user == user
            count = connection.scalar(select(func.count()).select_from(tables.events).where(of_user))
            some = select(tables.events.c.item).where(of_user).order_by(tables.events.c.number.desc()).limit(last)
            return json.loads(found), int(count or 0), list(connection.scalars(some))[::-1]

    def version(self, user: str) -> int | None:
        """The version of a user; None for one who is not stored."""
        with self._reading() as connection:
            found: int | None = connection.scalar(select(tables.users.c.version).where(tables.users.c.id == user))
            return found

    def put_user(self, user: str, attributes: Mapping[str, Any]) -> bool:
        """Stores the profile of a user in the place of an earlier one.

        Returns:
            Whether the user is new.
        """
        row = {"id": user, "attributes": json.dumps(attributes, allow_nan=False), "version": 1}
        with self._writing() as connection:
            return bool(connection.scalar(self._put_user, row) == 1)

    def delete_user(self, user: str) -> bool:
        """Forgets a user: its profile, its events, the lists that it was shown.

        SQLite overwrites them in the file. PostgreSQL takes them out of the tables; their bytes stay in its files until
        `VACUUM FULL`, and in its log of changes and backups.

        Returns:
            Whether there was anything.
        """
        with self._writing() as connection:
            found = [
                connection.execute(delete(table).where(column == user)).rowcount
                for table, column in (
                    (tables.users, tables.users.c.id),
                    (tables.events, tables.events.c.user),
                    (tables.lists, tables.lists.c.user),
                )
            ]
        if self.alone:
            with self._reading() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return any(found)

    def add_events(self, events: Sequence[Event]) -> tuple[list[Event], list[str]]:
        """Stores events; those whose id is there already change nothing. Users who are not stored are, without profile.

        Returns:
            The events that are new, and the users who are.
        """
        first: dict[str, Event] = {}
        for one in events:
            first.setdefault(one.id, one)
        with self._writing() as connection:
            rows = [asdict(one) for one in first.values()]
            fresh = set(connection.scalars(self._put_event, rows)) if rows else set()
            owners = sorted({first[one].user for one in fresh})
            named = [{"id": one, "attributes": "{}", "version": 1} for one in owners]
            found = connection.execute(self._put_stranger, named).all() if named else []
            strangers = sorted(row.id for row in found if row.version == 1)
        return [one for one in first.values() if one.id in fresh], strangers

    def put_item(self, item: str, title: str, attributes: Mapping[str, Any]) -> bool:
        """Stores an item in the place of an earlier one.

        Returns:
            Whether the item is new to the store.
        """
        row = {"id": item, "title": title, "attributes": json.dumps(attributes, allow_nan=False)}
        with self._writing() as connection:
            there = connection.scalar(select(func.count()).where(tables.items.c.id == item))
            own = self._insert(tables.items).values(row)
            connection.execute(own.on_conflict_do_update(index_elements=["id"], set_=row))
            return not there

    def items(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Id, title and attributes of the stored items, in the order of the ids."""
        with self._reading() as connection:
            rows = connection.execute(select(tables.items).order_by(tables.items.c.id))
            return [(row.id, row.title, json.loads(row.attributes)) for row in rows]

    def add_lists(self, shown: Sequence[Shown]) -> None:
        """Stores lists that were shown."""
        with self._writing() as connection:
            for some in _chunks(shown):
                connection.execute(
                    insert(tables.lists), [{**asdict(one), "items": json.dumps(list(one.items))} for one in some]
                )

    def lists(self, requests: Sequence[str]) -> dict[str, Shown]:
        """The lists of some requests that are stored."""
        found = {}
        with self._reading() as connection:
            for some in _chunks(list(requests)):
                for row in connection.execute(select(tables.lists).where(tables.lists.c.request.in_(some))):
                    found[row.request] = Shown(row.request, row.user, row.model, row.time, json.loads(row.items))
        return found

    def forget_lists(self, before: float) -> int:
        """Deletes the lists that were shown before a moment, in seconds since 1970; returns how many."""
        with self._writing() as connection:
            return connection.execute(delete(tables.lists).where(tables.lists.c.time < before)).rowcount

    def models(self) -> dict[str, tuple[str, float]]:
        """Role -> name and share of the models in service."""
        with self._reading() as connection:
            return {row.role: (row.name, row.share) for row in connection.execute(select(tables.models))}

    def put_models(self, models: Mapping[str, tuple[str, float]]) -> None:
        """Stores which models are in service, in the place of the earlier ones."""
        with self._writing() as connection:
            connection.execute(delete(tables.models))
            rows = [{"role": role, "name": name, "share": share} for role, (name, share) in models.items()]
            if rows:
                connection.execute(insert(tables.models), rows)

    def counts(self) -> tuple[int, int]:
        """Numbers of users and of events."""
        with self._reading() as connection:
            users, events = (
                connection.scalar(select(func.count()).select_from(table)) for table in (tables.users, tables.events)
            )
            return int(users or 0), int(events or 0)

    def every_event(self, after: int = 0) -> Iterator[tuple[int, Event]]:
        """The events that came after a number, with their numbers, in the order in which they came."""
        while True:
            own = select(tables.events).where(tables.events.c.number > after).order_by(tables.events.c.number)
            with self._reading() as connection:
                rows = connection.execute(own.limit(CHUNK)).all()
            yield from ((row.number, _event(row)) for row in rows)
            if len(rows) < CHUNK:
                return
            after = rows[-1].number

    def every_user(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Id and profile of the stored users, in the order of the ids."""
        after = ""
        while True:
            own = select(tables.users).where(tables.users.c.id > after).order_by(tables.users.c.id).limit(CHUNK)
            with self._reading() as connection:
                rows = connection.execute(own).all()
            yield from ((row.id, json.loads(row.attributes)) for row in rows)
            if len(rows) < CHUNK:
                return
            after = rows[-1].id

    def check(self) -> None:
        """Raises StoreError where the database does not answer, or is not writable."""
        with self._writing() as connection:
            connection.execute(update(tables.models).where(literal_column("1") == 0).values(share=0.0))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._reader.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(f"{self}: {_reason(error)}") from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            if self._file is not None and _identity(self._file) != self._identity:
                raise StoreError(f"{self}: the file is gone or another one stands in its place")
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(f"{self}: {_reason(error)}") from error

    def _upgrade(self, read_only: bool) -> None:
        """Applies the migrations that the database does not have yet; of several processes, one does."""
        config = Config()
        config.set_main_option("script_location", str(files("gnnrec.serving.store") / "migrations").replace("%", "%%"))
        newest = ScriptDirectory.from_config(config).get_current_head()
        with self._engine.begin() as connection:
            if not self.alone:
                connection.execute(text("SELECT pg_advisory_xact_lock(7305010)"))
            has = inspect(connection).has_table("alembic_version")
            if has and connection.scalar(text("SELECT version_num FROM alembic_version")) == newest:
                return
            if read_only:
                raise InputError(f"{self}: was written by another version of gnnrec; start `gnnrec serve` on it once")
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise InputError(
                    f"{self}: was written by a later version of gnnrec ({error}); install that one"
                ) from error

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _url(url: str) -> URL:
    try:
        found = make_url(url)
        backend = found.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise ConfigError(
            f"--store: {url!r} is no URL of a database; write sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from None
    if backend == "postgresql":
        return found.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and found.database not in (None, "", ":memory:"):
        return found
    raise ConfigError(f"--store: {url!r}: must be sqlite:///FILE or postgresql://USER@HOST/NAME")


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(
            url, connect_args={"timeout": SECONDS}, pool_size=4, max_overflow=4, pool_timeout=SECONDS
        )

        @event.listens_for(engine, "connect")
        def _set(connection: Any, _: Any) -> None:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                connection.execute(f"PRAGMA {pragma}")

        return engine
    arguments = {
        "connect_timeout": int(SECONDS),
        "options": f"-c statement_timeout={int(1000 * SECONDS)} -c lock_timeout={int(1000 * SECONDS)}",
    }
    try:
        return create_engine(url, connect_args=arguments, pool_size=4, pool_timeout=SECONDS, pool_pre_ping=True)
    except ImportError as error:
        raise ConfigError(f"--store: {error.name} is not installed; pip install 'gnnrec[serve]'") from error


def _lock(file: Path) -> int:
    """A lock on a file beside the database that ends with the process."""
    import fcntl

    path = file.with_name(f"{file.name}.{LOCK}")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); name another place with --store") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ConfigError(
            f"{file}: another service has this file; stop that one, or let both share a database of PostgreSQL"
        ) from None
    return handle


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _event(row: Row[Any]) -> Event:
    return Event(row.id, row.user, row.item, row.kind, row.value, row.time, row.fraction, row.request)


def _chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    size = CHUNK // 10  # SQLite takes 32,766 values in one statement
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _reason(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split())[:200] or type(cause).__name__
