"""Models to beat, one idea per module, all under the contract of `gnnrec.recommender`."""

from gnnrec.baselines.als import ALS
from gnnrec.baselines.bpr import BPR
from gnnrec.baselines.ease import EASE
from gnnrec.baselines.item_knn import ItemKNN
from gnnrec.baselines.lightfm import LightFM
from gnnrec.baselines.linear import AttributeLinear
from gnnrec.baselines.neighbours import AttributeKNN, NeighbourPopularity
from gnnrec.baselines.popularity import Popularity, Random
from gnnrec.baselines.ratings import Biases, GlobalMean, ItemMean
from gnnrec.baselines.ratings_attributes import AttributeKNNRatings, BilinearRatings, SegmentItemMean
from gnnrec.baselines.ratings_factorization import BiasedMF
from gnnrec.baselines.segment import SegmentPopularity

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
    "GlobalMean",
    "ItemKNN",
    "ItemMean",
    "LightFM",
    "NeighbourPopularity",
    "Popularity",
    "Random",
    "SegmentItemMean",
    "SegmentPopularity",
]
