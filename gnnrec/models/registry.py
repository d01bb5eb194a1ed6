"""The models that a config may call by their bare name: the baselines, and the graph models."""

from gnnrec.models import baselines
from gnnrec.models.baselines import *  # noqa: F403  (the list of baselines stands in one place)
from gnnrec.models.gnn import GraphRecommender
from gnnrec.models.rating import GraphRatingRecommender

__all__ = [*baselines.__all__, "GraphRatingRecommender", "GraphRecommender"]
