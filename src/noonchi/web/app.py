"""The routes: what is asked over HTTP, handed to the worker, and told as JSON."""

import asyncio
import json
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from noonchi import page
from noonchi.errors import did_you_mean, reason
from noonchi.predictor import Invert
from noonchi.web import schemas
from noonchi.web.body import Bodies
from noonchi.web.limits import Limits
from noonchi.web.link import Worker
from noonchi.web.meters import Meters
from noonchi.web.queue import Kind, Queue
from noonchi.web.refusals import Refused, busy, response

Model = Annotated[str | None, Query(description="A classifier's name; the first one's if not given.")]


def create(worker: Worker, limits: Limits, meters: Meters) -> FastAPI:
    """The application, without its guard."""
    app = FastAPI(title="noonchi", version="1", docs_url=None, redoc_url=None, responses=schemas.ALWAYS)
    bodies, queue = Bodies(limits), Queue(worker, limits, meters)
    _add_predictions(app, worker, bodies, queue)
    _add_explanations(app, worker, bodies, limits)
    _add_state(app, worker, queue, meters)
    for kind, handler in (
        (Refused, _refused),
        (RequestValidationError, _invalid),
        (HTTPException, _unknown),
        (Exception, _bug),
    ):
        app.add_exception_handler(kind, handler)
    return app


def _add_predictions(app: FastAPI, worker: Worker, bodies: Bodies, queue: Queue) -> None:
    @app.post("/v1/predict", openapi_extra=schemas.PICTURES, responses=schemas.PREDICTIONS)
    async def predict(
        request: Request,
        model: Model = None,
        top: Annotated[
            int | None, Query(ge=1, description="Likeliest classes told of each head; all if not given.")
        ] = None,
        invert: Invert = "no",
    ) -> Response:
        """What a classifier says of one or more pictures."""
        name = _named(worker, model)
        async with bodies.pictures(request) as pictures:
            answer = await queue.predict(Kind(name, invert), pictures.names, pictures.contents, top)
        head = f'{{"model": {json.dumps(name)}, "version": "{answer.version}", "predictions": ['
        content = b"".join((head.encode(), answer.predictions, b"]}"))
        return Response(content, 200 if answer.read else 422, media_type="application/json")


def _add_explanations(app: FastAPI, worker: Worker, bodies: Bodies, limits: Limits) -> None:
    under_way = asyncio.Semaphore(limits.waiting_explanations)

    @app.post("/v1/explain", openapi_extra=schemas.PICTURE, responses=schemas.EXPLANATION)
    async def explain(
        request: Request,
        *,
        model: Model = None,
        head: Annotated[
            str | None, Query(description="Whose answer is explained; the first head's if not given.")
        ] = None,
        class_name: Annotated[str | None, Query(alias="class", description="The likeliest if not given.")] = None,
        what: Literal["map", "activations"] = "map",
        invert: Invert = "no",
    ) -> Response:
        """What in one picture speaks for a class, or what each layer gives for it, as pictures."""
        asked = {"do": "explain", "model": _named(worker, model), "head": head, "class": class_name, "what": what}
        asked["invert"] = invert
        async with bodies.pictures(request) as pictures:
            if len(pictures.contents) > 1:
                raise Refused(400, f"{len(pictures.contents)} pictures came; one is explained at a time.")
            if under_way.locked():
                raise busy("others wait for explanations already; try again in a moment.")
            async with under_way:
                answer = await _in_time(worker.ask(asked, pictures.contents), limits.answer_s)
        if "error" in answer.told:
            raise Refused(answer.told["status"], answer.told["error"])
        return Response(answer.parts[0], media_type="application/json")


def _add_state(app: FastAPI, worker: Worker, queue: Queue, meters: Meters) -> None:
    @app.get("/v1/models", responses=schemas.MODELS)
    async def models() -> JSONResponse:
        """The classifiers that are served."""
        return JSONResponse({"models": list(worker.models.values())})

    @app.get("/health/live", responses=schemas.LIVE)
    async def live() -> JSONResponse:
        """Whether the server runs."""
        return JSONResponse({"status": "live"})

    @app.get("/health/ready", responses=schemas.READY)
    async def ready() -> JSONResponse:
        """Whether it can answer about pictures."""
        if not worker.ready:
            raise busy("the worker is being started again; try again in a moment.")
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", responses=schemas.METRICS)
    async def metrics() -> Response:
        """Counts for Prometheus."""
        meters.ready.set(worker.ready)
        meters.restarts.set(worker.restarts)
        meters.waiting.set(queue.pictures)
        return Response(meters.text(), media_type="text/plain; version=0.0.4")

    whole = page.html("noonchi", ("remote.js",))
    policy = {"Content-Security-Policy": page.policy_of(whole)}

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def start() -> HTMLResponse:
        return HTMLResponse(whole, headers=policy)


def paths(app: FastAPI) -> frozenset[str]:
    """Of all its routes."""
    return frozenset(route.path for route in app.routes if isinstance(route, Route))


def _named(worker: Worker, name: str | None) -> str:
    if name is None:
        return next(iter(worker.models))
    if name not in worker.models:
        raise Refused(404, f"'{name}' is not served here. {did_you_mean(name, worker.models)}")
    return name


async def _in_time(answer: "asyncio.Future[Any]", limit_s: float) -> Any:
    try:
        async with asyncio.timeout(limit_s):
            return await answer
    except TimeoutError:
        raise Refused(504, f"no answer within {limit_s:g} s; send a smaller picture, or try again later.") from None


async def _bug(_: Request, error: Any) -> Response:
    """Told here; its traceback is printed where the server runs."""
    return response(Refused(500, f"this is a bug of noonchi's: {reason(error)}"))


async def _refused(_: Request, error: Any) -> Response:
    return response(error)


async def _invalid(_: Request, error: Any) -> Response:
    """The first of what does not suit."""
    first = error.errors()[0]
    return response(Refused(400, f"{first['loc'][-1]}: {first['msg']}."))


async def _unknown(request: Request, error: Any) -> Response:
    told = {
        404: f"there is nothing at '{request.url.path}'.",
        405: f"{request.method} is not for '{request.url.path}'.",
    }
    return response(Refused(error.status_code, told.get(error.status_code, str(error.detail)), error.headers))
