"""Features of users: what is made of cells and files, and what a split, a table of rows and an audit make of them."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import described_users as made
import numpy as np
import pandas as pd
import pytest
import torch

from gnnrec.audit.held_out import audit_held_out
from gnnrec.audit.training import audit
from gnnrec.data import load
from gnnrec.data.config import TableData
from gnnrec.data.describe import describe
from gnnrec.data.features.text import fitted
from gnnrec.data.frames import from_frames
from gnnrec.data.union import union
from gnnrec.errors import AuditError, ConfigError, DataError
from gnnrec.graph.matrices import UserFeatures
from gnnrec.splits import UnseenUsers, make_split
from gnnrec.splits.controls import shuffle_attributes
from gnnrec.splits.parts import TEST
from gnnrec.views import USER

VECTOR = {"taste": {"vector": "taste"}}
BOTH = {"says": made.LETTERS, **VECTOR}
TFIDF = {"says": {"text": {"encoder": "tfidf", "options": {"size": 3}}}}


def few(says: list[str], attributes: dict[str, Any]) -> Any:
    users = pd.DataFrame({"u": ["a", "b", "c"], "says": says})
    chosen = pd.DataFrame({"u": ["a", "b"], "i": ["x", "y"]})
    return from_frames(
        {"users": users, "chosen": chosen},
        interactions={"path": "chosen", "user": "u", "item": "i"},
        users={"path": "users", "id": "u", "attributes": attributes},
    )


def test_words_of_users_by_hand() -> None:
    with pytest.warns(UserWarning, match="feature 'says': 1 of 3 users have none, for example c"):
        data = few(["abba", "cab", ""], {"says": made.LETTERS})
    (one,) = data.user_features
    assert (one.node_type, one.name, data.features) == (USER, "says", ())
    assert one.vector[:, :4].tolist() == [[2, 2, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    assert one.known.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("says", "options", "message"),
    [
        (["1 2", "3", "4 5"], {"vector": "says"}, "vectors have 1 and 2 numbers"),
        (["1 2", "3 q", "4 5"], {"vector": "says"}, "user b, column 'says': '3 q' is no vector"),
        (["a", "b", "c"], {"text": {"encoder": "nothing"}}, "encoder 'nothing' is unknown"),
        (["a", "b", "c"], {"image": {"folder": "pictures"}}, "pictures: no such file"),
    ],
)
def test_what_users_are_described_by_wrongly_is_one_line(says: list[str], options: Any, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message) as caught:
        few(says, {"says": options})
    assert "\n" not in str(caught.value)


def test_a_file_of_vectors_has_a_row_for_each_user(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("u\nc\na\nb\n")
    (tmp_path / "chosen.csv").write_text("u,i\na,x\nb,y\n")
    np.save(tmp_path / "v.npy", np.array([[3.0, 0], [1, np.nan], [2, 5]]))
    config = {
        "source": "table",
        "interactions": {"path": "chosen.csv", "user": "u", "item": "i"},
        "users": {"path": "users.csv", "id": "u", "attributes": {"v": {"vector": "v.npy"}}},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = load(TableData.model_validate(config), tmp_path)
    row = {user: place for place, user in enumerate(data.ids[USER])}
    (one,) = data.user_features
    assert one.vector[[row["c"], row["a"], row["b"]]].tolist() == [[3, 0], [0, 0], [2, 5]]
    assert one.known[row["a"]].item() is False
    np.save(tmp_path / "v.npy", np.ones((2, 2)))
    with pytest.raises(DataError, match="has 2 rows, the file of users more"):
        load(TableData.model_validate(config), tmp_path)


def test_the_description_of_a_data_set_names_them() -> None:
    rows = {(row["of"], row["name"]): row for row in describe(made.dataset(4, BOTH))["attributes"]}
    assert rows["user", "taste"]["kind"] == "4 numbers"
    assert 0 < rows["user", "says"]["missing"] < 0.2


def test_other_features_are_other_data() -> None:
    one, other = made.dataset(4, VECTOR), made.dataset(4, BOTH)
    assert one.checksum == made.dataset(4, VECTOR).checksum != other.checksum


def test_each_part_of_a_split_has_its_users_rows() -> None:
    split = made.split(6, BOTH)
    split.open_test("a test")
    raw = {one.name: one for one in split.dataset.user_features}
    for users in (split.train.users, split.full.users, split.validation.users, split.test.users):
        assert [one.name for one in users.features] == list(raw)
        for one in users.features:
            assert torch.equal(one.vector, raw[one.name].vector[users.index])
            assert torch.equal(one.known, raw[one.name].known[users.index])
    rest, held_out = split.train.hold_out(torch.tensor([7, 3]))
    assert torch.equal(held_out.users.features[1].vector, raw["taste"].vector[split.train.users.index[[7, 3]]])
    assert len(rest.users.features[0].known) == len(rest.users)


def test_a_fitted_encoder_learns_from_training_users_alone() -> None:
    """Held-out users may say anything: the training users' vectors stay; and both have those of one encoder."""
    data = made.dataset(8, TFIDF)
    split = make_split(data, UnseenUsers(test=0.25, validation=0.15), 8)
    words = list(data.user_features[0].words)
    for user in split.validation.users.index.tolist():
        words[user] = "rate rate lost lost lost"
    changed = replace(data, user_features=(replace(data.user_features[0], words=tuple(words)),))
    other = make_split(changed, UnseenUsers(test=0.25, validation=0.15), 8)
    assert torch.equal(split.train.users.features[0].vector, other.train.users.features[0].vector)
    assert not torch.equal(split.full.users.features[0].vector, other.full.users.features[0].vector)
    same = split.dataset.user_features[0].words
    pairs = {}
    for users in (split.train.users, split.validation.users):
        for index, row in zip(users.index.tolist(), users.features[0].vector, strict=True):
            assert torch.equal(pairs.setdefault(same[index], row), row)


def test_columns_of_a_matrix_are_in_the_unit_of_the_mean_length() -> None:
    split = made.split(3, BOTH)
    users = split.train.users
    rows = UserFeatures(split.train)(users).toarray()
    says, taste = users.features
    unit = says.vector[says.known].norm(dim=1).mean().item()
    assert rows.shape[1] == 26 + 4
    np.testing.assert_allclose(rows[:, :26] * unit, says.vector.numpy(), atol=1e-6)
    np.testing.assert_allclose(
        UserFeatures(split.train, attributes=["taste"])(users).toarray() * taste.vector.norm(dim=1).mean().item(),
        taste.vector.numpy(),
        atol=1e-6,
    )
    assert UserFeatures(split.train, described=False)(users).shape[1] == 0
    with pytest.raises(ConfigError, match=r"'age' is no attribute of the users; there are \['says', 'taste'\]"):
        UserFeatures(split.train, attributes=["age"])


def test_shuffled_attributes_shuffle_features_with_their_words() -> None:
    for attributes in (VECTOR, TFIDF):
        data = made.dataset(5, attributes)
        other = shuffle_attributes(data, 5)
        (one,), (new,) = data.user_features, other.user_features
        assert sorted(one.words) == sorted(new.words)
        assert sorted(one.vector.tolist()) == sorted(new.vector.tolist())
        assert one.words != new.words or not torch.equal(one.vector, new.vector)


def test_platforms_join_features_of_one_name() -> None:
    first, second = made.dataset(2, VECTOR, 40), made.dataset(9, BOTH, 30)
    joined = union([first, second])
    taste, says = joined.user_features
    assert torch.equal(taste.vector, torch.cat([first.user_features[0].vector, second.user_features[1].vector]))
    assert not says.known[:40].any()
    assert torch.equal(says.vector[40:], second.user_features[0].vector)


@pytest.mark.parametrize("attributes", [BOTH, TFIDF], ids=["vectors", "fitted"])
def test_the_audit_finds_another_users_feature(attributes: dict[str, Any]) -> None:
    split = made.split(7, attributes)
    assert "features" in audit(split, split.train)["checks"]
    split.open_test("a test")
    audit_held_out(split, split.test, split.full, TEST)
    users = split.train.users
    turned = tuple(replace(one, vector=one.vector.roll(1, 0)) for one in users.features)
    with pytest.raises(AuditError, match="is not that of the data for"):
        audit(split, replace(split.train, users=replace(users, features=turned)))
    asked = split.test.users
    turned = tuple(replace(one, vector=one.vector.roll(1, 0)) for one in asked.features)
    with pytest.raises(AuditError, match="have another feature"):
        audit_held_out(split, replace(split.test, users=replace(asked, features=turned)), split.full, TEST)


def test_the_audit_finds_an_encoder_that_was_fitted_on_held_out_users() -> None:
    split = made.split(7, TFIDF)
    everyone = torch.ones(split.dataset.num_users, dtype=torch.bool)
    leaked = tuple(fitted(one, everyone).take(split.train.users.index) for one in split.dataset.user_features)
    with pytest.raises(AuditError, match="is not that of the data for"):
        audit(split, replace(split.train, users=replace(split.train.users, features=leaked)))
