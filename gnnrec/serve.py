"""A finished run, loaded to recommend items to users who stand in no file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from gnnrec.config import read_config
from gnnrec.data.dataset import ITEM, USER
from gnnrec.errors import ConfigError
from gnnrec.known import Training
from gnnrec.profile import encode
from gnnrec.recommender import Recommender
from gnnrec.results import CONFIG, read_result
from gnnrec.run import MODEL, load_split


@dataclass(frozen=True)
class Served:
    """A fitted model and what it was fitted on."""

    model: Recommender
    train: Training
    user_ids: pd.Index


def load_run(folder: Path) -> Served:
    """Loads the model of a finished run. A model that keeps no weights (counting) is fitted again, which is quick.

    Raises:
        ConfigError: the run is not finished, its data has changed, or its weights are missing.
    """
    result = read_result(folder)
    config = read_config(folder / CONFIG)
    split = load_split(config)
    if split.checksum != result.checksums["split"]:
        raise ConfigError(f"{folder}: the data has changed since this run; run its config again with another --out")
    model = config.model(result.chosen)
    if hasattr(model, "load_state_dict"):
        path = folder / MODEL
        if not path.is_file():
            raise ConfigError(f"{path}: no such file; delete the folder and run the config again")
        model.load_state_dict(split.full, torch.load(path, weights_only=True))
    else:
        model.fit(split.full, None, config.config.seed)
    return Served(model, split.full, split.dataset.ids[USER])


def recommend_to(
    served: Served, profile: Mapping[str, Any], items: Sequence[str] = (), number: int = 10
) -> tuple[list[dict[str, Any]], list[str]]:
    """The best items for one new user.

    All items are scored and the list is exact; `gnnrec.topk` has what many users or very many items need.

    Args:
        served: a loaded run.
        profile: see `gnnrec.profile.encode`.
        items: ids of items that the user has chosen already; they are not recommended again.
        number: length of the list.

    Returns:
        Rows with rank (from 1), item, title (empty where the data has none) and score, and the warnings.
    """
    user, warnings = encode(served.train, served.user_ids, profile, items)
    score = served.model.score(user)[0].masked_fill(~served.train.candidates, -torch.inf)
    score[user.items.node] = -torch.inf
    eligible = int(score.isfinite().sum())
    best = score.topk(min(number, eligible))
    titles = served.train.titles
    return [
        {
            "rank": rank,
            "item": str(served.train.ids[ITEM][item]),
            "title": titles[item] if titles else "",
            "score": value,
        }
        for rank, (item, value) in enumerate(zip(best.indices.tolist(), best.values.tolist(), strict=True), 1)
    ], warnings
