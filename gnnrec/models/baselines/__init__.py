"""Models to beat, one idea per module, all under the contract of `gnnrec.recommender`."""

from gnnrec.models.baselines.autoencoder import EASE, DenoisingRegression
from gnnrec.models.baselines.factorization.als import ALS
from gnnrec.models.baselines.factorization.bpr import BPR
from gnnrec.models.baselines.factorization.irspack import IRSpack
from gnnrec.models.baselines.item_knn import ItemKNN
from gnnrec.models.baselines.lightfm import LightFM
from gnnrec.models.baselines.linear import AttributeLinear
from gnnrec.models.baselines.neighbourhood import AttributeKNN, NeighbourPopularity
from gnnrec.models.baselines.popularity import Popularity, Random
from gnnrec.models.baselines.ratings.attributes import AttributeKNNRatings, BilinearRatings, SegmentItemMean
from gnnrec.models.baselines.ratings.biases import Biases, GlobalMean, ItemMean
from gnnrec.models.baselines.ratings.factorization import BiasedMF
from gnnrec.models.baselines.segment import SegmentPopularity

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
    "DenoisingRegression",
    "GlobalMean",
    "IRSpack",
    "ItemKNN",
    "ItemMean",
    "LightFM",
    "NeighbourPopularity",
    "Popularity",
    "Random",
    "SegmentItemMean",
    "SegmentPopularity",
]
