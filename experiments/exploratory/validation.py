"""A config on its validation users alone: `python -m experiments.exploratory.validation CONFIG [key=value...]`.

NDCG@10 of the validation users of the config's seed, after each number of known items, the epochs that were chosen, and
seconds. Test users are never opened, so that whoever looks as often as they like has chosen nothing on them. The users
chose the epochs (and shares), too, where they are many enough not to need folds of others.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

from gnnrec.experiment.config import read_config
from gnnrec.experiment.run import choosing_users, load_split
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.splits.kshot import reveal


def main(path: Path, overrides: list[str]) -> None:
    """Prints one line."""
    torch.set_num_threads(1)
    config = read_config(path, overrides)
    split, shots = load_split(config), config.config.evaluate.shots
    known = [reveal(split.validation, k) for k in shots or ()] or [split.validation]
    started, model = time.monotonic(), config.model()
    chosen_on = (
        choosing_users(split, config.config.evaluate) if getattr(model, "chooses_on_validation", False) else None
    )
    model.fit(split.train, chosen_on, config.config.seed)
    seconds = time.monotonic() - started
    found = []
    for test in known:
        measure = HeldOutNDCG(test, test.candidates(split.train), config.config.seed)
        found.append(float(np.mean(np.concatenate([measure(model.score(test.users))]))))
    shares = getattr(model.best_params.get("encoder"), "regression_shares", "")
    epochs = {stage: one.epochs for stage, one in model.best_params.items() if hasattr(one, "epochs")}
    numbers = " ".join(f"{one:.4f}" for one in found)
    print(
        f"{path.parent.name}/{path.stem} {' '.join(overrides)}: {numbers}  {epochs} {shares} {seconds:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
