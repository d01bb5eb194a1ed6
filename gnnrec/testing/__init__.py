"""Conformance checks of layers and recommenders, shipped for other people's code too."""

from gnnrec.testing.layer import assert_layer, check_layer
from gnnrec.testing.recommender import assert_recommender, check_recommender

__all__ = ["assert_layer", "assert_recommender", "check_layer", "check_recommender"]
