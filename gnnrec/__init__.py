"""Inductive cold-start recommendation on heterogeneous graphs, under one honest protocol.

    dataset = load(NamedData(source="ml-100k", positive=Positive(min_value=4)))
    split = make_split(dataset, UnseenUsers(test=0.2), seed=0)
    model = GraphRecommender()
    model.fit(split.train, split.validation, seed=0)

Names are imported when they are first used, so that `gnnrec --help` need not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnnrec.baselines import (
        ALS,
        BPR,
        EASE,
        AttributeKNN,
        AttributeKNNRatings,
        AttributeLinear,
        BiasedMF,
        Biases,
        BilinearRatings,
        GlobalMean,
        ItemKNN,
        ItemMean,
        LightFM,
        NeighbourPopularity,
        Popularity,
        Random,
        SegmentItemMean,
        SegmentPopularity,
    )
    from gnnrec.data import load
    from gnnrec.data.config import NamedData, Positive, TableData
    from gnnrec.data.dataset import Dataset
    from gnnrec.data.frames import from_frames
    from gnnrec.evaluate import EvaluateConfig, evaluate
    from gnnrec.gnn import GraphRecommender
    from gnnrec.graph import attach, build_graph
    from gnnrec.rating import GraphRatingRecommender
    from gnnrec.run import fit_and_evaluate
    from gnnrec.split import FromFile, Split, UnseenItems, UnseenUsers, WarmInteractions, make_split
    from gnnrec.tables import compare, metrics_table

_WHERE = {
    **dict.fromkeys(
        (
            "ALS",
            "BPR",
            "EASE",
            "AttributeKNN",
            "AttributeKNNRatings",
            "AttributeLinear",
            "BiasedMF",
            "Biases",
            "BilinearRatings",
            "GlobalMean",
            "ItemKNN",
            "ItemMean",
            "LightFM",
            "NeighbourPopularity",
            "Popularity",
            "Random",
            "SegmentItemMean",
            "SegmentPopularity",
        ),
        "baselines",
    ),
    "load": "data",
    **dict.fromkeys(("NamedData", "Positive", "TableData"), "data.config"),
    "Dataset": "data.dataset",
    "from_frames": "data.frames",
    **dict.fromkeys(("EvaluateConfig", "evaluate"), "evaluate"),
    "GraphRecommender": "gnn",
    "GraphRatingRecommender": "rating",
    **dict.fromkeys(("attach", "build_graph"), "graph"),
    "fit_and_evaluate": "run",
    **dict.fromkeys(("FromFile", "Split", "UnseenItems", "UnseenUsers", "WarmInteractions", "make_split"), "split"),
    **dict.fromkeys(("compare", "metrics_table"), "tables"),
}

__all__ = [
    "ALS",
    "BPR",
    "EASE",
    "AttributeKNN",
    "AttributeKNNRatings",
    "AttributeLinear",
    "BiasedMF",
    "Biases",
    "BilinearRatings",
    "Dataset",
    "EvaluateConfig",
    "FromFile",
    "GlobalMean",
    "GraphRatingRecommender",
    "GraphRecommender",
    "ItemKNN",
    "ItemMean",
    "LightFM",
    "NamedData",
    "NeighbourPopularity",
    "Popularity",
    "Positive",
    "Random",
    "SegmentItemMean",
    "SegmentPopularity",
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
    if name not in _WHERE:
        raise AttributeError(f"module 'gnnrec' has no attribute {name!r}")
    return getattr(importlib.import_module(f"gnnrec.{_WHERE[name]}"), name)
