"""Checks that nothing of a held-out user reaches training, and the log of test accesses."""
