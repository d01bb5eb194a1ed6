"""Every module of the experiments can be imported: a name that has moved is found out here, not when it is needed."""

import importlib
from pathlib import Path

import pytest

import experiments

MODULES = sorted(path.stem for path in Path(experiments.__path__[0]).glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_imported(name: str) -> None:
    assert "bench_serving" in MODULES
    assert importlib.import_module(f"experiments.{name}").__doc__
