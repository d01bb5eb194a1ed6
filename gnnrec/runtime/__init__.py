"""How a computation runs: seeds and processes."""
