"""A recommender on data frames: the models underneath, ids of any type, many users, other libraries' frames."""

import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from every_model import NAMES, OPTIONS
from sklearn.base import clone

import gnnrec
from gnnrec.errors import ConfigError, DataError, InputError
from gnnrec.models.graphsage import GraphSAGE
from gnnrec.serving.estimator import Recommender, _part
from gnnrec.serving.profile import encode
from gnnrec.training.loop import LoopConfig

COLOURS = ("red", "blue", "green")
SMALL: dict[str, Any] = {"channels": 8, "layers": 2, "pretrain": None, "finetune__epochs": 6, "choose_on": 0}


def frames(seed: int = 3, num_users: int = 90) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Interactions, users and items; who likes a colour takes items of that colour, nine times of ten."""
    random = np.random.default_rng(seed)
    tags = [list(random.choice(["a", "b", "c"], random.integers(0, 3), replace=False)) for _ in range(num_users)]
    users = pd.DataFrame(
        {
            "user_id": np.arange(500, 500 + num_users),
            "colour": random.choice(COLOURS, num_users),
            "age": random.integers(18, 80, num_users),
            "tags": tags,
        }
    )
    group = users["colour"].map(COLOURS.index).to_numpy()
    row = np.repeat(np.arange(num_users), 8)
    own = np.where(random.random(len(row)) < 0.9, group[row], random.integers(3, size=len(row)))
    item = random.integers(10, size=len(row)) * 3 + own
    clicks = pd.DataFrame({"user_id": 500 + row, "item_id": item, "stars": random.integers(1, 6, len(row)) * 1.0})
    items = pd.DataFrame({"item_id": np.arange(30), "name": [f"item {i}" for i in range(30)]})
    return clicks.drop_duplicates(["user_id", "item_id"]), users, items


CLICKS, USERS, ITEMS = frames()
NEW = pd.DataFrame(
    {"user_id": ["x", "y", "z"], "colour": ["red", "blue", None], "age": [20, None, 44], "tags": [["a", "c"], [], None]}
)


@pytest.fixture(scope="module")
def fitted() -> Recommender:
    return Recommender("GraphSAGE", seed=3, **SMALL).fit(CLICKS, users=USERS, items=ITEMS, title="name")


def test_lists_hold_items_of_the_colour() -> None:
    rec = Recommender("AttributeLinear").fit(CLICKS, users=USERS, items=ITEMS, title="name")
    many = pd.DataFrame({"user_id": range(3), "colour": COLOURS})
    lists = rec.recommend(many, k=5)
    assert list(lists.columns) == ["user_id", "item_id", "rank", "score", "title"]
    assert lists["rank"].tolist() == [1, 2, 3, 4, 5] * 3
    assert (lists["item_id"] % 3 == lists["user_id"]).mean() > 0.8  # chance is a third
    assert (lists["title"] == "item " + lists["item_id"].astype(str)).all()
    assert all(lists.groupby("user_id")["score"].apply(lambda s: s.is_monotonic_decreasing))


def test_scores_are_those_of_the_model_for_a_profile(fitted: Recommender) -> None:
    assert fitted.artifact is not None
    scores = fitted.score(NEW)
    assert scores["user_id"].tolist() == ["x", "y", "z"]
    assert list(scores.columns[1:]) == list(range(30))
    profiles = [{"colour": "red", "age": 20, "tags": ["a", "c"]}, {"colour": "blue"}, {"age": 44}]
    model = fitted.artifact.model
    for row, profile in enumerate(profiles):
        user, warnings = encode(fitted.artifact.vocabulary, profile)
        assert not warnings
        np.testing.assert_allclose(scores.iloc[row, 1:].to_numpy(float), model.score(user)[0], rtol=1e-5)


def test_the_model_is_the_one_of_the_class_fitted_on_all_users() -> None:
    fitted = Recommender("GraphSAGE", seed=3, **SMALL).fit(CLICKS, users=USERS)
    assert fitted.artifact is not None
    model = fitted.artifact.model
    assert isinstance(model, GraphSAGE)
    assert model.encoder.channels == 8
    assert model.finetune.epochs <= 6
    again = Recommender("GraphSAGE", seed=3, **SMALL).fit(CLICKS, users=USERS)
    assert fitted.score(NEW).equals(again.score(NEW))
    other = Recommender("GraphSAGE", seed=4, **SMALL).fit(CLICKS, users=USERS)
    assert not fitted.score(NEW).equals(other.score(NEW))


def test_a_thousand_users_in_one_call_are_as_one_by_one(fitted: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    many = pd.DataFrame({"user_id": np.arange(1000), "colour": random.choice([*COLOURS, None], 1000)})
    many["age"] = random.integers(10, 90, 1000)
    history = pd.DataFrame({"user_id": random.integers(0, 1000, 3000), "item_id": random.integers(0, 30, 3000)})
    monkeypatch.setattr("gnnrec.serving.estimator.USERS_AT_ONCE", 300)
    lists = fitted.recommend(many, k=4, history=history)
    assert len(lists) == 4000
    for user in (0, 299, 300, 998):
        own = history[history["user_id"] == user]
        alone = fitted.recommend(many[many["user_id"] == user], k=4, history=own)
        together = lists[lists["user_id"] == user].reset_index(drop=True)
        assert together["item_id"].tolist() == alone["item_id"].tolist()
        np.testing.assert_allclose(together["score"], alone["score"], rtol=1e-4)
        assert not set(together["item_id"]) & set(own["item_id"])


def test_known_items_move_vectors_and_leave_lists(fitted: Recommender) -> None:
    history = pd.DataFrame({"user_id": ["z", "z"], "item_id": [1, 4]})
    before, after = fitted.embed(NEW), fitted.embed(NEW, history=history)
    assert list(before.columns) == ["user_id", *(f"v{d}" for d in range(before.shape[1] - 1))]
    assert before.shape[1] > 8  # those of the layers, and of the regression where it counts
    assert before.iloc[:2].equals(after.iloc[:2])
    assert not before.iloc[2].equals(after.iloc[2])
    lists = fitted.recommend(NEW, k=30, history=history)
    assert set(range(30)) - set(lists.loc[lists["user_id"] == "z", "item_id"]) == {1, 4}


def test_the_order_of_time_counts_and_the_future_is_refused(tmp_path: Path) -> None:
    clicks = CLICKS.assign(when=np.arange(len(CLICKS)) * 60 + 1_600_000_000)
    options: dict[str, Any] = {**SMALL, "decoder": {"name": "Linear"}, "pretrain": None}
    fitted = Recommender("GraphSAGE", seed=3, **options).fit(clicks, users=USERS, time="when")
    history = pd.DataFrame({"user_id": ["z", "z"], "item_id": [1, 4], "when": [1_700_000_000, 1_600_000_000]})
    forward = fitted.score(NEW, history=history)
    backward = fitted.score(NEW, history=history.assign(when=history["when"].to_numpy()[::-1]))
    assert not np.allclose(forward.iloc[2, 1:].to_numpy(float), backward.iloc[2, 1:].to_numpy(float))
    turned = history.iloc[::-1].reset_index(drop=True)  # the times say the order, not the rows
    assert fitted.score(NEW, history=turned).equals(forward)
    fitted.save(tmp_path / "model")
    assert gnnrec.load(tmp_path / "model").score(NEW, history=history).equals(forward)
    dated = history.assign(when=pd.to_datetime(history["when"], unit="s"))
    assert fitted.score(NEW, history=dated).equals(forward)
    for at in (1_650_000_000, "2022-05-01", datetime(2022, 5, 1)):
        with pytest.raises(DataError, match="history: row 1, column 'when': '1700000000' is in the future: after 165"):
            fitted.recommend(NEW, history=history, at=at)
    with pytest.raises(DataError, match=r"row 2, column 'when': .* is in the future"):
        fitted.embed(NEW, history=history.assign(when=[1, 10**11]))


def test_items_can_be_excluded_and_chosen(fitted: Recommender) -> None:
    assert set(fitted.recommend(NEW, k=30, only=range(6), exclude=[2, 3])["item_id"]) == {0, 1, 4, 5}
    with pytest.raises(InputError, match="only: none of 2 ids is an item that the model knows"):
        fitted.recommend(NEW, only=["a", "b"])


def test_one_user_as_a_mapping(fitted: Recommender) -> None:
    lists = fitted.recommend({"colour": "green"}, k=2)
    assert lists["user_id"].tolist() == [0, 0]
    assert len(fitted.recommend({}, k=3)) == 3


def test_what_is_ignored_is_warned_of(fitted: Recommender) -> None:
    with pytest.warns(UserWarning, match="colour: 1 values ignored, each a value that training has not seen"):
        fitted.recommend(pd.DataFrame({"colour": ["purple"]}))
    history = pd.DataFrame({"user_id": ["x", "nobody"], "item_id": [77, 1]})
    with pytest.warns(UserWarning, match="history: 1 rows ignored") as caught:
        fitted.recommend(NEW, history=history)
    texts = [str(one.message) for one in caught]
    assert texts == [
        "history: 1 rows ignored, whose user is not among the users",
        "history: 1 rows ignored, whose item the model does not know",
    ]


IDS = {
    "int": int,
    "float": float,
    "bool": lambda i: bool(i % 2),
    "text": lambda i: f"sku {i}",
    "UUID": lambda i: uuid.UUID(int=i + 7),
    "several types": lambda i: int(i) if i % 2 else f"s{i}",
    "numpy": np.int32,
}


@pytest.mark.parametrize("kind", IDS)
def test_ids_come_back_as_they_went_in(kind: str, tmp_path: Path) -> None:
    ids = [IDS[kind](int(i)) for i in CLICKS["item_id"]]
    column = pd.Series(ids, index=CLICKS.index, dtype=object if kind in ("UUID", "several types") else None)
    clicks = CLICKS.assign(item_id=column).drop_duplicates(["user_id", "item_id"])
    rec = Recommender("Popularity").fit(clicks)
    lists = rec.recommend({}, k=2)
    expected = clicks["item_id"].value_counts().index[:1].tolist()
    assert lists["item_id"].tolist()[:1] == expected
    assert lists["item_id"].dtype == clicks["item_id"].dtype
    assert type(lists["item_id"].tolist()[0]) is type(expected[0])
    assert expected[0] not in rec.recommend({}, k=30, exclude=expected)["item_id"].tolist()
    rec.save(tmp_path)
    loaded = gnnrec.load(tmp_path).recommend({}, k=2)["item_id"].tolist()
    before = lists["item_id"].tolist()
    assert loaded == ([str(i) for i in before] if kind == "several types" else before)


@pytest.mark.parametrize("name", NAMES)
def test_every_model_is_saved_and_loaded_with_its_options(name: str, tmp_path: Path) -> None:
    items = ITEMS.assign(kind=ITEMS["item_id"] % 3)
    private = {"PrivateGraphSAGE": {"declared": ["item", "colour", "tags"], "attributes": ["colour", "tags"]}}
    rec = Recommender(name, seed=3, **{**OPTIONS.get(name, {}), **private.get(name, {})})
    rec.fit(CLICKS.assign(when=range(len(CLICKS))), users=USERS, items=items, title="name", value="stars", time="when")
    rec.save(tmp_path)
    loaded = gnnrec.load(tmp_path)
    history = pd.DataFrame({"user_id": ["x", "y", "z"], "item_id": [3, 4, 5], "stars": [5.0, 4.0, 5.0]})
    assert loaded.recommend(NEW, k=4, history=history).equals(rec.recommend(NEW, k=4, history=history))
    assert loaded.artifact is not None
    assert type(loaded.artifact.model).__name__ == name
    assert repr(clone(loaded)) == repr(loaded)


def test_frames_of_other_libraries_go_in_and_come_out(fitted: Recommender) -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    rec = Recommender("GraphSAGE", seed=3, **SMALL)
    rec.fit(polars.from_pandas(CLICKS), users=polars.from_pandas(USERS), items=polars.from_pandas(ITEMS), title="name")
    lists = rec.recommend(polars.from_pandas(NEW), k=3)
    assert isinstance(lists, polars.DataFrame)
    assert lists["item_id"].dtype == polars.Int64
    assert lists.to_pandas()["item_id"].tolist() == fitted.recommend(NEW, k=3)["item_id"].tolist()
    assert isinstance(rec.embed(polars.from_pandas(NEW)), polars.DataFrame)


def test_columns_become_attributes() -> None:
    users = USERS.assign(income=np.arange(90) * 1.5, city="a", premium=np.arange(90) % 2 == 0)
    rec = Recommender("AttributeLinear").fit(CLICKS, users=users)
    assert rec.artifact is not None
    words = rec.artifact.vocabulary
    assert {t[1] for t in words.relations} == {"colour", "age", "tags", "income", "city", "premium"}
    assert set(words.bounds) == {"age", "income"}
    assert len(words.bounds["income"]) == 9
    some = Recommender("AttributeLinear").fit(CLICKS, users=users, user_attributes={"age": {"bins": 3}, "colour": {}})
    assert some.artifact is not None
    assert {t[1] for t in some.artifact.vocabulary.relations} == {"colour", "age"}
    assert len(some.artifact.vocabulary.bounds["age"]) == 2


def test_only_values_above_the_least_count() -> None:
    liked = Recommender("Popularity").fit(CLICKS, value="stars", min_value=4)
    expected = CLICKS.loc[CLICKS["stars"] >= 4, "item_id"].value_counts()
    scores = liked.score({}).iloc[0, 1:]
    best = scores.index[int(np.argmax(scores.to_numpy(float)))]
    assert expected[best] == expected.max()


def test_habits_of_scikit_learn() -> None:
    rec = Recommender("GraphSAGE", seed=7, channels=16)
    assert repr(rec) == "Recommender('GraphSAGE', seed=7, channels=16)"
    assert rec.get_params() == {"model": "GraphSAGE", "seed": 7, "device": "auto", "channels": 16}
    assert rec.set_params(channels=4, seed=8) is rec
    assert rec.get_params()["channels"] == 4
    copied = clone(rec)
    assert copied is not rec
    assert copied.get_params() == rec.get_params()
    with pytest.raises(ConfigError, match="chanels"):
        rec.set_params(chanels=4)
    assert rec.get_params()["channels"] == 4


def test_lists_in_another_order_and_a_hidden_attribute(tmp_path: Path) -> None:
    around = {"rerank": {"method": "plackett_luce", "most_lost": 0.5}, "erase": {"attribute": "colour"}}
    rec = Recommender("GraphSAGE", seed=3, **SMALL, **around).fit(CLICKS, users=USERS, items=ITEMS)
    assert rec.artifact is not None
    model = rec.artifact.model
    assert (type(model).__name__, type(model.model).__name__) == ("Reranked", "Erased")  # type: ignore[attr-defined]
    assert model.strength > 0  # type: ignore[attr-defined]
    red, blue = (pd.DataFrame({"user_id": ["x"], "colour": [colour], "age": [33]}) for colour in ("red", "blue"))
    assert rec.recommend(red, k=9)["item_id"].tolist() == rec.recommend(blue, k=9)["item_id"].tolist()
    rec.save(tmp_path / "shop")
    assert gnnrec.load(tmp_path / "shop").recommend(red, k=9).equals(rec.recommend(red, k=9))
    assert clone(rec).get_params()["erase"] == {"attribute": "colour"}
    with pytest.raises(ConfigError, match=r"rerank\.method: unknown value 'mrm'\. Did you mean 'mmr'"):
        Recommender("GraphSAGE", rerank={"method": "mrm"})
    with pytest.raises(ConfigError, match=r"erase: missing key 'attribute'"):
        Recommender("GraphSAGE", erase={})


class InTwoStages:
    """Two parts of its options have options of the same names."""

    def __init__(self, first: LoopConfig = LoopConfig(), second: LoopConfig = LoopConfig()) -> None:  # noqa: B008
        self.parts = first, second


def test_clear_errors(fitted: Recommender) -> None:
    with pytest.raises(ConfigError, match="'learning_rate' is an option of first and of second; write first__"):
        _part(InTwoStages, "learning_rate")
    with pytest.raises(ConfigError, match="'GraphSag' is not in"):
        Recommender("GraphSag")
    with pytest.raises(InputError, match=r"Recommender\('ALS'\) is not fitted; call fit"):
        Recommender("ALS").recommend(NEW)
    with pytest.raises(InputError, match="ItemKNN cannot score users without known items; give history="):
        Recommender("ItemKNN").fit(CLICKS).recommend(NEW)
    with pytest.raises(InputError, match="Popularity has no vectors of users"):
        Recommender("Popularity").fit(CLICKS).embed(NEW)
    with pytest.raises(DataError, match="a data frame is needed"):
        fitted.recommend([1, 2, 3])
    with pytest.raises(DataError, match="users: row 2: column 'user_id': the id is missing, or stands in an earlier"):
        fitted.recommend(pd.DataFrame({"user_id": ["x", "x"]}))
    with pytest.raises(DataError, match="history: there is no column 'item_id'; there are user_id"):
        fitted.recommend(NEW, history=pd.DataFrame({"user_id": ["x"]}))
    with pytest.raises(ConfigError, match="users: there is no column 'colr'"):
        Recommender("Popularity").fit(CLICKS, users=USERS, user_attributes=["colr"])


def test_a_run_in_a_notebook_returns_its_model() -> None:
    from gnnrec.data.synthetic import synthetic

    split = gnnrec.make_split(synthetic(3, num_users=60), gnnrec.UnseenUsers(test=0.2), 3)
    run = gnnrec.fit_and_evaluate(split, "Popularity", seed=3)
    assert (run.model.score(split.validation.users)[0] == run.model.score(split.validation.users)[1]).all()
    assert run.result.metrics["ndcg@10"] is not None


@pytest.mark.parametrize("model", ["GraphSAGE", "AttributeLinear"])
def test_a_number_between_two_knots_is_between_them(model: str, tmp_path: Path) -> None:
    options = SMALL if model == "GraphSAGE" else {}
    attributes = {"age": {"number": {"knots": 2}}}
    rec = Recommender(model, seed=3, **options).fit(CLICKS, users=USERS, user_attributes=attributes)
    knots = np.quantile(USERS["age"], [0.01, 1 / 3, 2 / 3, 0.99])
    ages = [knots[1], (knots[1] + knots[2]) / 2, knots[2], 1000.0, knots[-1]]
    many = pd.DataFrame({"user_id": range(5), "age": ages})
    scores = _scores(rec, many)
    if model == "AttributeLinear":  # a line between knots
        np.testing.assert_allclose(scores[1], (scores[0] + scores[2]) / 2, rtol=1e-4, atol=1e-5)
    assert not np.allclose(scores[0], scores[2])
    np.testing.assert_array_equal(scores[3], scores[4])
    rec.save(tmp_path / "model")
    np.testing.assert_array_equal(_scores(Recommender.load(tmp_path / "model"), many), scores)


def _scores(rec: Recommender, users: pd.DataFrame) -> np.ndarray:
    """[B, I], in the order of the ids of items."""
    lists = rec.recommend(users, k=30)
    return lists.pivot_table(index="user_id", columns="item_id", values="score").to_numpy()
