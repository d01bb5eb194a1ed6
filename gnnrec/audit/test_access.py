"""openings.jsonl: a line for each time that a run looked at a test part, written before it looks."""

import os
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gnnrec.errors import ConfigError

OPENINGS = "openings.jsonl"


class TestAccess(BaseModel):
    """One look at a test part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: datetime = Field(default_factory=lambda: datetime.now(timezone.utc).replace(microsecond=0))
    """When, in UTC."""
    config: str
    """Which config, after the folder it stands in: `ml-100k/graphsage`."""
    seed: int
    """The run's seed."""
    split_checksum: str
    """SHA-256 of the split whose test part was opened."""
    config_checksum: str
    """SHA-256 of the config."""
    why: str
    """After which choice."""


def record_test_access(folder: Path, opening: TestAccess) -> None:
    """Adds a line to a folder's openings; several processes may do so at once.

    Args:
        folder: the `--out` of `gnnrec run`.
        opening: what is about to be opened.
    """
    line = (opening.model_dump_json() + "\n").encode()
    file = os.open(folder / OPENINGS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, line)
        os.fsync(file)
    finally:
        os.close(file)


def read_test_accesses(folders: Iterable[Path]) -> list[TestAccess]:
    """All openings that were recorded in folders, oldest first.

    Args:
        folders: each the `--out` of `gnnrec run`, or a folder that holds several.

    Returns:
        Empty where nothing was opened.

    Raises:
        ConfigError: there is no such folder, or a line that cannot be read.
    """
    found: dict[Path, list[TestAccess]] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder; give the --out of `gnnrec run`, or a folder that holds some")
        for path in (*folder.glob(OPENINGS), *folder.glob(f"*/{OPENINGS}")):
            found[path.resolve()] = _read(path)
    return sorted((o for openings in found.values() for o in openings), key=lambda o: (o.time, o.config, o.seed))


def times_opened(openings: Iterable[TestAccess]) -> dict[str, int]:
    """How often each test part was opened: checksum of the split -> number."""
    return dict(Counter(opening.split_checksum for opening in openings))


def _read(path: Path) -> list[TestAccess]:
    openings = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            openings.append(TestAccess.model_validate_json(line))
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise ConfigError(f"{path}: line {number}: is no opening ({reason}); mend or delete the line") from error
    return openings
