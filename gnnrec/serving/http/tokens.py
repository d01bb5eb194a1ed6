"""Who may ask for what, and how often: bearer tokens with roles and rates."""

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gnnrec.errors import ConfigError

Role = Literal["read", "write", "admin"]
RANK = {"read": 0, "write": 1, "admin": 2}
"""Each role may do what those before it may."""
EXAMPLE = "- {name: shop, token: <32 random characters>, role: write, rate: 500}"
SHORTEST = 16


class Token(BaseModel):
    """One line of the file of tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    """Stands in logs and metrics in the place of the token."""
    token: str = Field(min_length=SHORTEST)
    """What stands behind `Authorization: Bearer`."""
    role: Role = "read"
    """`read` asks for lists, `write` also sends users, events and items, `admin` also loads models."""
    rate: float = Field(1000.0, gt=0)
    """Most requests a second, over a second."""


@dataclass
class _Bucket:
    left: float
    at: float


class Tokens:
    """The tokens of a service.

    Args:
        tokens: known ones; none lets everybody do everything.
        clock: seconds.
    """

    def __init__(self, tokens: tuple[Token, ...] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._known = [(_digest(one.token), one) for one in tokens]
        self._clock = clock
        self._buckets = {one.name: _Bucket(one.rate, clock()) for one in tokens}

    @property
    def open(self) -> bool:
        """Whether no token is needed."""
        return not self._known

    def find(self, header: str | None) -> Token | None:
        """The token in an `Authorization` header; None for none or an unknown one."""
        kind, _, value = (header or "").partition(" ")
        if kind.lower() != "bearer":
            return None
        given = _digest(value.strip())
        found = [one for digest, one in self._known if hmac.compare_digest(digest, given)]
        return found[0] if found else None

    def wait(self, token: Token) -> float:
        """Takes one request of the rate; seconds to wait where there is none left, else 0."""
        bucket, now = self._buckets[token.name], self._clock()
        burst = max(token.rate, 1.0)
        bucket.left = min(burst, bucket.left + (now - bucket.at) * token.rate)
        bucket.at = now
        if bucket.left < 1:
            return (1 - bucket.left) / token.rate
        bucket.left -= 1
        return 0.0


def read_tokens(path: Path) -> Tokens:
    """The tokens of a YAML file: a list of name, token, role and rate.

    Raises:
        ConfigError: it cannot be read; no token is in the message.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--tokens: {path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigError(f"--tokens: {path}: is no YAML; write lines such as {EXAMPLE}") from None
    try:
        tokens = TypeAdapter(tuple[Token, ...]).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"--tokens: {path}: {where or 'the file'}: {first['msg']}; write lines such as {EXAMPLE}"
        ) from None
    if not tokens:
        raise ConfigError(f"--tokens: {path}: holds no token; write lines such as {EXAMPLE}")
    for field in ("name", "token"):
        if len({getattr(one, field) for one in tokens}) < len(tokens):
            raise ConfigError(f"--tokens: {path}: two lines have the same {field}; give each its own")
    return Tokens(tokens)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
