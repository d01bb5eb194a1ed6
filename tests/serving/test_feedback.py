"""Interactions recorded after the fit: read at once, counted once, and never half-written."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from every_model import fitted, vocabulary

import gnnrec
from gnnrec.errors import ConfigError, DataError, InputError
from gnnrec.serving import feedback as module
from gnnrec.serving.artifact import load, save
from gnnrec.serving.estimator import Recommender
from gnnrec.serving.feedback import EVENT, FOLDER, Feedback, read_feedback
from gnnrec.serving.known import known_of
from gnnrec.serving.record import record_file

CLICKS = pd.DataFrame({"user_id": np.arange(240) % 60, "item_id": (np.arange(240) * 7 + np.arange(240) // 60) % 12})
CLICKS["when"] = np.arange(240) + 1000


def shop(model: str = "ItemKNN", **options: Any) -> Recommender:
    return Recommender(model, seed=3, **options).fit(CLICKS, time="when")


def of(user: str, items: list[int], start: int = 2000) -> pd.DataFrame:
    when = np.arange(len(items)) + start
    return pd.DataFrame({"user_id": [user] * len(items), "item_id": items, "when": when})


def saved(folder: Path) -> Path:
    save(fitted("ItemKNN"), folder / "model", vocabulary())
    return folder / "model"


def known(folder: Path, user: str) -> list[int]:
    artifact = load(folder)
    sources = artifact.feedback.sources(artifact.vocabulary)
    return known_of(artifact.vocabulary, sources, pd.Index([user])).items.node.tolist()


@pytest.mark.parametrize(("model", "options"), [("ItemKNN", {}), ("EASE", {}), ("MarkovChain", {})])
def test_hearing_is_as_if_it_were_told_with_the_request(model: str, options: dict[str, Any]) -> None:
    heard, told = shop(model, **options), shop(model, **options)
    people = pd.DataFrame({"user_id": ["new", "other"]})
    events = of("new", [3, 5, 1])
    assert heard.update(events.iloc[:2]) is heard
    heard.update(events.iloc[2:])
    assert heard.score(people).equals(told.score(people, history=events))
    lists = heard.recommend(people, k=12)
    assert set(range(12)) - set(lists.loc[lists["user_id"] == "new", "item_id"]) == {1, 3, 5}
    more = of("new", [7], start=3000)
    both = pd.concat([events, more], ignore_index=True)
    assert heard.score(people, history=more).equals(told.score(people, history=both))


def test_an_event_is_known_once() -> None:
    rec = shop()
    events = of("new", [3, 5])
    rec.update(events)
    before = rec.score(pd.DataFrame({"user_id": ["new"]}))
    for again in (events, pd.concat([events, events]), events.iloc[::-1]):
        rec.update(again)
    assert rec.artifact is not None
    assert len(rec.artifact.feedback) == 2
    assert rec.score(pd.DataFrame({"user_id": ["new"]})).equals(before)
    rec.update(events.assign(event_id=["a", "b"]))  # other events of the same kind
    assert len(rec.artifact.feedback) == 4
    rec.update(of("new", [9, 9], start=1).assign(event_id=["a", "c"]))  # `a` was told of already
    assert len(rec.artifact.feedback) == 5


def test_the_order_of_time_counts_whenever_it_was_heard() -> None:
    late, early = of("new", [3], start=5000), of("new", [5], start=4000)
    first, second = shop("MarkovChain"), shop("MarkovChain")
    for one in (late, early):
        first.update(one)
    for one in (early, late):
        second.update(one)
    people = pd.DataFrame({"user_id": ["new"]})
    assert first.score(people).equals(second.score(people))
    assert not first.score(people).equals(shop("MarkovChain").update(early).score(people))


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    rec = shop().update(of("new", [3, 5]))
    people = pd.DataFrame({"user_id": ["new"]})
    rec.save(tmp_path / "model")
    again = gnnrec.load(tmp_path / "model")
    assert again.score(people).equals(rec.score(people))
    again.update(of("new", [3, 5])).update(of("new", [8]))
    again.save(tmp_path / "model")
    assert len(read_feedback(tmp_path / "model")) == 3
    shop().save(tmp_path / "model")  # another model in its place has no feedback
    assert len(read_feedback(tmp_path / "model")) == 0


def test_what_cannot_be_heard_is_one_line_and_nothing_is() -> None:
    rec = shop()
    good = of("new", [3])
    for bad, message in (
        (good.assign(when=["soon"]), "interactions: row 1, column 'when': 'soon' is neither a number nor a date"),
        (good.drop(columns="item_id"), "interactions: there is no column 'item_id'"),
        (good.assign(user_id=[None]), "interactions: row 1, column 'user_id': the cell is empty"),
        (pd.concat([good, good.assign(when=10**11)]), "row 2, column 'when': '100000000000' is in the future"),
    ):
        with pytest.raises(DataError, match=message):
            rec.update(bad)
    with pytest.raises(DataError, match=r"is in the future: after 1999, .* name the moment with at="):
        rec.update(good, at=1999)
    assert rec.artifact is not None
    assert len(rec.artifact.feedback) == 0
    with pytest.warns(UserWarning, match="1 items that the model does not know: '99'"):
        rec.update(of("new", [3, 99]))
    with pytest.raises(InputError, match="is not fitted"):
        Recommender("ItemKNN").update(good)


def test_a_file_is_heard_and_lists_know_it(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    (tmp_path / "new.csv").write_text("u,i,time\na,item 3,20\nb,item 1,5\na,item 7,10\na,nowhere,11\n")
    rows, fresh, notes = record_file(folder, tmp_path / "new.csv")
    assert (rows, fresh) == (4, 4)
    assert notes == ["1 items are kept that the model does not know, for example 'nowhere'"]
    assert known(folder, "a") == [7, 3]
    assert known(folder, "b") == [1]
    assert known(folder, "c") == []
    assert record_file(folder, tmp_path / "new.csv")[:2] == (4, 0)
    assert len(list((folder / FOLDER).glob("*.parquet"))) == 1
    for wrong, message in (
        ("u,i,time\na,item 3,later\n", "line 2, column 'time'"),
        ("u,i,time\na,,3\n", "line 2, column 'i': the cell is empty"),
        ("u,i,time\na,item 1,3\nb,item 1,99999999999\n", "line 3, column 'time': '99999999999' is in the future"),
    ):
        (tmp_path / "bad.csv").write_text(wrong)
        with pytest.raises(DataError, match=message):
            record_file(folder, tmp_path / "bad.csv", at=100 if "later" not in wrong else None)
    assert known(folder, "a") == [7, 3]
    with pytest.raises(ConfigError, match="no such run folder"):
        record_file(tmp_path / "nothing", tmp_path / "new.csv")


def test_many_files_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILES", 5)
    monkeypatch.setattr(module, "RECENT", 7)
    folder, random = saved(tmp_path), np.random.default_rng(3)
    every, rec = [], Feedback()
    for number in range(17):
        rows = [(f"u{random.integers(5)}", f"item {random.integers(30)}", number * 10 + k) for k in range(3)]
        every += rows
        (tmp_path / "new.csv").write_text("u,i,time\n" + "".join(f"{u},{i},{t}\n" for u, i, t in rows))
        record_file(folder, tmp_path / "new.csv")
        assert len(list((folder / FOLDER).glob("*.parquet"))) <= 6
        rec.add(read_feedback(folder).frame)
    heard = load(folder).feedback
    assert len(heard) == len(rec) == 51
    for user in range(5):
        mine = [int(i.split()[1]) for u, i, _ in every if u == f"u{user}"]
        expected = [item for at, item in enumerate(mine) if item not in mine[at + 1 :]]
        for one in (heard, rec):
            found = known_of(vocabulary(), one.sources(vocabulary()), pd.Index([f"u{user}"])).items
            assert found.node.tolist() == expected


def test_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    for number in range(8):
        (tmp_path / f"{number}.csv").write_text(f"u,i,time\nu{number},item {number},5\n")
    with ThreadPoolExecutor(4) as pool:  # a lock of a file is of its opening, not of the process
        list(pool.map(lambda number: record_file(folder, tmp_path / f"{number}.csv"), range(8)))
    assert sorted(load(folder).feedback.frame["user"]) == [f"u{number}" for number in range(8)]


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    (folder / FOLDER).mkdir()
    (folder / FOLDER / "00000001.parquet").write_bytes(b"PAR1" + os.urandom(40))
    with pytest.raises(ConfigError, match=r"00000001.parquet: cannot be read .*delete it and tell of its events again"):
        load(folder)


def test_values_below_a_positive_one_are_no_known_items(tmp_path: Path) -> None:
    clicks = CLICKS.assign(stars=4.0 + np.arange(240) % 2)
    rec = Recommender("ItemKNN").fit(clicks, time="when", value="stars", min_value=4.0)
    rec.update(of("new", [3, 5]).assign(stars=[2.0, 5.0]))
    lists = rec.recommend(pd.DataFrame({"user_id": ["new"]}), k=12)
    assert set(range(12)) - set(lists["item_id"]) == {5}
    with pytest.raises(DataError, match="row 1, column 'stars': 'many' is not a number"):
        rec.update(of("new", [3]).assign(stars=["many"]))


def test_names_of_events_do_not_hang_on_the_batch() -> None:
    rec, one_by_one = shop(), shop()
    events = of("new", [3, 5, 8])
    rec.update(events)
    for place in range(3):
        one_by_one.update(events.iloc[[place]])
    assert rec.artifact is not None
    assert one_by_one.artifact is not None
    frames = [one.artifact.feedback.frame for one in (rec, one_by_one)]
    assert frames[0].equals(frames[1])
    assert frames[0][EVENT].is_unique
    assert all(len(name) == 32 for name in frames[0][EVENT])


def test_the_commands(gnnrec: Any, tmp_path: Path) -> None:
    folder = saved(tmp_path)
    (tmp_path / "new.csv").write_text("u,i,time\na,item 3,20\na,item 7,10\n")
    (tmp_path / "users.csv").write_text("id\na\nb\n")
    answer = gnnrec("update", str(folder), "--interactions", str(tmp_path / "new.csv"), "--json")
    assert answer.code == 0
    assert json.loads(answer.out) == {"rows": 2, "new": 2, "warnings": []}
    out = tmp_path / "lists.csv"
    answer = gnnrec("recommend", str(folder), "--users", str(tmp_path / "users.csv"), "--out", str(out))
    assert answer.code == 0, answer.err
    lists = pd.read_csv(out)
    assert set(lists["user"]) == {"a"}  # of b nothing is known, and kNN needs something
    assert not {"item 3", "item 7"} & set(lists["item"])
    answer = gnnrec("update", str(folder), "--interactions", str(tmp_path / "none.csv"))
    assert answer.code == 2
    assert "none.csv" in answer.err
