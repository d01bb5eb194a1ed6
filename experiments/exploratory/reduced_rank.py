"""How many directions a denoising regression needs: python -m experiments.exploratory.reduced_rank CONFIG...

NDCG@10 of validation users after each number of choices that the config asks for, of the regression from partly hidden
histories, attribute values and friends to items, and of its best approximations with few directions (reduced-rank
ridge regression, Izenman 1975): what a linear path with as many channels can start from.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from scipy import linalg
from sklearn.utils.extmath import randomized_svd

from gnnrec.data import load
from gnnrec.experiment.config import read_config
from gnnrec.graph.matrices import as_scores
from gnnrec.models.baselines.autoencoder import DenoisingRegression, _inputs, _scaled
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.models.selection import by_bucket
from gnnrec.splits import make_split
from gnnrec.splits.kshot import reveal, reveal_each

RANKS = (32, 64, 128, 256, 512)


def main(path: Path, overrides: list[str]) -> None:
    """Prints a line for each number of directions."""
    torch.set_num_threads(1)
    config = read_config(path, overrides)
    dataset = load(config.config.data, config.folder)
    split = make_split(dataset, config.config.split, config.config.seed)
    shots = config.config.evaluate.shots or (0,)
    model = DenoisingRegression()
    model.fit(split.train, reveal_each(split.validation, shots, dataset.num_users), config.config.seed)
    print(path, model.best_params, flush=True)
    spaces = {}
    for least, one in model._regressions.items():
        gram = (one.inputs.T @ one.inputs).toarray()
        gram[np.diag_indices_from(gram)] += 1
        root = linalg.cholesky(gram, lower=True)
        cross = (one.inputs.T @ one.history).toarray()  # [A, I]
        half = linalg.solve_triangular(root, cross, lower=True)
        _, _, directions = randomized_svd(half, max(RANKS), n_iter=4, random_state=0)
        weights = linalg.solve_triangular(root.T, half @ directions.T, lower=False)  # [A, R]
        spaces[least] = weights, directions

    def ndcg(shown: int, rank: int | None) -> float:
        test = reveal(split.validation, shown) if config.config.evaluate.shots else split.validation
        scores = np.zeros((len(test.users), dataset.num_items), np.float32)
        for least, rows in by_bucket(test.users):
            known = _inputs(test.users.take(rows), dataset.num_items, model._features)
            one = model._regressions[max(least, 1)]
            weights, directions = spaces[max(least, 1)]
            low = _scaled(known, one.kept, one.scale) @ weights[:, :rank] if rank else None
            scores[rows.numpy()] = one(known) if low is None else low @ directions[:rank]
        measured = HeldOutNDCG(test, test.candidates(split.train), config.config.seed)
        return float(np.mean(measured(as_scores(scores))))

    for rank in (None, *RANKS):
        print(rank or "all", " ".join(f"{ndcg(shown, rank):.4f}" for shown in shots), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
