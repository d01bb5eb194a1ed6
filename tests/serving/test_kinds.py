"""Kinds of events of a served user: told with the request, in a file, or recorded, and what they change."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gnnrec
from gnnrec.errors import DataError
from gnnrec.serving.artifact import load
from gnnrec.serving.estimator import Recommender
from gnnrec.serving.feedback import FOLDER
from gnnrec.serving.lists import recommend_to, serve

KINDS = {"view": 1.0, "buy": 5.0, "back": -5.0}
PEOPLE = pd.DataFrame({"user_id": ["new", "other"]})


def log() -> pd.DataFrame:
    """60 users in three groups, each with four items of its own: they look at them, buy some, and send others back."""
    user = np.arange(720) // 12
    step = np.arange(720) % 12
    item = (user % 3) * 4 + (step + user // 3) % 4
    kind = np.array(["view", "view", "buy", "buy"])[step // 3]
    foreign = step == 11
    item = np.where(foreign, (item + 4) % 12, item)
    kind = np.where(foreign, "back", kind)
    return pd.DataFrame({"user_id": user, "item_id": item, "what": kind, "when": np.arange(720) + 1000})


def shop(model: str = "ItemKNN", **options: Any) -> Recommender:
    return Recommender(model, seed=3, **options).fit(log(), time="when", event="what", events=KINDS)


GRAPH: dict[str, Any] = {"pretrain": None, "channels": 8, "finetune__epochs": 3}
LINEAR: dict[str, Any] = {
    **GRAPH,
    "decoder": {"name": "Linear"},
    "finetune__epochs": 15,
    "finetune__learning_rate": 0.05,
}


def of(user: str, *events: tuple[str, int]) -> pd.DataFrame:
    rows = [(user, item, kind, 5000 + place) for place, (kind, item) in enumerate(events)]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "what", "when"])


@pytest.mark.parametrize(
    ("model", "options"), [("ItemKNN", {}), ("EASE", {}), ("ALS", {}), ("GraphSAGE", GRAPH), ("GraphSAGE", LINEAR)]
)
def test_recorded_events_are_as_those_told_with_the_request(
    model: str, options: dict[str, Any], tmp_path: Path
) -> None:
    rec = shop(model, **options)
    events = of("new", ("view", 0), ("view", 1), ("buy", 2), ("back", 7))
    told = rec.score(PEOPLE, history=events)
    assert not np.allclose(told.iloc[0, 1:].to_numpy(float), rec.score(PEOPLE).iloc[0, 1:].to_numpy(float))
    for kind in ("view", "back"):  # each kind counts
        rest = events[events["what"] != kind]
        assert not np.array_equal(rec.score(PEOPLE, history=rest).to_numpy()[0, 1:], told.to_numpy()[0, 1:]), kind
    rec.update(events.iloc[:2])
    rec.update(events)
    assert rec.score(PEOPLE).equals(told)
    rec.save(tmp_path / "shop")
    assert gnnrec.load(tmp_path / "shop").score(PEOPLE).equals(told)


def test_a_decoder_reads_events_in_the_order_of_time_whatever_their_kind() -> None:
    rec = shop("GraphSAGE", **LINEAR)

    def scores(*events: tuple[str, int]) -> list[float]:
        found: list[float] = rec.score(PEOPLE, history=of("new", *events)).iloc[0, 1:].tolist()
        return found

    first = scores(("view", 0), ("buy", 5), ("view", 9))
    assert first != scores(("view", 9), ("buy", 5), ("view", 0))
    assert first != scores(("buy", 5), ("view", 0), ("view", 9))
    swapped = of("new", ("view", 0), ("buy", 5), ("view", 9)).iloc[[2, 0, 1]]  # rows in another order, at their times
    assert rec.score(PEOPLE, history=swapped).iloc[0, 1:].tolist() == first


def test_lists_hold_what_was_looked_at_and_neither_what_was_bought_nor_what_was_sent_back() -> None:
    rec = shop("GraphSAGE", **GRAPH)
    lists = rec.recommend(PEOPLE, k=12, history=of("new", ("view", 0), ("buy", 2), ("back", 7)))
    assert set(range(12)) - set(lists.loc[lists["user_id"] == "new", "item_id"]) == {2, 7}
    assert set(lists.loc[lists["user_id"] == "other", "item_id"]) == set(range(12))


def test_looks_speak_for_their_group_and_returns_against_it() -> None:
    rec = shop("ItemKNN")
    scores = rec.score(
        pd.DataFrame({"user_id": ["a", "b"]}), history=pd.concat([of("a", ("view", 4)), of("b", ("back", 4))])
    )
    own, others = [5, 6, 7], [0, 1, 2, 3]
    by_item = scores.set_index("user_id")
    assert by_item.loc["a", own].min() > by_item.loc["a", others].max()
    assert by_item.loc["b", own].max() < by_item.loc["b", others].min()


def test_a_profile_names_events_by_their_kind(tmp_path: Path) -> None:
    rec = shop("GraphSAGE", **GRAPH)
    rec.save(tmp_path / "shop")
    artifact = load(tmp_path / "shop")
    listed, warnings = recommend_to(serve(artifact), {"view": [0, 1], "back": 7}, [2], number=12)
    assert warnings == []
    told = rec.recommend({}, k=12, history=of("0", ("view", 0), ("view", 1), ("buy", 2), ("back", 7)))
    assert [row["item"] for row in listed] == told["item_id"].tolist()
    assert [row["score"] for row in listed] == told["score"].tolist()
    again, _ = recommend_to(serve(artifact), {"view": [0, 1], "back": 7, "buy": [2]}, number=12)
    assert again == listed  # the predicted kind is named as the others are
    _, warnings = recommend_to(serve(artifact), {"item": 3}, number=1)  # no other name for looks
    assert warnings == ["unknown attribute 'item' is ignored. Known: view, back"]


def test_a_kind_that_training_has_not_seen_is_refused() -> None:
    rec = shop()
    with pytest.raises(
        DataError, match="row 2, column 'what': 'look' is no kind of event of training; there are buy, view"
    ):
        rec.update(of("new", ("view", 1), ("look", 2)))
    assert rec.artifact is not None
    assert len(rec.artifact.feedback) == 0


def test_a_row_without_a_kind_is_refused_and_one_event_of_two_kinds_is_two() -> None:
    rec = shop()
    with pytest.raises(DataError, match="row 1, column 'what': '' is no kind of event of training"):
        rec.update(of("new", ("", 1)))
    with pytest.raises(DataError, match="row 1: there is no column 'what', which says of what kind a row is"):
        rec.recommend(PEOPLE, history=of("new", ("buy", 1)).drop(columns="what"))
    frame = of("new", ("buy", 1), ("view", 1)).assign(when=5000)
    rec.update(frame)
    rec.update(frame)
    assert rec.artifact is not None
    assert len(rec.artifact.feedback) == 2
    assert rec.score(PEOPLE).equals(shop().score(PEOPLE, history=of("new", ("buy", 1), ("view", 1))))


def test_events_recorded_before_there_were_kinds_are_read(tmp_path: Path) -> None:
    rec = shop()
    rec.update(of("new", ("buy", 1), ("buy", 2)))
    rec.save(tmp_path / "shop")
    (path,) = (tmp_path / "shop" / FOLDER).glob("*.parquet")
    pd.read_parquet(path).drop(columns="kind").to_parquet(path)
    assert gnnrec.load(tmp_path / "shop").score(PEOPLE).equals(rec.score(PEOPLE))


def test_small_values_are_events_where_training_took_them_for_some(gnnrec: Any, tmp_path: Path) -> None:
    ratings = log().assign(stars=lambda f: f["what"].map({"view": 3, "buy": 5, "back": 1})).drop(columns="what")
    ratings = ratings.drop_duplicates(["user_id", "item_id"], keep="last")
    ratings.to_csv("ratings.csv", index=False)
    Path("shop.yaml").write_text(
        "data:\n"
        "  source: table\n"
        "  interactions: {path: ratings.csv, user: user_id, item: item_id, value: stars, time: when}\n"
        "  positive: {min_value: 4, below: {seen: {min_value: 2, weight: 0.2}, bad: {min_value: 1, weight: -1}}}\n"
        "split: {kind: unseen_users, test: 0.2, support: 1, reveal: time}\n"
        "model: {class: ItemKNN}\n"
        "evaluate: {metrics: [ndcg], at: [5], shots: [1]}\n"
    )
    answer = gnnrec("run", "shop.yaml")
    assert answer.code == 0, answer.err
    pd.DataFrame({"user_id": ["a", "b", "c"]}).to_csv("users.csv", index=False)
    rows = [("a", 4, 5, 9000), ("a", 1, 1, 9001), ("b", 4, 5, 9000), ("c", 4, 5, 9000), ("c", 1, 0, 9000)]
    pd.DataFrame(rows, columns=["user_id", "item_id", "stars", "when"]).to_csv("history.csv", index=False)
    answer = gnnrec(
        "recommend", "runs/shop/0", "--users", "users.csv", "--history", "history.csv", "--out", "l.csv", "-k", 12
    )
    assert answer.code == 0, answer.err
    assert "1 rows ignored, whose value is below 1, the least of an event in training" in answer.err
    lists = pd.read_csv("l.csv").groupby("user")["item"].apply(set)
    assert 1 not in lists["a"]  # rejected
    assert 1 in lists["b"]
    assert lists["b"] == lists["c"]  # a value of 0 reaches no kind
