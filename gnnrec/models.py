"""The models that a config may call by their bare name: the baselines, and the graph models."""

from gnnrec import baselines
from gnnrec.baselines import *  # noqa: F403  (the list of baselines stands in one place)
from gnnrec.gnn import GraphRecommender
from gnnrec.rating import GraphRatingRecommender

__all__ = [*baselines.__all__, "GraphRatingRecommender", "GraphRecommender"]
