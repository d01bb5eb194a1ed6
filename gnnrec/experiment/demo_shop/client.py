"""What the demo shop asks a running service, over HTTP."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from gnnrec.errors import InputError
from gnnrec.experiment.demo_shop.newcomers import Choice

HERE = ("127.0.0.1", "localhost", "::1")
PATIENCE, BROKEN = 60.0, 3
"""Seconds that one request is put off at most when the service is busy; and tries of one whose connection breaks."""
TIMEOUT = httpx.Timeout(30.0, connect=5.0)


@dataclass(frozen=True)
class ListOfItems:
    """A list.

    Attributes:
        request: its id.
        version: of the model.
        source: `model`, or `popular` where nothing is known of the user.
        items: ids, best first.
        seconds: until the answer was there.
    """

    request: str
    version: str
    source: str
    items: tuple[str, ...]
    seconds: float


class Client:
    """One connection to a service.

    Args:
        url: of it.
        token: that it wants; None for none.
        rate: most requests a second; None for as many as it answers.
        transport: takes the requests in the place of the network.
        sleep: waits for some seconds.

    Attributes:
        requests: that were answered.
        put_off: answers that told to come again later.

    Raises:
        InputError: the url is none.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        rate: float | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            host = httpx.URL(url).host if url.startswith(("http://", "https://")) else ""
        except httpx.InvalidURL:
            host = ""
        if not re.fullmatch(r"[\w.:-]+", host):
            raise InputError(f"--url: {url!r} is no address of a service; write for example http://127.0.0.1:8000")
        self.url, self.requests, self.put_off = url.rstrip("/"), 0, 0
        self._pause, self._next, self._sleep = 1 / rate if rate else 0.0, 0.0, sleep
        self._seconds = 0.0
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            self._http = httpx.Client(
                headers=headers,
                timeout=TIMEOUT,
                limits=httpx.Limits(max_connections=1),
                transport=transport,
                trust_env=host not in HERE,  # no proxy is on the way to this machine
            )
        except UnicodeEncodeError:
            raise InputError("--token: a token is of ASCII characters") from None

    def close(self) -> None:
        """Ends the connection."""
        self._http.close()

    def hurry(self) -> None:
        """Sends what follows without a rate."""
        self._pause = 0.0

    def models(self) -> list[Mapping[str, Any]]:
        """The models in service: role and version of each."""
        return list(self._ask("GET", "/v1/models")["serving"])

    def attributes(self) -> set[str]:
        """Names of the attributes of users that the service knows."""
        return {str(one["name"]) for one in self._ask("GET", "/v1/vocabulary")["attributes"]}

    def knows(self, item: str) -> bool:
        """Whether an item is known."""
        return self._ask("GET", f"/v1/items/{_part(item)}/similar", params={"n": 1}) is not None

    def profile(self, user: str) -> Mapping[str, Any] | None:
        """The attributes of a stored user; None where there is none."""
        found = self._ask("GET", f"/v1/users/{_part(user)}")
        return None if found is None else dict(found["attributes"])

    def put_user(self, user: str, attributes: Mapping[str, Any]) -> None:
        """Stores a profile."""
        self._ask("PUT", f"/v1/users/{_part(user)}", json={"attributes": attributes})

    def delete_user(self, user: str) -> None:
        """Forgets a user, if it is there."""
        self._ask("DELETE", f"/v1/users/{_part(user)}")

    def recommend(self, user: str, number: int, model: str | None) -> ListOfItems:
        """A list for a stored user; `model` is a role, `popular`, or None for the one that answers the user."""
        query = {"n": number} | ({} if model is None else {"model": model})
        found = self._ask("GET", f"/v1/users/{_part(user)}/recommendations", params=query)
        items = tuple(str(row["item"]) for row in found["items"])
        return ListOfItems(found["request_id"], found["model"], found["source"], items, self._seconds)

    def add_event(self, user: str, name: str, choice: Choice, request: str) -> bool:
        """Tells what a user chose; returns whether the service knows the item.

        Args:
            user: its id.
            name: of the event: one that is sent again counts once.
            choice: the item.
            request: of the list that was shown before.
        """
        event = {"id": name, "user": user, "item": choice.item, "value": choice.value, "time": choice.time}
        found = self._ask("POST", "/v1/events", json=[{**event, "request_id": request}])
        return not found["unknown_items"]

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        """The body of an answer; None where there is no such user or item."""
        put_off, broken = 0.0, 0
        while True:
            self._wait_for_turn()
            began = time.perf_counter()
            try:
                answer = self._http.request(method, self.url + path, **content)
            except httpx.TransportError as error:
                broken += 1
                if not self.requests or broken == BROKEN:
                    raise InputError(self._unreachable(error)) from None
                self._sleep(0.5 * broken)
                continue
            self._seconds = time.perf_counter() - began
            self.requests += 1
            if answer.status_code in (429, 503):
                self.put_off += 1
                wait = _retry_after(answer)
                put_off += wait
                if put_off > PATIENCE:
                    raise InputError(f"{self.url}: the service is too busy: {_told(answer)}")
                self._sleep(wait)
                continue
            return self._read(answer, path)

    def _read(self, answer: httpx.Response, path: str) -> Any:
        if answer.status_code in (401, 403):
            raise InputError(f"{self.url}: the service refuses the token: {_told(answer)}; give one with --token")
        ours = "x-request-id" in answer.headers
        if answer.status_code == 404 and ours and path.startswith(("/v1/users/", "/v1/items/")):
            return None
        if answer.is_success and ours:
            try:
                return answer.json() if answer.content else {}
            except ValueError:
                ours = False
        if not ours or answer.status_code == 404:
            raise InputError(f"{self.url}: what answers there is no `gnnrec serve` (status {answer.status_code})")
        raise InputError(f"{self.url}: the service refuses {path}: {_told(answer)}")

    def _unreachable(self, error: httpx.TransportError) -> str:
        if self.requests:
            return f"{self.url}: the service does not answer any more ({_reason(error)})"
        return (
            f"{self.url}: no service can be reached there ({_reason(error)}); start one with `gnnrec serve RUN`, "
            "or name it with --url"
        )

    def _wait_for_turn(self) -> None:
        if self._pause:
            now = time.monotonic()
            if now < self._next:
                self._sleep(self._next - now)
            self._next = max(now, self._next) + self._pause


def _part(name: str) -> str:
    """An id as a part of an address."""
    return quote(name, safe="")


def _retry_after(answer: httpx.Response) -> float:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isdecimal() and int(text) > 0 else 1.0


def _told(answer: httpx.Response) -> str:
    """The service's own words."""
    try:
        return str(answer.json()["error"])
    except (ValueError, LookupError, TypeError):
        return f"status {answer.status_code}"


def _reason(error: httpx.TransportError) -> str:
    return " ".join(str(error).split()) or type(error).__name__
