"""Predictions of ratings: biases, attribute values, factorization."""
