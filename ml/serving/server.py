"""`arrcoc serve`: the routes, and LitServe's workers behind them.

LitServe queues requests, makes batches of them and starts a worker again that died. Its HTTP server runs as a thread of
this process, so that a stop can wait for what is at work.
"""

import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import litserve
from fastapi import Depends, FastAPI
from fastapi.responses import FileResponse, JSONResponse, Response
from litserve.server import RegularRequestHandler
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from ml.serving import refusals
from ml.serving.asking import Asked, Kind, form
from ml.serving.browse import routes
from ml.serving.client import KEY
from ml.serving.gate import Door, Gate
from ml.serving.limits import Limits
from ml.serving.released import Released
from ml.serving.worker import Worker
from ml.workspace import Workspace

HOSTS = ("127.0.0.1", "0.0.0.0", "::")  # that LitServe takes
KINDS: dict[Kind, tuple[str, str]] = {
    "find": ("/v1/ask", "What in a picture a text means: box, score, ranked masks, for each query."),
    "caption": ("/v1/caption", "One sentence about a picture."),
    "question": ("/v1/question", "An answer to each question, with the mask that it is read from."),
}
REPLACED = ("/", "/v1/batch")  # LitServe's own routes
GRACE = 30.0  # seconds in which requests at work may finish


def serve(package: Path, host: str, port: int, workers: int, limits: Limits, ws: Workspace | None = None) -> None:
    """Serve a released folder until it is told to stop, and the pages of what its workspace holds, if it has one.

    Raises:
        UserError: there is no released model, or it is broken.
    """
    Released(package)  # says what is wrong with it in a line, before workers are started
    for name in ("litserve", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    server = litserve.LitServer(
        Worker(package, limits),
        accelerator="cpu",
        workers_per_device=workers,
        timeout=limits.seconds,
        healthcheck_path="/readyz",
        info_path="/v1/server",
        restart_workers=True,
    )
    door = Door(limits, os.environ.get(KEY))
    build(server, door, ws)
    _stop_when_told(door)
    print(f"arrcoc: http://{host}:{port} as soon as the model is loaded; /docs tells what to send", file=sys.stderr)
    try:
        server.run(
            host=host,
            port=port,
            num_api_servers=1,
            api_server_worker_type="thread",
            log_level="critical",
            generate_client_file=False,
        )
    finally:
        os._exit(0)  # the HTTP server's thread would go on


def build(server: litserve.LitServer, door: Door, ws: Workspace | None) -> None:
    """Give LitServe's app its routes, and the gate before them."""
    app: FastAPI = server.app
    app.title, app.version = "ARR-COC", "1"
    app.router.routes = [route for route in app.router.routes if getattr(route, "path", "") not in REPLACED]
    handler = RegularRequestHandler(server.litapi_connector.lit_apis[0], server)
    for kind, (path, told) in KINDS.items():
        _route(app, handler, kind, path, told, door.limits)
    app.add_api_route("/healthz", _alive, summary="Whether the process is there.")
    app.add_api_route("/metrics", _metrics, summary="Prometheus metrics.")
    app.add_api_route("/", _page, include_in_schema=False)
    routes.add(app, ws, asks=True)
    refusals.tell(app)
    app.add_middleware(Gate, door=door)


def _route(app: FastAPI, handler: RegularRequestHandler, kind: Kind, path: str, told: str, limits: Limits) -> None:
    async def answer(asked: Annotated[Asked, Depends(form(kind, limits))]) -> Response:
        return await handler.handle_request(asked, Asked)

    app.add_api_route(path, answer, methods=["POST"], summary=told, response_class=JSONResponse, name=kind)


def _page() -> FileResponse:
    return FileResponse(routes.FILES / "index.html")


def _alive() -> dict[str, bool]:
    return {"ok": True}


def _metrics() -> Response:
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


def _stop_when_told(door: Door) -> None:
    """At SIGTERM or Ctrl-C nobody is let in any more, and who is inside may finish."""

    def stop(*_: Any) -> None:
        if not door.closing:
            door.closing, until = True, time.monotonic() + GRACE
            while door.inside and time.monotonic() < until:
                time.sleep(0.05)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
