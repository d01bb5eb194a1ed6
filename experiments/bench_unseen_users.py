"""From the attributes of users who were never seen to their ten best items: one at a time, and in batches.

    python -m experiments.bench_unseen_users [--times 300]

One user: attributes as JSON would give them -> edges -> vector -> scores -> top 10. Batches: edges of users -> top 10,
against the product of matrices of the same sizes and the choice of the ten best, which is the least that any model of
this kind must do. The encoder has three layers of 64 channels and is hardly trained: time does not hang on the weights.
"""

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from experiments.benchmarks import medians, movielens, ratio, side_by_side, write
from gnnrec.models.blend import Blend
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.options.resolve import build
from gnnrec.serving.artifact import Artifact
from gnnrec.serving.lists import recommend_to, serve
from gnnrec.serving.vocabulary import Vocabulary
from gnnrec.views import USER, TrainingData

BATCH = 2048
ALONE, BLEND = "encoder alone", "with regression"
OPTIONS: dict[str, Any] = {"encoder": {"layers": 3}, "pretrain": None, "finetune": {"epochs": 1}}
REGRESSION = {"class": "AttributeLinear", "regularization": 1.0, "svd_rank": 64, "idf": True, "normalise": "length"}


def latency(model: Any, train: TrainingData, user_ids: pd.Index, times: int) -> dict[str, dict[str, float]]:
    """Milliseconds of one user: medians and the 99th percentile of wall-clock time and of processor time."""
    served = serve(Artifact(model, Vocabulary.of(train, user_ids)))
    profiles = [{"age": 18 + i % 50, "gender": "FM"[i % 2], "occupation": "artist"} for i in range(times)]
    spent = []
    for profile in [profiles[0]] * 10 + profiles:
        start = time.perf_counter(), time.process_time()
        recommend_to(served, profile, number=10)
        spent.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    wall, processor = 1000 * np.array(spent[10:]).T
    return {
        "milliseconds": {"p50": np.percentile(wall, 50), "p99": np.percentile(wall, 99)},
        "processor_milliseconds": {"p50": np.percentile(processor, 50), "p99": np.percentile(processor, 99)},
    }


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=300)
    times = parser.parse_args().times
    torch.set_num_threads(1)
    split = movielens()
    train = split.train
    components = {"graphsage": {"class": "GraphSAGE", **OPTIONS}, "regression": REGRESSION}
    weights = {0: {"graphsage": 0.7, "regression": 0.3}}
    models: dict[str, Any] = {
        ALONE: build(GraphSAGE, OPTIONS),
        BLEND: Blend(components=components, weights=weights),
    }
    for model in models.values():
        model.fit(train, None, seed=0)
    one_user = {name: latency(model, train, split.dataset.ids[USER], times) for name, model in models.items()}

    users = train.users.take(torch.arange(BATCH))
    nothing = users.items.take(torch.empty(0, dtype=torch.int64))
    users = type(users)(users.index, nothing, users.relations)
    vectors, items = torch.randn(BATCH, 64), torch.randn(train.num_items, 64)

    def ours() -> Tensor:
        return models[ALONE].score(users).topk(10).indices

    def limit() -> Tensor:
        return (vectors @ items.t()).topk(10).indices

    seconds = side_by_side({"ours": ours, "limit": limit}, 15)
    write(
        "unseen_users",
        {
            "what": f"one user and batches of {BATCH}, {train.num_items} items, 64 channels, three layers, one thread",
            "one_user": one_user,
            "users_per_second": {name: BATCH / s for name, s in medians(seconds).items()},
            "ratios": {"ours / limit": ratio(seconds, "limit", "ours")},
            "target": {"p50": 3, "ours / limit": 0.5},
        },
    )


if __name__ == "__main__":
    main()
