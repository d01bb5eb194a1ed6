"""Readers of the named data sources, one a file."""
