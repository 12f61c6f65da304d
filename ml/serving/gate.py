"""What stands before every request: the key, the size of its body, the queue and the clock; and what is counted."""

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from fastapi import HTTPException
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from ml.serving.limits import Limits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
VIEWER, BROWSE = "/viewer", "/browse"
OPEN = ("/", BROWSE, "/healthz", "/readyz")  # without a key: who watches the process has none, the pages ask for it
STEPS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Door:
    """What the gate knows: the limits, the key, how many are inside, and whether the server is about to stop."""

    def __init__(self, limits: Limits, key: str | None, registry: CollectorRegistry = REGISTRY) -> None:
        self.limits, self.key = limits, key
        self.inside, self.closing = 0, False
        self.requests = Counter("arrcoc_requests", "Requests answered.", ["path", "status"], registry=registry)
        self.seconds = Histogram(
            "arrcoc_request_seconds", "Time to an answer.", ["path"], buckets=STEPS, registry=registry
        )
        waiting = Gauge("arrcoc_requests_waiting", "Requests at work or in the queue.", registry=registry)
        waiting.set_function(lambda: self.inside)

    def refusal(self, path: str, headers: Mapping[bytes, str]) -> tuple[int, str] | None:
        """Status and reason why a request is not let in; None: it is."""
        if self.key and not self._open(path) and not self._knows(headers):
            return 401, "API key missing or wrong; send it as: Authorization: Bearer KEY"
        if not path.startswith("/v1/"):
            return None
        length = headers.get(b"content-length", "0")
        if not length.isdigit() or int(length) > self.limits.body:
            return 413, f"body: {length} bytes; at most {self.limits.body:,}"
        if self.closing:
            return 503, "the server is stopping; ask again in a moment"
        if self.inside >= self.limits.waiting:
            return 429, f"{self.inside} requests are waiting already; ask again in a moment"
        return None

    def _open(self, path: str) -> bool:
        return path in OPEN or path.startswith(f"{VIEWER}/")

    def _knows(self, headers: Mapping[bytes, str]) -> bool:
        given = headers.get(b"authorization", "").removeprefix("Bearer ") or headers.get(b"x-api-key", "")
        return hmac.compare_digest(given.encode(), (self.key or "").encode())


class Gate:
    """ASGI middleware; refuses with one JSON line."""

    def __init__(self, app: App, door: Door) -> None:
        self.app, self.door, self.limits = app, door, door.limits

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self.door.refusal(scope["path"], headers)
        if refusal:
            await self._refuse(send, *refusal)
        elif scope["path"].startswith("/v1/"):
            await self._timed(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _timed(self, scope: Message, receive: Receive, send: Send) -> None:
        started, sent = time.perf_counter(), [0]

        async def noted(message: Message) -> None:
            sent[0] = message.get("status", sent[0])
            await send(message)

        self.door.inside += 1
        try:
            work = self.app(scope, self._counted(receive), noted)
            await asyncio.wait_for(work, self.limits.seconds)
        except TimeoutError:
            if not sent[0]:
                await self._refuse(noted, 504, f"no answer within {self.limits.seconds:g} seconds")
        finally:
            self.door.inside -= 1
            self.door.requests.labels(scope["path"], sent[0]).inc()
            self.door.seconds.labels(scope["path"]).observe(time.perf_counter() - started)

    def _counted(self, receive: Receive) -> Receive:
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.limits.body:  # a body may bring more than its header says, or have none
                raise HTTPException(413, f"body: more than {self.limits.body:,} bytes")
            return message

        return counted

    async def _refuse(self, send: Send, status: int, reason: str) -> None:
        body = json.dumps({"error": reason}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(b"retry-after", b"1")] if status in (429, 503) else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
