"""One seed, and an independent stream of random numbers for each stage of a run."""

import hashlib

import numpy as np
import torch


def integer(seed: int, stage: str) -> int:
    """A seed of 63 bits for one stage of a run, different for each stage and each seed."""
    digest = hashlib.sha256(f"{seed}/{stage}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(seed: int, stage: str) -> torch.Generator:
    """A torch generator for one stage, so that one more draw in sampling does not change the split."""
    return torch.Generator().manual_seed(integer(seed, stage))


def numpy_generator(seed: int, stage: str) -> np.random.Generator:
    """A numpy generator for one stage."""
    return np.random.default_rng(integer(seed, stage))
