"""Models to beat, one idea per module, all under the contract of `gnnrec.recommender`."""

from gnnrec.baselines.ease import EASE
from gnnrec.baselines.factorization import ALS, BPR
from gnnrec.baselines.item_knn import ItemKNN
from gnnrec.baselines.lightfm import LightFM
from gnnrec.baselines.linear import AttributeLinear
from gnnrec.baselines.neighbours import AttributeKNN, NeighbourPopularity
from gnnrec.baselines.popularity import Popularity, Random
from gnnrec.baselines.ratings import Biases, ItemMean
from gnnrec.baselines.segment import SegmentPopularity

__all__ = [
    "ALS",
    "BPR",
    "EASE",
    "AttributeKNN",
    "AttributeLinear",
    "Biases",
    "ItemKNN",
    "ItemMean",
    "LightFM",
    "NeighbourPopularity",
    "Popularity",
    "Random",
    "SegmentPopularity",
]
