"""Conformance checks of layers, decoders, metrics and recommenders, shipped for other people's code too."""

from gnnrec.testing.decoder import assert_decoder, check_decoder
from gnnrec.testing.layer import assert_layer, check_layer
from gnnrec.testing.metric import assert_metric, check_metric
from gnnrec.testing.recommender import assert_recommender, check_recommender

__all__ = [
    "assert_decoder",
    "assert_layer",
    "assert_metric",
    "assert_recommender",
    "check_decoder",
    "check_layer",
    "check_metric",
    "check_recommender",
]
