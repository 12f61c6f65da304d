"""`arrcoc serve` on a Ray cluster: the same routes and workers, as deployments of Ray Serve.

One process on the cluster's head takes the requests, with the gate before them; Ray makes batches of them, and starts a
replica again that died. The nodes see the package under one path.
"""

import asyncio
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse
from ray import serve
from ray.exceptions import RayError
from ray.serve.handle import DeploymentHandle

from ml.serving.app import build
from ml.serving.asking import Asked
from ml.serving.gate import Door
from ml.serving.limits import Limits
from ml.serving.worker import BATCH, PATIENCE, Worker
from ml.workspace import Workspace


def application(
    package: Path, workers: int, limits: Limits, key: str | None, ws: Workspace | None
) -> serve.Application:
    """What Ray is to run: the entrance, and the replicas behind it."""
    replicas = serve.deployment(num_replicas=workers, max_ongoing_requests=2 * BATCH)(Replica)
    entrance = serve.deployment(max_ongoing_requests=2 * limits.waiting)(Entrance)  # the gate refuses, not the queue
    return entrance.bind(replicas.bind(package, limits), limits, key, ws)


class Replica:
    """A worker; each has pictures of its own."""

    def __init__(self, package: Path, limits: Limits) -> None:
        self.worker = Worker(package, limits)

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=PATIENCE)
    async def answer(self, batch: list[Asked]) -> list[JSONResponse]:
        """Answer a batch."""
        return await asyncio.to_thread(self.worker.answer, batch)  # Ray asks meanwhile whether this process is well


@serve.ingress()
class Entrance:
    """The routes, and the gate before them."""

    def __init__(self, replicas: DeploymentHandle, limits: Limits, key: str | None, ws: Workspace | None) -> None:
        self.replicas, self.door, self.ws = replicas, Door(limits, key), ws

    def __serve_build_asgi_app__(self) -> FastAPI:
        app = FastAPI()
        app.add_api_route("/readyz", _ready, summary="Whether the model is loaded.")
        build(app, self._ask, self.door, self.ws)
        return app

    async def _ask(self, asked: Asked) -> JSONResponse:
        try:
            answer: JSONResponse = await self.replicas.answer.remote(asked)
        except RayError as error:  # its replica died
            raise HTTPException(500) from error
        return answer


def _ready() -> dict[str, bool]:
    return {"ok": True}  # Ray lets nobody in before
