"""The closed form added to a trained encoder, in one inner product: python -m ...added_afterwards CONFIG.

NDCG@10 of validation users after each number of choices, of GraphSAGE without a path, plus so many times the scores of
the regression path at its start.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from gnnrec.data import load
from gnnrec.experiment.config import read_config
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.nn.regression import RegressionPath
from gnnrec.splits import make_split
from gnnrec.splits.kshot import reveal, reveal_each


def main(path: Path, overrides: list[str]) -> None:
    """Prints a line for each factor."""
    torch.set_num_threads(1)
    config = read_config(path, overrides)
    dataset = load(config.config.data, config.folder)
    split = make_split(dataset, config.config.split, config.config.seed)
    train, shots = split.train, config.config.evaluate.shots
    tests = [reveal(split.validation, k) for k in shots] if shots else [split.validation]
    measures = [HeldOutNDCG(t, t.candidates(train), config.config.seed) for t in tests]
    model = config.model()
    chosen_on = reveal_each(split.validation, shots, dataset.num_users) if shots else split.validation
    model.fit(train, chosen_on, config.config.seed)
    added = RegressionPath.of(train, 128, config.config.seed)
    with torch.no_grad():
        scores = [(model.score(t.users), added.users(t.users) @ added.items.T) for t in tests]
    for factor in (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0):
        found = [float(np.mean(m(own + factor * other))) for (own, other), m in zip(scores, measures, strict=True)]
        print(f"{factor:4}", " ".join(f"{one:.4f}" for one in found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
