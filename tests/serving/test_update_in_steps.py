"""`Recommender.update(..., steps=n)`: what was recorded is learned from, with new users, items and values."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import gnnrec
from gnnrec.data.frames import from_frames
from gnnrec.errors import ConfigError, DataError, InputError
from gnnrec.serving.estimator import Recommender
from gnnrec.splits.split import training_data

USER = np.arange(240) // 4
CLICKS = pd.DataFrame(
    {"user_id": USER, "item_id": (USER % 3) * 4 + (np.arange(240) + USER // 3) % 4, "when": np.arange(240) + 1000}
)
PEOPLE = pd.DataFrame({"user_id": np.arange(60), "plan": [f"p{u % 3}" for u in range(60)], "age": np.arange(60) + 20})
THINGS = pd.DataFrame({"item_id": np.arange(12), "shelf": [f"s{i // 4}" for i in range(12)]})
NEW = pd.DataFrame(
    {"user_id": [60, 60, 3, 61], "item_id": [12, 2, 12, 1], "when": [2000, 2001, 2002, 2003]}, index=[9, 9, 1, 0]
)
OPTIONS: dict[str, Any] = {"pretrain": None, "channels": 8, "finetune__epochs": 4}


def shop(**options: Any) -> Recommender:
    rec = Recommender("GraphSAGE", seed=3, **{**OPTIONS, **options})
    return rec.fit(CLICKS, users=PEOPLE, items=THINGS, time="when")


def model_of(rec: Recommender) -> Any:
    assert rec.artifact is not None
    return rec.artifact.model


def taught(rec: Recommender) -> Recommender:
    users = pd.DataFrame({"user_id": [60], "plan": ["p9"], "age": [33]})
    return rec.update(NEW, steps=4, users=users, items=pd.DataFrame({"item_id": [12], "shelf": ["s0"]}))


def test_new_users_items_and_values_are_learned() -> None:
    rec = taught(shop())
    assert rec.artifact is not None
    words = rec.artifact.vocabulary
    assert list(words.ids["item"]) == list(range(13))
    assert "p9" in list(words.ids["plan"])
    lists = rec.recommend(pd.DataFrame({"user_id": [60, 70], "plan": ["p9", "p0"]}), k=13)
    assert set(lists.loc[lists["user_id"] == 60, "item_id"]) == set(range(13)) - {12, 2}
    assert set(lists.loc[lists["user_id"] == 70, "item_id"]) == set(range(13))


def test_it_is_what_the_model_learns_from_the_frames_put_together() -> None:
    rec, other = taught(shop()), shop()
    both = pd.concat([CLICKS, NEW], ignore_index=True)
    people = pd.concat([PEOPLE, pd.DataFrame({"user_id": [60, 61], "plan": ["p9", None], "age": [33, None]})])
    things = pd.concat([THINGS, pd.DataFrame({"item_id": [12], "shelf": ["s0"]})])
    data = from_frames(
        {"i": both, "u": people, "t": things},
        interactions={"path": "i", "user": "user_id", "item": "item_id", "time": "when"},
        users={"path": "u", "id": "user_id", "attributes": {"plan": {}, "age": {"bins": 10}}},
        items={"path": "t", "id": "item_id", "attributes": {"shelf": {}}},
    )
    assert other.artifact is not None
    bounds = {("user", "age"): tuple(other.artifact.vocabulary.bounds["age"])}
    every = torch.ones(len(data.interactions), dtype=torch.bool)
    train = training_data(data, torch.arange(62), every, bounds=bounds)
    fresh = torch.tensor([one in ("3", "60", "61") for one in data.ids["user"]])
    model_of(other).update(train, fresh=fresh, steps=4, seed=3 + 4)
    assert torch.equal(model_of(rec).score(train.users), model_of(other).score(train.users))


def test_what_was_recorded_without_steps_is_learned_with_the_next_ones_and_once() -> None:
    rec, at_once = shop(), shop()
    rec.update(NEW.iloc[:2]).update(NEW.iloc[2:])
    taught(rec)  # the same rows again: nothing of them is new
    taught(at_once)
    people = pd.DataFrame({"user_id": ["a"], "plan": ["p9"]})
    scores = rec.score(people)
    assert scores.equals(at_once.score(people))
    taught(rec)
    assert rec.score(people).equals(scores)
    rec.update(NEW.iloc[:1].assign(when=3000), steps=1)
    assert not rec.score(people).equals(scores)


def test_it_is_saved_and_loaded(tmp_path: Any) -> None:
    rec = taught(shop())
    rec.save(tmp_path / "shop")
    people = pd.DataFrame({"user_id": [60, 70], "plan": ["p9", "p0"]})
    loaded = gnnrec.load(tmp_path / "shop")
    assert loaded.score(people).equals(rec.score(people))
    with pytest.raises(InputError, match="the model was loaded, and the frames that it was fitted on are not there"):
        loaded.update(NEW, steps=1)


def test_what_cannot_be_learned_is_one_line() -> None:
    with pytest.raises(ConfigError, match="update: ItemKNN does not learn in steps; GraphSAGE does"):
        Recommender("ItemKNN").fit(CLICKS, time="when").update(NEW, steps=1)
    for steps in (-1, 1.5, True):
        with pytest.raises(InputError, match="steps must be a whole number of at least 0"):
            shop().update(NEW, steps=steps)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="users and items are for training: they need steps"):
        shop().update(NEW, users=PEOPLE)
    rec = shop()
    wrong = pd.DataFrame({"user_id": [60], "age": ["old"]})
    with pytest.raises(DataError, match="frame 'users': row 1, column 'age': 'old' is not a number"):
        rec.update(NEW, steps=4, users=wrong)
    with pytest.raises(DataError, match="no column 'user_id'"):
        rec.update(NEW, steps=4, users=pd.DataFrame({"plan": ["p1"]}))
    whole, people = taught(shop()), pd.DataFrame({"user_id": ["a"], "plan": ["p9"]})
    assert taught(rec).score(people).equals(whole.score(people))  # what failed has changed nothing
    rec = Recommender("GraphSAGE", **OPTIONS).fit(CLICKS, users=PEOPLE, time="when")
    with pytest.raises(ConfigError, match="update: items are given, but the model was fitted without a frame of items"):
        taught(rec)
