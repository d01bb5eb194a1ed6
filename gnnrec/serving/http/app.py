"""The HTTP service: addresses, bodies and answers."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from pydantic import Field

from gnnrec.errors import InputError
from gnnrec.serving.http import bodies as b
from gnnrec.serving.http.guard import Guard
from gnnrec.serving.http.metrics import Metrics
from gnnrec.serving.http.service import CANDIDATE, MAIN, Answer, Asked, Service
from gnnrec.serving.http.settings import Settings
from gnnrec.serving.http.tokens import RANK, Role, Tokens
from gnnrec.serving.live import LiveModel, Ranked, Wish
from gnnrec.serving.store import StoreError

T = TypeVar("T")
log = logging.getLogger("gnnrec.serve")
FLUSH, REFRESH, PRUNE = 1.0, 2.0, 3600.0
"""Seconds between storing shown lists, reading items that other processes stored, and deleting old lists."""
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": b.ErrorAnswer, "description": what}
    for status, what in {
        401: "no token, or an unknown one",
        403: "the token's role is too low",
        413: "the body is too large",
        414: "the address is too long",
        421: "another host than localhost",
        422: "the request cannot be read",
        429: "too many requests; Retry-After says when to come again",
        503: "the service or its database is busy; Retry-After says when to come again",
    }.items()
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": b.ErrorAnswer, "description": "there is none"}}
UserId = Annotated[b.Id, Path(description="Id of a user, stored or not.")]
ItemId = Annotated[b.Id, Path(description="Id of an item.")]
ModelRole = Annotated[
    Literal["main", "candidate", "shadow", "popular"] | None,
    Query(description="Who answers; left out, main, or the candidate for its share of the users."),
]


class BusyError(Exception):
    """So many requests wait already that another one would only wait longer."""


class Threads:
    """Threads that score and talk to the database, and a limit to what waits for them.

    Args:
        settings: limits.
        metrics: counts what waits.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._pool = ThreadPoolExecutor(settings.threads, "gnnrec")
        self._slow = ThreadPoolExecutor(1, "gnnrec-slow")
        self._settings, self._waiting = settings, 0
        metrics.waiting.set_function(lambda: self._waiting)

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """The result of work in a thread.

        Raises:
            BusyError: too much waits.
            TimeoutError: it takes too long; it goes on, and counts as waiting until it ends.
        """
        if self._waiting >= self._settings.waiting:
            raise BusyError
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work, *args)
        future.add_done_callback(self._done)
        return await asyncio.wait_for(asyncio.shield(future), self._settings.seconds)

    async def run_slowly(self, work: Callable[..., T], *args: Any) -> T:
        """The result of work, such as loading a model, that keeps no list waiting."""
        return await asyncio.get_running_loop().run_in_executor(self._slow, work, *args)

    def close(self) -> None:
        """Waits for what was begun."""
        self._pool.shutdown(wait=True)
        self._slow.shutdown(wait=True)

    def _done(self, future: "asyncio.Future[Any]") -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # somebody has looked at it, also where nobody waits any more


def create_app(settings: Settings, tokens: Tokens | None = None) -> Guard:
    """The service as an ASGI application.

    Args:
        settings: of it.
        tokens: known ones; None lets everybody on this machine do everything.

    Raises:
        InputError: the store or the model cannot be opened.
    """
    tokens, metrics = tokens or Tokens(), Metrics()
    service, threads = Service(settings, metrics), Threads(settings, metrics)
    app = FastAPI(
        title="gnnrec",
        version="1",
        description="Lists for users whom the model has never seen, from their profile and what they did last.",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(service, threads),
        responses=ERRORS,
    )
    bearer = HTTPBearer(auto_error=False, description="A token of the file that --tokens names.")

    def needs(role: Role) -> list[Any]:
        async def check(request: Request, _: Annotated[Any, Depends(bearer)]) -> None:
            token = getattr(request.state, "token", None)
            if token is None or RANK[token.role] < RANK[role]:
                raise HTTPException(403, f"a token with the role {role} is needed")

        return [] if tokens.open else [Depends(check)]

    reads, writes, administers = needs("read"), needs("write"), needs("admin")

    @app.put("/v1/users/{user:id}", dependencies=writes, responses={201: {"model": b.UserAnswer, "description": "new"}})
    async def put_user(user: UserId, body: b.UserBody, response: Response) -> b.UserAnswer:
        """Stores the profile of a user, in the place of an earlier one; its events stay."""
        response.status_code = 201 if await threads.run(service.put_user, user, body.attributes) else 200
        return await _user(user)

    @app.get("/v1/users/{user:id}", dependencies=reads, responses=NOT_FOUND)
    async def get_user(user: UserId) -> b.UserAnswer:
        """A stored user: its profile, the number of its events, the last items."""
        return await _user(user)

    async def _user(user: str) -> b.UserAnswer:
        found = await threads.run(service.user, user)
        if found is None:
            raise HTTPException(404, "no such user")
        attributes, events, items, warnings = found
        return b.UserAnswer(id=user, attributes=attributes, events=events, items=items, warnings=list(warnings))

    @app.delete("/v1/users/{user:id}", dependencies=writes, status_code=204, responses=NOT_FOUND)
    async def delete_user(user: UserId) -> None:
        """Forgets a user: its profile, its events, the lists that it was shown."""
        if not await threads.run(service.delete_user, user):
            raise HTTPException(404, "no such user")

    @app.post("/v1/events", dependencies=writes)
    async def post_events(
        body: Annotated[list[b.EventBody], Field(min_length=1, max_length=settings.batch)],
    ) -> b.EventsAnswer:
        """Stores events, all or none; they are in the database when the answer comes.

        An event of an id that is stored changes nothing, so that a request may be sent again.
        """
        new, items, users = await threads.run(service.add_events, body)
        return b.EventsAnswer(received=len(body), new=new, unknown_items=items, unknown_users=users)

    @app.get(
        "/v1/users/{user:id}/recommendations",
        dependencies=reads,
        response_model=b.ListAnswer,
        openapi_extra={"parameters": b.parameters(b.ListQuery, b.UserPath)},
    )
    async def recommendations(request: Request) -> Response:
        """A list for a user: from its profile where it has done nothing yet, popular items where nothing is known."""
        user, query = b.read_query(request.path_params, request.query_params)
        wish = Wish(query.n, query.offset, query.exclude_seen, None, query.diversity)
        asked = Asked(wish, _pairs(query.only), query.exclude, query.explain)
        if service.quick(user, asked, query.model):
            read = None if service.remembers(user) else await threads.run(service.read, user)
            return _told(service.recommend(user, asked, read=read))
        return _told(await threads.run(service.recommend, user, asked, query.model))

    @app.post("/v1/recommendations", dependencies=reads, response_model=b.ListAnswer)
    async def recommend(body: b.RecommendBody, model: ModelRole = None) -> Response:
        """A list for a user who is stored nowhere."""
        wish = Wish(body.n, body.offset, body.exclude_seen, None, body.diversity)
        asked = Asked(wish, _pairs(body.only), body.exclude, body.explain)
        return _told((await threads.run(service.recommend_to, [(body.attributes, body.items)], asked, model))[0])

    @app.post("/v1/recommendations/batch", dependencies=reads)
    async def recommend_batch(body: b.BatchBody) -> b.BatchAnswer:
        """A list for each of many users who are stored nowhere."""
        people = [(one.attributes, one.items) for one in body.users]
        asked = Asked(Wish(body.n, exclude_seen=body.exclude_seen))
        answers = await threads.run(service.recommend_to, people, asked)
        return b.BatchAnswer(lists=[b.ListAnswer.model_validate(_list(one)) for one in answers])

    @app.get("/v1/items/{item:id}/similar", dependencies=reads, responses=NOT_FOUND)
    async def similar(item: ItemId, n: Annotated[int, Query(ge=1, le=b.LONGEST)] = 10) -> b.SimilarAnswer:
        """The items that gain most for somebody who chose this one."""
        found = await threads.run(service.similar, item, n)
        if found is None:
            raise HTTPException(404, "no such item")
        live, ranked = found
        return b.SimilarAnswer(item=item, model=live.version, items=[b.Listed(**row) for row in _rows(live, ranked)])

    @app.put("/v1/items/{item:id}", dependencies=writes)
    async def put_item(item: ItemId, body: b.ItemBody) -> b.ItemAnswer:
        """Stores an item. A new one is in lists at once, scored as those that it shares attributes with."""
        known, warnings = await threads.run(service.put_item, item, body.title, body.attributes)
        return b.ItemAnswer(id=item, title=body.title, known=known, warnings=warnings)

    @app.get("/v1/vocabulary", dependencies=reads)
    async def vocabulary() -> b.VocabularyAnswer:
        """What profiles, events and filters may name."""
        of_users, kinds, of_items = await threads.run(service.vocabulary)
        size = service.serving.main.size
        return b.VocabularyAnswer(attributes=of_users, kinds=kinds, item_attributes=of_items, items=size)

    @app.get("/v1/models", dependencies=reads)
    async def get_models() -> b.ModelsAnswer:
        """The models in service, and those that may be loaded."""
        return await _models()

    @app.post("/v1/models", dependencies=administers, responses=NOT_FOUND)
    async def post_model(body: b.ModelBody) -> b.ModelsAnswer:
        """Loads a model of the service's folder of models; until it is there, the others answer."""
        if body.name not in await threads.run(service.names):
            there = ", ".join(await threads.run(service.models)) or "none: start the service with --models FOLDER"
            raise HTTPException(404, f"name: {body.name!r} is no model of the service; there are {there}")
        await threads.run_slowly(service.put_model, body.name, body.role, body.share)
        return await _models()

    @app.delete("/v1/models/{role}", dependencies=administers, status_code=204, responses=NOT_FOUND)
    async def delete_model(role: Literal["candidate", "shadow"]) -> None:
        """Ends a candidate or a shadow."""
        if not await threads.run_slowly(service.delete_model, role):
            raise HTTPException(404, f"there is no {role}")

    async def _models() -> b.ModelsAnswer:
        serving, available = service.serving, await threads.run(service.models)
        of = {CANDIDATE: serving.share, MAIN: 1 - (serving.share if serving.candidate else 0)}
        rows = [
            b.ModelInfo(
                role=role,
                name=live.name,
                version=live.version,
                share=of.get(role, 0),
                users=round(100 * of.get(role, 0)),
            )
            for role, live in serving.all.items()
        ]
        return b.ModelsAnswer(serving=rows, available=list(available))

    @app.get("/health/live")
    async def alive() -> b.HealthAnswer:
        """Whether the process answers."""
        return b.HealthAnswer(status="ok")

    @app.get("/health/ready")
    async def ready() -> b.HealthAnswer:
        """Whether lists can be asked for and events sent: the database can be written."""
        await threads.run(service.store.check)
        return b.HealthAnswer(status="ok")

    @app.get("/metrics", dependencies=reads, response_class=Response)
    async def get_metrics() -> Response:
        """Counters, as Prometheus reads them."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    app.state.service = service
    _handle_errors(app)
    page = files("gnnrec.serving.http") / "page"
    app.mount("/", StaticFiles(directory=str(page), html=True), name="page")
    return Guard(app, settings, tokens, metrics)


def _handle_errors(app: FastAPI) -> None:
    """Every error is one line and, where there are several faults, the others."""

    def told(status: int, message: str, details: tuple[str, ...] = (), wait: int | None = None) -> JSONResponse:
        headers = None if wait is None else {"Retry-After": str(wait)}
        return JSONResponse({"error": message, "details": list(details)}, status, headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        lines = tuple(f"{'.'.join(map(str, one['loc'][1:])) or one['loc'][0]}: {one['msg']}" for one in error.errors())
        return told(422, lines[0] if lines else "the request cannot be read", lines[1:20])

    @app.exception_handler(HTTPException)
    async def _refused(_: Request, error: HTTPException) -> JSONResponse:
        return told(error.status_code, str(error.detail))

    @app.exception_handler(404)
    async def _missing(_: Request, error: Any) -> JSONResponse:
        return told(404, str(getattr(error, "detail", "there is no such address")))

    @app.exception_handler(405)
    async def _method(_: Request, error: Any) -> JSONResponse:
        answer = told(405, "the address has no such method")
        answer.headers.update(getattr(error, "headers", None) or {})
        return answer

    @app.exception_handler(InputError)
    async def _wrong(_: Request, error: InputError) -> JSONResponse:
        return told(422, str(error))

    @app.exception_handler(BusyError)
    async def _busy(_: Request, error: BusyError) -> JSONResponse:
        return told(503, "too many requests wait; come again", wait=1)

    @app.exception_handler(TimeoutError)
    async def _late(_: Request, error: TimeoutError) -> JSONResponse:
        return told(503, "the request took too long; come again", wait=2)

    @app.exception_handler(StoreError)
    async def _store(request: Request, error: StoreError) -> JSONResponse:
        fields = {"request_id": request.state.request_id, "error": str(error)}
        log.error("the database does not answer", extra={"fields": fields})
        return told(503, "the database does not answer or cannot be written; nothing of the request is stored", wait=2)


def _lifespan(service: Service, threads: Threads) -> Callable[[FastAPI], Any]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(_every(FLUSH, threads, service.flush))]
        tasks.append(asyncio.create_task(_every(PRUNE, threads, service.forget_lists)))
        if not service.store.alone:
            tasks.append(asyncio.create_task(_every(REFRESH, threads, service.refresh)))
        log.info("ready", extra={"fields": {"store": str(service.store), "model": service.serving.main.version}})
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            threads.close()
            service.close()
            log.info("stopped", extra={"fields": {}})

    return lifespan


async def _every(seconds: float, threads: Threads, work: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await threads.run_slowly(work)
        except StoreError as error:
            log.warning("the database does not answer", extra={"fields": {"error": str(error)}})
        except Exception:
            log.exception("work in the background failed")


def _pairs(only: list[str]) -> list[tuple[str, str]]:
    for one in only:
        if ":" not in one:
            raise InputError(f"only: {one!r} is no attribute:value, such as genre:Comedy")
    return [(name, value) for name, _, value in (one.partition(":") for one in only)]


def _rows(live: LiveModel, ranked: Ranked, why: list[list[dict[str, Any]]] | None = None) -> list[dict[str, Any]]:
    rows = []
    for rank, (place, score) in enumerate(zip(ranked.item.tolist(), ranked.score.tolist(), strict=True), 1):
        row = {"rank": rank, "item": live.id(place), "title": live.title(place), "score": score}
        rows.append(
            row if why is None else {**row, "why": [{**one, "value": _plain(one["value"])} for one in why[rank - 1]]}
        )
    return rows


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _list(answer: Answer) -> dict[str, Any]:
    return {
        "request_id": answer.request,
        "model": answer.live.version,
        "source": answer.ranked.source,
        "items": _rows(answer.live, answer.ranked, answer.why),
        "warnings": list(answer.warnings),
    }


def _told(answer: Answer) -> Response:
    """The answer as it is: it was made here, and checking it again would take longer than making it."""
    return JSONResponse(_list(answer))
