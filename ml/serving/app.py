"""The routes of a server, whoever answers behind them."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import FileResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from ml.serving import refusals
from ml.serving.asking import Asked, Kind, form
from ml.serving.browse import routes
from ml.serving.gate import Door, Gate
from ml.serving.limits import Limits
from ml.workspace import Workspace

Ask = Callable[[Asked], Awaitable[Response]]
KINDS: dict[Kind, tuple[str, str]] = {
    "find": ("/v1/ask", "What in a picture a text means: box, score, ranked masks, for each query."),
    "caption": ("/v1/caption", "One sentence about a picture."),
    "question": ("/v1/question", "An answer to each question, with the mask that it is read from."),
}


def build(app: FastAPI, ask: Ask, door: Door, ws: Workspace | None) -> None:
    """Give an app its routes, and the gate before them.

    Args:
        ask: answers a request.
        ws: the workspace whose data can be browsed, if there is one.
    """
    app.title, app.version = "ARR-COC", "1"
    for kind, (path, told) in KINDS.items():
        _route(app, ask, kind, path, told, door.limits)
    app.add_api_route("/healthz", _alive, summary="Whether the process is there.")
    app.add_api_route("/metrics", _metrics, summary="Prometheus metrics.")
    app.add_api_route("/", _page, include_in_schema=False)
    routes.add(app, ws, asks=True)
    refusals.tell(app)
    app.add_middleware(Gate, door=door)


def _route(app: FastAPI, ask: Ask, kind: Kind, path: str, told: str, limits: Limits) -> None:
    async def answer(asked: Annotated[Asked, Depends(form(kind, limits))]) -> Response:
        return await ask(asked)

    app.add_api_route(path, answer, methods=["POST"], summary=told, response_class=JSONResponse, name=kind)


def _page() -> FileResponse:
    return FileResponse(routes.FILES / "index.html")


def _alive() -> dict[str, bool]:
    return {"ok": True}


def _metrics() -> Response:
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
