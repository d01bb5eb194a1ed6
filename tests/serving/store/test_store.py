"""The store, on both databases: what is written stays, once, in order; what is forgotten is gone."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from gnnrec.errors import ConfigError, InputError
from gnnrec.serving.store import Event, Shown, Store, StoreError
from gnnrec.serving.store.tables import metadata


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    found = Store(store_url)
    yield found
    found.close()


def test_what_is_written_is_there_after_a_restart(store_url: str) -> None:
    store = Store(store_url)
    assert store.put_user("ann", {"age": 25, "tags": ["a", "b"], "näme": None})
    assert not store.put_user("ann", {"age": 26})
    events = [Event("e2", "ann", "i1", "view", 2.5, 10, 0.25, "r1"), Event("e1", "bob", "i2")]
    assert store.add_events(events) == (events, ["bob"])
    store.put_item("new", "A title", {"genre": ["x"]})
    store.put_models({"main": ("m", 1.0), "candidate": ("c", 0.25)})
    store.add_lists([Shown("r1", "ann", "v", 5.0, ["i1", "i2"])])
    store.close()
    again = Store(store_url)
    found = again.user("ann")
    assert found is not None
    assert (found.attributes, found.version, found.events) == ({"age": 26}, 3, [events[0]])
    other = again.user("bob")
    assert other is not None
    assert (other.attributes, other.version, other.events) == ({}, 1, [events[1]])
    assert again.user("eve") is None
    assert again.items() == [("new", "A title", {"genre": ["x"]})]
    assert again.models() == {"main": ("m", 1.0), "candidate": ("c", 0.25)}
    assert again.lists(["r1", "r2"]) == {"r1": Shown("r1", "ann", "v", 5.0, ["i1", "i2"])}
    assert again.counts() == (2, 2)
    again.close()


def test_an_event_counts_once_and_events_stay_in_the_order_in_which_they_came(store: Store) -> None:
    first = [Event("z", "ann", "i1"), Event("a", "ann", "i2"), Event("z", "ann", "i3")]
    assert store.add_events(first) == (first[:2], ["ann"])
    again = [Event("a", "eve", "i9"), Event("m", "ann", "i4")]
    assert store.add_events(again) == (again[1:], [])
    found = store.user("ann")
    assert found is not None
    assert [one.item for one in found.events] == ["i1", "i2", "i4"]
    assert found.version == 2  # one more with each call that changed something
    assert store.user("eve") is None  # her only event was another one's


def test_many_events_at_once_and_in_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnnrec.serving.store.store.CHUNK", 70)
    events = [Event(f"e{i}", f"u{i % 9}", f"i{i}") for i in range(200)]
    assert len(store.add_events(events)[0]) == 200
    every = list(store.every_event())
    assert [one.id for _, one in every] == [one.id for one in events]
    later = list(store.every_event(after=every[149][0]))
    assert [one.id for _, one in later] == [f"e{i}" for i in range(150, 200)]
    assert [name for name, _ in store.every_user()] == sorted(f"u{i}" for i in range(9))


def test_writers_from_several_threads_lose_nothing(store: Store) -> None:
    def write(part: int) -> None:
        for i in range(20):
            store.add_events([Event(f"{part}-{i}", f"u{i % 3}", "i"), Event(f"both-{i}", "both", "i")])

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert store.counts() == (4, 100)
    versions = [store.version(user) for user in ("u0", "u1", "u2", "both")]
    assert versions == [28, 28, 24, 20]


def test_a_forgotten_user_is_gone(store: Store) -> None:
    store.put_user("ann", {"age": 25})
    store.add_events([Event("e1", "ann", "i1"), Event("e2", "bob", "i1")])
    store.add_lists([Shown("r1", "ann", "v", 5.0, ["i1"]), Shown("r2", None, "v", 6.0, [])])
    assert store.delete_user("ann")
    assert not store.delete_user("ann")
    assert store.user("ann") is None
    assert store.counts() == (1, 1)
    assert set(store.lists(["r1", "r2"])) == {"r2"}
    assert store.forget_lists(before=6.5) == 1


def test_no_byte_of_a_forgotten_user_is_in_the_files_of_sqlite(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 's.sqlite'}")
    words = [b"u-7f3a9", b"glassblower", b"sku-of-theirs", b"event-of-theirs", b"request-of-theirs"]
    user, job, item, event, request = (one.decode() for one in words)
    for number in range(50):
        store.put_user(f"other{number}", {"job": "baker"})
    store.put_user(user, {"job": job})
    store.add_events([Event(event, user, item, request=request)])
    store.add_lists([Shown(request, user, "v", 1.0, [item])])

    def files() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert all(word in files() for word in words)
    store.delete_user(user)
    content = files()
    assert [word for word in words if word in content] == []
    assert b"baker" in content
    store.close()
    assert not any(word in files() for word in words)


def test_the_tables_are_those_of_the_migrations(store: Store) -> None:
    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == "0002"
        assert compare_metadata(context, metadata) == []


def test_two_processes_open_one_database_of_postgresql(postgres_url: str) -> None:
    opened: list[Store] = []
    threads = [threading.Thread(target=lambda: opened.append(Store(postgres_url))) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(opened) == 3
    assert not opened[0].alone
    opened[0].put_user("ann", {})
    assert opened[2].version("ann") == 1
    for store in opened:
        store.close()


class Heard:
    """What a store tells of changed users."""

    def __init__(self, store: Store) -> None:
        self.changed: list[tuple[str, int]] = []
        self.missed = 0
        self.news = threading.Condition()
        store.watch(self._changed, self._missed)

    def _changed(self, user: str, version: int) -> None:
        with self.news:
            self.changed.append((user, version))
            self.news.notify_all()

    def _missed(self) -> None:
        with self.news:
            self.missed += 1
            self.news.notify_all()

    def wait(self, what: Callable[[], bool]) -> None:
        ends = time.monotonic() + 60
        with self.news:
            while not what():
                assert time.monotonic() < ends
                self.news.wait(0.05)


def test_changes_by_other_processes_are_told_in_their_order(postgres_url: str) -> None:
    own, other = Store(postgres_url), Store(postgres_url)
    assert not own.current  # nothing is told yet
    heard = Heard(own)
    heard.wait(lambda: own.current)
    assert heard.missed == 1
    other.put_user("ann smith", {"age": 1})
    own.put_user("böb", {})
    other.add_events([Event("e1", "ann smith", "i"), Event("e2", "eve", "i")])
    other.delete_user("böb")
    heard.wait(lambda: len(heard.changed) == 5)
    assert heard.changed == [("ann smith", 1), ("böb", 1), ("ann smith", 2), ("eve", 1), ("böb", 0)]
    assert not other.current  # it does not listen
    own.close()
    other.close()
    assert not [one.name for one in threading.enumerate() if one.name == "gnnrec-watch"]


def test_where_nothing_is_told_nothing_is_trusted_until_it_is_again(postgres_url: str, postgres_server: str) -> None:
    store = Store(postgres_url)
    heard = Heard(store)
    heard.wait(lambda: store.current)
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as admin:
        name = postgres_url.rsplit("/", 1)[1]
        admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        heard.wait(lambda: not store.current)
        assert heard.missed == 1
        admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
    heard.wait(lambda: store.current)
    assert heard.missed == 2
    store.close()


def test_a_listener_that_hears_nothing_is_not_trusted(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of connections before the database may take LISTEN and pass nothing on."""
    monkeypatch.setattr("gnnrec.serving.store.watch.LEASE", 0.3)
    store = Store(postgres_url)
    heard = Heard(store)
    heard.wait(lambda: store.current)
    monkeypatch.setattr("gnnrec.serving.store.watch.BEATS", "nobody_listens")
    heard.wait(lambda: not store.current)
    store.put_user("ann", {})
    heard.wait(lambda: bool(heard.changed))
    assert not store.current
    store.close()


def test_one_file_has_one_service(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.sqlite'}"
    store = Store(url)
    with pytest.raises(ConfigError, match="another service has this file"):
        Store(url)
    store.close()
    Store(url).close()


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/name", "sqlite://", "sqlite:///:memory:", "oracle://x"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="--store: "):
        Store(url)


def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.sqlite").write_text("this is no database, and long enough to be looked at" * 50)
    with pytest.raises(InputError, match="cannot be opened"):
        Store(f"sqlite:///{tmp_path / 'text.sqlite'}")
    with pytest.raises(InputError, match="cannot be written"):
        Store(f"sqlite:///{tmp_path / 'nowhere' / 's.sqlite'}")
    with pytest.raises(InputError, match="cannot be opened"):
        Store("postgresql://nobody@127.0.0.1:1/none")


def test_a_database_of_a_later_version_is_refused(store_url: str) -> None:
    store = Store(store_url)
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    store.close()
    with pytest.raises(InputError, match="later version"):
        Store(store_url)


def test_a_file_that_is_gone_takes_nothing_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    store = Store(f"sqlite:///{path}")
    store.put_user("ann", {"age": 1})
    moved = [tmp_path / (path.name + end) for end in ("", "-wal", "-shm") if (tmp_path / (path.name + end)).exists()]
    for one in moved:
        one.rename(one.with_name("away-" + one.name))
    with pytest.raises(StoreError, match="gone"):
        store.put_user("bob", {})
    with pytest.raises(StoreError):
        store.check()
    for one in moved:
        one.with_name("away-" + one.name).rename(one)
    store.check()
    assert store.user("bob") is None
    store.put_user("bob", {})
    store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (2,)


def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 's.sqlite'}")
    store.put_user("ann", {"age": 1})
    with store._engine.connect() as connection:  # of every connection of the pool
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    others = [store._engine.connect() for _ in range(4)]
    for one in others:
        one.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    for one in others:
        one.close()
    with pytest.raises(StoreError, match="full"):
        store.add_events([Event(f"e{i}", "ann", "i" * 200) for i in range(1000)])
    others = [store._engine.connect() for _ in range(4)]
    for one in others:
        one.exec_driver_sql("PRAGMA max_page_count=1000000")
        one.close()
    found = store.user("ann")
    assert found is not None
    assert found.events == []
    assert len(store.add_events([Event(f"e{i}", "ann", "i" * 200) for i in range(1000)])[0]) == 1000
    store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write what is read-only")
def test_a_read_only_file_is_an_error(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 's.sqlite'}")
    store.close()
    for path in tmp_path.iterdir():
        path.chmod(0o400)
    with pytest.raises(InputError):
        Store(f"sqlite:///{tmp_path / 's.sqlite'}")


def test_a_server_that_goes_away_and_comes_back(postgres_url: str, postgres_server: str) -> None:
    store = Store(postgres_url)
    store.put_user("ann", {"age": 1})
    name = postgres_url.rsplit("/", 1)[1]
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        with pytest.raises(StoreError):
            store.put_user("bob", {})
        admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
    store.check()
    assert store.user("bob") is None
    assert store.user("ann") is not None
    store.close()
