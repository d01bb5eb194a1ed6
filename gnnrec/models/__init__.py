"""Models: graph models, and the baselines to beat."""
