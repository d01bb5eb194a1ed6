"""Data sources and the reader of each."""
