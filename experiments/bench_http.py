"""The HTTP service under load, and what is left after it was killed, on SQLite and PostgreSQL.

    python -m experiments.bench_http [--minutes 10] [--kills 30] [--only sqlite]

A second process sends requests over loopback. The model is a GraphSAGE of MovieLens-1M that is hardly trained: time
does not hang on the weights. Lists one by one are measured in turn with bare calls of the model in the bench itself.
Capacity is what eight clients get that ask again at once; at half of it, requests arrive by chance. Mixed load is 80 %
lists, 15 % events, 5 % users, with another model loaded in the middle. A killed service is started again; each event
and user that it had acknowledged must be there.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import torch

from experiments import postgres
from experiments.bench_serving import saved_model
from experiments.benchmarks import write
from experiments.load import Measured, Request, arriving, closed
from gnnrec.serving.live import Wish, read_live
from gnnrec.serving.store import Store

USERS, CLIENTS, ALONE = 2000, 8, 400
"""Users who are stored; clients that ask again at once; lists that are asked for one by one."""


NOBODY = "nobody"


class Service:
    """A service of its own process, started on a free port.

    Args:
        model: folder of the model.
        models: folder of others.
        url: of the database.
    """

    def __init__(self, model: Path, models: Path, url: str) -> None:
        started = time.monotonic()
        command = [sys.executable, "-m", "gnnrec", "serve", str(model), "--store", url, "--models", str(models)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [*command, "--port", "0"], stderr=subprocess.PIPE, env=environment, text=True, errors="replace"
        )
        assert self._process.stderr is not None
        first = self._process.stderr.readline()
        while not first.startswith("http://"):
            assert self._process.poll() is None, first
            first = self._process.stderr.readline()
        self.port = int(first.split(":")[2].split("/")[0])
        self._drain = subprocess.Popen(["cat"], stdin=self._process.stderr, stdout=subprocess.DEVNULL)
        while True:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(self.address("/health/ready"), timeout=5) as answer,
            ):
                if answer.status == 200:
                    break
            assert self._process.poll() is None
            time.sleep(0.01)
        self.ready = time.monotonic() - started

    def address(self, path: str) -> str:
        """The whole address."""
        return f"http://127.0.0.1:{self.port}{path}"

    def post(self, path: str, body: Any) -> Any:
        """The answer to a body."""
        head = {"content-type": "application/json"}
        request = urllib.request.Request(self.address(path), json.dumps(body).encode(), head, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def mib(self) -> float:
        """Memory that it has now."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu(self) -> float:
        """Seconds of processor time that it took so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, how: int = signal.SIGTERM) -> int:
        """Ends it; returns its exit code."""
        self._process.send_signal(how)
        code = self._process.wait(60)
        self._drain.wait(60)
        return code


def profile(number: int) -> dict[str, Any]:
    """A user's attributes."""
    return {
        "gender": "FM"[number % 2],
        "age": ["1", "18", "25", "35", "45", "50", "56"][number % 7],
        "occupation": str(number % 21),
    }


def lists(seed: int) -> Iterator[Request]:
    """Requests of lists of stored users."""
    draw = random.Random(seed)
    while True:
        yield "GET", f"/v1/users/u{draw.randrange(USERS)}/recommendations", None


def mixed(seed: int, items: list[str]) -> Iterator[Request]:
    """80 % lists, 15 % events, 5 % users."""
    draw = random.Random(seed)
    for number, request in enumerate(lists(seed)):
        kind, user = draw.random(), draw.randrange(USERS)
        if kind < 0.8:
            yield request
        elif kind < 0.95:
            yield "POST", "/v1/events", [{"id": f"m{seed}-{number}", "user": f"u{user}", "item": draw.choice(items)}]
        else:
            yield "PUT", f"/v1/users/u{user}", {"attributes": profile(draw.randrange(1000))}


def known(items: list[str]) -> Iterator[Request]:
    """Requests that store the users, each with three events."""
    draw = random.Random(3)
    for number in range(USERS):
        yield "PUT", f"/v1/users/u{number}", {"attributes": profile(number)}
        events = [{"id": f"k{number}-{i}", "user": f"u{number}", "item": draw.choice(items)} for i in range(3)]
        yield "POST", "/v1/events", events


def close_loop(port: int, what: str, clients: int, seconds: float, items: list[str]) -> Measured:
    """In a process of its own: clients that ask again at once."""
    requests = known(items) if what == "known" else lists(clients)
    return asyncio.run(closed(port, requests, clients, time.monotonic() + seconds))


def open_loop(port: int, what: str, rate: float, seconds: float, items: list[str]) -> Measured:
    """In a process of its own: requests that arrive at a rate."""
    requests = mixed(int(rate), items) if what == "mixed" else lists(5)
    return asyncio.run(arriving(port, requests, rate, time.monotonic() + seconds))


def one_by_one(service: Service, model: Path, items: list[str]) -> dict[str, Any]:
    """Lists over HTTP in turn with bare calls of the same model on users who are encoded already."""
    live = read_live(model, "bare")
    people = [live.person(profile(number), items[number : number + 3]) for number in range(ALONE)]
    bare, whole = [], []
    address = [f"/v1/users/u{number % USERS}/recommendations" for number in range(ALONE)]

    before = service.cpu()
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        for turn in range(3):  # the first is not measured
            for number in range(ALONE):
                started = time.perf_counter()
                live.rank([people[number]], Wish())
                between = time.perf_counter()
                connection.sendall(f"GET {address[number]} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
                answer = connection.recv(65_536)
                while not answer.endswith(b"}"):  # the head comes in a piece of its own
                    answer += connection.recv(65_536)
                ended = time.perf_counter()
                assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["items"]) == 10, answer
                if turn:
                    bare.append(between - started)
                    whole.append(ended - between)
    cpu = (service.cpu() - before) / (3 * ALONE)
    pair = {"bare_ms": 1e3 * statistics.median(bare), "http_ms": 1e3 * statistics.median(whole)}
    return {**pair, "http / bare": statistics.median(whole) / statistics.median(bare), "service_cpu_ms": 1e3 * cpu}


def load(url: str, model: Path, models: Path, minutes: float) -> dict[str, Any]:
    """Lists alone, then mixed load."""
    items = [str(item) for item in read_live(model, "items").vocabulary.texts["item"][:3000]]
    service = Service(model, models, url)
    with ProcessPoolExecutor(1) as other:
        stored = other.submit(close_loop, service.port, "known", 4, 600, items).result()
        assert set(stored.status) <= {200, 201}, stored.failed
        found: dict[str, Any] = {"ready_seconds": service.ready, "one_by_one": one_by_one(service, model, items)}
        full = other.submit(close_loop, service.port, "lists", CLIENTS, 15, items).result()
        capacity = len(full.seconds) / full.took
        half = other.submit(open_loop, service.port, "lists", capacity / 2, 30, items).result()
        found["lists"] = {
            "capacity_per_second": capacity,
            "at_half_ms": {"p50": 1e3 * half.quantile(0.5), "p99": 1e3 * half.quantile(0.99)},
            "failed": [*full.failed, *half.failed],
        }
        going = other.submit(open_loop, service.port, "mixed", capacity / 2, 60 * minutes, items)
        memory, started, swapped = [], time.monotonic(), 0.0
        while not going.done():
            time.sleep(1)
            memory.append(service.mib())
            if not swapped and time.monotonic() - started > 30 * minutes:
                swapped = time.monotonic()
                service.post("/v1/models", {"name": "other"})
                swapped = time.monotonic() - swapped
        every = going.result()
        tenth = max(1, len(memory) // 10)
        found["mixed"] = {
            "minutes": minutes,
            "requests": len(every.seconds),
            "per_second": len(every.seconds) / every.took,
            "status": every.status,
            "failed": every.failed,
            "ms": {
                "p50": 1e3 * every.quantile(0.5),
                "p99": 1e3 * every.quantile(0.99),
                "most": 1e3 * every.quantile(1),
            },
            "swap_seconds": swapped,
            "mib": {
                "after_a_tenth": memory[tenth - 1],
                "before_the_swap": memory[len(memory) // 2 - 2],
                "end": memory[-1],
            },
        }
    assert service.end() == 0
    return found


def kills(url: str, model: Path, models: Path, times: int) -> dict[str, Any]:
    """Kills the service under load, and looks for what it had acknowledged."""
    items = [str(item) for item in read_live(model, "items").vocabulary.texts["item"][:3000]]
    draw = random.Random(11)
    events: dict[str, tuple[str, str]] = {}
    users: dict[str, list[str]] = {}  # profiles that may be stored: the last acknowledged one, and later ones
    ready, lost = [], []
    for number in range(times):
        service = Service(model, models, url)
        ready.append(service.ready)

        def requests(number: int = number) -> Iterator[Request]:
            for place in range(1_000_000):
                user = f"k{draw.randrange(200)}"
                if draw.random() < 0.3:
                    yield "PUT", f"/v1/users/{user}", {"attributes": profile(number * 1_000_000 + place)}
                elif draw.random() < 0.3:
                    yield "GET", f"/v1/users/{user}/recommendations", None
                else:
                    yield "POST", "/v1/events", [{"id": f"x{number}-{place}", "user": user, "item": draw.choice(items)}]

        def told(request: Request, status: int, _: bytes) -> None:
            method, path, body = request
            if method == "POST" and status == 200:
                events[body[0]["id"]] = (body[0]["user"], body[0]["item"])
            elif method == "PUT":
                user = path.rsplit("/", 1)[1]
                mine = json.dumps(body["attributes"])
                before = users.get(user, [NOBODY, "{}"])
                users[user] = [mine] if status in (200, 201) else [*before, mine]  # unanswered: it may be stored or not

        async def under_load(service: Service = service) -> None:
            until = time.monotonic() + 0.3 + draw.random()

            async def kill() -> None:
                await asyncio.sleep(until - time.monotonic())
                service.end(signal.SIGKILL)

            # one client: of two at once nobody knows whose profile came last
            await asyncio.gather(closed(service.port, requests(), 1, until + 0.1, told), kill())

        asyncio.run(under_load())
        store = Store(url)
        there = {one.id: (one.user, one.item) for _, one in store.every_event()}
        profiles = {user: json.dumps(attributes) for user, attributes in store.every_user()}
        store.close()
        lost += [name for name, what in events.items() if there.get(name) != what]
        lost += [user for user, may in users.items() if profiles.get(user, NOBODY) not in may]
    return {
        "kills": times,
        "acknowledged_events": len(events),
        "users": len(users),
        "lost": lost,
        "ready_seconds": {"median": statistics.median(ready), "most": max(ready)},
    }


def main() -> None:
    """Measures and writes `bench_http.json`."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--minutes", type=float, default=10, help="of mixed load, for each database")
    arguments.add_argument("--kills", type=int, default=30, help="for each database")
    arguments.add_argument(
        "--only", choices=["sqlite", "postgresql"], help="one database alone; prints, writes nothing"
    )
    given = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        models = Path(folder) / "models"
        saved_model(models / "one")
        saved_model(models / "other")
        urls = {"sqlite": [f"sqlite:///{folder}/{what}.sqlite" for what in ("load", "kills")]}
        if given.only != "sqlite" and postgres.binaries() is not None:
            server = stack.enter_context(postgres.server(fsync=True))
            with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
                for what in ("load", "kills"):
                    connection.execute(f"CREATE DATABASE {what}")
            urls["postgresql"] = [f"{server}/{what}" for what in ("load", "kills")]
        found = {}
        for name, (of_load, of_kills) in urls.items():
            if given.only in (None, name):
                found[name] = load(of_load, models / "one", models, given.minutes)
                found[name]["kills"] = kills(of_kills, models / "one", models, given.kills)
                print(json.dumps({name: found[name]}, indent=1), flush=True)
    if given.only is None:
        write("http", {"what": "gnnrec serve, MovieLens-1M's 3,881 items, two cores, loopback", **found})


if __name__ == "__main__":
    main()
