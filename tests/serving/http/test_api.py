"""The service as a client sees it, on both databases."""

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from small_shop import SCRIPT, saved
from starlette.testclient import TestClient
from waiting import wait_for

import gnnrec
from gnnrec.serving.http.app import create_app
from gnnrec.serving.http.bodies import EventBody
from gnnrec.serving.http.metrics import Metrics
from gnnrec.serving.http.service import Asked, Read, Service
from gnnrec.serving.http.settings import Settings
from gnnrec.serving.http.tokens import Token, Tokens
from gnnrec.serving.lists import recommend_to, serve
from gnnrec.serving.live import Wish
from gnnrec.serving.store import Store, StoreError

Client = TestClient
MANY = 20 * int(os.environ.get("GNNREC_FUZZ", "1"))
"""Requests of each address that are tried."""
ANN = {"job": "artist", "age": 30, "hobbies": ["chess"]}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models"))


@pytest.fixture
def start(models: Path, store_url: str) -> Iterator[Callable[..., Client]]:
    """Starts a service; a second call starts it again on the same database."""
    open_ones: list[Client] = []

    def started(model: str = "sage", tokens: Tokens | None = None, **more: Any) -> Client:
        while open_ones:
            open_ones.pop().__exit__(None, None, None)
        app = create_app(Settings(models / model, more.pop("store", store_url), models, **more), tokens)
        client = TestClient(app, raise_server_exceptions=False)
        client.__enter__()
        open_ones.append(client)
        return client

    yield started
    while open_ones:
        open_ones.pop().__exit__(None, None, None)


@pytest.fixture
def client(start: Callable[..., Client]) -> Client:
    return start()


def items(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["item"] for row in answer.json()["items"]]


def lists_of(client: Client, user: str, **query: Any) -> list[str]:
    return items(client.get(f"/v1/users/{user}/recommendations", params=query))


def test_a_newcomer_is_served_from_the_profile_and_then_from_what_it_does(client: Client, models: Path) -> None:
    nobody = client.get("/v1/users/ann/recommendations").json()
    assert nobody["source"] == "popular"
    first = client.put("/v1/users/ann", json={"attributes": ANN})
    assert (first.status_code, first.json()["events"]) == (201, 0)
    assert client.put("/v1/users/ann", json={"attributes": ANN}).status_code == 200
    answer = client.get("/v1/users/ann/recommendations").json()
    rec = gnnrec.load(models / "sage")
    assert rec.artifact is not None
    rows, _ = recommend_to(serve(rec.artifact), ANN, (), 10)
    assert [(row["item"], row["title"]) for row in rows] == [(row["item"], row["title"]) for row in answer["items"]]
    assert [row["score"] for row in rows] == [row["score"] for row in answer["items"]]
    chosen = answer["items"][0]["item"]
    told = client.post("/v1/events", json=[{"user": "ann", "item": chosen, "request_id": answer["request_id"]}])
    assert told.json() == {"received": 1, "new": 1, "unknown_items": 0, "unknown_users": 0}
    after = lists_of(client, "ann")
    assert chosen not in after
    history = pd.DataFrame({"user_id": ["ann"], "item_id": [chosen]})
    people = pd.DataFrame({"user_id": ["ann"], "job": ["artist"], "age": [30], "hobbies": ["chess"]})
    assert after == rec.recommend(people, k=10, history=history)["item_id"].tolist()
    assert chosen in lists_of(client, "ann", exclude_seen=False, n=24)
    found = client.get("/v1/users/ann").json()
    assert (found["events"], found["items"]) == (1, [chosen])
    clicks = [line for line in client.get("/metrics").text.splitlines() if line.startswith("gnnrec_clicks_total{")]
    assert len(clicks) == 1
    assert clicks[0].endswith(" 1.0")


def test_a_restart_changes_no_list(start: Callable[..., Client]) -> None:
    client = start()
    client.put("/v1/users/ann", json={"attributes": ANN})
    client.put("/v1/items/brand%2Fnew", json={"title": "New", "attributes": {"category": "c1"}})
    events = [{"id": f"e{i}", "user": "ann", "item": f"sku/{i}"} for i in (3, 0, 9)]
    assert client.post("/v1/events", json=events).json()["new"] == 3
    before = client.get("/v1/users/ann/recommendations", params={"n": 24}).json()
    client = start()
    assert client.post("/v1/events", json=events).json()["new"] == 0
    after = client.get("/v1/users/ann/recommendations", params={"n": 24}).json()
    assert after["items"] == before["items"]
    assert "brand/new" in [row["item"] for row in after["items"]]


def test_events_are_put_in_the_order_of_their_times(client: Client) -> None:
    events = [{"user": "ann", "item": f"sku/{item}", "time": when} for item, when in ((0, 50), (3, 20), (6, 90))]
    client.post("/v1/events", json=events)
    client.post("/v1/events", json=[{**one, "user": "bob"} for one in sorted(events, key=lambda one: one["time"])])
    assert lists_of(client, "ann") == lists_of(client, "bob")
    assert client.post("/v1/events", json=events).json()["new"] == 0  # without ids: same user, item and time


def test_pages_filters_and_reasons(client: Client) -> None:
    client.put("/v1/users/ann", json={"attributes": ANN})
    every = lists_of(client, "ann", n=24)
    assert len(every) == 24
    assert lists_of(client, "ann", n=5, offset=5) == every[5:10]
    assert lists_of(client, "ann", n=24, exclude=every[:3]) == every[3:]
    of_one = lists_of(client, "ann", n=24, only="category:c1")
    assert of_one == [item for item in every if int(item.split("/")[1]) % 3 == 1]
    assert set(lists_of(client, "ann", n=24, diversity=0.7)) == set(every)
    diverse = [int(item.split("/")[1]) % 3 for item in lists_of(client, "ann", n=6, diversity=0.9)]
    assert len(set(diverse[:3])) == 3
    why = client.get("/v1/users/ann/recommendations", params={"n": 1, "explain": True}).json()["items"][0]["why"]
    assert "artist" in [one["value"] for one in why]
    wrong = client.get("/v1/users/ann/recommendations", params={"only": "category:c9"})
    assert (wrong.status_code, wrong.json()["error"]) == (
        422,
        "only: category: 'c9' is a value that training has not seen",
    )


def test_without_a_store_a_list_comes_from_the_body(client: Client) -> None:
    body = {"attributes": ANN, "items": ["sku/3"], "n": 4, "explain": True}
    answer = client.post("/v1/recommendations", json=body)
    assert len(items(answer)) == 4
    assert "sku/3" not in items(answer)
    batch = client.post(
        "/v1/recommendations/batch", json={"users": [{"attributes": ANN, "items": ["sku/3"]}, {}], "n": 4}
    )
    lists = batch.json()["lists"]
    assert [row["item"] for row in lists[0]["items"]] == items(answer)
    assert [one["source"] for one in lists] == ["model", "popular"]
    popular = client.post("/v1/recommendations", params={"model": "popular"}, json=body).json()
    assert popular["source"] == "popular"
    assert client.get("/v1/users/nobody").status_code == 404
    strange = client.post("/v1/recommendations", json={"attributes": {"job": "astronaut", "x": 1}}).json()
    assert strange["source"] == "popular"
    assert [note.split(":")[0].split(" is ")[0] for note in strange["warnings"]] == ["job", "unknown attribute 'x'"]


def test_the_popular_list_of_one_changes_nothing_for_others(client: Client) -> None:
    every = items(client.post("/v1/recommendations", json={"n": 24}))
    body = {"items": every[:2], "only": ["category:c1"], "exclude": every[2:4], "n": 24}
    filtered = items(client.post("/v1/recommendations", params={"model": "popular"}, json=body))
    wanted = [item for item in every[4:] if int(item.split("/")[1]) % 3 == 1]
    assert filtered == wanted
    items(client.get("/v1/items/sku%2F3/similar"))
    assert items(client.post("/v1/recommendations", params={"model": "popular"}, json={"n": 24})) == every
    assert items(client.post("/v1/recommendations", json={"n": 24})) == every
    told = client.get("/metrics").text
    assert 'gnnrec_lists_total{model="popular",source="popular"} 2.0' in told


def test_a_new_item_is_listed_beside_those_like_it(client: Client) -> None:
    client.put("/v1/users/ann", json={"attributes": ANN})
    before = lists_of(client, "ann", n=24)
    answer = client.put("/v1/items/new", json={"title": "Newest", "attributes": {"category": "c0"}})
    assert answer.json() == {"id": "new", "title": "Newest", "known": False, "warnings": []}
    found = client.get("/v1/users/ann/recommendations", params={"n": 24, "explain": True}).json()["items"]
    new = next(row for row in found if row["item"] == "new")
    assert new["title"] == "Newest"
    assert {one["relation"] for one in new["why"]} == {"similar"}
    assert [row["item"] for row in found if row["item"] != "new"] == before[: len(found) - 1]
    assert lists_of(client, "ann", only="category:c0", n=24).count("new") == 1
    assert "new" not in lists_of(client, "ann", only="category:c1", n=24)
    client.post("/v1/events", json=[{"user": "ann", "item": "new"}])
    assert "new" not in lists_of(client, "ann", n=24)
    assert "new" in lists_of(client, "ann", n=25, exclude_seen=False)
    like = items(client.get("/v1/items/new/similar"))
    assert {int(item.split("/")[1]) % 3 for item in like} == {0}
    service = client.app._app.state.service  # type: ignore[attr-defined]
    place = service.serving.main.place("new")
    client.put("/v1/items/a-first-by-name", json={"attributes": {"category": "c0"}})
    assert service.serving.main.place("new") == place  # a request in flight may hold it
    assert service.serving.main.id(place + 1) == "a-first-by-name"
    bare = client.put("/v1/items/bare", json={"attributes": {"colour": "red"}})
    assert len(bare.json()["warnings"]) == 2
    titled = client.put("/v1/items/sku%2F5", json={"title": "Thing five"})
    assert titled.json()["known"]
    titles = [row["title"] for row in client.get("/v1/users/x/recommendations", params={"n": 30}).json()["items"]]
    assert "Thing five" in titles
    assert SCRIPT in titles


def test_a_forgotten_user_is_a_stranger_again(client: Client) -> None:
    nobody = lists_of(client, "ann")
    client.put("/v1/users/ann", json={"attributes": ANN})
    client.post("/v1/events", json=[{"id": "e", "user": "ann", "item": "sku/0"}])
    assert lists_of(client, "ann") != nobody
    assert client.delete("/v1/users/ann").status_code == 204
    assert client.delete("/v1/users/ann").status_code == 404
    assert client.get("/v1/users/ann").status_code == 404
    assert lists_of(client, "ann") == nobody
    assert client.post("/v1/events", json=[{"id": "e", "user": "ann", "item": "sku/0"}]).json()["new"] == 1


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({"user": "ann"}, "0.item: Field required"),
        ({"user": "", "item": "a"}, "0.user: String should have at least 1 character"),
        ({"user": "ann", "item": "a", "time": "yesterday"}, "event 0, column 'time': 'yesterday' is neither"),
        ({"user": "ann", "item": "a", "value": "much"}, "0.value: "),
        ({"user": "ann", "item": "a", "what": 1}, "0.what: Extra inputs are not permitted"),
        ({"user": "a\x00b", "item": "a"}, "0.user: String should match pattern"),
    ],
)
def test_a_wrong_event_is_one_readable_line_and_nothing_is_stored(
    client: Client, event: dict[str, Any], says: str
) -> None:
    good = {"id": "good", "user": "ann", "item": "sku/1"}
    answer = client.post("/v1/events", json=[event, good])
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(says), answer.json()
    assert client.get("/v1/users/ann").status_code == 404


def test_what_the_model_does_not_know_is_counted_or_refused(start: Callable[..., Client]) -> None:
    events = [{"user": "ann", "item": "nowhere"}, {"user": "ann", "item": "sku/1"}]
    client = start(unknown="refuse")
    assert "item 'nowhere' is unknown" in client.post("/v1/events", json=events).json()["error"]
    assert "user 'ann' is unknown" in client.post("/v1/events", json=events[1:]).json()["error"]
    client = start()
    assert client.post("/v1/events", json=events).json() == {
        "received": 2,
        "new": 2,
        "unknown_items": 1,
        "unknown_users": 1,
    }


def test_models_are_swapped_split_and_shadowed(start: Callable[..., Client]) -> None:
    client = start()
    about = client.get("/v1/models").json()
    assert about["available"] == ["knn", "popularity", "sage"]
    first = about["serving"][0]["version"]
    client.post("/v1/events", json=[{"user": f"u{i}", "item": "sku/0"} for i in range(60)])
    told = client.post("/v1/models", json={"name": "knn", "role": "candidate", "share": 0.3}).json()
    versions = {row["role"]: row["version"] for row in told["serving"]}
    assert len(set(versions.values())) == 2

    def of(user: str) -> str:
        return str(client.get(f"/v1/users/{user}/recommendations").json()["model"])

    of_each = {f"u{i}": of(f"u{i}") for i in range(60)}
    share = sum(one == versions["candidate"] for one in of_each.values()) / 60
    assert 0.15 < share < 0.45
    client = start()  # the models of before are in service again
    assert {user: of(user) for user in of_each} == of_each
    assert client.get("/v1/users/u1/recommendations", params={"model": "main"}).json()["model"] == first
    client.post("/v1/models", json={"name": "popularity", "role": "shadow"})
    of("u1")
    assert 'gnnrec_shadow_overlap_count{model="' in client.get("/metrics").text
    assert client.delete("/v1/models/candidate").status_code == 204
    assert client.delete("/v1/models/candidate").status_code == 404
    assert {of(user) for user in of_each} == {first}
    client.post("/v1/models", json={"name": "knn", "role": "main"})
    assert {of(user) for user in of_each} == {versions["candidate"]}
    assert client.get("/v1/users/stranger/recommendations").json()["source"] == "popular"
    for name in ("../sage", "/etc", "nowhere", "(last)"):
        wrong = client.post("/v1/models", json={"name": name})
        assert (wrong.status_code, wrong.json()["error"].split(";")[0]) == (
            404,
            f"name: {name!r} is no model of the service",
        )


def test_two_services_share_a_database_of_postgresql(models: Path, postgres_url: str) -> None:
    settings = Settings(models / "sage", postgres_url, models)
    with TestClient(create_app(settings)) as one, TestClient(create_app(settings)) as other:
        one.put("/v1/users/ann", json={"attributes": ANN})
        before = lists_of(other, "ann")
        one.post("/v1/events", json=[{"user": "ann", "item": before[0]}])
        wait_for(lambda: before[0] not in lists_of(other, "ann"), threading.main_thread())
        other.put("/v1/items/new", json={"attributes": {"category": "c0"}})
        other.post("/v1/models", json={"name": "knn", "role": "candidate", "share": 0.5})
        wanted = other.get("/v1/models").json()["serving"]
        wait_for(lambda: one.get("/v1/models").json()["serving"] == wanted, threading.main_thread())
        assert "new" in lists_of(one, "ann", n=25, model="main")
        one.delete("/v1/users/ann")
        assert other.get("/v1/users/ann").status_code == 404


def test_what_changes_while_a_user_is_read_is_not_overlooked(models: Path, store_url: str) -> None:
    service = Service(Settings(models / "sage", store_url, models), Metrics())

    def shown(read: Read | None = None) -> list[str]:
        answer = service.recommend("ann", Asked(Wish()), read=read)
        return [answer.live.id(place) for place in answer.ranked.item.tolist()]

    service.put_user("ann", ANN)
    read = service.read("ann")
    first = shown(read)[0]
    late = service.read("ann")
    service.add_events([EventBody(user="ann", item=first)])
    assert shown(late)[0] == first  # as it was read, and remembered for nobody else
    assert first not in shown()
    assert first not in shown(service.read("ann"))
    service.delete_user("ann")
    assert service.recommend("ann", Asked(Wish())).ranked.source == "popular"
    service.close()


def test_what_is_read_only_takes_nothing_and_still_gives_lists(models: Path, store_url: str) -> None:
    app = create_app(Settings(models / "sage", store_url, models))
    name = store_url.rsplit("/", 1)[1]

    def read_only(on: bool) -> None:
        service = app._app.state.service  # type: ignore[attr-defined]
        if service.store.alone:
            connections = [service.store._engine.connect() for _ in range(4)]
            for one in connections:
                one.exec_driver_sql(f"PRAGMA query_only={'ON' if on else 'OFF'}")
                one.close()
            return
        with psycopg.connect(f"{store_url.rsplit('/', 1)[0]}/postgres", autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {'on' if on else 'off'}")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))

    with TestClient(app) as client:
        client.put("/v1/users/ann", json={"attributes": ANN})
        before = lists_of(client, "ann")
        read_only(True)
        assert client.put("/v1/users/bob", json={"attributes": {}}).status_code == 503
        assert client.post("/v1/events", json=[{"user": "ann", "item": before[0]}]).status_code == 503
        assert client.get("/health/ready").status_code == 503
        assert lists_of(client, "ann") == before
        read_only(False)
        assert client.get("/health/ready").status_code == 200
        assert client.get("/v1/users/bob").status_code == 404
        assert client.post("/v1/events", json=[{"user": "ann", "item": before[0]}]).status_code == 200


def test_a_model_that_cannot_score_strangers_still_gives_them_a_list(start: Callable[..., Client]) -> None:
    client = start("knn")
    assert client.get("/v1/users/ann/recommendations").json()["source"] == "popular"
    client.post("/v1/events", json=[{"user": "ann", "item": "sku/0"}])
    assert client.get("/v1/users/ann/recommendations").json()["source"] == "model"


def test_roles_and_rates(start: Callable[..., Client]) -> None:
    now = [0.0]
    tokens = tuple(
        Token(name=role, token=role[0] * 20, role=role, rate=5 if role == "read" else 1000)  # type: ignore[arg-type]
        for role in ("read", "write", "admin")
    )
    client = start(tokens=Tokens(tokens, clock=lambda: now[0]))

    def status(method: str, path: str, role: str | None, **more: Any) -> int:
        headers = {} if role is None else {"Authorization": f"Bearer {role[0] * 20}"}
        return client.request(method, path, headers=headers, **more).status_code

    assert status("GET", "/v1/users/a/recommendations", None) == 401
    assert status("GET", "/v1/users/a/recommendations", "x") == 401
    assert status("GET", "/metrics", None) == 401
    assert status("GET", "/health/live", None) == status("GET", "/", None) == 200
    assert status("GET", "/v1/users/a/recommendations", "read") == 200
    assert status("PUT", "/v1/users/a", "read", json={}) == 403
    assert status("PUT", "/v1/users/a", "write", json={}) == 201
    assert status("POST", "/v1/models", "write", json={"name": "knn"}) == 403
    assert status("POST", "/v1/models", "admin", json={"name": "knn"}) == 200
    assert [status("GET", "/v1/models", "read") for _ in range(4)] == [200, 200, 200, 429]
    assert [status("GET", "/v1/models", "admin") for _ in range(2)] == [200, 200]
    now[0] = 0.5  # half a second gives back half of the rate
    assert [status("GET", "/v1/models", "read") for _ in range(3)] == [200, 200, 429]


def test_limits(start: Callable[..., Client]) -> None:
    client = start(body=2000, batch=5)
    large = client.put("/v1/users/a", json={"attributes": {"job": "x" * 3000}})
    assert large.status_code == 413
    streamed = client.put("/v1/users/a", content=(b"x" * 500 for _ in range(9)))
    assert streamed.status_code == 413
    deep = client.put("/v1/users/a", content=b'{"attributes": {"a": ' + b"[" * 500 + b"]" * 500 + b"}}")
    assert (deep.status_code, deep.json()["error"]) == (422, "brackets are nested deeper than 8")
    assert client.post("/v1/events", json=[{"user": "a", "item": "b"}] * 6).status_code == 422
    assert client.get("/v1/users/a/recommendations", params={"n": 101}).status_code == 422
    assert client.get("/v1/users/a/recommendations", params={"n": "many"}).json()["error"].startswith("n: ")
    assert client.get("/v1/users/" + "a" * 300 + "/recommendations").status_code == 422
    assert client.get("/v1/users/a%00b/recommendations").status_code == 422
    assert client.get("/v1/users/a/recommendations", params={"exclude": ["x" * 250] * 80}).status_code == 414
    assert client.get("/v1/nothing").json() == {"error": "Not Found", "details": []}
    assert client.get("/health/live", headers={"host": "evil.example"}).status_code == 421
    assert client.put("/v1/users/a", content=b"{").status_code == 422
    assert client.get("/v1/users/a%2F..%2Fb/recommendations").status_code == 200


def test_a_busy_service_says_so_before_it_takes_more(
    start: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(waiting=2, threads=1, seconds=30.0)
    entered, go = threading.Event(), threading.Event()
    real = Store.check

    def slow(store: Store) -> None:
        entered.set()
        assert go.wait(30)
        real(store)

    monkeypatch.setattr(Store, "check", slow)
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(client.get("/health/ready").status_code)) for _ in range(2)
    ]
    threads[0].start()
    assert entered.wait(30)
    threads[1].start()
    metrics = client.app._metrics  # type: ignore[attr-defined]
    wait_for(lambda: "gnnrec_waiting 2.0" in metrics.text().decode(), threads[1])
    refused = client.get("/v1/users/a/recommendations", params={"explain": True})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    go.set()
    for one in threads:
        one.join()
    assert answers == [200, 200]
    assert client.get("/v1/users/a/recommendations").status_code == 200


def test_without_its_database_the_service_says_so_and_recovers(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.put("/v1/users/ann", json={"attributes": ANN})
    before = lists_of(client, "ann")

    def gone(*_: Any) -> None:
        raise StoreError("gone")

    with monkeypatch.context() as away:
        for name in ("_reading", "_writing"):
            away.setattr(Store, name, gone)
        for method, path, body in (
            ("PUT", "/v1/users/bob", {"attributes": {}}),
            ("POST", "/v1/events", [{"user": "bob", "item": "sku/1"}]),
            ("GET", "/v1/users/bob", None),
            ("GET", "/health/ready", None),
        ):
            answer = client.request(method, path, json=body)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2"), path
        assert client.get("/health/live").status_code == 200
        assert client.post("/v1/recommendations", json={"attributes": ANN}).status_code == 200
    assert client.get("/v1/users/bob").status_code == 404
    assert client.get("/health/ready").status_code == 200
    assert lists_of(client, "ann") == before


def test_a_database_that_hangs_keeps_no_list_waiting(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go = threading.Event(), threading.Event()

    def hangs(store: Store, shown: Any) -> None:
        entered.set()
        assert go.wait(30)
        raise StoreError("gone after all")

    app = create_app(Settings(models / "sage", f"sqlite:///{tmp_path / 's.sqlite'}", models))
    service = app._app.state.service  # type: ignore[attr-defined]
    with TestClient(app) as client:
        with monkeypatch.context() as away:
            away.setattr(Store, "add_lists", hangs)
            first = client.get("/v1/users/ann/recommendations").json()["request_id"]
            assert entered.wait(30)
            assert client.get("/v1/users/bob/recommendations").status_code == 200
            assert client.get("/health/live").status_code == 200
            go.set()
            wait_for(lambda: first in service._shown, threading.main_thread())  # for the next time
        wait_for(lambda: first in service.store.lists([first]), threading.main_thread())


def test_no_value_of_a_profile_and_no_token_is_in_the_log(
    start: Callable[..., Client], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gnnrec.serving.http.guard import JsonLines

    secret = {"job": "glassblower-secret", "age": 31.25}
    token = Token(name="shop", token="t0ken-secret-of-the-shop", role="admin")
    with caplog.at_level(logging.INFO, "gnnrec.serve"):
        client = start(tokens=Tokens((token,)))
        client.headers["Authorization"] = f"Bearer {token.token}"
        client.put("/v1/users/ann", json={"attributes": secret})
        client.put("/v1/users/ann", json={"attributes": {**secret, "x": [["glassblower-secret"]]}})

        def breaks(*_: Any) -> None:
            raise RuntimeError(f"about {secret}")

        monkeypatch.setattr("gnnrec.serving.http.service.Service.put_user", breaks)
        assert client.put("/v1/users/ann", json={"attributes": secret}).status_code == 500
    lines = [JsonLines().format(record) for record in caplog.records if record.name == "gnnrec.serve"]
    assert len([line for line in lines if json.loads(line)["message"] == "request"]) == 3
    assert any(json.loads(line).get("error") == "RuntimeError" for line in lines)
    for line in lines:
        assert "secret" not in line
        assert "31.25" not in line


def test_no_request_of_the_schema_breaks_the_service_or_gets_an_answer_against_it(models: Path, tmp_path: Path) -> None:
    token = Token(name="all", token="a" * 20, role="admin", rate=1e6)
    app = create_app(Settings(models / "sage", f"sqlite:///{tmp_path / 's.sqlite'}", models), Tokens((token,)))
    headers = {"Authorization": f"Bearer {token.token}"}
    seen: set[tuple[str, int]] = set()
    with TestClient(app):
        schema = schemathesis.openapi.from_asgi("/openapi.json", app)
        for found in schema.get_all_operations():
            operation = found.ok()

            @settings(max_examples=MANY, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            @given(case=operation.as_strategy())
            def check(case: Any) -> None:
                answer = case.call(headers=headers)
                seen.add((case.operation.label, answer.status_code))
                # a date, a filter or an id that is none is refused with 422, which no schema can say
                case.validate_response(answer, headers=headers, excluded_checks=[positive_data_acceptance])

            check()
    assert len({label for label, _ in seen}) == 16
    for label in ("PUT /v1/users/{user}", "GET /v1/users/{user}/recommendations", "POST /v1/recommendations"):
        assert {status for name, status in seen if name == label} & {200, 201}, label
