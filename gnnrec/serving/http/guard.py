"""What every request passes first: its size, its token, its rate; and a line in the log when it is answered."""

import json
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from starlette.convertors import Convertor, register_url_convertor

from gnnrec.serving.http.metrics import Metrics
from gnnrec.serving.http.settings import Settings
from gnnrec.serving.http.tokens import Tokens

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("gnnrec.serve")
STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
SLASH = "\ue000"
"""Stands for a slash within a part of an address, while addresses are told apart; of Unicode's private use."""
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
LOCAL = {"localhost", "127.0.0.1", "[::1]", "testserver"}
"""Hosts that a service without tokens is called by: a page elsewhere cannot reach it under a name of its own."""
METHODS = {"GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"}
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"),
]


class Guard:
    """An ASGI application around another one.

    Args:
        app: the service.
        settings: limits.
        tokens: known ones.
        metrics: counts what is refused.
    """

    def __init__(self, app: App, settings: Settings, tokens: Tokens, metrics: Metrics) -> None:
        self._app, self._settings, self._tokens, self._metrics = app, settings, tokens, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, request_id = time.perf_counter(), os.urandom(16).hex()
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        scope.setdefault("state", {})["request_id"] = request_id
        status, begun = 500, False

        async def sending(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                kept = b"no-store" if scope["path"].startswith("/v1/") else b"no-cache"
                own = [(b"x-request-id", request_id.encode()), (b"cache-control", kept)]
                message["headers"] = [*message.get("headers", []), *HEADERS, *own]
            await send(message)

        try:
            scope["path"] = _path(scope)
            refusal, body = await self._look(scope, headers, receive)
            if refusal is not None:
                await _answer(sending, *refusal)
            else:
                await self._app(scope, _replay(body, receive), sending)
        except Exception:
            log.exception("failed", extra={"fields": {"request_id": request_id}})
            if not begun:
                await _answer(sending, 500, "the service failed; its log tells more", None)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path_format", "none")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.requests.labels(route, method, str(status)).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            fields = {"request_id": request_id, "route": route, "method": method, "status": status}
            token = scope["state"].get("token")
            fields |= {"ms": round(1000 * seconds, 2), **({"token": token.name} if token else {})}
            log.info("request", extra={"fields": fields})

    async def _look(
        self, scope: Scope, headers: dict[bytes, str], receive: Receive
    ) -> tuple[tuple[int, str, float | None] | None, bytes]:
        """Status, message and seconds to wait where the request is refused; and its body."""
        needs = scope["path"].startswith("/v1/") or scope["path"] == "/metrics"
        if self._tokens.open:
            if headers.get(b"host", "localhost").rsplit(":", 1)[0].lower() not in LOCAL:
                return self._refuse("host", 421, "without tokens, the service answers to localhost alone"), b""
        elif needs:
            token = self._tokens.find(headers.get(b"authorization"))
            if token is None:
                return self._refuse("token", 401, "a token is needed: Authorization: Bearer TOKEN"), b""
            scope["state"]["token"] = token
            wait = self._tokens.wait(token)
            if wait:
                return self._refuse("rate", 429, f"more than {token.rate:g} requests a second", wait), b""
        if "\x00" in scope["path"]:
            return self._refuse("address", 422, "the address has a control character"), b""
        if len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"") > 16_384:
            return self._refuse("address", 414, "the address is longer than 16,384 characters"), b""
        return await self._body(headers, receive)

    async def _body(
        self, headers: dict[bytes, str], receive: Receive
    ) -> tuple[tuple[int, str, float | None] | None, bytes]:
        most = self._settings.body
        too_large = f"the body is larger than {most:,} bytes; send less at once"
        length = headers.get(b"content-length", "0")
        if length.isdecimal() and int(length) > most:
            return self._refuse("body", 413, too_large), b""
        parts, size, more = [], 0, "content-length" in map(bytes.decode, headers) or b"transfer-encoding" in headers
        while more:
            message = await receive()
            if message["type"] != "http.request":
                break
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                return self._refuse("body", 413, too_large), b""
            more = message.get("more_body", False)
        body = b"".join(parts)
        if depth(body, self._settings.depth) > self._settings.depth:
            return self._refuse("depth", 422, f"brackets are nested deeper than {self._settings.depth}"), b""
        return None, body

    def _refuse(self, why: str, status: int, message: str, wait: float | None = None) -> tuple[int, str, float | None]:
        self._metrics.refused.labels(why).inc()
        return status, message, wait


class IdConvertor(Convertor[str]):
    """A part of an address that is an id, which may hold a slash, written as %2F."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        """The id."""
        return value.replace(SLASH, "/")

    def to_string(self, value: str) -> str:
        """A part of an address."""
        return value.replace("/", SLASH)


register_url_convertor("id", IdConvertor())


def _path(scope: Scope) -> str:
    """The address, decoded part by part, so that a slash in a part divides nothing."""
    raw = scope.get("raw_path")
    if raw is None or b"%2" not in raw:
        return str(scope["path"])
    parts = raw.split(b"?")[0].decode("latin-1").split("/")
    return "/".join(unquote(part, errors="replace").replace("/", SLASH) for part in parts)


def depth(body: bytes, most: int) -> int:
    """How deep brackets are nested in JSON, those in strings left out; more than `most` is not counted on.

    Example:
        >>> depth(b'{"a": [1, "[[["]}', 8)
        2
    """
    deepest = level = 0
    for byte in STRING.sub(b"", body).translate(None, NO_BRACKETS):
        level += 1 if byte in b"[{" else -1
        deepest = max(deepest, level)
        if deepest > most:
            break
    return deepest


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hands the body over that was read already."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _answer(send: Send, status: int, message: str, wait: float | None) -> None:
    content = json.dumps({"error": message, "details": []}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    if wait is not None:
        headers.append((b"retry-after", str(max(1, round(wait + 0.5))).encode()))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class JsonLines(logging.Formatter):
    """A line of JSON for each record: time, level, message, and fields; no attribute of a user is ever among them."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{when}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            kind, _, trace = record.exc_info
            where = [f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" for frame in _frames(trace)]
            line |= {
                "error": getattr(kind, "__name__", ""),
                "where": where[-8:],
            }  # the message may hold what a user sent
        return json.dumps(line)


def _frames(trace: Any) -> list[Any]:
    found = []
    while trace is not None:
        found.append(trace)
        trace = trace.tb_next
    return found
