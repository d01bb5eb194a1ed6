"""A small shop with attributes, titles and kinds of events, as saved models that a service can load."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gnnrec.serving.estimator import Recommender

SCRIPT = "<script>alert(1)</script>"


def frames(users: int = 90, items: int = 24) -> dict[str, pd.DataFrame]:
    """Users in three groups that their job reveals, each with eight items of its own."""
    random = np.random.default_rng(4)
    group = np.arange(users) % 3
    user = np.repeat(np.arange(users), 6)
    item = np.concatenate([random.permutation(items // 3)[:6] * 3 + g for g in group])
    return {
        "interactions": pd.DataFrame(
            {"user_id": [f"u{i}" for i in user], "item_id": [f"sku/{i}" for i in item], "when": np.arange(len(user))}
        ),
        "users": pd.DataFrame(
            {
                "user_id": [f"u{i}" for i in range(users)],
                "job": np.array(["artist", "baker", "clerk"])[group],
                "age": random.integers(18, 70, users),
                "hobbies": [["tea", "music"] if g else ["chess"] for g in group],
            }
        ),
        "items": pd.DataFrame(
            {
                "item_id": [f"sku/{i}" for i in range(items)],
                "title": [SCRIPT if i == 3 else f"Thing {i}" for i in range(items)],
                "category": [f"c{i % 3}" for i in range(items)],
                "price": random.random(items) * 100,
            }
        ),
    }


def fit(model: str = "GraphSAGE", **options: Any) -> Recommender:
    """A model of the shop; a small and quickly trained one, if it is a graph model."""
    given = frames()
    if model == "GraphSAGE":
        options = {"pretrain": None, "channels": 8, "finetune__epochs": 10, "finetune__learning_rate": 0.03, **options}
    about = {"time": "when", "title": "title", "user_attributes": {"job": {}, "age": {"bins": 4}, "hobbies": {}}}
    rec = Recommender(model, seed=7, **options)
    return rec.fit(given["interactions"], users=given["users"], items=given["items"], **about)


def saved(folder: Path) -> Path:
    """A folder of saved models: sage, popularity and knn."""
    fit().save(folder / "sage")
    fit("Popularity").save(folder / "popularity")
    fit("ItemKNN").save(folder / "knn")
    return folder
