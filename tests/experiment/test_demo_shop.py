"""The demo shop: numbers by hand at a service that is played, and the evaluation's own numbers at a real one."""

import json
import math
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import numpy as np
import pandas as pd
import pytest
import torch
import typer
import uvicorn
import yaml
from waiting import wait_for

from gnnrec.cli.demo_shop import demo_shop
from gnnrec.errors import ConfigError, InputError
from gnnrec.evaluation.evaluator import EvaluateConfig, evaluate
from gnnrec.experiment.config import read_config
from gnnrec.experiment.demo_shop import picture, scores
from gnnrec.experiment.demo_shop.client import Client
from gnnrec.experiment.demo_shop.newcomers import Choice, Newcomer, Newcomers, read_newcomers, version_of
from gnnrec.experiment.demo_shop.scores import Interval, Measured, Row, Scores, conclusion, quality
from gnnrec.experiment.demo_shop.shop import Answering, Shop, answering, arrivals, check_words
from gnnrec.experiment.run import load_split
from gnnrec.experiment.run import run as run_config
from gnnrec.serving.artifact import load
from gnnrec.serving.http.app import create_app
from gnnrec.serving.http.settings import Settings
from gnnrec.serving.http.tokens import Token, Tokens
from gnnrec.splits.parts import TEST
from gnnrec.splits.temporal import in_time_order
from gnnrec.views import Edges, TestSet, UserBatch

URL = "http://127.0.0.1:1"
ANN = Newcomer("ann", {"age": 30}, (Choice("a", value=5.0, time=7), Choice("b", time=8)))
BOB = Newcomer("bob", {"age": 40}, (Choice("x", findable=False), Choice("c"), Choice("y", findable=False)))
SECOND = 1 / math.log2(3)
"""What a hit at rank 2 counts."""


def newcomers(*users: Newcomer) -> Newcomers:
    return Newcomers("toy", "v1", users or (ANN, BOB), 2, True, ("a", "b", "c", "d"))


class Played:
    """A service that has one list for everybody, without what a user chose, and keeps what it is told."""

    def __init__(self) -> None:
        self.own, self.popular = ["a", "c", "b", "d"], ["d", "b", "a", "c"]
        self.users: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str]] = []
        self.version, self.known = "v1", set("abcd")
        self.first: list[httpx.Response] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.method, request.url.raw_path.decode()))
        if self.first:
            return self.first.pop(0)
        found = self.answer(request)
        status, body = (404, {"error": "there is none"}) if found is None else (200, found)
        return httpx.Response(status, json=body, headers={"x-request-id": "1"})

    def answer(self, request: httpx.Request) -> Any:
        parts = [unquote(part) for part in request.url.raw_path.decode().split("?")[0].split("/")[2:]]
        if parts == ["models"]:
            return {"serving": [{"role": "main", "version": self.version}]}
        if parts == ["vocabulary"]:
            return {"attributes": [{"name": "age"}]}
        if parts[0] == "items":
            return {} if parts[1] in self.known else None
        if parts == ["events"]:
            self.events += json.loads(request.content)
            return {"unknown_items": sum(one["item"] not in self.known for one in json.loads(request.content))}
        if parts[2:] == ["recommendations"]:
            popular = request.url.params.get("model") == "popular"
            seen = {one["item"] for one in self.events if one["user"] == parts[1]}
            items = [one for one in (self.popular if popular else self.own) if one not in seen]
            rows = [{"item": one} for one in items[: int(request.url.params["n"])]]
            return {
                "request_id": f"r{len(self.asked)}", "model": self.version, "source": "model", "items": rows
            }  # fmt: skip
        if request.method == "PUT":
            self.users[parts[1]] = json.loads(request.content)["attributes"]
        found = self.users.get(parts[1])
        if request.method == "DELETE":
            self.users.pop(parts[1], None)
        return None if found is None else {"attributes": found}


def client_of(played: Callable[[httpx.Request], httpx.Response], **more: Any) -> Client:
    return Client(URL, transport=httpx.MockTransport(played), **more)


def shop_of(played: Played, people: Newcomers, events: int = 10) -> Shop:
    return Shop(client_of(played), people, Answering("main", "v1"), events, "demo-")


# users, lists, numbers


def test_what_is_left_to_find_shrinks_with_every_event() -> None:
    assert [ANN.remaining(k) for k in range(3)] == [{"a", "b"}, {"b"}, set()]
    assert ANN.lists(10) == 2  # with 0 events and with 1; after 2 nothing is left
    assert ANN.lists(0) == 1
    assert [BOB.remaining(k) for k in range(3)] == [{"c"}, {"c"}, set()]
    assert BOB.lists(10) == 2
    assert Newcomer("eve", {}, (Choice("x", findable=False),)).lists(10) == 0


def test_quality_is_that_of_a_slow_loop() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        items = [str(one) for one in random.permutation(30)[: random.integers(1, 15)]]
        wanted = {str(one) for one in random.permutation(30)[: random.integers(1, 20)]}
        gain = sum(1 / math.log2(rank + 1) for rank, item in enumerate(items[:10], 1) if item in wanted)
        best = sum(1 / math.log2(rank + 1) for rank in range(1, min(10, len(wanted)) + 1))
        assert quality(items, wanted) == pytest.approx((gain / best, float(gain > 0)), rel=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_users_come_one_after_the_other_and_mix(seed: int) -> None:
    visits = [3, 1, 5, 4, 2] * 6
    turns = list(arrivals(visits, seed, at_once=4))
    assert sorted(turns) == sorted(user for user, number in enumerate(visits) for _ in range(number))
    assert list(dict.fromkeys(turns)) == list(range(30))
    left, inside = list(visits), set()
    for user in turns:
        inside.add(user)
        assert len(inside) <= 4
        left[user] -= 1
        if not left[user]:
            inside.remove(user)
    assert turns != sorted(turns)
    assert turns == list(arrivals(visits, seed, at_once=4))
    assert turns != list(arrivals(visits, seed + 1, at_once=4))


def test_two_users_by_hand() -> None:
    played = Played()
    shop = shop_of(played, newcomers())
    shop.open(seed=0)
    none, one = shop.scores.rows()
    # No event. Ann wants a and b: the list a c b d has ranks 1 and 3, (1 + 1/2) / (1 + SECOND); popular d b a c has
    # ranks 2 and 3. Bob wants c alone: rank 2, and rank 4 among the popular items, 1 / log2(5).
    assert none.ndcg.mean == pytest.approx((1.5 / (1 + SECOND) + SECOND) / 2)
    assert none.popular_ndcg.mean == pytest.approx(((SECOND + 0.5) / (1 + SECOND) + 1 / math.log2(5)) / 2)
    assert (none.users, none.hit.mean, none.popular_hit.mean, none.gain) == (2, 1.0, 1.0, None)
    # One event. Ann's list is c b d and b is wanted: rank 2, as in d b c. Bob chose x, of which nobody knows.
    assert one.ndcg.mean == pytest.approx((SECOND + SECOND) / 2)
    assert one.popular_ndcg.mean == pytest.approx((SECOND + 1 / math.log2(5)) / 2)
    assert one.better.mean == pytest.approx(one.ndcg.mean - one.popular_ndcg.mean)
    assert one.gain == Interval(0.0)  # the service's list is the first one without what was chosen
    assert one.better.low is None  # two users
    assert shop.unknown_items == 1
    assert shop.notes == ["1 events were of items that the service does not know."]
    assert shop.come == 2
    assert shop.inside == 0


def test_events_that_help_are_a_gain_on_the_same_items() -> None:
    played = Played()
    own = played.answer

    def answer(request: httpx.Request) -> Any:
        found = own(request)
        if played.events and "model=main" in str(request.url):
            found["items"] = [{"item": one} for one in ("b", "c", "d")]
        return found

    played.answer = answer  # type: ignore[method-assign]
    shop = shop_of(played, newcomers(ANN))
    shop.open(seed=0)
    _, one = shop.scores.rows()
    # b stands first where the first list, without a, has it second
    assert one.gain is not None
    assert one.gain.mean == pytest.approx(1 - SECOND)


def test_the_service_is_told_what_a_shop_would_tell_it() -> None:
    played = Played()
    shop = shop_of(played, newcomers(ANN), events=3)
    shop.open(seed=0)
    assert played.asked == [
        ("PUT", "/v1/users/demo-ann"),
        ("GET", "/v1/users/demo-ann/recommendations?n=13&model=main"),  # as many as the first list may lose
        ("GET", "/v1/users/demo-ann/recommendations?n=10&model=popular"),
        ("POST", "/v1/events"),
        ("GET", "/v1/users/demo-ann/recommendations?n=10&model=main"),
        ("GET", "/v1/users/demo-ann/recommendations?n=10&model=popular"),
    ]
    event = {"id": "demo-ann/1", "user": "demo-ann", "item": "a", "value": 5.0, "time": 7, "request_id": "r2"}
    assert played.events == [event]
    assert played.users == {"demo-ann": {"age": 30}}
    shop.close()
    assert played.users == {}


def test_ids_are_parts_of_an_address() -> None:
    played = Played()
    shop = shop_of(played, newcomers(Newcomer("a/b c?", {}, ANN.choices)))
    shop.open(seed=0)
    assert played.asked[0] == ("PUT", "/v1/users/demo-a%2Fb%20c%3F")
    shop.close()
    assert not played.users


# users who are there already


def test_users_of_an_earlier_demo_are_replaced_and_others_are_not_touched() -> None:
    played = Played()
    played.users["demo-ann"] = {"age": 30}
    assert shop_of(played, newcomers()).clear() == 1
    assert played.users == {}
    played.users |= {"demo-ann": {"age": 30}, "demo-bob": {"age": 41}}
    with pytest.raises(InputError, match=r"user 'demo-bob' is there already.*another --prefix"):
        shop_of(played, newcomers()).clear()
    assert played.users == {"demo-ann": {"age": 30}, "demo-bob": {"age": 41}}


# intervals and words


def measured(ndcg: float, popular: float, first: float, seconds: float = 0.002) -> Measured:
    return Measured(ndcg, float(ndcg > 0), popular, float(popular > 0), first, seconds)


def test_rows_are_means_over_users_paired_with_themselves() -> None:
    found = Scores()
    for number in range(12):
        found.add(0, measured(0.5, 0.25, 0.5, seconds=0.001 * (number + 1)))
    for number in range(12):
        found.add(1, measured(number / 12, number / 12 - 0.125, 0.0 if number % 2 else number / 6))
    for _ in range(9):
        found.add(2, measured(1.0, 0.0, 0.0))
    assert len(found) == 33
    none, one, two = found.rows()
    assert none.ndcg == Interval(0.5, 0.5, 0.5)
    assert none.milliseconds == pytest.approx(6.5)  # between the sixth and the seventh
    assert one.ndcg.mean == pytest.approx(66 / 144)
    assert one.ndcg.low is not None
    assert one.ndcg.high is not None
    assert 0.2 < one.ndcg.low < 66 / 144 < one.ndcg.high < 0.7  # standard error 0.1
    # users differ much, and each one's difference is the same
    assert one.better.low == pytest.approx(0.125)
    assert one.better.high == pytest.approx(0.125)
    assert one.better.sign == 1
    assert one.gain is not None
    assert one.gain.mean == pytest.approx((36 - 30) / 144)  # odd ones n / 12, even ones -n / 12
    assert one.gain.sign == 0
    assert two.ndcg == Interval(1.0)
    assert two.better.sign == 0


def row(events: int, better: float, gain: float | None, half: float = 0.01, users: int = 50) -> Row:
    def interval(mean: float) -> Interval:
        return Interval(mean, mean - half, mean + half) if users >= scores.FEWEST else Interval(mean)

    own, gained = interval(0.4), None if gain is None else interval(gain)
    return Row(events, users, own, own, own, own, interval(better), gained, 3.0)


def test_the_conclusion_is_a_sentence() -> None:
    rows = [row(0, 0.005, None), row(1, 0.02, 0.015), row(2, 0.03, 0.0), row(5, 0.04, 0.03), row(6, 0.04, 0.03)]
    assert conclusion(rows) == (
        "One event brings +0.015 NDCG@10 (95 % interval +0.005 to +0.025, 50 users), compared with the list from the "
        "profile alone; 5 events bring +0.030 NDCG@10 (95 % interval +0.020 to +0.040, 50 users); the list is better "
        "than popular items from 1 event on."
    )
    assert conclusion([]) == "Nothing was measured."
    assert "5 events bring no difference that stands out from chance (+0.001" in conclusion(
        [*rows[:3], row(5, 0, 1e-3)]
    )
    assert "; 2 events bring" in conclusion(rows[:3])  # the most that there are
    assert conclusion(rows[:1]) == "The list is at no number of events clearly better than popular items."
    assert conclusion([row(0, -0.02, None)]).endswith("than popular items, and worse with 0 events.")
    assert conclusion([row(0, 0.02, None), row(1, 0.02, 0.02)]).endswith("with no event known, and after each one.")
    mixed = [row(0, 0.02, None), row(1, 0.0, 0.0), row(2, 0.02, 0.02), row(3, 0.0, 0.0)]
    assert conclusion(mixed).endswith("better than popular items with 0, 2 events, and else not clearly.")
    few = [row(0, 0.02, None, users=3), row(1, 0.02, 0.3, users=3)]
    assert conclusion(few) == (
        "What one event brings cannot be said with 3 users, compared with the list from the profile alone; "
        "whether the list is better than popular items cannot be said with 3 users."
    )


@pytest.mark.parametrize(("width", "there"), [(160, 9), (100, 7), (80, 7), (66, 5)])
def test_the_table_fits_the_terminal(width: int, there: int) -> None:
    from rich.console import Console

    console = Console(width=width, force_terminal=False)
    made = picture.table([row(0, 0.02, None), row(10, -0.02, 0.02)], width, "shop", "legend")
    assert len(made.columns) == there
    with console.capture() as captured:
        console.print(made)
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= width
    assert sum("-0.020 [-0.030, -0.010]" in line for line in lines) == 1


# the service's answers


def busy(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": "come again"}, headers={"x-request-id": "1", **headers})


def test_a_busy_service_is_asked_again_when_it_says() -> None:
    played, slept = Played(), list[float]()
    played.first = [busy(429, **{"retry-after": "3"}), busy(503)]
    client = client_of(played, sleep=slept.append)
    assert client.models() == [{"role": "main", "version": "v1"}]
    assert slept == [3.0, 1.0]
    assert client.put_off == 2
    played.first = [busy(503, **{"retry-after": "25"}) for _ in range(9)]
    with pytest.raises(InputError, match="too busy: come again"):
        client.models()
    assert slept[2:] == [25.0, 25.0]


def test_a_rate_is_kept() -> None:
    slept = list[float]()
    client = client_of(Played(), rate=0.5, sleep=slept.append)
    for _ in range(3):
        client.models()
    assert slept == [pytest.approx(2, abs=0.5), pytest.approx(4, abs=0.5)]  # no time passes while it sleeps
    client.hurry()
    client.models()
    assert len(slept) == 2


def test_a_connection_that_breaks_is_tried_again() -> None:
    played, broken = Played(), [False, True, True, False, True, True, True]

    def answer(request: httpx.Request) -> httpx.Response:
        if broken and broken.pop(0):
            raise httpx.ReadError("reset")
        return played(request)

    client = client_of(answer, sleep=lambda seconds: None)
    for _ in range(2):
        client.models()
    with pytest.raises(InputError, match=r"does not answer any more \(reset\)"):
        client.models()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (busy(401), "refuses the token: come again; give one with --token"),
        (busy(403), "refuses the token"),
        (httpx.Response(200, text="<html>"), "is no `gnnrec serve` (status 200)"),
        (httpx.Response(404, text="nginx"), "is no `gnnrec serve` (status 404)"),
        (httpx.Response(200, text="{", headers={"x-request-id": "1"}), "is no `gnnrec serve`"),
        (busy(422), "the service refuses /v1/models: come again"),
    ],
)
def test_one_line_says_what_is_wrong_with_an_answer(answer: httpx.Response, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        client_of(lambda request: answer).models()


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://here", "http://", "http://[", ""])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(InputError, match=r"--url: .* is no address"):
        Client(url)


def test_no_service() -> None:
    with pytest.raises(InputError, match=r"127.0.0.1:1: no service can be reached.*gnnrec serve RUN"):
        Client(URL).models()


def test_the_run_s_model_has_to_be_in_service() -> None:
    played = Played()
    client = client_of(played)
    assert answering(client, "v1") == Answering("main", "v1")
    with pytest.raises(InputError, match=r"v2 is not in service, but v1 \(main\).*--any-model"):
        answering(client, "v2")
    found = answering(client, "v2", any_model=True)
    assert (found.role, found.version) == (None, None)
    assert "the numbers say nothing about newcomers" in found.notes[0]


def test_another_model_in_between_ends_the_demo() -> None:
    played = Played()
    shop = shop_of(played, newcomers())
    played.version = "v3"
    with pytest.raises(InputError, match="changed its model to v3"):
        shop.open(seed=0)
    shop.close()
    assert not played.users


def test_a_service_with_other_data_is_refused() -> None:
    played = Played()
    assert check_words(client_of(played), newcomers()) == ()
    played.known = set("xyz")
    with pytest.raises(InputError, match="other data than toy: it knows no item 'a'"):
        check_words(client_of(played), newcomers())
    played.known = set("abcd")
    other = newcomers(Newcomer("ann", {"age": 30, "job": "cook"}, ANN.choices))
    assert check_words(client_of(played), other) == ("the service does not know the attribute 'job'",)
    with pytest.raises(InputError, match="it knows no attribute 'job'"):
        check_words(client_of(played), newcomers(Newcomer("ann", {"job": "cook"}, ANN.choices)))


# a finished run, and a service


def config_file(folder: Path, model: dict[str, Any], split: dict[str, Any], time: bool = True) -> Path:
    """Eighty users of three clubs, each of which has items of its own; one in ten chooses what nobody else does."""
    random = np.random.default_rng(3)
    user = np.repeat(np.arange(80), 6)
    item = np.concatenate([random.permutation(10)[:6] * 3 + number % 3 for number in range(80)])
    item[3::60] = 1000 + user[3::60]
    when = user * 2 + random.integers(0, 60, len(user))  # with ties
    folder.mkdir(exist_ok=True)
    shuffled = random.permutation(len(user))
    pd.DataFrame({"u": user, "i": item, "t": when}).iloc[shuffled].to_csv(folder / "clicks.csv", index=False)
    people = {"u": range(80), "club": np.array(["chess", "tea", "go"])[np.arange(80) % 3], "age": 20.5 + np.arange(80)}
    pd.DataFrame(people).to_csv(folder / "users.csv", index=False)
    clicks = {"path": "clicks.csv", "user": "u", "item": "i", "repeated": "first", **({"time": "t"} if time else {})}
    about = {"path": "users.csv", "id": "u", "attributes": {"club": {}, "age": {"bins": 3}}}
    said = {
        "data": {"source": "table", "interactions": clicks, "users": about},
        "split": split,
        "evaluate": {"metrics": ["ndcg", "hit"], "at": [10]},
        "model": model,
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(said))
    return folder / "toy.yaml"


SMALL = {
    "class": "GraphSAGE",
    "encoder": {"channels": 8, "layers": 2},
    "pretrain": None,
    "finetune": {"epochs": 5, "learning_rate": 0.03},
    "choose_on": 0,
}
UNSEEN = {"kind": "unseen_users", "test": 0.4, "validation": 0.1}


def finished(folder: Path, model: dict[str, Any], split: dict[str, Any], time: bool = True) -> Path:
    to = folder / "runs" / "toy" / "0"
    run_config(read_config(config_file(folder, model, split, time)), to)
    return to


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("data"), SMALL, UNSEEN)


class Service:
    """A service in a thread."""

    def __init__(self, model: Path, folder: Path, tokens: Tokens | None = None) -> None:
        self.store = folder / "shop.sqlite"
        config = uvicorn.Config(create_app(Settings(model, f"sqlite:///{self.store}"), tokens), log_config=None)
        config.port = 0
        listening = config.bind_socket()
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listening],))
        self._thread.start()
        wait_for(lambda: self._server.started, self._thread)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def rows(self, table: str) -> int:
        with sqlite3.connect(self.store) as connection:
            return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


@pytest.fixture(scope="module")
def service(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    found = Service(run, tmp_path_factory.mktemp("store"))
    yield found
    found.stop()


def test_newcomers_are_the_test_users_in_the_order_of_time(run: Path) -> None:
    split = load_split(read_config(run / "config.yaml"))
    found = read_newcomers(run, 100, seed=0)
    own, ids = split.dataset.interactions, split.dataset.ids
    test = {str(ids["user"][user]) for user in (split.user_part == TEST).nonzero().flatten().tolist()}
    assert {one.id for one in found.users} == test
    assert (found.test_users, found.in_time, found.version) == (32, True, version_of(run))
    frame = pd.DataFrame({"user": own.user, "item": own.item, "time": own.time})
    for one in found.users:
        rows = frame[frame["user"] == ids["user"].get_loc(one.id)]
        assert sorted(choice.item for choice in one.choices) == sorted(str(ids["item"][item]) for item in rows["item"])
        assert [choice.time for choice in one.choices] == sorted(rows["time"])
        assert one.attributes == {"club": ["chess", "tea", "go"][int(one.id) % 3], "age": 20.5 + int(one.id)}
    known = {choice.item for one in found.users for choice in one.choices if choice.findable}
    unknown = {choice.item for one in found.users for choice in one.choices if not choice.findable}
    assert unknown == {item for item in unknown if int(item) >= 1000}
    assert known <= set(found.items)
    some, others = read_newcomers(run, 5, seed=0), read_newcomers(run, 5, seed=1)
    assert some.users == found.users[:5]
    assert some.users != others.users


def test_numbers_are_those_of_the_evaluation(run: Path, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    demo_shop(run, url=service.url, events=2, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["complete"], told["model"], told["users"]) == (True, version_of(run), 32)
    config = read_config(run / "config.yaml")
    split, model = load_split(config), load(run).model
    split.open_test("a test of the demo shop")
    own, order = split.dataset.interactions, in_time_order(split.dataset)
    users = split.test.users
    edges = (split.user_part[own.user] == TEST).nonzero().flatten()
    edges = edges[order[edges].argsort()]
    row = torch.full((split.dataset.num_users,), -1)
    row[users.index] = torch.arange(len(users))
    row = row[own.user[edges]]
    place = torch.tensor([int((row[:number] == one).sum()) for number, one in enumerate(row)])
    every = Edges(row, own.item[edges])
    measured_as = EvaluateConfig(metrics=["ndcg", "hit"], at=[10])

    def mean(shown: Edges, masked: Edges | None, wanted: Edges) -> dict[str, float | None]:
        asked = TestSet(UserBatch(users.index, shown, users.relations), wanted, masked)
        return evaluate(model, asked, split.full.candidates, measured_as, 0, split.full).metrics

    for k, shown in enumerate(told["rows"]):
        known, left, nothing = every.take(place < k), every.take(place >= k), every.take(place < 0)
        after, before = mean(known, None, left), mean(nothing, known, left)
        assert shown["events"] == k
        assert shown["ndcg@10"]["mean"] == pytest.approx(after["ndcg@10"])
        assert shown["hit@10"]["mean"] == pytest.approx(after["hit@10"])
        if k:
            gain = float(after["ndcg@10"] or 0) - float(before["ndcg@10"] or 0)
            assert shown["minus_first_list"]["mean"] == pytest.approx(gain, abs=1e-6)
    assert len(told["rows"]) == 3
    assert [service.rows(table) for table in ("users", "events")] == [0, 0]


def test_popular_items_stay_popular(run: Path, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    demo_shop(run, url=service.url, users=12, events=2, as_json=True)
    told = json.loads(capsys.readouterr().out)
    split = load_split(read_config(run / "config.yaml"))
    count = split.full.popularity.tolist()
    named = [str(one) for one in split.dataset.ids["item"]]
    popular = [named[item] for item in sorted(range(len(count)), key=lambda one: (-count[one], one)) if count[item]]
    people = read_newcomers(run, 12, seed=0).users
    for shown in told["rows"]:
        k = shown["events"]
        values = []
        for one in people:
            if one.remaining(k):
                seen = {choice.item for choice in one.choices[:k]}
                values.append(quality([item for item in popular if item not in seen], one.remaining(k))[0])
        assert shown["popular"]["ndcg@10"]["mean"] == pytest.approx(np.mean(values))


def test_the_order_of_turns_changes_no_number(run: Path, service: Service) -> None:
    people, client, rows = read_newcomers(run, 12, seed=0), Client(service.url), []
    for seed in (0, 1):
        shop = Shop(client, people, answering(client, people.version), 2, "demo-")
        shop.open(seed)
        rows.append(shop.scores.rows())
        shop.close()
    client.close()
    for first, second in zip(*rows, strict=True):
        assert first.ndcg.mean == pytest.approx(second.ndcg.mean)
        assert first.users == second.users


def test_what_a_person_reads(run: Path, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    demo_shop(run, url=service.url, users=15, events=1)
    printed = capsys.readouterr()
    assert "15 of 32 test users" in printed.out
    assert "it was trained on none of these users" in printed.out
    assert re.search(r"^ +0 +15 +0\.\d{3} ±0\.\d{3} ", printed.out, re.MULTILINE)
    assert "One event brings" in printed.out
    assert "of 30 lists; NDCG" in printed.err
    assert "\x1b" not in printed.out


def test_users_may_stay_and_the_next_demo_replaces_them(
    run: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    demo_shop(run, url=service.url, events=1, users=3, keep=True, as_json=True)
    first = json.loads(capsys.readouterr().out)["rows"]
    assert [service.rows(table) for table in ("users", "events")] == [3, 3]
    demo_shop(run, url=service.url, events=1, users=3, as_json=True)
    printed = capsys.readouterr()
    assert "3 users of an earlier demo were still there" in printed.err
    second = json.loads(printed.out)["rows"]
    assert [one["ndcg@10"] for one in first] == [one["ndcg@10"] for one in second]
    assert [service.rows(table) for table in ("users", "events")] == [0, 0]


def test_ctrl_c_tells_what_was_measured_and_deletes(
    run: Path, service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = 0
    own = Client.recommend

    def recommend(self: Client, *given: Any) -> Any:
        nonlocal lists
        lists += 1
        if lists == 41:
            raise KeyboardInterrupt
        return own(self, *given)

    monkeypatch.setattr(Client, "recommend", recommend)
    with pytest.raises(typer.Exit) as end:
        demo_shop(run, url=service.url, events=5)
    assert end.value.exit_code == 130
    printed = capsys.readouterr().out
    assert "The demo was ended early: 20 of" in printed
    assert "better than popular by" in printed
    assert [service.rows(table) for table in ("users", "events")] == [0, 0]


def test_a_service_that_goes_away(
    run: Path, service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, lists = Client.recommend, [0]

    def recommend(self: Client, *given: Any) -> Any:
        lists[0] += 1
        if lists[0] == 21:
            self.url, self._sleep = URL, lambda seconds: None
        return own(self, *given)

    monkeypatch.setattr(Client, "recommend", recommend)
    with pytest.raises(InputError, match="does not answer any more"):
        demo_shop(run, url=service.url, users=8, events=5)
    printed = capsys.readouterr()
    assert "The demo was ended early: 10 of" in printed.out
    assert re.search(r"warning: \d+ demo users are not deleted \(.*the same command deletes them", printed.err)
    monkeypatch.setattr(Client, "recommend", own)
    demo_shop(run, url=service.url, users=8, events=0)
    assert "users of an earlier demo were still there" in capsys.readouterr().err
    assert [service.rows(table) for table in ("users", "events")] == [0, 0]


def test_a_user_of_the_shop_is_never_taken_for_a_demo_user(run: Path, service: Service) -> None:
    name = read_newcomers(run, 1, seed=0).users[0].id
    client = Client(service.url)
    client.put_user(f"demo-{name}", {"club": "boxing"})
    with pytest.raises(InputError, match="another --prefix"):
        demo_shop(run, url=service.url)
    assert client.profile(f"demo-{name}") == {"club": "boxing"}
    client.delete_user(f"demo-{name}")
    client.close()
    with pytest.raises(ConfigError, match="--prefix: is empty"):
        demo_shop(run, url=service.url, prefix="")


def test_tokens_and_their_rates(run: Path, tmp_path: Path) -> None:
    named = [("reader", "read", 500.0), ("writer", "write", 20.0)]
    now = [0.0]
    given = tuple(Token(name=n, token=n * 4, role=role, rate=rate) for n, role, rate in named)
    tokens = Tokens(given, clock=lambda: now[0])
    service = Service(run, tmp_path, tokens)
    try:
        with pytest.raises(InputError, match=r"refuses the token: a token is needed.*give one with --token"):
            demo_shop(run, url=service.url)
        with pytest.raises(InputError, match="a token with the role write is needed"):
            demo_shop(run, url=service.url, token="reader" * 4, users=2)
        people = read_newcomers(run, 5, seed=0)
        client = Client(service.url, "writer" * 4, sleep=lambda seconds: now.append(now.pop() + seconds))
        shop = Shop(client, people, answering(client, people.version), 1, "demo-")
        assert shop.clear() == 0
        shop.open(seed=0)
        shop.close()
        client.close()
        assert len(shop.scores) == shop.lists == 10
        assert client.put_off > 0
        assert re.fullmatch(r"The service put off \d+ requests; they were sent again.", shop.notes[-1])
        assert [service.rows(table) for table in ("users", "events")] == [0, 0]
    finally:
        service.stop()


@pytest.mark.parametrize("time", [True, False])
def test_another_run_s_service_is_refused(
    time: bool, run: Path, service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = finished(tmp_path, {"class": "Popularity"}, {**UNSEEN, "support": 2}, time)
    with pytest.raises(InputError, match=f"{version_of(other)} is not in service, but {version_of(run)}"):
        demo_shop(other, url=service.url)
    demo_shop(other, url=service.url, users=12, events=1, any_model=True, as_json=True)
    printed = capsys.readouterr()
    assert "warning: the run's model" in printed.err
    told = json.loads(printed.out)
    assert told["model"] is None
    assert ("in the order of the file" in printed.err) != time
    assert told["rows"][0]["users"] == 12  # support and targets are one history: there are lists before the support


def test_runs_without_newcomers_are_refused(tmp_path: Path) -> None:
    known = finished(tmp_path, {"class": "Popularity"}, {"kind": "temporal", "users": "known", "test": 0.4})
    with pytest.raises(ConfigError, match="the run has no test users"):
        read_newcomers(known, 10, seed=0)
    with pytest.raises(ConfigError, match="no such run folder"):
        version_of(tmp_path / "nothing")


def test_data_that_changed_since_the_run_are_refused(tmp_path: Path) -> None:
    run = finished(tmp_path, {"class": "Popularity"}, UNSEEN)
    clicks = tmp_path / "clicks.csv"
    clicks.write_text("\n".join(clicks.read_text().splitlines()[:-5]) + "\n")
    with pytest.raises(ConfigError, match="have changed since the run"):
        read_newcomers(run, 10, seed=0)


def test_a_candidate_is_asked_by_its_role() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        serving = [{"role": "main", "version": "old"}, {"role": "candidate", "version": "v1"}]
        return httpx.Response(200, json={"serving": serving}, headers={"x-request-id": "1"})

    found = answering(client_of(answer), "v1")
    assert (found.role, found.version) == ("candidate", "v1")
    assert found.notes == ("popular items are those of the main model, old",)
