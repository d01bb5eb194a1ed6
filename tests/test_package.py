import numpy as np
import pandas as pd
import pytest

import gnnrec


def test_every_public_name_is_there_and_has_a_docstring() -> None:
    assert {"GraphSAGE", "Blend", "ALS", "UnseenUsers", "load", "evaluate"} <= set(dir(gnnrec))
    for name in (*gnnrec.__all__, *gnnrec.splits.__all__, *gnnrec.models.registry.__all__):
        assert getattr(gnnrec, name).__doc__, name
    with pytest.raises(AttributeError, match="GrapSAGE"):
        gnnrec.GrapSAGE  # noqa: B018


def test_from_a_data_frame_to_a_table_in_a_few_lines() -> None:
    random = np.random.default_rng(0)
    user = np.repeat(np.arange(90), 6)
    item = random.integers(8, size=len(user)) * 3 + user % 3  # a user's colour tells which third of the items it likes
    ratings = pd.DataFrame({"user": user, "item": item}).drop_duplicates()
    users = pd.DataFrame({"id": np.arange(90), "colour": [["red", "green", "blue"][u % 3] for u in range(90)]})

    data = gnnrec.from_frames(
        {"ratings": ratings, "users": users},
        interactions={"path": "ratings", "user": "user", "item": "item"},
        users={"path": "users", "id": "id", "attributes": {"colour": {}}},
    )
    split = gnnrec.make_split(data, gnnrec.UnseenUsers(test=0.2, validation=0.2), seed=0)
    options = {"pretrain": None, "encoder": {"channels": 8}, "finetune": {"epochs": 40, "learning_rate": 0.05}}
    runs = [
        gnnrec.fit_and_evaluate(split, "Popularity"),
        gnnrec.fit_and_evaluate(split, gnnrec.GraphSAGE, options, name="graphsage"),
    ]
    text = gnnrec.metrics_table([run.result for run in runs]).markdown()
    assert "| Popularity |" in text
    assert "| graphsage |" in text
    difference = gnnrec.compare(runs).rows[1]["difference"]
    assert difference["low"] > 0.2  # a third of the items is right by chance, so there is much to win


def test_frames_that_do_not_fit_are_refused() -> None:
    frame = pd.DataFrame({"u": [1], "i": [2]})
    with pytest.raises(gnnrec.errors.ConfigError, match="no frame 'rating'; there are ratings"):
        gnnrec.from_frames({"ratings": frame}, interactions={"path": "rating", "user": "u", "item": "i"})
    with pytest.raises(gnnrec.errors.ConfigError, match="unknown key 'itm'"):
        gnnrec.from_frames({"ratings": frame}, interactions={"path": "ratings", "user": "u", "itm": "i"})
    with pytest.raises(gnnrec.errors.DataError, match="'x'"):
        gnnrec.from_frames({"ratings": frame}, interactions={"path": "ratings", "user": "x", "item": "i"})
