"""Options of federated training, on validation users alone: `python -m experiments.exploratory.federated CONFIG...`.

Each config is tried with its own options and with the same 15 drawn settings of server step, weight decay, dropout and
history dropout, each fitted with two seeds on the training users of the config's fold. Prints a line of JSON for each,
with the mean NDCG@10 of the validation users. Test users are never opened.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from gnnrec.experiment.config import read_config
from gnnrec.experiment.run import load_split
from gnnrec.models.held_out import HeldOutNDCG

DRAWN = 15
SEEDS = (11, 12)


def settings() -> list[dict[str, float]]:
    """No change, and the drawn ones."""
    random = np.random.default_rng(8)
    return [{}] + [
        {
            "federated.learning_rate": float(np.exp(random.uniform(np.log(0.002), np.log(0.05)))),
            "federated.weight_decay": float(np.exp(random.uniform(np.log(0.001), np.log(1.0)))),
            "federated.history_dropout": float(random.uniform(0.2, 1.0)),
            "encoder.dropout": float(random.uniform(0.0, 0.6)),
        }
        for _ in range(DRAWN)
    ]


def main(path: Path) -> None:
    """Prints a line for each setting."""
    torch.set_num_threads(1)
    config = read_config(path)
    split = load_split(config)
    measure = HeldOutNDCG(split.validation, split.validation.candidates(split.train), config.config.seed)
    for setting in settings():
        values = []
        for seed in SEEDS:
            model = config.model({k: float(f"{v:.3g}") for k, v in setting.items()})
            model.fit(split.train, None, seed)
            values.append(float(measure(model.score(split.validation.users)).mean()))
        rounded = {k: float(f"{v:.3g}") for k, v in setting.items()}
        print(json.dumps({"config": path.stem, "ndcg@10": round(float(np.mean(values)), 4), **rounded}), flush=True)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        main(Path(argument))
