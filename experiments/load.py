"""Requests against a service on this machine, from a process of its own: closed loops, and arrivals at a rate.

The client speaks HTTP/1.1 over kept connections and does as little as it can, because it has half of the machine.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Request = tuple[str, str, Any]
"""Method, address and body, None for none."""


@dataclass
class Measured:
    """What a load came to.

    Attributes:
        seconds: of each answer, in the order of their ends; of arrivals at a rate, from the moment of the arrival on.
        status: status -> number of answers; 0 for a broken connection.
        failed: the first requests whose answers were 400 or more, or none.
        took: seconds of the whole.
    """

    seconds: list[float] = field(default_factory=list)
    status: dict[int, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    took: float = 0.0

    def quantile(self, share: float) -> float:
        """Seconds that a share of the answers took at most."""
        every = sorted(self.seconds)
        return every[min(len(every) - 1, int(share * len(every)))] if every else float("nan")

    def count(self, request: Request, status: int, seconds: float, body: bytes) -> None:
        """Counts one answer."""
        self.seconds.append(seconds)
        self.status[status] = self.status.get(status, 0) + 1
        if not 200 <= status < 400 and len(self.failed) < 10:
            self.failed.append(f"{request[0]} {request[1]}: {status} {body[:200].decode(errors='replace')}")


IDLE = 30.0
"""Seconds after which a connection that nobody used is opened anew: servers close those that are idle for long."""


class Connection:
    """A kept connection.

    Args:
        port: of 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._used = 0.0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Request) -> tuple[int, bytes]:
        """Status and body of the answer; 0 where the connection breaks."""
        method, path, body = request
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(content)}\r\n"
        try:
            if time.monotonic() - self._used > IDLE:
                self.close()
            self._used = time.monotonic()
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            writer.write((head + "content-type: application/json\r\n\r\n").encode() + content)
            headers = await reader.readuntil(b"\r\n\r\n")
            status = int(headers[9:12])
            lower = headers.lower()
            place = lower.find(b"content-length: ")
            size = int(lower[place + 16 : lower.index(b"\r\n", place)]) if place >= 0 else 0
            answer = await reader.readexactly(size) if size else b""
            if b"connection: close" in lower:
                self.close()
            return status, answer
        except (OSError, asyncio.IncompleteReadError, ValueError):
            self.close()
            return 0, b""

    def close(self) -> None:
        """Ends it; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def closed(
    port: int,
    requests: Iterable[Request],
    clients: int,
    until: float,
    told: Callable[[Request, int, bytes], None] | None = None,
) -> Measured:
    """As many clients, each of which asks again as soon as it is answered, until a moment of `time.monotonic`."""
    found, every, started = Measured(), iter(requests), time.monotonic()

    async def client() -> None:
        connection = Connection(port)
        while time.monotonic() < until:
            request = next(every, None)
            if request is None:
                break
            begun = time.perf_counter()
            status, body = await connection.ask(request)
            found.count(request, status, time.perf_counter() - begun, body)
            if told is not None:
                told(request, status, body)
            if status == 0:
                await asyncio.sleep(0.02)
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    found.took = time.monotonic() - started
    return found


async def arriving(
    port: int, requests: Iterable[Request], rate: float, until: float, seed: int = 0, most: int = 200
) -> Measured:
    """Requests that arrive at a rate, by chance, whether or not earlier ones are answered.

    Args:
        port: of 127.0.0.1.
        requests: as many as there are until then.
        rate: a second, on average; times between arrivals are exponential.
        until: moment of `time.monotonic`.
        seed: of the times.
        most: connections.
    """
    found, draw, started = Measured(), random.Random(seed), time.monotonic()
    free: list[Connection] = []
    tasks: set[asyncio.Task[None]] = set()
    limit = asyncio.Semaphore(most)

    async def one(request: Request, arrived: float) -> None:
        async with limit:
            connection = free.pop() if free else Connection(port)
            status, body = await connection.ask(request)
            found.count(request, status, time.monotonic() - arrived, body)
            free.append(connection)

    at = started
    for request in requests:
        at += draw.expovariate(rate)
        if at >= until:
            break
        wait = at - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(request, at))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    for connection in free:
        connection.close()
    found.took = time.monotonic() - started
    return found
