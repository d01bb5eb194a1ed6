"""Kinds of events: from a column of a file, or from small values, to interactions and relations with times."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from gnnrec.data import load
from gnnrec.data.cache import cached
from gnnrec.data.config import DataConfig
from gnnrec.data.dataset import Dataset, event_relation
from gnnrec.data.synthetic import synthetic
from gnnrec.errors import DataError
from gnnrec.views import ITEM, USER, Relation

ROWS = (
    "user,item,what,at\n"
    "a,x,view,1\n"
    "a,x,view,3\n"  # of one kind that is not predicted, the first one counts
    "a,x,buy,4\n"
    "a,y,back,9\n"
    "b,y,buy,2\n"
    "b,z,view,7\n"
)
KINDS = {"view": 1, "buy": 4, "back": -2}


def table(folder: Path, rows: str = ROWS, **options: Any) -> Dataset:
    (folder / "events.csv").write_text(rows)
    own = {
        "path": "events.csv",
        "user": "user",
        "item": "item",
        "time": "at",
        "event": "what",
        "events": KINDS,
        **options,
    }
    config = {"source": "table", "interactions": {k: v for k, v in own.items() if v is not None}}
    found: Dataset = load(TypeAdapter(DataConfig).validate_python(config), folder)
    return found


def edges(dataset: Dataset, name: str) -> list[tuple[str, str, float, int]]:
    (relation,) = (r for r in dataset.relations if r.name == name)
    assert relation.type == (USER, name, ITEM)
    assert relation.weight is not None
    assert relation.time is not None
    users, items = (dataset.ids[t][end.numpy()] for t, end in zip((USER, ITEM), relation.edge_index, strict=True))
    return list(zip(users, items, relation.weight.tolist(), relation.time.tolist(), strict=True))


def test_each_kind_but_the_predicted_one_is_a_relation_with_times(tmp_path: Path) -> None:
    data = table(tmp_path)
    own = data.interactions
    assert list(zip(data.ids[USER][own.user.numpy()], data.ids[ITEM][own.item.numpy()], strict=True)) == [
        ("a", "x"),
        ("b", "y"),
    ]
    assert own.time is not None
    assert own.time.tolist() == [4, 2]
    assert edges(data, "view") == [("a", "x", 0.25, 1), ("b", "z", 0.25, 7)]  # weights as shares of that of buy
    assert edges(data, "back") == [("a", "y", -0.5, 9)]


def test_the_predicted_kind_can_be_named(tmp_path: Path) -> None:
    data = table(tmp_path, target="view")
    assert len(data.interactions) == 2
    assert edges(data, "buy") == [("a", "x", 4.0, 4), ("b", "y", 4.0, 2)]


def test_a_kind_without_rows_is_no_relation_and_warned_of(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="events.csv: no row is of the kind 'back'"):
        data = table(tmp_path, ROWS.replace("back", "view"))
    assert [relation.name for relation in data.relations] == ["view"]
    with pytest.raises(DataError, match="no row is of the kind that is predicted, 'buy'; there are view, back"):
        table(tmp_path, ROWS.replace("buy", "view"))


def test_kinds_that_are_numbers_or_truth_values_are_text(tmp_path: Path) -> None:
    rows = ROWS.replace("view", "2").replace("buy", "true").replace("back", "3")
    data = table(tmp_path, rows, events={2: 1, True: 4, 3: -2})
    assert [relation.name for relation in data.relations] == ["2", "3"]
    assert table(tmp_path, rows, events={2: 1, True: 4, 3: -2}, target=2).interactions.item.tolist() == [0, 2]


def test_a_kind_has_no_name_of_something_else(tmp_path: Path) -> None:
    for name in ("user", "item", "interacts"):
        with pytest.raises(DataError, match=f"events '{name}' have the name of something else of users"):
            table(tmp_path, ROWS.replace("view", name), events={name: 1, "buy": 4, "back": -2})
    with pytest.raises(DataError, match="events 'club' have the name of something else of users"):
        rated().positives(4, {"club": (1, 1.0)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"event": None}, "event .the column. and events .kind: weight. go together"),
        ({"events": None}, "go together"),
        ({"time": None}, "events need a column of times"),
        ({"target": "look"}, "'look' is not among events: view, buy, back"),
        ({"target": "back"}, "needs a weight above 0"),
        ({"events": {"view": 0.0}}, "needs a weight above 0"),
        ({"events": {}}, "needs a weight above 0"),
        ({"events": {"": 1, "buy": 4}}, "'' is empty or has blanks around it"),
        ({"events": {" view": 1, "buy": 4}}, "' view' is empty or has blanks around it"),
        ({"events": {"view": 4, "buy": 4}}, "target: view and buy weigh the same"),
        ({"events": None, "event": None, "target": "buy"}, "target needs event and events"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        table(tmp_path, **options)


def test_a_kind_that_is_not_listed_is_a_bad_row(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"line 2, column 'what': 'look' is no kind of data.interactions.events: view, "
    ):
        table(tmp_path, ROWS.replace("a,x,view,1", "a,x,look,1"))


def rated() -> Dataset:
    data = synthetic(4, num_users=60)
    own = data.interactions
    value = (torch.arange(len(own)) % 5 + 1).float()
    return replace(data, interactions=replace(own, value=value, time=torch.arange(len(own))))


def test_small_values_are_events_of_the_kind_whose_least_value_they_reach() -> None:
    whole = rated()
    data = whole.positives(4, {"bad": (1, -1.0), "seen": (3, 0.2)})
    own = whole.interactions
    assert own.value is not None
    assert own.time is not None
    assert torch.equal(data.interactions.user, own.user[own.value >= 4])
    for name, low, high, weight in (("seen", 3, 4, 0.2), ("bad", 1, 3, -1.0)):
        (relation,) = (r for r in data.relations if r.name == name)
        some = (own.value >= low) & (own.value < high)
        assert torch.equal(relation.edge_index, torch.stack([own.user[some], own.item[some]]))
        assert relation.time is not None
        assert torch.equal(relation.time, own.time[some])
        assert relation.weight is not None
        assert relation.weight.unique().tolist() == pytest.approx([weight])
    only = whole.positives(4, {"seen": (3, 0.2)})  # what reaches no kind is left out
    assert sum(r.edge_index.shape[1] for r in only.relations if r.time is not None) == int((own.value == 3).sum())


def test_small_values_are_no_events_without_times() -> None:
    data = rated()
    timeless = replace(data, interactions=replace(data.interactions, time=None))
    with pytest.raises(DataError, match=r"data.positive.below makes events, which need times"):
        timeless.positives(4, {"seen": (3, 0.2)})


@pytest.mark.parametrize(
    ("below", "message"),
    [
        ({"seen": {"min_value": 4, "weight": 1}}, "each min_value must be smaller than that of positive, 4"),
        ({"a": {"min_value": 1, "weight": 1}, "b": {"min_value": 1, "weight": 2}}, "a min_value of its own"),
    ],
)
def test_least_values_must_tell_kinds_apart(below: dict[str, Any], message: str) -> None:
    config = {"source": "ml-100k", "positive": {"min_value": 4, "below": below}}
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(DataConfig).validate_python(config)


def with_events(**changes: Any) -> Dataset:
    data = rated()
    (views,) = event_relation("view", data.interactions.take(torch.arange(9)), 0.5)
    return replace(data, relations=(*data.relations, replace(views, **changes)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": torch.arange(8)}, "8 numbers for 9 rows"),
        ({"target": USER}, "has times, but only users' events have them"),
        ({"weight": torch.full((9,), torch.nan)}, "no finite number"),
    ],
)
def test_events_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        with_events(**changes)


def test_times_of_events_need_times_of_interactions() -> None:
    data = with_events()
    with pytest.raises(DataError, match="events 'view' have times, but the interactions have none"):
        replace(data, interactions=replace(data.interactions, time=None))


def test_times_count_in_the_checksum_and_are_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNNREC_CACHE", str(tmp_path))
    monkeypatch.setattr("gnnrec.data.cache.MIN_BYTES", 0)
    data = with_events()
    assert with_events(time=torch.arange(9) + 1).checksum != data.checksum
    (tmp_path / "file").write_text("x")
    for _ in range(2):
        read = cached("a test", [tmp_path / "file"], lambda: data)
        assert read.checksum == data.checksum
    assert next(r for r in read.relations if r.name == "view").time is not None


def test_a_relation_without_times_has_the_checksum_that_it_had() -> None:
    data = rated()
    bare = tuple(Relation(r.source, r.name, r.target, r.edge_index, r.weight) for r in data.relations)
    assert replace(data, relations=bare).checksum == data.checksum
