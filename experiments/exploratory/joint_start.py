"""A closed-form start for one linear map.

    python -m experiments.exploratory.joint_start CONFIG [OVERRIDE...]

One reduced-rank ridge regression from partly hidden histories (over the root of the number of known items), attribute
values, friends' histories and a constant to items, without any matrix of inputs by items. Then: how its scores and
popularity go together as logits. NDCG@10 of validation users.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy import linalg, sparse

from gnnrec.data import load
from gnnrec.experiment.config import read_config
from gnnrec.graph.matrices import UserFeatures, as_scores, histories, links
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.splits import make_split
from gnnrec.splits.kshot import reveal

RANK = 128
KNOWN = (1, 2, 5, 10, 20, 50)


def share(count: np.ndarray, none: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each user, the expected entry of a scaled history, its expected square, and what the draws add to it."""
    first = second = noise = np.zeros_like(count)
    for known in KNOWN:
        chance, size = np.minimum(known / np.maximum(count, 1), 1), known**-0.5
        weight = (1 - none) / len(KNOWN)
        first = first + weight * chance * size
        second = second + weight * (chance * size) ** 2
        noise = noise + weight * size**2 * chance * (1 - chance)
    return first, second, noise


def regression(history, side, free, *, rank, none, penalty, side_penalty, free_penalty, power=0.0, seed=0):
    """[A, R] and [R, I]: from inputs to directions, and from these to items."""
    count = history.sum(axis=1)
    first, second, noise = share(count, none)
    mean = history.mean(axis=0)
    scale = (np.maximum(mean, 1e-12) / mean.max()) ** -power
    target = sparse.csr_array(history @ sparse.diags_array(scale))
    ones = np.ones((len(count), 1))
    extra = sparse.csr_array(sparse.hstack([side, sparse.csr_array(free), ones]))
    of_h = sparse.csr_array(sparse.diags_array(first) @ history)
    gram_h = (history.T @ sparse.diags_array(second) @ history).toarray()
    gram_hx = (of_h.T @ extra).toarray()
    gram_x = (extra.T @ extra).toarray()
    gram = np.block([[gram_h, gram_hx], [gram_hx.T, gram_x]])
    diagonal = np.r_[
        history.T @ noise + penalty,
        np.full(side.shape[1], side_penalty),
        np.full(free.shape[1], free_penalty),
        1e-3,
    ]
    gram[np.diag_indices_from(gram)] += diagonal
    root = linalg.cholesky(gram, lower=True, overwrite_a=True)
    inputs = sparse.csr_array(sparse.hstack([of_h, extra]))
    block = np.random.default_rng(seed).normal(size=(history.shape[1], rank + 16))
    for _ in range(5):
        half = linalg.solve_triangular(root, inputs.T @ (target @ block), lower=True)
        half, _ = np.linalg.qr(half)
        block = target.T @ (inputs @ linalg.solve_triangular(root, half, lower=True, trans="T"))
    left, values, right = np.linalg.svd(block, full_matrices=False)  # block = M' half, M = half block'
    directions = left[:, :rank].T  # [R, I]
    weights = linalg.solve_triangular(root, half @ (right[:rank].T * values[:rank]), lower=True, trans="T")
    return weights, directions / scale


def friends_of(users, train, place):
    """[B, R], the mean over friends of their histories' places."""
    edges = links(users, train)
    number = np.maximum(edges.sum(axis=1), 1)
    return (edges @ place) / number[:, None]


def main(path: Path, overrides: list[str]) -> None:
    """Prints what each way of adding popularity reaches."""
    torch.set_num_threads(1)
    config = read_config(path, overrides)
    dataset = load(config.config.data, config.folder)
    split = make_split(dataset, config.config.split, config.config.seed)
    train, shots = split.train, config.config.evaluate.shots
    features = UserFeatures(train, edge_weights="log", idf=True, normalise="length")
    history, side = histories(train.users, train.num_items), features(train.users)
    count = history.sum(axis=1)
    kept = np.sort(np.argsort(-history.sum(axis=0))[:6000])
    some = np.sort(np.argsort(-side.astype(bool).sum(axis=0))[:4000])
    place = np.zeros((train.num_users, 0))
    if train.user_types:
        from sklearn.utils.extmath import randomized_svd

        scaled = sparse.csr_array(sparse.diags_array(np.maximum(count, 1) ** -0.5) @ history)
        _, _, basis = randomized_svd(scaled, RANK, random_state=0)
        place = scaled @ basis.T
    tests = [reveal(split.validation, k) for k in shots] if shots else [split.validation]
    measures = [HeldOutNDCG(t, t.candidates(train), config.config.seed) for t in tests]
    popularity = np.asarray(history.mean(axis=0)).ravel()
    logarithm = np.log(history.sum(axis=0) + 0.1)
    for power in (0.0, 0.25, 0.5):
        started = time.time()
        free = friends_of(train.users, train, place)
        weights, directions = (
            regression(
                history[:, kept],
                side[:, some],
                free,
                rank=RANK,
                none=0.5,
                penalty=1.0,
                side_penalty=3.0,
                free_penalty=1.0,
                power=power,
            )
            if len(kept) == history.shape[1]
            else _wide(history, kept, side[:, some], free, power)
        )
        print(f"power {power}: {time.time() - started:.0f} s", flush=True)
        ways = {}
        for test, measure in zip(tests, measures, strict=True):
            items = histories(test.users, train.num_items)
            n = np.maximum(items.sum(axis=1), 1)
            rows = sparse.csr_array(
                sparse.hstack(
                    [
                        sparse.diags_array(n**-0.5) @ items[:, kept],
                        features(test.users)[:, some],
                        sparse.csr_array(friends_of(test.users, train, place)),
                        np.ones((len(test.users), 1)),
                    ]
                )
            )
            score = (rows @ weights) @ directions
            constant = (weights[-1] @ directions)[None]
            for name, value in {
                "as it is": score,
                **{f"log p + {s}": logarithm + s * (score - constant) for s in (2, 4, 8, 16, 32)},
                **{f"log p + {s}/(p+.01)": logarithm + s * (score - constant) / (popularity + 0.01) for s in (0.5, 1)},
                **{
                    f"log p + {s}/(p+.03)^.5": logarithm + s * (score - constant) / (popularity + 0.03) ** 0.5
                    for s in (2, 4, 8)
                },
                "log(p + score)": np.log(np.maximum(score, 1e-4)),
            }.items():
                ways.setdefault(name, []).append(float(np.mean(measure(as_scores(value)))))
        for name, found in ways.items():
            print(f"  {name:22}", " ".join(f"{one:.4f}" for one in found), flush=True)


def _wide(history, kept, side, free, power):
    """All items as targets, the most popular ones as inputs."""
    count = history.sum(axis=1)
    first, second, noise = share(count, 0.5)
    mean = np.asarray(history.mean(axis=0)).ravel()
    scale = (np.maximum(mean, 1e-12) / mean.max()) ** -power
    scale = np.minimum(scale, 10.0)
    target = sparse.csr_array(history @ sparse.diags_array(scale))
    own = history[:, kept]
    extra = sparse.csr_array(sparse.hstack([side, sparse.csr_array(free), np.ones((len(count), 1))]))
    inputs = sparse.csr_array(sparse.hstack([sparse.diags_array(first) @ own, extra]))
    noise = np.r_[own.T @ noise + 1.0, np.full(side.shape[1], 3.0), np.full(free.shape[1], 1.0), 1e-3]
    more = second - first**2
    gram = (inputs.T @ inputs).toarray()
    gram[: len(kept), : len(kept)] += (own.T @ sparse.diags_array(more) @ own).toarray()
    gram[np.diag_indices_from(gram)] += noise
    root = linalg.cholesky(gram, lower=True, overwrite_a=True)
    block = np.random.default_rng(0).normal(size=(history.shape[1], RANK + 16))
    for _ in range(5):
        half = linalg.solve_triangular(root, inputs.T @ (target @ block), lower=True)
        half, _ = np.linalg.qr(half)
        block = target.T @ (inputs @ linalg.solve_triangular(root, half, lower=True, trans="T"))
    left, values, right = np.linalg.svd(block, full_matrices=False)
    directions = left[:, :RANK].T
    weights = linalg.solve_triangular(root, half @ (right[:RANK].T * values[:RANK]), lower=True, trans="T")
    return weights, directions / scale


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
