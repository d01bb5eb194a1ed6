"""The page at / in a browser: what a person does with it, with the mouse, with keys alone, and on a phone."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_shop import SCRIPT, saved
from waiting import wait_for

from gnnrec.serving.http.app import create_app
from gnnrec.serving.http.settings import Settings
from gnnrec.serving.http.tokens import Token, Tokens

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser; pip install playwright")
uvicorn = pytest.importorskip("uvicorn")
expect = playwright.expect

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"there is no {CHROMIUM}; apt-get install chromium")
MAIN = "[data-role=main]"
READ, ADMIN = "read" * 5, "admin" * 5
REFUSED = re.compile(r"status of (4\d\d|503)")
"""What the browser logs of answers that a test asks for; the page itself logs nothing."""
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
Visit = Callable[..., Any]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def serve(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Starts services on free ports of this machine; returns their addresses."""
    running: list[tuple[Any, threading.Thread]] = []

    def started(tokens: Tokens | None = None, models: Path | None = models, main: Path = models / "sage") -> str:
        store = tmp_path_factory.mktemp("store") / "store.sqlite"
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(create_app(Settings(main, f"sqlite:///{store}", models), tokens), log_config=None)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        running.append((server, thread))
        wait_for(lambda: server.started, thread)
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

    yield started
    for server, thread in running:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def address(serve: Callable[..., str]) -> str:
    return serve()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    """Opens the page; afterwards nothing may have been logged, or asked for elsewhere."""
    opened: list[tuple[Any, str, list[str], list[str]]] = []

    def visited(where: str = address, before: Callable[[Any], None] = lambda _: None, **context: Any) -> Any:
        context = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **context}
        page = browser.new_context(**context).new_page()
        logged: list[str] = []
        asked: list[str] = []
        page.set_default_timeout(10_000)
        page.on("console", lambda message: logged.append(message.text))
        page.on("pageerror", lambda error: logged.append(str(error)))
        page.on("dialog", lambda dialog: logged.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: asked.append(request.url))
        opened.append((page, where, logged, asked))
        before(page)
        page.goto(where)
        return page

    yield visited
    for page, where, logged, asked in opened:
        page.context.close()
        assert [line for line in logged if not REFUSED.search(line)] == []
        assert [url for url in asked if not url.startswith((where, "data:"))] == []


def items(page: Any, role: str = "main") -> list[str]:
    """Ids in a list, once it is there and no newer one is on its way."""
    column = page.locator(f"[data-role={role}]")
    column.locator(".item[data-item]").first.wait_for(state="attached")
    expect(column).to_have_attribute("aria-busy", "false")
    return [one.get_attribute("data-item") for one in column.locator(".item").all()]


def changed(page: Any, before: list[str], role: str = "main") -> list[str]:
    """Ids in a list, once they are others than before."""
    expect(page.locator(f"[data-role={role}] .item").first).to_be_attached()
    give_up = time.monotonic() + 10
    while (now := items(page, role)) == before:
        assert time.monotonic() < give_up, "the list stays as it is"
        page.evaluate("() => new Promise(requestAnimationFrame)")
    return now


def field(page: Any, name: str) -> Any:
    return page.get_by_label(name, exact=True)


def of_field(page: Any, name: str) -> Any:
    return page.locator(f"[data-attribute={name}] .warning")


def choose(page: Any, place: int, role: str = "main") -> str:
    """Chooses the item at a place of a list, and waits until the list has moved on."""
    before = items(page, role)
    page.locator(f"[data-role={role}] .choose").nth(place).click()
    expect(page.locator(f"[data-role={role}] [data-item='{before[place]}']")).to_have_count(0)
    return before[place]


def load_shadow(page: Any, name: str) -> None:
    field(page, "Another model").select_option(name)
    page.get_by_role("button", name="Load as shadow").click()


def wide_enough(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def violations(page: Any) -> list[str]:
    """What axe-core finds."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="it carries axe-core")
    found = axe.Axe().run(page, options={"runOnly": WCAG, "resultTypes": ["violations"]}).response["violations"]
    return [
        f"{one['id']}: {node['html'][:120]}: {node.get('failureSummary', '')}" for one in found for node in one["nodes"]
    ]


def test_a_person_tries_profiles_and_items_and_compares_models(visit: Visit) -> None:
    page = visit()
    popular = items(page)
    assert popular == items(page, "popular")
    expect(page.locator(f"{MAIN} .badge")).to_have_text("popular items")
    field(page, "job").select_option("artist")
    personal = changed(page, popular)
    expect(page.locator(f"{MAIN} .badge")).to_have_text("personal")
    assert items(page, "popular") == popular
    expect(page.locator("#live")).to_contain_text("Main model: 10 items, ")
    field(page, "age").fill("30")
    field(page, "hobbies").select_option("chess")
    page.get_by_role("button", name="Another hobbies").click()
    with page.expect_request(lambda request: "tea" in (request.post_data or "")) as sent:
        field(page, "hobbies, number 2").select_option("tea")
    assert json.loads(sent.value.post_data)["attributes"] == {"job": "artist", "age": 30, "hobbies": ["chess", "tea"]}
    chosen = [choose(page, place) for place in (0, 2, 1)]
    assert [one.get_attribute("data-item") for one in page.locator("#chosen li").all()] == chosen
    assert not set(chosen) & set(items(page)) | set(chosen) & set(items(page, "popular"))
    assert items(page) != [one for one in personal if one not in chosen]
    expect(page.locator(f"{MAIN} .mark:not(:empty)").first).to_be_visible()
    load_shadow(page, "knn")
    assert len(items(page, "shadow")) == 10
    before = items(page)
    page.locator(f"#chosen [data-item='{chosen[0]}'] button").click()
    expect(page.locator("#chosen li")).to_have_count(2)
    changed(page, before)
    page.get_by_role("button", name="End the shadow").click()
    expect(page.locator("[data-role=shadow]")).to_have_count(0)
    page.get_by_role("button", name="Clear", exact=True).click()
    assert field(page, "age").input_value() == ""
    expect(field(page, "hobbies, number 2")).to_have_count(0)
    assert page.evaluate("document.getAnimations().length") == 0  # who asked for less motion sees none


def test_titles_are_text(visit: Visit) -> None:
    page = visit()
    page.get_by_label("Items in a list").fill("24")
    row = page.locator(f"{MAIN} [data-item='sku/3']")
    expect(row.locator(".title")).to_have_text(SCRIPT)
    row.get_by_role("button", name="Choose").click()
    expect(page.locator("#chosen li span")).to_have_text(SCRIPT)
    assert page.locator("main script").count() == 0


def test_why_is_a_picture_and_the_same_in_words(visit: Visit) -> None:
    page = visit()
    field(page, "job").select_option("baker")
    expect(page.locator(f"{MAIN} .badge")).to_have_text("personal")
    choose(page, 0)
    liked = page.locator("#chosen span").inner_text()
    with page.expect_response("**/v1/recommendations?model=main") as answer:
        page.locator(f"{MAIN} .item").first.get_by_role("button", name="Why").click()
    why = answer.value.json()["items"][0]["why"]
    assert why
    figure = page.locator(f"{MAIN} figure")
    drawn = figure.locator(".edge").evaluate_all("all => all.map((one) => Number(one.getAttribute('stroke-width')))")
    assert len(drawn) == 2 * len(why)
    assert drawn[0] == max(drawn)  # the weightiest comes first
    words = figure.locator("figcaption").inner_text()
    for one in why:
        assert (liked if one["relation"] == "history" else f"{one['relation']} “{one['value']}”") in words
    toggle = page.locator(f"{MAIN} .item").first.get_by_role("button", name="Why")
    expect(toggle).to_have_attribute("aria-expanded", "true")
    toggle.click()
    expect(figure).to_be_hidden()


def test_filters(visit: Visit) -> None:
    page = visit()
    nothing_told = items(page)
    field(page, "job").select_option("artist")
    before = changed(page, nothing_told)
    field(page, "Only category").select_option("c1")
    now = changed(page, before)
    assert {int(one.removeprefix("sku/")) % 3 for one in now} == {1}
    field(page, "Only category").select_option("")
    assert changed(page, now) == before
    field(page, "Diversity").fill("0.5")
    assert changed(page, before) != before
    expect(page.locator("#diversity-told")).to_have_text("0.5")
    page.get_by_label("Items in a list").fill("4")
    expect(page.locator(f"{MAIN} .item")).to_have_count(4)


def test_what_is_wrong_stands_beside_its_field(visit: Visit) -> None:
    def more_jobs(page: Any) -> None:
        def answer(route: Any) -> None:
            words = route.fetch().json()
            job = next(one for one in words["attributes"] if one["name"] == "job")
            job.update(values=[*job["values"], *(f"job {i}" for i in range(197))], more=4800)
            route.fulfill(json=words)

        page.route("**/v1/vocabulary", answer)

    page = visit(before=more_jobs)
    field(page, "age").fill("abc")
    expect(of_field(page, "age")).to_have_text("'abc' is no number and is ignored")
    field(page, "job").fill("astronaut")
    page.keyboard.press("Enter")
    expect(of_field(page, "job")).to_contain_text("'astronaut' is a value that training has not seen")
    field(page, "job").fill("clerk")
    page.get_by_role("button", name="Add job").click()
    expect(page.locator("[data-attribute=job] .chips li")).to_have_count(2)
    page.get_by_label("Items in a list").fill("1000")
    expect(page.locator("#n-error")).to_contain_text("less than or equal to 100")
    assert page.locator(f"{MAIN} .item").count() == 10  # the list that was there stays
    expect(of_field(page, "age")).not_to_be_empty()
    page.get_by_label("Items in a list").fill("3")
    expect(page.locator(f"{MAIN} .item")).to_have_count(3)
    expect(page.locator("#n-error")).to_be_empty()
    field(page, "age").fill("40")
    expect(of_field(page, "age")).to_be_empty()
    page.get_by_role("button", name="Remove astronaut").click()
    expect(of_field(page, "job")).to_be_empty()
    expect(page.locator(f"{MAIN} .badge")).to_have_text("personal")


def test_a_busy_service_is_asked_again(visit: Visit) -> None:
    page = visit()
    before = items(page)
    busy = {
        "status": 503,
        "headers": {"Retry-After": "0.3"},
        "json": {"error": "too many requests wait", "details": []},
    }
    page.route("**/v1/recommendations*", lambda route: route.fulfill(**busy))
    field(page, "job").select_option("artist")
    expect(page.locator("#lists-error")).to_have_text("too many requests wait")
    assert page.locator(f"{MAIN} .item").count() == len(before)
    page.unroute("**/v1/recommendations*")
    expect(page.locator("#lists-error")).to_be_empty()
    changed(page, before)


def test_a_late_answer_to_an_earlier_question_is_not_shown(visit: Visit) -> None:
    page = visit()
    before = items(page)
    held: list[Any] = []

    def hold(route: Any) -> None:
        if not held and "artist" in route.request.post_data:
            held.append(route)
        else:
            route.continue_()

    page.route("**/v1/recommendations?model=main", hold)
    field(page, "job").select_option("artist")
    expect(page.locator(MAIN)).to_have_attribute("aria-busy", "true")
    field(page, "job").select_option("baker")
    baker = changed(page, before)
    assert held
    field(page, "job").select_option("artist")
    assert changed(page, baker) != baker


def test_a_stored_user_moves_the_metrics_and_is_forgotten(visit: Visit, serve: Callable[..., str]) -> None:
    where = serve()
    page = visit(where)
    field(page, "job").select_option("clerk")
    expect(page.locator(f"{MAIN} .badge")).to_have_text("personal")
    choose(page, 1)
    page.locator("#stored summary").click()
    field(page, "Id").fill("ann")
    page.get_by_role("button", name="Send as a stored user").click()
    expect(page.locator("#user-told")).to_have_text("ann is stored, with 1 new event.")
    expect(page.locator(".tile.events .value")).to_have_text("1")
    expect(page.locator(".tile.lists .value")).not_to_have_text("0")
    expect(page.locator(".tile.median .value")).to_contain_text("ms")
    expect(page.locator("#metrics tbody th").first).to_contain_text("main")
    expect(page.locator("#metrics tbody td").nth(1)).to_have_text("1")
    expect(page.locator(".tile.rate .value")).to_have_text(re.compile(r"^\d+\.\d$"))
    assert page.evaluate("fetch('v1/users/ann').then((answer) => answer.json())")["attributes"] == {"job": "clerk"}
    page.get_by_role("button", name="Forget this user").click()
    expect(page.locator("#user-told")).to_contain_text("ann is forgotten")
    assert page.evaluate("fetch('v1/users/ann').then((answer) => answer.status)") == 404

    other = visit(where)
    stored = "fetch('v1/users/bob', {method: 'PUT', body: '{}', headers: {'Content-Type': 'application/json'}})"
    assert other.evaluate(f"{stored}.then((answer) => answer.status)") == 201
    other.locator("#stored summary").click()
    field(other, "Id").fill("bob")
    other.get_by_role("button", name="Forget this user").click()
    expect(other.locator("#user-error")).to_contain_text("stored already: press again, and all of it will be deleted")
    other.get_by_role("button", name="Forget this user").click()
    expect(other.locator("#user-told")).to_contain_text("bob is forgotten")


def test_a_token_is_asked_for_and_kept_in_the_tab_alone(visit: Visit, serve: Callable[..., str]) -> None:
    tokens = Tokens((Token(name="shop", token=READ), Token(name="boss", token=ADMIN, role="admin")))
    page = visit(serve(tokens))
    expect(page.locator("#token-error")).to_have_text("This service asks for a token.")
    expect(page.locator("main")).to_be_hidden()
    expect(field(page, "Token")).to_be_focused()
    for wrong in ("wrong" * 4, READ):
        field(page, "Token").fill(wrong)
        page.keyboard.press("Enter")
        if wrong != READ:
            expect(page.locator("#token-error")).to_have_text("The service does not know this token.")
    assert items(page)
    expect(page.locator("#token-form")).to_be_hidden()
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 1, ""]
    load_shadow(page, "popularity")
    expect(page.locator(".add .error")).to_have_text("a token with the role admin is needed")
    field(page, "job").select_option("artist")
    expect(page.locator(f"{MAIN} .badge")).to_have_text("personal")
    field(page, "Token").fill(ADMIN)
    page.keyboard.press("Enter")
    load_shadow(page, "popularity")
    assert items(page, "shadow")
    expect(page.locator(f"{MAIN} .badge")).to_have_text("personal")  # what was told of the person is still there
    page.get_by_role("button", name="Forget the token").click()
    expect(page.locator("main")).to_be_hidden()


def test_keys_alone_are_enough(visit: Visit) -> None:
    page = visit()
    before = items(page)

    def tab_to(name: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            now = page.evaluate(
                "((e) => [e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent,"
                " getComputedStyle(e).outlineStyle])(document.activeElement)"
            )
            assert now[1] != "none", f"nobody sees that {now[0]} has the focus"
            if name in now[0].strip():
                return
        pytest.fail(f"no key leads to {name}")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the lists"
    tab_to("job")
    page.keyboard.type("b")
    now = changed(page, before)
    tab_to("age")
    page.keyboard.type("33")
    tab_to("Why")
    page.keyboard.press("Enter")
    expect(page.locator(f"{MAIN} figure")).to_be_visible()
    tab_to("Choose")
    page.keyboard.press("Enter")
    expect(page.locator("#chosen li")).to_have_count(1)
    assert page.locator("#chosen li").get_attribute("data-item") == now[0]
    changed(page, now)
    focus = "document.activeElement.closest('.item')?.querySelector('.rank').textContent"
    assert page.evaluate(focus) == "1"  # it stays where it was, on the item that took the place
    expect(page.locator("#live")).to_contain_text("First: ")


@pytest.mark.parametrize(("look", "width"), [("light", 1280), ("dark", 390)])
def test_everybody_can_read_it(visit: Visit, look: str, width: int) -> None:
    page = visit(viewport={"width": width, "height": 900}, color_scheme=look)
    field(page, "job").select_option("artist")
    field(page, "age").fill("abc")
    expect(of_field(page, "age")).not_to_be_empty()
    choose(page, 1)
    page.locator("#stored summary").click()
    page.locator(f"{MAIN} .item").first.get_by_role("button", name="Why").click()
    expect(page.locator(f"{MAIN} figure")).to_be_visible()
    expect(page.locator("#metrics tbody td").first).to_be_visible()
    assert violations(page) == []
    red, green, blue = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (red + green + blue < 150) == (look == "dark")
    assert wide_enough(page)


def test_on_a_phone_nothing_hangs_over_and_one_list_is_shown(visit: Visit) -> None:
    long = "Wort" * 60

    def long_titles(page: Any) -> None:
        def answer(route: Any) -> None:
            body = route.fetch().json()
            for one in body["items"]:
                one["title"] = long + one["item"]
            route.fulfill(json=body)

        page.route("**/v1/recommendations*", answer)

    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, before=long_titles)
    field(page, "job").select_option("artist")
    expect(page.locator(f"{MAIN} .badge")).to_have_text("personal")
    choose(page, 0)
    page.locator(f"{MAIN} .item").first.get_by_role("button", name="Why").click()
    expect(page.locator(f"{MAIN} figure")).to_be_visible()
    for one in page.locator("details > summary").all():
        one.click()
    assert wide_enough(page)
    expect(page.locator("[data-role=popular]")).to_be_hidden()
    page.get_by_text("Popular", exact=True).first.click()
    expect(page.locator("[data-role=popular]")).to_be_visible()
    expect(page.locator(MAIN)).to_be_hidden()
    assert wide_enough(page)


def test_nothing_jumps_while_it_loads(visit: Visit, serve: Callable[..., str]) -> None:
    page = visit(serve())
    items(page)
    shift = page.evaluate(
        "() => new Promise((done) => { setTimeout(() => done(0), 200);"  # where nothing shifts, nothing is told
        "new PerformanceObserver((list) => done(list.getEntries().reduce((sum, one) => sum + one.value, 0)))"
        ".observe({type: 'layout-shift', buffered: true}) })"
    )
    assert shift < 0.02  # 0.1 is what browsers call good


def test_a_model_that_knows_nothing_of_users(visit: Visit) -> None:
    nothing = {"attributes": [], "kinds": [], "item_attributes": [], "items": 0}
    alone = {
        "serving": [{"role": "main", "name": "(first)", "version": "0", "share": 1, "users": 100}],
        "available": [],
    }
    empty = {"request_id": "1", "model": "0", "source": "popular", "items": [], "warnings": []}

    def routes(page: Any) -> None:
        page.route("**/v1/vocabulary", lambda route: route.fulfill(json=nothing))
        page.route("**/v1/models", lambda route: route.fulfill(json=alone))
        page.route("**/v1/recommendations*", lambda route: route.fulfill(json=empty))
        page.route("**/metrics", lambda route: route.fulfill(body="", content_type="text/plain"))

    page = visit(before=routes)
    expect(page.locator("#profile")).to_contain_text("knows no attributes of users")
    expect(page.locator(f"{MAIN} .note")).to_contain_text("No item is left")
    expect(page.locator(".add")).to_contain_text("--models FOLDER")
    expect(page.locator("#metrics")).to_contain_text("No lists yet")
    expect(page.get_by_role("button", name="Random")).to_be_hidden()


def test_many_attributes_with_thousands_of_values(visit: Visit) -> None:
    def attribute(number: int) -> dict[str, Any]:
        values = [f"value {number} {i}" for i in range(200)]
        return {"name": f"a{number}", "numeric": False, "bounds": [], "values": values, "more": 30_000}

    def routes(page: Any) -> None:
        words = {"attributes": [attribute(i) for i in range(60)], "kinds": [], "item_attributes": [], "items": 10**6}
        page.route("**/v1/vocabulary", lambda route: route.fulfill(json=words))

    page = visit(before=routes)
    expect(page.get_by_text("52 more")).to_be_visible()
    field(page, "a3").fill("value 3 7")
    page.keyboard.press("Enter")
    expect(page.locator("[data-attribute=a3] .chips span")).to_have_text(["value 3 7"])
    expect(page.locator("#profile-error")).to_contain_text("unknown attribute 'a3'")
    expect(page.get_by_text("1,000,000 items")).to_be_visible()


def test_quantiles_of_a_histogram(visit: Visit) -> None:
    page = visit()
    text = """# TYPE gnnrec_request_seconds histogram
gnnrec_request_seconds_bucket{le="0.01",route="/v1/recommendations"} 1.0
gnnrec_request_seconds_bucket{le="0.02",route="/v1/recommendations"} 2.0
gnnrec_request_seconds_bucket{le="+Inf",route="/v1/recommendations"} 3.0
gnnrec_request_seconds_bucket{le="0.01",route="/v1/users/{user}/recommendations"} 1.0
gnnrec_request_seconds_bucket{le="0.02",route="/v1/users/{user}/recommendations"} 2.0
gnnrec_request_seconds_bucket{le="+Inf",route="/v1/users/{user}/recommendations"} 2.0
gnnrec_request_seconds_bucket{le="0.01",route="/metrics"} 100.0
named{name="a \\"b\\" \\\\ {c}"} 7.0
"""
    found = page.evaluate(
        "async (text) => { const m = await import('./prometheus.js'); const found = m.parse(text);"
        "const lists = m.listSeconds(found); const of = (share) => m.quantile(lists, share);"
        "return [of(0.4), of(0.6), of(0.99), m.quantile(new Map(), 0.5), found.get('named')[0].labels.name] }",
        text,
    )
    # 5 lists, 2 of them within 10 ms and 4 within 20 ms: the second ends at 10 ms, the third in the middle of 10 to 20;
    # the fifth took longer than any bound, of which the last is told
    assert found == [0.01, pytest.approx(0.015), 0.02, None, 'a "b" \\ {c}']
