"""Proofs that nothing of a held-out user reaches training."""
