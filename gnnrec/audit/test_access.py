"""The test-access log: a line in test_access.jsonl for each evaluation of a test part, written before it begins."""

import os
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gnnrec.errors import ConfigError

LOG = "test_access.jsonl"
FORMER_LOG = "openings.jsonl"
"""What the log was called in older folders; it is still read."""


class TestAccess(BaseModel):
    """One access to a test part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    """When, in UTC."""
    config: str
    """Which config, after the folder it stands in: `ml-100k/graphsage`."""
    seed: int
    """The run's seed."""
    split_checksum: str
    """SHA-256 of the split whose test part is evaluated."""
    config_checksum: str
    """SHA-256 of the config."""
    why: str
    """After which model selection."""


def record_test_access(folder: Path, access: TestAccess) -> None:
    """Appends a line to the log of a folder; several processes may do so at once.

    Args:
        folder: the `--out` of `gnnrec run`.
        access: the access that is about to happen.
    """
    line = (access.model_dump_json() + "\n").encode()
    file = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, line)
        os.fsync(file)
    finally:
        os.close(file)


def read_test_accesses(folders: Iterable[Path]) -> list[TestAccess]:
    """All accesses that are recorded in folders, oldest first.

    Args:
        folders: each the `--out` of `gnnrec run`, or a folder that holds several.

    Returns:
        Empty where no test part was evaluated.

    Raises:
        ConfigError: there is no such folder, or a line that cannot be read.
    """
    found: dict[Path, list[TestAccess]] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder; give the --out of `gnnrec run`, or a folder that holds some")
        for name in (LOG, FORMER_LOG):
            for path in (*folder.glob(name), *folder.glob(f"*/{name}")):
                found[path.resolve()] = _read(path)
    return sorted((a for accesses in found.values() for a in accesses), key=lambda a: (a.time, a.config, a.seed))


def accesses_per_split(accesses: Iterable[TestAccess]) -> dict[str, int]:
    """Checksum of a split -> number of accesses to its test part."""
    return dict(Counter(access.split_checksum for access in accesses))


def _read(path: Path) -> list[TestAccess]:
    accesses = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            accesses.append(TestAccess.model_validate_json(line))
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise ConfigError(f"{path}: line {number}: no test access ({reason}); mend or delete the line") from error
    return accesses
