"""Which files a class of one's own stands in."""

import importlib
from pathlib import Path

import pytest
import torch_geometric.nn

from gnnrec import ALS
from gnnrec.options.own_code import own_files

FILES = {
    "alone.py": "class Alone:\n    pass\n",
    "shop/__init__.py": "from .layers.wide import Wide\n",
    "shop/layers/__init__.py": "",
    "shop/layers/wide.py": "import json\nimport numpy\n\nfrom .. import sizes\n\n\nclass Wide:\n    n = sizes.N\n",
    "shop/sizes.py": "import importlib\n\nfrom bases import deep\n\nN = importlib.import_module('named').N\n",
    "shop/unused.py": "",
    "bases/__init__.py": "",
    "bases/deep.py": "def later():\n    import late\n\n    return late\n",
    "late.py": "import alone\nimport broken\n",
    "broken.py": "this is no Python",
    "named.py": "N = 4\n",
    "unused.py": "",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, code in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def names(folder: Path, module: str, cls: str) -> set[str]:
    found = own_files(getattr(importlib.import_module(module), cls))
    return {str(path.relative_to(folder)) for path in found}


def test_a_class_that_imports_nothing_of_ones_own_stands_in_its_file(folder: Path) -> None:
    assert names(folder, "alone", "Alone") == {"alone.py"}


def test_imports_are_followed_through_packages_functions_and_relative_names(folder: Path) -> None:
    """All of it but what nothing imports, and what is imported by a name made while the code runs."""
    assert names(folder, "shop", "Wide") == {*FILES} - {"shop/unused.py", "unused.py", "named.py"}


def test_what_is_installed_has_no_files_of_ones_own() -> None:
    assert not own_files(ALS)
    assert not own_files(torch_geometric.nn.SAGEConv)
    assert not own_files(dict)
