"""One map for every number of choices: python -m experiments.exploratory.one_map CONFIG...

A denoising regression has one map for each bucket of known items. Here one map serves all: histories are multiplied by
a function of the number of known items, and the expected errors after 0, 1, 2, 5, 10 and 20 choices are added up.
NDCG@10 of validation users, 128 directions.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from scipy import linalg, sparse
from sklearn.utils.extmath import randomized_svd

from gnnrec.data import load
from gnnrec.experiment.config import read_config
from gnnrec.graph.matrices import UserFeatures, as_scores, histories
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.splits import make_split
from gnnrec.splits.kshot import reveal

RANK, SIDE = 128, 3.0
GAINS = {
    "1": lambda n: np.ones_like(n),
    "n^-1/2": lambda n: np.maximum(n, 1) ** -0.5,
    "(n+1)^-1/2": lambda n: (n + 1) ** -0.5,
    "(n+4)^-1/2": lambda n: (n + 4) ** -0.5,
    "1/(n+1)": lambda n: 1 / (n + 1),
    "1/(n+4)": lambda n: 1 / (n + 4),
    "1/(n+10)": lambda n: 1 / (n + 10),
    "1/(n+30)": lambda n: 1 / (n + 30),
}


def main(path: Path, overrides: list[str]) -> None:
    """Prints a line for each function and penalty."""
    torch.set_num_threads(1)
    config = read_config(path, overrides)
    dataset = load(config.config.data, config.folder)
    split = make_split(dataset, config.config.split, config.config.seed)
    train, shots = split.train, config.config.evaluate.shots or (0,)
    features = UserFeatures(train, friends=True, edge_weights="log", idf=True, normalise="length")
    history, side = histories(train.users, train.num_items), features(train.users)
    count = history.sum(axis=1)
    intercept = sparse.csr_array(np.ones((train.num_users, 1)))
    tests = [reveal(split.validation, k) if config.config.evaluate.shots else split.validation for k in shots]
    measures = [HeldOutNDCG(t, t.candidates(train), config.config.seed) for t in tests]
    for name, gain in GAINS.items():
        for penalty in (0.25, 1.0, 4.0):
            width = history.shape[1] + side.shape[1] + 1
            gram, cross = np.zeros((width, width)), np.zeros((width, history.shape[1]))
            for known in (0, 1, 2, 5, 10, 20):
                chance = np.minimum(known / np.maximum(count, 1), 1)
                size = gain(np.array(float(known)))
                rows = sparse.csr_array(sparse.hstack([sparse.diags_array(chance * size) @ history, side, intercept]))
                gram += (rows.T @ rows).toarray()
                cross += (rows.T @ history).toarray()
                noise = size**2 * (history.T @ (chance * (1 - chance)))
                gram[np.arange(len(noise)), np.arange(len(noise))] += noise
            of_side = np.r_[np.full(side.shape[1], 6 * SIDE), 1e-3]
            own = 6 * penalty * float(gain(np.array(5.0)) ** 2)
            gram[np.diag_indices_from(gram)] += np.r_[np.full(history.shape[1], own), of_side]
            root = linalg.cholesky(gram, lower=True)
            half = linalg.solve_triangular(root, cross, lower=True)
            _, _, directions = randomized_svd(half, RANK, n_iter=4, random_state=0)
            weights = linalg.solve_triangular(root.T, half @ directions.T, lower=False)
            found = []
            for test, measure in zip(tests, measures, strict=True):
                items = histories(test.users, train.num_items)
                n = items.sum(axis=1)
                rows = sparse.csr_array(
                    sparse.hstack(
                        [sparse.diags_array(gain(n)) @ items, features(test.users), np.ones((len(test.users), 1))]
                    )
                )
                found.append(float(np.mean(measure(as_scores((rows @ weights) @ directions)))))
            print(f"{name:10} {penalty:5} ", " ".join(f"{one:.4f}" for one in found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
