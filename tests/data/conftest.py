"""The real data sets, where they are on this machine; a test never downloads."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from gnnrec.data import load
from gnnrec.data.config import NamedData
from gnnrec.data.dataset import Dataset
from gnnrec.data.sources import find, source_named


@cache
def _files(name: str) -> dict[str, Path]:
    found = find(name)
    missing = [key for key in source_named(name).keys if key not in found]
    if missing:
        pytest.skip(f"{name}: {', '.join(missing)} is neither in the cache folder nor under GNNREC_DATA")
    return found


@cache
def _load(name: str) -> Dataset:
    _files(name)
    return load(NamedData(source=name))


@pytest.fixture
def real() -> Callable[[str], Dataset]:
    """Name -> the loaded source; skips the test where the files are not here."""
    return _load


@pytest.fixture
def real_files() -> Callable[[str], dict[str, Path]]:
    """Name -> the files of the source; skips the test where they are not here."""
    return _files
