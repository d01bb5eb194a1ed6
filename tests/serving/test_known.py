"""One user's events as edges: the quick way against that for many users."""

import numpy as np
import pandas as pd
import pytest
import torch
from test_kinds import shop

from gnnrec.serving.encode import Known
from gnnrec.serving.estimator import Recommender
from gnnrec.serving.feedback import COLUMNS, KINDS, NO_TIME_AT_ALL, Feedback
from gnnrec.serving.known import known_of, known_of_one
from gnnrec.serving.vocabulary import Vocabulary


def rated() -> Recommender:
    rows = pd.DataFrame(
        {"user_id": np.arange(30) // 3, "item_id": np.arange(30) % 12, "stars": np.arange(30) % 5 + 1.0}
    )
    return Recommender("Popularity").fit(rows, value="stars", min_value=2)


def same(one: Known, other: Known) -> None:
    assert list(one.events) == list(other.events)
    for ours, theirs in zip([one.items, *one.events.values()], [other.items, *other.events.values()], strict=True):
        for name in ("row", "node", "weight", "time"):
            mine, its = getattr(ours, name), getattr(theirs, name)
            assert (mine is None) == (its is None), name
            assert mine is None or (torch.equal(mine, its) and mine.dtype == its.dtype), name


@pytest.mark.parametrize("make", [shop, rated, lambda: Recommender("Popularity").fit(rated_rows())])
@pytest.mark.parametrize("seed", range(1, 7))
def test_one_user_is_known_as_among_many(make: object, seed: int) -> None:
    artifact = make().artifact  # type: ignore[operator]
    assert artifact is not None
    words: Vocabulary = artifact.vocabulary
    random = np.random.default_rng(seed)
    size = [0, 1, 5, 40][seed % 4]
    kinds = [words.kinds.predicted or "", *words.kinds.weights, "nothing of the kind"]
    columns = {
        "event_id": [f"e{i}" for i in range(size)],
        "user": ["ann"] * size,
        "item": random.choice([*map(str, range(14)), "nowhere"], size).tolist(),
        "kind": random.choice(kinds, size).tolist(),
        "value": random.choice([np.nan, 1.0, 4.0], size).tolist(),
        "time": random.choice([5, 6, 7, NO_TIME_AT_ALL] if seed % 2 else [NO_TIME_AT_ALL], size).tolist(),
        "fraction": random.choice([0.0, 0.5], size).tolist(),
    }
    frame = pd.DataFrame({name: np.array(columns[name], dtype=KINDS[name]) for name in COLUMNS})
    others = frame.assign(user="bob", event_id=frame["event_id"] + "-of-bob").iloc[: size // 2]
    many = known_of(words, Feedback(pd.concat([others, frame])).sources(words), pd.Index(["ann"]))
    one = known_of_one(words, {name: frame[name].to_numpy() for name in ("item", "kind", "value", "time", "fraction")})
    same(one, many)


def rated_rows() -> pd.DataFrame:
    return pd.DataFrame({"user_id": np.arange(30) // 3, "item_id": np.arange(30) % 12})
