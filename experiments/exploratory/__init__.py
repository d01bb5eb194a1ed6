"""Scripts of exploratory numbers, on validation users alone."""
