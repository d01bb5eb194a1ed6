"""The models that a config may call by their bare name."""

from gnnrec.baselines import (
    ALS,
    BPR,
    AttributeKNN,
    AttributeLinear,
    Biases,
    ItemMean,
    LightFM,
    NeighbourPopularity,
    Popularity,
    Random,
    SegmentPopularity,
)
from gnnrec.gnn import GraphRecommender

__all__ = [
    "ALS",
    "BPR",
    "AttributeKNN",
    "AttributeLinear",
    "Biases",
    "GraphRecommender",
    "ItemMean",
    "LightFM",
    "NeighbourPopularity",
    "Popularity",
    "Random",
    "SegmentPopularity",
]
