"""Files of what a service was told: training's columns, and what `gnnrec update` makes of them."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gnnrec.errors import InputError
from gnnrec.serving.store import Event, Store
from gnnrec.serving.store.export import export_events, export_users


def told(url: str) -> Store:
    store = Store(url)
    store.put_user("u1", {"job": "artist", "tags": ["a", "b"], "old": True, "age": None})
    store.put_user("u2", {"job": "baker", "far": {"x": 1.5}})
    store.add_events([Event("b", "u1", "i1", "view", None, 10), Event("a", "u2", "007", "", 4.5, None, 0.0, "r")])
    return store


def test_files_as_they_are_told(store_url: str, tmp_path: Path) -> None:
    store = told(store_url)
    assert export_events(store, tmp_path / "e.csv") == (2, 2)
    assert (tmp_path / "e.csv").read_text() == (
        "event_id,user,item,kind,value,time,request_id\nb,u1,i1,view,,10,\na,u2,007,,4.5,,r\n"
    )
    assert export_events(store, tmp_path / "later.tsv", after=1) == (1, 2)
    assert export_events(store, tmp_path / "none.csv", after=2) == (0, 2)
    assert export_users(store, tmp_path / "u.csv") == 2
    assert (tmp_path / "u.csv").read_text() == "user,job,tags,old,age,far\nu1,artist,a|b,true,,\nu2,baker,,,,x\n"
    export_events(store, tmp_path / "e.parquet")
    assert pd.read_parquet(tmp_path / "e.parquet")["item"].tolist() == ["i1", "007"]
    with pytest.raises(InputError, match="must end in"):
        export_events(store, tmp_path / "e.json")
    store.close()


def test_a_model_learns_what_was_exported(gnnrec: Any, tmp_path: Path) -> None:
    from synthetic_table import write_shop

    (tmp_path / "shop").mkdir()
    config = write_shop(tmp_path / "shop")
    assert gnnrec("run", str(config), "--out", "runs").code == 0
    run = next(tmp_path.glob("runs/*/0"))
    store = Store(f"sqlite:///{tmp_path / 's.sqlite'}")
    store.put_user("new", {"gender": "F", "age": 33, "interests": ["chess", "wine"], "has": {"cooking": 2.0}})
    store.add_events([Event(f"e{i}", "new", f"sku/{i}", "", 5.0, 5000 + i) for i in (1, 4, 7)])
    arguments = [
        "--store",
        f"sqlite:///{tmp_path / 's.sqlite'}",
        "--out",
        "e.csv",
        "--model",
        str(run),
        "--users",
        "u.csv",
    ]
    answer = gnnrec("export-events", *arguments)  # while the service has the database open
    assert answer.code == 0, answer.err
    assert "the last one has the number 3" in answer.err
    store.close()
    assert pd.read_csv(tmp_path / "e.csv").columns.tolist() == [
        "event_id",
        "user_id",
        "item_id",
        "kind",
        "rating",
        "timestamp",
        "request_id",
    ]
    answer = gnnrec(
        "update", str(run), "--interactions", "e.csv", "--steps", "3", "--users", "u.csv", "--out", "learned"
    )
    assert answer.code == 0, answer.err
    assert "3 interactions of 1 users (1 new)" in answer.err
    answer = gnnrec("export-events", "--store", "sqlite:///nowhere.sqlite", "--out", "e.csv")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
