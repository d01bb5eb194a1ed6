"""Synthetic runs of a protocol with numbers that can be worked by hand."""

import numpy as np
import pandas as pd

from experiments.protocols import Protocol, Published, ReferenceScore
from gnnrec.experiment.results import Result, Run

PROTOCOL = Protocol(
    "synthetic",
    "Synthetic users",
    ("ndcg@10", "coverage@10"),
    seeds=(0, 1),
    published=(Published("LoCo", {"ndcg@10": 0.45}, "Somebody, 2017"),),
    reference_scores=(ReferenceScore("popularity", "ndcg@10", 0.3, 0.01),),
)


def synthetic_run(name, seed, values, *, cls="Popularity", shuffled=False, users=None, metric="ndcg@10"):
    """A run with the given values per user; None for a model that cannot score them."""
    there = values is not None
    users = [f"{seed}-{i}" for i in range(len(values) if there else 0)] if users is None else users
    result = Result(
        name=name,
        seed=seed,
        metrics={metric: float(np.mean(values)) if there else None, "coverage@10": 0.5 if there else None},
        users=len(users),
        users_without_target=1,
        checksums={"data": "d", "split": f"s{seed}", "config": f"{name}{seed}"},
        seconds={"load": 1.0, "fit": 2.0, "evaluate": 3.0},
        peak_rss_mb=1.0,
        versions={"gnnrec": "0"},
        config={"model": {"class": cls}, "seed": seed, "shuffle_attributes": shuffled},
    )
    return Run(result, pd.DataFrame({"user": users} | ({metric: values} if there else {})))


def synthetic_rows(seed=0, users=150):
    """A graph model that is best, a baseline close to it, popularity, a control like it, a model without numbers."""
    random = np.random.default_rng(seed)
    base = [random.random(users) * 0.6 for _ in range(2)]

    def row(name, gain, spread, **options):
        noise = [random.normal(gain, spread, users) for _ in range(2)]
        values = [b + n - n.mean() + gain for b, n in zip(base, noise, strict=True)]
        return [synthetic_run(name, seed, value, **options) for seed, value in enumerate(values)]

    return {
        "als": row("als", 0.19, 0.2, cls="ALS"),
        "als-mean": [synthetic_run("als-mean", s, None, cls="ALS") for s in (0, 1)],
        "graphsage": row("graphsage", 0.2, 0.2, cls="GraphSAGE"),
        "popularity": row("popularity", 0.0, 0.0),
        "shuffled": row("shuffled", 0.0, 0.05, cls="GraphSAGE", shuffled=True),
    }
