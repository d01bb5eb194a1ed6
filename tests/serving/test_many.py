"""Files of new users: their lists and vectors, whatever the batches, and what cannot be read in one line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from every_model import NAMES, fitted, vocabulary
from test_encode import profile_of, random_users

from gnnrec.data.delimited import Format
from gnnrec.errors import ConfigError, DataError, InputError
from gnnrec.serving.artifact import Artifact
from gnnrec.serving.explain import with_reasons
from gnnrec.serving.lists import Served, best, recommend_to, serve
from gnnrec.serving.many import embed_file, recommend_file
from gnnrec.serving.newcomers import History, Newcomers, read_items
from gnnrec.serving.topk import top
from gnnrec.serving.vocabulary import Columns, Vocabulary
from gnnrec.views import UserBatch


def written(folder: Path, count: int, seed: int = 5) -> tuple[pd.DataFrame, list[list[str]]]:
    """Writes users.csv and clicks.csv."""
    frame, items = random_users(count, seed)
    frame.insert(0, "id", [f"new {place}" for place in range(count)])
    frame.to_csv(folder / "users.csv", index=False)
    clicks = [(f"new {place}", item) for place, one in enumerate(items) for item in one]
    shuffled = np.random.default_rng(1).permutation(len(clicks))
    pd.DataFrame(clicks, columns=["who", "what"]).iloc[shuffled].to_csv(folder / "clicks.csv", index=False)
    return frame, items


def newcomers(folder: Path, words: Vocabulary, history: bool = True) -> Newcomers:
    return Newcomers(folder / "users.csv", words, None, History(folder / "clicks.csv", words) if history else None)


def served(name: str) -> Served:
    return serve(Artifact(fitted(name), vocabulary()))


@pytest.mark.parametrize("name", ["GraphSAGE", "SegmentPopularity", "EASE"])
def test_a_thousand_users_in_one_file_get_the_lists_of_one_by_one(tmp_path: Path, name: str) -> None:
    frame, items = written(tmp_path, 1000)
    words, ready = vocabulary(), served(name)
    cold = ready.model.supports_cold_users
    expected: dict[str, list[dict[str, Any]]] = {}
    for place, user in enumerate(frame["id"]):
        known = {i for i in items[place] if int(i.split()[1]) < words.num_items}
        if cold or known:
            expected[user] = recommend_to(ready, profile_of(frame.drop(columns="id").iloc[place]), items[place], 7)[0]
    for size in (17, 333, None):
        done = recommend_file(ready, newcomers(tmp_path, words), 7, tmp_path / "lists.parquet", size=size)
        assert done.users == 1000
        found = pd.read_parquet(tmp_path / "lists.parquet")
        assert len(found) == done.rows
        assert list(found.columns) == ["user", "item", "rank", "score", "title"]
        assert found["user"].drop_duplicates().tolist() == list(expected)
        theirs = pd.DataFrame([row for rows in expected.values() for row in rows])
        assert found["rank"].tolist() == theirs["rank"].tolist()
        np.testing.assert_allclose(found["score"], theirs["score"], rtol=1e-4, atol=1e-4)
        differ = (found["item"] != theirs["item"]).to_numpy()
        # In a batch of another size a sum may differ in its last bits, which swaps items that are level but for these.
        gap = np.abs(np.diff(theirs["score"], append=np.nan))
        level = (gap < 1e-5) | (np.roll(gap, 1) < 1e-5)
        assert not (differ & ~level).any()
        assert differ.mean() < 0.001


@pytest.mark.parametrize("name", ["GraphSAGE", "SegmentPopularity", "EASE"])
def test_reasons_of_many_users_are_those_of_one_by_one(tmp_path: Path, name: str) -> None:
    frame, items = written(tmp_path, 60, seed=3)
    words, ready = vocabulary(), served(name)
    found = {}
    for size in (7, None):
        recommend_file(ready, newcomers(tmp_path, words), 4, tmp_path / "lists.parquet", size=size, why=True)
        rows = pd.read_parquet(tmp_path / "lists.parquet")
        assert list(rows.columns) == ["user", "item", "rank", "score", "title", "why"]
        found[size] = dict(list(rows.groupby("user", sort=False)))
    assert sum(len(why) for rows in found[7].values() for why in rows["why"]) > 60
    for place, user in enumerate(frame["id"]):
        if user not in found[7]:
            continue
        profile = profile_of(frame.drop(columns="id").iloc[place])
        for rows in (found[7][user], found[None][user]):
            named = rows[["item", "rank"]].to_dict("records")
            for cell, told in zip(rows["why"], with_reasons(ready, profile, items[place], named), strict=True):
                theirs = {(one["relation"], str(one["value"])): one["weight"] for one in told["why"]}
                ours = {(one["relation"], one["value"]): one["weight"] for one in cell}
                least = min(theirs.values(), default=0)
                for key in {*ours} ^ {*theirs}:  # level with the last of those that are told, or nearly nothing
                    assert {**ours, **theirs}[key] == pytest.approx(least, abs=1e-5)
                for key in {*ours} & {*theirs}:
                    assert ours[key] == pytest.approx(theirs[key], rel=1e-3, abs=1e-5)


def test_reasons_in_csv_are_json(tmp_path: Path) -> None:
    written(tmp_path, 20)
    for name in ("lists.parquet", "lists.csv"):
        recommend_file(served("GraphSAGE"), newcomers(tmp_path, vocabulary()), 3, tmp_path / name, why=True)
    columns = pa.parquet.read_table(tmp_path / "lists.parquet")["why"].to_pylist()
    assert [json.loads(cell) for cell in pd.read_csv(tmp_path / "lists.csv")["why"]] == columns
    assert {one["relation"] for cell in columns for one in cell} >= {"history", "club"}


def test_history_is_matched_by_user_wherever_its_rows_stand(tmp_path: Path) -> None:
    _, items = written(tmp_path, 200)
    words = vocabulary()
    clicks = pd.read_csv(tmp_path / "clicks.csv")
    place = 0
    for _, users in newcomers(tmp_path, words).batches(37):
        for row in range(len(users)):
            known = users.items.node[users.items.row == row].tolist()
            mine = [int(item.split()[1]) for item in clicks.loc[clicks["who"] == f"new {place}", "what"]]
            last = [node for at, node in enumerate(mine) if node not in mine[at + 1 :]]  # in the order of the rows
            assert known == [node for node in last if node < words.num_items]
            assert set(mine) == {int(item.split()[1]) for item in items[place]}
            place += 1
    assert place == 200


def in_time(folder: Path, text: str, words: Vocabulary, at: Any = None) -> list[int]:
    """The known items of user `a`."""
    (folder / "users.csv").write_text("id\na\n")
    (folder / "clicks.csv").write_text(text)
    history = History(folder / "clicks.csv", words, None, at)
    ((_, users),) = Newcomers(folder / "users.csv", words, None, history).batches(9)
    return users.items.node.tolist()


def test_known_items_are_in_the_order_of_time(tmp_path: Path) -> None:
    words = replace(vocabulary(), columns=Columns(history_time="when"))
    rows = "a,item 7,30\na,item 3,10.5\na,item 9,10.25\na,item 3,20\nb,item 1,0\n"
    assert in_time(tmp_path, "who,what,when\n" + rows, words) == [9, 3, 7]  # item 3 at 20, its last time
    assert in_time(tmp_path, "who,what,when\n" + rows, replace(words, repeated="first")) == [9, 3, 7]
    assert in_time(tmp_path, "who,what,when\na,item 2,1\na,item 1,2\na,item 2,3\n", words) == [1, 2]
    first = replace(words, repeated="first")
    assert in_time(tmp_path, "who,what,when\na,item 2,1\na,item 1,2\na,item 2,3\n", first) == [2, 1]
    dates = "a,item 7,2024-03-01 17:30:00\na,item 3,2024-03-01\n"
    assert in_time(tmp_path, "who,what,time\n" + dates, vocabulary()) == [3, 7]  # a column called time, unnamed
    assert in_time(tmp_path, "who,what,other\n" + dates, vocabulary()) == [7, 3]


def test_an_event_of_the_future_is_one_line(tmp_path: Path) -> None:
    words = replace(vocabulary(), columns=Columns(history_time="when"))
    rows = "who,what,when\na,item 7,30\na,item 3,40\n"
    assert in_time(tmp_path, rows, words, at=40) == [7, 3]
    message = (
        "line 3, column 'when': '40' is in the future: after 39, the moment of the request; leave the row out, or name"
    )
    with pytest.raises(DataError, match=message):
        in_time(tmp_path, rows, words, at="39")
    far = "who,what,when\na,item 7,2024-03-01\na,item 3,2999-01-01\n"
    seconds = replace(words, last_time=1_700_000_000)
    with pytest.raises(DataError, match="line 3, column 'when': '2999-01-01' is in the future"):
        in_time(tmp_path, far, seconds)
    assert in_time(tmp_path, far, seconds, at="2999-01-01") == [7, 3]
    assert in_time(tmp_path, far, replace(words, last_time=10**15)) == [7, 3]  # no seconds: nobody knows what now is
    with pytest.raises(DataError, match="line 3, column 'when': 'soon' is neither a number nor a date such as"):
        in_time(tmp_path, "who,what,when\na,item 7,30\na,item 3,soon\n", words)
    with pytest.raises(ConfigError, match="--at: 'tomorrow' is neither a whole number nor a date"):
        in_time(tmp_path, rows, words, at="tomorrow")


def test_low_values_are_no_history_and_the_last_value_counts(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("id\na\nb\n")
    (tmp_path / "clicks.tsv").write_text(
        "stars\tuid\tiid\n5\tb\titem 3\n2\ta\titem 1\n4\tb\titem 3\n4\ta\titem 2\n4\tz\titem 2\n4\ta\titem 77\n"
    )
    words = replace(vocabulary(), min_value=4.0, columns=Columns("id", "uid", "iid", "stars"))
    history = History(tmp_path / "clicks.tsv", words)
    people = Newcomers(tmp_path / "users.csv", words, None, history)
    ((_, users),) = people.batches(10)
    assert (users.items.row.tolist(), users.items.node.tolist()) == ([0, 1], [2, 3])
    assert users.items.weight is not None
    assert users.items.weight.tolist() == [4, 4]
    assert people.notes() == [
        "history: 1 rows ignored, whose item training does not have: 'item 77'",
        "history: 1 rows ignored, whose value is below 4, the least of a positive interaction in training",
        "history: 1 users are not among the users, for example 'z'",
    ]


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([7, 300, 5], pa.int32()),
        pa.array([2**62, 1, 2], pa.int64()),
        pa.array(["007", "7", "x"], pa.string()),
        pa.array([1, 2, 3], pa.uint8()),
        pa.array(["b", "a", "c"]).dictionary_encode(),
        pa.array([1.5, 2.0, 3.0], pa.float64()),
    ],
    ids=lambda ids: str(ids.type),
)
def test_ids_of_users_come_back_as_they_went_in(tmp_path: Path, ids: Any) -> None:
    pa.parquet.write_table(pa.table({"who": ids, "club": ["club 0", None, "club 1"]}), tmp_path / "users.parquet")
    people = Newcomers(tmp_path / "users.parquet", vocabulary())
    recommend_file(served("Popularity"), people, 2, tmp_path / "lists.parquet")
    table = pa.parquet.read_table(tmp_path / "lists.parquet")
    assert table.schema.field("user").type == ids.type
    assert table["user"].to_pylist() == [one for one in ids.to_pylist() for _ in range(2)]
    recommend_file(served("Popularity"), people, 1, tmp_path / "lists.csv")
    plain = [str(one).removesuffix(".0") for one in ids.to_pylist()]
    assert pd.read_csv(tmp_path / "lists.csv", dtype=str)["user"].tolist() == plain


def test_text_ids_are_not_read_as_numbers_and_rows_may_be_quoted(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text('id,club\n007,club 0\n"a ""b"", c",club 1\n')
    recommend_file(served("Popularity"), Newcomers(tmp_path / "users.csv", vocabulary()), 1, tmp_path / "lists.csv")
    found = pd.read_csv(tmp_path / "lists.csv", dtype=str)
    assert found["user"].tolist() == ["007", 'a "b", c']
    assert found["rank"].tolist() == ["1", "1"]


@pytest.mark.parametrize("ending", ["parquet", "csv"])
@pytest.mark.parametrize("size", [1, 30, 500])
def test_vectors_are_those_of_one_by_one(tmp_path: Path, ending: str, size: int) -> None:
    written(tmp_path, 100)
    words, model = vocabulary(), fitted("GraphSAGE")
    to = tmp_path / f"vectors.{ending}"
    done = embed_file(Artifact(model, words), newcomers(tmp_path, words), to, size=size)
    assert (done.users, done.rows) == (100, 100)
    alone = [(ids[0].as_py(), model.embed(user)[0]) for ids, user in newcomers(tmp_path, words).batches(1)]
    if ending == "parquet":
        found = pd.read_parquet(to)
        vectors = np.stack(found["vector"])
        assert vectors.dtype == np.float32
    else:
        found = pd.read_csv(to)
        vectors = found.drop(columns="user").to_numpy(np.float32)
        assert found.columns[:3].tolist() == ["user", "v0", "v1"]
    assert found["user"].tolist() == [user for user, _ in alone]
    np.testing.assert_allclose(vectors, torch.stack([vector for _, vector in alone]), rtol=1e-4, atol=1e-5)


def test_a_model_without_vectors_is_one_line(tmp_path: Path) -> None:
    written(tmp_path, 3)
    words = vocabulary()
    people = newcomers(tmp_path, words)
    for name in set(NAMES) - {"GraphSAGE", "FederatedGraphSAGE", "PrivateGraphSAGE"}:
        with pytest.raises(InputError, match=f"^{name} has no vectors of users; serve a model that has"):
            embed_file(Artifact(fitted(name), words), people, tmp_path / "vectors.parquet")
    assert not (tmp_path / "vectors.parquet").exists()


def test_users_without_known_items_have_no_list_of_a_model_that_needs_some(tmp_path: Path) -> None:
    frame, items = written(tmp_path, 60)
    words = vocabulary()
    known = [any(int(i.split()[1]) < words.num_items for i in one) for one in items]
    done = recommend_file(served("ItemKNN"), newcomers(tmp_path, words), 3, tmp_path / "lists.parquet")
    found = pd.read_parquet(tmp_path / "lists.parquet")
    assert found["user"].drop_duplicates().tolist() == frame["id"][known].tolist()
    assert f"{60 - sum(known)} users without known items have no list: ItemKNN cannot score them" in done.warnings
    with pytest.raises(InputError, match="ItemKNN cannot score a user without known items, and no user has any"):
        recommend_file(served("ItemKNN"), newcomers(tmp_path, words, history=False), 3, tmp_path / "none.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clicks.csv", "lists.parquet", "users.csv"]


def test_only_and_exclude(tmp_path: Path) -> None:
    written(tmp_path, 40)
    words, artifact = vocabulary(), Artifact(fitted("GraphSAGE"), vocabulary())
    candidates = words.ids["item"][words.candidates.numpy()].tolist()
    (tmp_path / "some.txt").write_text("\n".join([*candidates[:8], "nothing", ""]))
    pd.DataFrame({"x": 1, "item": candidates[5:10]}).to_parquet(tmp_path / "other.parquet")
    only, notes = read_items(str(tmp_path / "some.txt"), words, "--only")
    assert notes == ["--only: 1 ids ignored that are no item of the data, for example 'nothing'"]
    exclude, notes = read_items(str(tmp_path / "other.parquet"), words, "--exclude")
    assert notes == []
    ready = serve(artifact, only, exclude)
    recommend_file(ready, newcomers(tmp_path, words), 44, tmp_path / "lists.parquet")
    found = pd.read_parquet(tmp_path / "lists.parquet")
    assert set(found["item"]) == set(candidates[:5])
    assert (found.groupby("user").size() <= 5).all()
    everything, _ = read_items(", ".join(candidates), words, "--exclude")
    with pytest.raises(InputError, match="no item is left to recommend"):
        serve(artifact, None, everything)
    with pytest.raises(InputError, match="--only: x,y: none of 2 ids is an item of the data: 'x', 'y'"):
        read_items("x,y", words, "--only")
    (tmp_path / "odd.txt").write_bytes("\r".join(["nothing", *candidates[:8]]).encode("utf-16"))
    assert torch.equal(read_items(str(tmp_path / "odd.txt"), words, "--only")[0], only)
    pd.DataFrame({"x": 1, "item": candidates[:8]}).to_csv(tmp_path / "ODD.CSV", index=False)
    assert torch.equal(read_items(str(tmp_path / "ODD.CSV"), words, "--only")[0], only)
    with pytest.raises(DataError, match=r"gone\.csv: no such file"):
        read_items(str(tmp_path / "gone.csv"), words, "--only")


class Spoiled:
    """Scores of which some are no finite numbers."""

    supports_cold_users, predicts_ratings = True, False

    def __init__(self, every: bool) -> None:
        self.every = every

    def score(self, users: UserBatch) -> torch.Tensor:
        score = torch.arange(44.0).repeat(len(users), 1)
        score[:, [40, 41, 42]] = torch.tensor([torch.nan, torch.inf, -torch.inf])
        return torch.full_like(score, torch.nan) if self.every else score


def test_a_score_that_is_not_finite_reaches_no_list(tmp_path: Path) -> None:
    model: Any = Spoiled(False)
    words = replace(vocabulary(), candidates=torch.ones(44, dtype=torch.bool))
    ready = serve(Artifact(model, words))
    rows, warnings = recommend_to(ready, {}, ["item 43"], 44)
    assert [row["score"] for row in rows] == [float(s) for s in range(39, -1, -1)]
    assert warnings == ["3 items have a score that is no finite number, and are left out"]
    json.dumps(rows, allow_nan=False)
    rows, _ = recommend_to(serve(Artifact(Spoiled(True), words)), {}, [], 5)  # type: ignore[arg-type]
    assert rows == []
    written(tmp_path, 20)
    done = recommend_file(ready, newcomers(tmp_path, words), 44, tmp_path / "lists.parquet", size=7)
    found = pd.read_parquet(tmp_path / "lists.parquet")
    assert np.isfinite(found["score"]).all()
    assert not {"item 40", "item 41", "item 42"} & set(found["item"])
    assert any("scores were no finite numbers" in warning for warning in done.warnings)


def test_equal_scores_are_in_the_order_of_the_items_and_warned_of(tmp_path: Path) -> None:
    written(tmp_path, 9)
    words = vocabulary()
    done = recommend_file(served("Random"), newcomers(tmp_path, words, False), 4, tmp_path / "lists.parquet")
    assert done.warnings[-1] == "9 users get the same score for every item: the order of their lists means nothing"
    found = pd.read_parquet(tmp_path / "lists.parquet")
    first = words.ids["item"][words.candidates.numpy()][:4].tolist()
    assert found["item"].tolist() == first * 9


def test_top_is_a_stable_sort() -> None:
    score = torch.randint(0, 5, (200, 31), generator=torch.Generator().manual_seed(2)).float()
    score[score == 0] = -torch.inf
    for number in (0, 1, 5, 31, 40):
        value, item = top(score, number)
        expected = score.sort(dim=1, descending=True, stable=True)
        assert torch.equal(item, expected.indices[:, :number])
        assert torch.equal(value, expected.values[:, :number])


def test_nobody_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("id,club\n")
    people = Newcomers(tmp_path / "users.csv", vocabulary())
    assert recommend_file(served("Popularity"), people, 3, tmp_path / "lists.parquet").rows == 0
    assert list(pd.read_parquet(tmp_path / "lists.parquet").columns) == ["user", "item", "rank", "score", "title"]
    artifact = Artifact(fitted("GraphSAGE"), vocabulary())
    assert embed_file(artifact, people, tmp_path / "vectors.csv").rows == 0


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "users.csv: the file is empty"),
        (b"id,club\na,club 0\nb\n", "line 3: 1 cells, but the header has 2; mend the file"),
        (b"id,id\na,b\n", "two columns are called 'id'"),
        (b"id,club\na,club 0\n,club 1\n", "line 3, column 'id': the cell is empty or stands"),
        (b"id,club\na,club 0\nb,club 1\n a ,club 1\n", "line 4: the user is in an earlier row already"),
        (b"id,club\n\xff\xfe,club 0\n", "cannot be read as text in UTF-8 (line 2: invalid start byte); write it"),
        (b"id,club\nNA,club 0\n", "line 2, column 'id': the cell is empty or stands"),
    ],
)
def test_a_file_of_users_that_cannot_be_read(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "users.csv").write_bytes(content)
    message = refused(lambda: list(Newcomers(tmp_path / "users.csv", vocabulary()).batches(10)))
    assert str(tmp_path / "users.csv") in message
    assert said in message


def test_other_files_that_cannot_be_read(tmp_path: Path) -> None:
    words = vocabulary()
    written(tmp_path, 3)
    assert "no such file" in refused(lambda: Newcomers(tmp_path / "none.csv", words))
    assert "no column 'ID' for users; there are id, colour" in refused(
        lambda: Newcomers(tmp_path / "users.csv", words, "ID")
    )
    (tmp_path / "users.xlsx").write_bytes(b"PK")
    assert "must end in .csv, .tsv (also with .gz) or .parquet" in refused(
        lambda: Newcomers(tmp_path / "users.xlsx", words)
    )
    (tmp_path / "broken.parquet").write_bytes(b"PAR1" + bytes(40))
    assert "not a Parquet file" in refused(lambda: Newcomers(tmp_path / "broken.parquet", words))
    (tmp_path / "one.csv").write_text("id\na\n")
    assert "no column for items" in refused(lambda: History(tmp_path / "one.csv", words))
    (tmp_path / "rated.csv").write_text("u,i,v\na,item 1,5\na,item 2,five\n")
    valued = replace(words, columns=Columns(history_value="v"))
    assert "line 3, column 'v': is not a number" in refused(lambda: History(tmp_path / "rated.csv", valued))
    ready, people = served("Popularity"), newcomers(tmp_path, words)
    assert "--out: " in refused(lambda: recommend_file(ready, people, 3, tmp_path / "lists.json"))
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(lambda: recommend_file(ready, people, 3, tmp_path / "file" / "lists.csv"))


def test_compressed_text_is_read(tmp_path: Path) -> None:
    frame, _ = written(tmp_path, 50)
    frame.to_csv(tmp_path / "users.csv.gz", index=False)
    words = vocabulary()
    plain, packed = (list(Newcomers(tmp_path / name, words).batches(20)) for name in ("users.csv", "users.csv.gz"))
    assert [ids.to_pylist() for ids, _ in plain] == [ids.to_pylist() for ids, _ in packed]


def test_lists_of_an_index_leave_out_what_each_user_knows(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    written(tmp_path, 80)
    words = vocabulary()
    artifact = Artifact(fitted("GraphSAGE"), words)
    exact, indexed = serve(artifact), serve(artifact, index_from=1)
    assert indexed.index is not None
    for _, users in newcomers(tmp_path, words).batches(50):
        one, other = best(exact, users, 6), best(indexed, users, 6)
        torch.testing.assert_close(one.score, other.score, rtol=1e-4, atol=1e-4)
        assert (one.item == other.item).float().mean() > 0.99


def test_history_is_written_as_interactions_were_in_training(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("id\na\né\n")
    (tmp_path / "clicks.csv").write_bytes("é;item 3\na;item 2\n".encode("latin-1"))
    form = Format(separator=";", encoding="latin-1", header=("uid", "iid"))
    words = replace(vocabulary(), history_form=form, columns=Columns("id", "uid", "iid"))
    ((_, users),) = Newcomers(tmp_path / "users.csv", words, None, History(tmp_path / "clicks.csv", words)).batches(9)
    assert (users.items.row.tolist(), users.items.node.tolist()) == ([0, 1], [2, 3])
    (tmp_path / "clicks.csv").write_bytes(b'a;"item 2\nb";x\n')
    with pytest.raises(DataError, match=r"line 1: 3 cells, but `header` names 2 columns"):
        History(tmp_path / "clicks.csv", words)
    (tmp_path / "users.csv").write_text('id,club\n"a\nb",club 1\nc,club 1\n')
    with pytest.raises(DataError, match=r"line 2, column 'id': the id spans lines; close its quotation mark"):
        Newcomers(tmp_path / "users.csv", words)
