"""Scripts of exploratory numbers, on validation users alone; each stands by itself, set-up included."""
