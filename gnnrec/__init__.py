"""Inductive cold-start recommendation on heterogeneous graphs, under one honest protocol.

    dataset = load(NamedData(source="ml-100k", positive=Positive(min_value=4)))
    split = make_split(dataset, UnseenUsers(test=0.2), seed=0)
    model = GraphSAGE()
    model.fit(split.train, split.validation, seed=0)

Names are imported when they are first used, so that `gnnrec --help` need not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnnrec.data import load
    from gnnrec.data.config import NamedData, Positive, TableData
    from gnnrec.data.dataset import Dataset
    from gnnrec.data.frames import from_frames
    from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
    from gnnrec.experiment.run import fit_and_evaluate
    from gnnrec.experiment.tables import compare, metrics_table
    from gnnrec.graph.build import attach, build_graph
    from gnnrec.models.blend import Blend
    from gnnrec.models.graphsage import GraphSAGE
    from gnnrec.splits.split import FromFile, Split, UnseenItems, UnseenUsers, WarmInteractions, make_split

_WHERE = {
    "load": "data",
    **dict.fromkeys(("NamedData", "Positive", "TableData"), "data.config"),
    "Blend": "models.blend",
    "GraphSAGE": "models.graphsage",
    "Dataset": "data.dataset",
    "from_frames": "data.frames",
    **dict.fromkeys(("EvaluateConfig", "evaluate"), "evaluation.evaluator"),
    **dict.fromkeys(("attach", "build_graph"), "graph.build"),
    "fit_and_evaluate": "experiment.run",
    **dict.fromkeys(
        ("FromFile", "Split", "UnseenItems", "UnseenUsers", "WarmInteractions", "make_split"), "splits.split"
    ),
    **dict.fromkeys(("compare", "metrics_table"), "experiment.tables"),
}

__all__ = [
    "Blend",
    "Dataset",
    "EvaluateConfig",
    "FromFile",
    "GraphSAGE",
    "NamedData",
    "Positive",
    "Split",
    "TableData",
    "UnseenItems",
    "UnseenUsers",
    "WarmInteractions",
    "attach",
    "build_graph",
    "compare",
    "evaluate",
    "fit_and_evaluate",
    "from_frames",
    "load",
    "make_split",
    "metrics_table",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"gnnrec.{_WHERE[name]}"), name)
    if not name.startswith("_") and name[0].isupper():
        registry = importlib.import_module("gnnrec.models.registry")
        if name in registry.__all__:
            return getattr(registry, name)
    raise AttributeError(f"module 'gnnrec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *importlib.import_module("gnnrec.models.registry").__all__})
