"""Layers, encoder and losses: what learns."""
