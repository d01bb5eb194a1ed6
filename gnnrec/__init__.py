"""Inductive cold-start recommendation on heterogeneous graphs, under one honest protocol.

    dataset = load_dataset(NamedData(source="ml-100k", positive=Positive(min_value=4)))
    split = make_split(dataset, UnseenUsers(test=0.2), seed=0)
    model = GraphSAGE()
    model.fit(split.train, split.validation, seed=0)

Names are imported when they are first used, so that `gnnrec --help` need not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnnrec.data import load as load_dataset
    from gnnrec.data.config import NamedData, Positive, TableData
    from gnnrec.data.dataset import Dataset
    from gnnrec.data.frames import from_frames
    from gnnrec.data.pyg import from_pyg
    from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
    from gnnrec.experiment.run import fit_and_evaluate
    from gnnrec.experiment.tables import compare, metrics_table
    from gnnrec.graph.build import attach, build_graph
    from gnnrec.models.blend import Blend
    from gnnrec.models.graphsage import GraphSAGE
    from gnnrec.serving.artifact import save
    from gnnrec.serving.estimator import Recommender, load
    from gnnrec.serving.vocabulary import Vocabulary
    from gnnrec.splits import *  # noqa: F403  (each kind of split is listed once, in its own folder)
    from gnnrec.splits import make_split
    from gnnrec.splits.split import Split

_WHERE = {
    "load_dataset": "data:load",
    **dict.fromkeys(("NamedData", "Positive", "TableData"), "data.config"),
    "Blend": "models.blend",
    "GraphSAGE": "models.graphsage",
    "Dataset": "data.dataset",
    "from_frames": "data.frames",
    "from_pyg": "data.pyg",
    **dict.fromkeys(("EvaluateConfig", "evaluate"), "evaluation.evaluator"),
    **dict.fromkeys(("attach", "build_graph"), "graph.build"),
    "fit_and_evaluate": "experiment.run",
    **dict.fromkeys(("Recommender", "load"), "serving.estimator"),
    "save": "serving.artifact",
    "Vocabulary": "serving.vocabulary",
    "make_split": "splits",
    "Split": "splits.split",
    **dict.fromkeys(("compare", "metrics_table"), "experiment.tables"),
}

_LISTS = ("gnnrec.splits", "gnnrec.models.registry")
"""Modules whose `__all__` lists the kinds of split and the models."""

__all__ = [
    "Blend",
    "Dataset",
    "EvaluateConfig",
    "GraphSAGE",
    "NamedData",
    "Positive",
    "Recommender",
    "Split",
    "TableData",
    "Vocabulary",
    "attach",
    "build_graph",
    "compare",
    "evaluate",
    "fit_and_evaluate",
    "from_frames",
    "from_pyg",
    "load",
    "load_dataset",
    "make_split",
    "metrics_table",
    "save",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        where, _, its_name = _WHERE[name].partition(":")
        return getattr(importlib.import_module(f"gnnrec.{where}"), its_name or name)
    if not name.startswith("_") and name[0].isupper():
        for module in map(importlib.import_module, _LISTS):
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module 'gnnrec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *(name for m in map(importlib.import_module, _LISTS) for name in m.__all__)})
