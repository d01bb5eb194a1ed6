"""A report about finished runs: one HTML page that needs nothing else."""
