"""What vectors of MovieLens-1M's users tell of gender: `python -m experiments.exploratory.telling_gender [SEED]`.

GraphSAGE as it comes, twelve epochs, is trained with gender and without it. On validation users of the seed: NDCG@10
and the probe, with nothing and with 1, 5 and 10 choices known, as it is; after least-squares erasure that was fitted
without choices, with as many as are known, and with all of these together; and after a residual map (two layers) that
was trained against two classifiers (three layers), so that these say the same of all users while scores change little.
Test users are never opened.
"""

import sys
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from experiments.protocols import CONFIGS
from gnnrec.evaluation.metrics.fairness import probe_auc
from gnnrec.experiment.config import read_config
from gnnrec.experiment.run import load_split
from gnnrec.models.held_out import HeldOutNDCG
from gnnrec.nn.erasure import erase
from gnnrec.splits.kshot import reveal_ground_truth
from gnnrec.views import TestSet, UserBatch

GENDER = ("user", "gender", "gender")
KNOWN = (1, 5, 10)
OVERRIDES = ["model.finetune.epochs=12", "model.choose_on=0"]


def without(users: UserBatch) -> UserBatch:
    """The users without their gender."""
    return replace(users, relations={t: edges for t, edges in users.relations.items() if t != GENDER})


def by_known(test: TestSet, seed: int) -> dict[int, TestSet]:
    """Number of known items -> the users with so many."""
    longer = reveal_ground_truth(test, KNOWN, seed)
    count = torch.bincount(longer.users.items.row, minlength=len(longer.users))
    return {0: test, **{k: longer.take((count == k).nonzero().flatten()) for k in KNOWN}}


def groups(users: UserBatch) -> Tensor:
    """[B] int64, their gender."""
    return users.relations[GENDER].node[users.relations[GENDER].row.argsort()]


def against_classifiers(
    vectors: Tensor, told: Tensor, item: Tensor, weight: float, steps: int = 600
) -> Callable[[Tensor], Tensor]:
    """A residual map, trained in turn with two classifiers of its output."""
    torch.manual_seed(0)
    width, mean, spread = vectors.shape[1], vectors.mean(0), vectors.std(0).clamp(min=1e-6)
    change = nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, width))
    nn.init.zeros_(change[2].weight)
    nn.init.zeros_(change[2].bias)
    layers = [(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1)) for _ in range(2)]
    classifiers = [nn.Sequential(*each) for each in layers]
    own = torch.optim.Adam(change.parameters(), 1e-3)
    other = torch.optim.Adam([p for one in classifiers for p in one.parameters()], 2e-3)
    y = told.float()[:, None]
    loss = nn.BCEWithLogitsLoss(pos_weight=((1 - y.mean()) / y.mean())[None])
    metric = (item - item.mean(0)).T @ (item - item.mean(0)) / len(item)  # what a change does to scores
    scale = ((vectors - mean) @ metric * (vectors - mean)).sum(1).mean()

    def moved(x: Tensor) -> Tensor:
        return x + change((x - mean) / spread) * spread

    for _ in range(steps):
        for _ in range(3):
            rows = torch.randint(len(vectors), (512,))
            with torch.no_grad():
                after = (moved(vectors[rows]) - mean) / spread
            other.zero_grad()
            torch.stack([loss(one(after), y[rows]) for one in classifiers]).sum().backward()
            other.step()
        rows = torch.randint(len(vectors), (512,))
        after = moved(vectors[rows])
        cost = ((after - vectors[rows]) @ metric * (after - vectors[rows])).sum(1).mean() / scale
        confusion = torch.stack([one((after - mean) / spread).square().mean() for one in classifiers]).mean()
        own.zero_grad()
        (cost + weight * confusion).backward()
        own.step()
    return lambda x: moved(x).detach()


def report(use: str, seed: int) -> None:
    """Prints a line for each way, of a model that is trained with some attributes."""
    path = CONFIGS / "ml-1m" / "graphsage-default.yaml"
    config = read_config(path, [f"seed={seed}", f"data.use={use}", *OVERRIDES])
    model = config.model()
    model.fit(load_split(config).train, None, seed)
    split = load_split(read_config(path, [f"seed={seed}"]))
    shown = (lambda users: users) if "gender" in use else without
    item = model.item_vectors()
    tests = by_known(split.validation, seed)
    vectors = {k: model.query(shown(test.users)) for k, test in tests.items()}
    measures = {k: HeldOutNDCG(test, split.train.candidates, seed) for k, test in tests.items()}

    def tell(name: str, change: Callable[[Tensor, int], Tensor]) -> None:
        told = []
        for k, test in tests.items():
            after = change(vectors[k], k)
            told.append(
                f"{k} known {measures[k](after @ item.T).mean():.4f} {probe_auc(after, groups(test.users)):.3f}"
            )
        print(f"{use} {name}: {', '.join(told)}", flush=True)

    tell("as it is", lambda x, k: x)
    if "gender" in use:
        return
    users = split.train.users
    training = by_known(TestSet(users.copies(torch.arange(len(users))), users.items), seed)
    own = {k: model.query(without(part.users)) for k, part in training.items()}
    told = {k: groups(part.users) for k, part in training.items()}
    each = {k: erase(own[k], told[k]) for k in own}
    every = erase(torch.cat([*own.values()]), torch.cat([*told.values()]))
    tell("erased, fitted without choices", lambda x, k: each[0](x))
    tell("erased, fitted with as many choices", lambda x, k: each[k](x))
    tell("erased, fitted with any number", lambda x, k: every(x))
    for weight in (0.03, 0.1, 0.3, 1.0):
        change = against_classifiers(own[0], told[0], item, weight)
        tell(f"against classifiers, {weight}", lambda x, k, change=change: change(x))


def main(seed: int) -> None:
    """Prints a line for each model and way."""
    torch.set_num_threads(1)
    for use in ("[gender, age, occupation, genre]", "[age, occupation, genre]"):
        report(use, seed)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
