"""How a computation runs: seeds, processes, files."""
