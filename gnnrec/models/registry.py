"""The models that a config may call by their bare name: the baselines, and the graph models."""

from gnnrec.models import baselines
from gnnrec.models.baselines import *  # noqa: F403  (the list of baselines stands in one place)
from gnnrec.models.blend import Blend
from gnnrec.models.graphsage import GraphSAGE

__all__ = [*baselines.__all__, "Blend", "GraphSAGE"]
