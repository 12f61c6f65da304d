"""A server on 127.0.0.1 with OpenAI's interface: it answers as a test wants, and counts."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Request = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What the server sends. `sent`: bytes of the body before the connection is closed; None: all of them."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/json"
    wait: float = 0.0  # seconds before anything is sent
    drip: float = 0.0  # seconds between any two bytes
    sent: int | None = None


def completion(
    text: str | None, finish: str = "stop", tokens: tuple[int, int] | None = (100, 5), **message: Any
) -> Reply:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    value: dict[str, Any] = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    if tokens:
        value["usage"] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    return Reply(json.dumps(value).encode())


def failure(status: int, message: str = "no", code: str | None = None, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps({"error": {"message": message, "code": code}}).encode(), status, named)


@dataclass
class Server:
    """`answer`: what a question gets, by its JSON and how often it has come; `models`: what the list of models gets."""

    url: str = ""
    answer: Callable[[Request, int], Reply] = lambda request, time: completion("a red car")
    models: Callable[[], Reply] = lambda: Reply(b'{"object": "list", "data": []}')
    requests: list[Request] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    times: Counter[str] = field(default_factory=Counter)  # that each image was asked about
    paid: int = 0  # completions that were sent whole
    together: int = 0  # the most questions at a time
    open: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def take(self, request: Request) -> Reply:
        with self.lock:
            self.requests.append(request)
            self.open += 1
            self.together = max(self.together, self.open)
            image = image_of(request)
            self.times[image] += 1
            times = self.times[image]
        return self.answer(request, times)

    def done(self, reply: Reply) -> None:
        with self.lock:
            self.open -= 1
            self.paid += reply.status == 200 and reply.sent is None


def image_of(request: Request) -> str:
    return request["messages"][0]["content"][1]["image_url"]["url"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self.server.state.keys.add(self.headers.get("Authorization", ""))
        self.send(self.server.state.models())

    def do_POST(self) -> None:
        state: Server = self.server.state
        state.keys.add(self.headers.get("Authorization", ""))
        reply = state.take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        try:
            self.send(reply)
        finally:
            state.done(reply)

    def send(self, reply: Reply) -> None:
        time.sleep(reply.wait)
        self.send_response(reply.status)
        for name, value in {
            "Content-Type": reply.kind,
            "Content-Length": str(len(reply.body)),
            **reply.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        body = reply.body[: reply.sent]
        for chunk in [body[i : i + 1] for i in range(len(body))] if reply.drip else [body]:
            self.wfile.write(chunk)
            time.sleep(reply.drip)
        if reply.sent is not None:
            self.close_connection = True

    def handle(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the client has given up waiting
            super().handle()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    """The server, while the block runs."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    http.state = Server(f"http://127.0.0.1:{http.server_port}/v1")  # type: ignore[attr-defined]
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield http.state  # type: ignore[attr-defined]
    http.shutdown()
    http.server_close()
