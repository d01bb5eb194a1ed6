"""Training loops: pretraining, ranking, ratings."""
