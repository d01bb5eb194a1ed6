"""What the start of the regression path hangs on: python -m experiments.exploratory.start_options CONFIG.

NDCG@10 of validation users after each number of choices, before any training, with one constant changed at a time.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

from gnnrec.data import load
from gnnrec.experiment.config import read_config
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.nn import regression
from gnnrec.splits import make_split
from gnnrec.splits.kshot import reveal

TRIED = {
    "": {},
    "values 1": {"OF_VALUES": 1.0},
    "values 10": {"OF_VALUES": 10.0},
    "values 30": {"OF_VALUES": 30.0},
    "friends .3": {"OF_FRIENDS": 0.3},
    "friends 3": {"OF_FRIENDS": 3.0},
    "items .25": {"OF_ITEMS": 0.25},
    "items 4": {"OF_ITEMS": 4.0},
    "none .2": {"NONE": 0.2},
    "none .8": {"NONE": 0.8},
}


def main(path: Path, overrides: list[str]) -> None:
    """Prints a line for each change."""
    torch.set_num_threads(1)
    config = read_config(path, overrides)
    dataset = load(config.config.data, config.folder)
    split = make_split(dataset, config.config.split, config.config.seed)
    train, shots = split.train, config.config.evaluate.shots
    tests = [reveal(split.validation, k) for k in shots] if shots else [split.validation]
    measures = [HeldOutNDCG(t, t.candidates(train), config.config.seed) for t in tests]
    bias = (train.popularity + 0.1).log()
    for name, constants in TRIED.items():
        before = {key: getattr(regression, key) for key in constants}
        for key, value in constants.items():
            setattr(regression, key, value)
        started = time.monotonic()
        made = regression.RegressionPath.of(train, 128, config.config.seed)
        seconds = time.monotonic() - started
        with torch.no_grad():
            found = [
                float(np.mean(measure(bias + made.users(test.users) @ made.items.T)))
                for test, measure in zip(tests, measures, strict=True)
            ]
        print(f"{name or 'as it is':10}", " ".join(f"{one:.4f}" for one in found), f"{seconds:.0f} s", flush=True)
        for key, value in before.items():
            setattr(regression, key, value)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
