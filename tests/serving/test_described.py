"""Words and vectors of new users, one by one and in files, in artifacts and over HTTP's vocabulary."""

import json
from pathlib import Path
from typing import Any

import described_users as made
import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.data.config import TableData
from gnnrec.experiment.config import read_config
from gnnrec.experiment.run import run
from gnnrec.serving.artifact import load
from gnnrec.serving.described import UserFeature
from gnnrec.serving.encode import Notes, encode_frame
from gnnrec.serving.lists import recommend_to, serve
from gnnrec.serving.profile import encode
from gnnrec.serving.vocabulary import Vocabulary
from gnnrec.views import USER, Features

ATTRIBUTES = {"says": made.LETTERS, "liking": {"vector": "taste"}}


def vocabulary(attributes: dict[str, Any] = ATTRIBUTES) -> Vocabulary:
    split = made.split(3, attributes)
    data = {"path": "chosen", "user": "u", "item": "i"}
    users = {"path": "users", "id": "u", "attributes": attributes}
    config = TableData.model_validate({"source": "table", "interactions": data, "users": users})
    return Vocabulary.of(split.full, split.dataset.ids[USER], config)


def test_a_profile_by_hand() -> None:
    user, told = encode(vocabulary(), {"says": "abba", "liking": [1, 2, 3, 4.5]})
    says, liking = user.features
    assert told == []
    assert says.vector[0, :3].tolist() == [2, 2, 0]
    assert liking.vector.tolist() == [[1, 2, 3, 4.5]]
    assert (says.known.tolist(), liking.known.tolist()) == ([True], [True])
    user, told = encode(vocabulary(), {"taste": "1, 2 3 4.5"})  # the column's name
    assert user.features[1].vector.tolist() == [[1, 2, 3, 4.5]]
    assert not user.features[0].known.any()
    assert told == []


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ({"says": ["one", "two"]}, "says: ['one', 'two'] is ignored: one text is wanted"),
        ({"liking": [1, 2]}, "liking: '[1, 2]' ignored: a vector of 4 numbers is wanted"),
        ({"liking": "1 2 3 x"}, "liking: '1 2 3 x' ignored: a vector of 4 numbers is wanted"),
        ({"liking": [1, 2, 3, float("nan")]}, "liking: '[1, 2, 3, nan]' ignored: a vector of 4 numbers is wanted"),
        ({"sayz": "abba"}, "unknown attribute 'sayz' is ignored. Did you mean 'says'? Known: says, liking"),
    ],
)
def test_what_cannot_be_used_is_one_line(profile: dict[str, Any], said: str) -> None:
    user, told = encode(vocabulary(), profile)
    assert told == [said]
    assert not any(one.known.any() for one in user.features)


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_nothing_said_is_no_feature(nothing: str | None) -> None:
    user, told = encode(vocabulary(), {"says": nothing})
    assert told == []
    assert not user.features[0].known.any()


def test_a_frame_of_users() -> None:
    words = vocabulary()
    notes = Notes(words)
    frame = pd.DataFrame(
        {"says": ["abba", None, ""], "taste": [[1, 2, 3, 4], "1 1", "1 1 1 1"], "more": ["x", "y", "z"]}
    )
    users = encode_frame(words, frame, notes=notes)
    says, liking = users.features
    assert says.known.tolist() == [True, False, False]
    assert liking.known.tolist() == [True, False, True]
    assert liking.vector.tolist() == [[1, 2, 3, 4], [0, 0, 0, 0], [1, 1, 1, 1]]
    wrong, unknown = notes.texts()
    assert wrong == "liking: '1 1' ignored: a vector of 4 numbers is wanted"
    assert unknown.startswith("unknown attribute 'more' is ignored")


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        (("tfidf", {"size": 3}), "v: is encoded by tfidf, which was fitted on training's users and is not kept"),
        (("efficientnet-lite0", {}), "v: is a picture, and those of new users are not read"),
        (("described_users.Letters", {}), "v: described_users.Letters gives 26 numbers here, and gave 3 in training"),
    ],
)
def test_encoders_that_cannot_be_asked_again(encoder: Any, said: str) -> None:
    trained = Features(USER, "v", torch.zeros(2, 3), torch.ones(2, dtype=torch.bool), (), encoder)
    feature, (told,) = UserFeature.of(trained, None).read(["some words"])
    assert told.startswith(said)
    assert not feature.known.any()


def test_a_run_is_served_with_words_and_vectors(tmp_path: Path) -> None:
    """From files to a list: the artifact alone, the same scores, and what a profile says changes them."""
    frames = made.frames(3)
    for name, frame in frames.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    config = {
        "data": {
            "source": "table",
            "interactions": {"path": "chosen.csv", "user": "u", "item": "i"},
            "users": {"path": "users.csv", "id": "u", "attributes": ATTRIBUTES},
        },
        "split": {"kind": "unseen_users", "test": 0.2, "validation": 0.1},
        "evaluate": {"metrics": ["ndcg"], "at": [10]},
        "model": {
            "class": "GraphSAGE",
            "encoder": {"channels": 16, "layers": 2, "regression": 0},
            "finetune": {"epochs": 12, "batch_users": 64},
            "choose_on": 0,
        },
    }
    (tmp_path / "shop.yaml").write_text(json.dumps(config))
    with pytest.warns(UserWarning, match="feature 'says': 20 of 200 users have none"):
        result = run(read_config(tmp_path / "shop.yaml"), tmp_path / "runs" / "0")
    assert result.per_user["ndcg@10"].mean() > 0.7
    for file in ("users.csv", "chosen.csv"):
        (tmp_path / file).unlink()
    artifact = load(tmp_path / "runs" / "0")
    assert [(one.name, one.column, one.kind, one.width) for one in artifact.vocabulary.features] == [
        ("says", "says", "text", 26),
        ("liking", "taste", "vector", 4),
    ]
    served = serve(artifact)
    for group, words in enumerate(made.GROUPS):
        rows, told = recommend_to(served, {"says": f"{words} 4", "liking": np.eye(4)[group].tolist()}, number=4)
        of_group = {f"i{group * made.ITEMS_OF_GROUP + item}" for item in range(made.ITEMS_OF_GROUP)}
        assert told == []
        assert {row["item"] for row in rows} <= of_group
