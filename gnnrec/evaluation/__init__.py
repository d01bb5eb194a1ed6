"""Metrics, the evaluator, and statistics of differences."""
