"""The real data sets, where they are on this machine; a test never downloads."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from gnnrec.data import load
from gnnrec.data.config import NamedData
from gnnrec.data.dataset import Dataset
from gnnrec.data.datasets import source_named
from gnnrec.data.sources import find


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


@pytest.fixture
def values_of() -> Callable[[Dataset, str, str], set[str]]:
    """Data set, name of a relation, id of a user or item -> the values it has, looked up one by one."""

    def look_up(dataset: Dataset, name: str, owner: str) -> set[str]:
        found = next(r for r in dataset.relations if r.name == name)
        nodes = found.edge_index[1][found.edge_index[0] == dataset.ids[found.source].get_loc(owner)]
        return {dataset.ids[found.target][int(node)] for node in nodes}

    return look_up
