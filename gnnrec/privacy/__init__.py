"""Differential privacy of users: noisy sums of clipped contributions, what they cost, and an audit from below."""
