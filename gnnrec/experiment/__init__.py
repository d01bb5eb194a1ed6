"""From configs to results, searches and tables."""
