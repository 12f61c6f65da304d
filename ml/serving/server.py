"""`arrcoc serve`: LitServe's workers behind the routes.

LitServe queues requests, makes batches of them and starts a worker again that died. Its HTTP server runs as a thread of
this process, so that a stop can wait for what is at work.
"""

import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import litserve
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from litserve.server import RegularRequestHandler

from ml.serving.app import build
from ml.serving.asking import Asked
from ml.serving.gate import Door
from ml.serving.limits import KEY, Limits
from ml.serving.released import Released
from ml.serving.worker import BATCH, PATIENCE, Worker
from ml.workspace import Workspace

BATCHED = "/v1/batch"
REPLACED = ("/", BATCHED)  # LitServe's own routes
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
        Process(package, limits),
        accelerator="cpu",
        workers_per_device=workers,
        timeout=limits.seconds,
        healthcheck_path="/readyz",
        info_path="/v1/server",
        restart_workers=True,
    )
    door = Door(limits, os.environ.get(KEY))
    app: FastAPI = server.app
    app.router.routes = [route for route in app.router.routes if getattr(route, "path", "") not in REPLACED]
    handler = RegularRequestHandler(server.litapi_connector.lit_apis[0], server)
    build(app, lambda asked: handler.handle_request(asked, Asked), door, ws)
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


class Process(litserve.LitAPI):  # type: ignore[misc]
    """A worker in a process of its own, as LitServe wants it."""

    def __init__(self, package: Path, limits: Limits) -> None:
        super().__init__(max_batch_size=BATCH, batch_timeout=PATIENCE, api_path=BATCHED)
        self.package, self.limits = package, limits

    def setup(self, device: str) -> None:
        """Load the package."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which lets its workers finish
        self.worker = Worker(self.package, self.limits)

    def predict(self, x: list[Asked]) -> list[JSONResponse]:
        """Answer a batch."""
        return self.worker.answer(x)

    def unbatch(self, output: list[JSONResponse]) -> list[JSONResponse]:
        """The responses are apart already."""
        return output


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
