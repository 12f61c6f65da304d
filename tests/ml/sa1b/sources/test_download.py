"""Downloads from a real server that cuts connections, lies, refuses and changes its mind."""

import gzip
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from ml.errors import UserError
from ml.sa1b.sources import download as module
from ml.sa1b.sources.download import download

DATA = bytes(range(256)) * 4000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server whose `script` says what each request in turn gets; `asked` has the requests' ranges."""
    monkeypatch.setattr(module, "BACKOFF", 0.001)
    state = SimpleNamespace(script=[], asked=[], etag='"one"', data=DATA, address="", wait="0")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            answer(self, state, state.script.pop(0) if state.script else "whole", wanted)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=httpd.serve_forever, daemon=True).start()
    state.address = f"http://127.0.0.1:{httpd.server_port}/sa_000000.tar?signature=secret"
    yield state
    httpd.shutdown()
    httpd.server_close()


OTHERS: dict[str, tuple[int, dict[str, str], bytes]] = {  # status, headers, body
    "expired": (400, {}, b"<Error><Code>ExpiredToken</Code></Error>"),
    "request expired": (400, {}, b"<Error><Message>Request has expired</Message></Error>"),
    "page": (200, {"Content-Type": "text/html; charset=utf-8"}, b"busy"),
    "page by its bytes": (200, {"Content-Type": "application/x-tar"}, b"\n<!DOCTYPE html><html>log in</html>"),
    "login": (302, {"Location": "/login"}, b""),
    "loop": (302, {"Location": "/sa_000000.tar"}, b""),
    "gzip": (200, {"Content-Encoding": "gzip"}, gzip.compress(DATA)),
    "begun anew": (206, {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}, DATA),
}


def refuse(handler: BaseHTTPRequestHandler, wait: str, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response(status)
    for name, value in {"Retry-After": wait, "Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def answer(handler: BaseHTTPRequestHandler, state: Any, kind: str, wanted: str | None) -> None:
    kind = "page" if handler.path == "/login" else kind
    if kind in OTHERS:
        refuse(handler, state.wait, *OTHERS[kind])
        return
    if kind.isdigit():
        refuse(handler, state.wait, int(kind), {}, b"")
        return
    given = handler.headers.get("If-Range")
    resumes = wanted is not None and (given == state.etag or kind == "any range") and kind != "no ranges"
    start = int(wanted.removeprefix("bytes=").removesuffix("-")) if resumes and wanted else 0
    body = state.data[start:]
    handler.send_response(206 if resumes else 200)
    if resumes:
        first = start + 7 if kind == "wrong range" else start
        total = len(state.data) + 7 if kind == "wrong total" else len(state.data)
        handler.send_header("Content-Range", f"bytes {first}-{len(state.data) - 1}/{total}")
    if state.etag:
        handler.send_header("ETag", state.etag)
    if "length" not in kind:
        handler.send_header("Content-Length", str(len(body) + (5000 if kind == "too long" else 0)))
    handler.end_headers()
    sent = {"cut": len(body) // 2, "drip": 100_000, "cut without length": 70_000}.get(kind, len(body))
    handler.wfile.write(body[:sent])
    handler.close_connection = True


def fetch(
    server: Any, out: Path, retries: int = 3, check: Any = lambda path: "", progress: Any = lambda done, total: None
) -> None:
    download(lambda: server.address, out, retries, check, progress)


def test_whole(server: Any, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch(server, tmp_path / "a.tar", progress=lambda done, total: seen.append((done, total)))
    assert (tmp_path / "a.tar").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    assert seen[-1] == (len(DATA), len(DATA))


def test_cut_connections_are_resumed(server: Any, tmp_path: Path) -> None:
    server.script = ["cut", "cut", "whole"]
    fetch(server, tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_bytes() == DATA
    assert server.asked == [None, f"bytes={len(DATA) // 2}-", f"bytes={len(DATA) * 3 // 4}-"]


def test_another_run_goes_on(server: Any, tmp_path: Path) -> None:
    server.script = ["cut", "503"]
    with pytest.raises(UserError, match="gave up after 2 attempts, run again to go on"):
        fetch(server, tmp_path / "a.tar", retries=0)
    assert not (tmp_path / "a.tar").exists()
    fetch(server, tmp_path / "a.tar", retries=0)
    assert (tmp_path / "a.tar").read_bytes() == DATA
    assert server.asked[1:] == [f"bytes={len(DATA) // 2}-"] * 2


def test_a_changed_file_is_begun_anew(server: Any, tmp_path: Path) -> None:
    server.script = ["cut", "503"]
    with pytest.raises(UserError):
        fetch(server, tmp_path / "a.tar", retries=0)
    server.etag, server.data = '"two"', DATA[::-1]
    fetch(server, tmp_path / "a.tar", retries=0)
    assert (tmp_path / "a.tar").read_bytes() == DATA[::-1]


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_validator_it_is_begun_anew(server: Any, tmp_path: Path, etag: str) -> None:
    server.etag, server.script = etag, ["cut", "whole"]
    fetch(server, tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_bytes() == DATA
    assert server.asked == [None, None]


@pytest.mark.parametrize(
    "script",
    [
        ["403", "429", "503", "whole"],
        ["too long", "whole"],
        ["cut", "no ranges"],
        ["cut", "wrong range"],
        ["cut", "wrong total"],
        ["cut", "begun anew"],
        ["cut", "416"],
        ["no length"],
        ["expired", "request expired"],
        ["page", "page by its bytes"],
        ["login", "login"],
        ["gzip"],
        ["loop"] * 31,
    ],
)
def test_what_passes(server: Any, tmp_path: Path, script: list[str]) -> None:
    server.script = script
    fetch(server, tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_bytes() == DATA


def test_only_attempts_that_bring_nothing_count(server: Any, tmp_path: Path) -> None:
    server.script = ["drip"] * 12
    fetch(server, tmp_path / "a.tar", retries=0)
    assert (tmp_path / "a.tar").read_bytes() == DATA
    assert server.asked == [None, *(f"bytes={n}00000-" for n in range(1, 11))]


def test_beginning_anew_each_time_counts(server: Any, tmp_path: Path) -> None:
    server.etag, server.script = "", ["drip"] * 9
    with pytest.raises(UserError, match="gave up after 4 attempts"):
        fetch(server, tmp_path / "a.tar", retries=2)
    assert len(server.asked) == 4


def test_a_part_of_another_file_is_not_put_behind_the_first(server: Any, tmp_path: Path) -> None:
    """A server that ignores If-Range."""
    server.etag, server.data, server.script = '"old"', DATA[::-1], ["cut", "503"]
    with pytest.raises(UserError):
        fetch(server, tmp_path / "a.tar", retries=0)
    server.etag, server.data, server.script = '"new"', DATA, ["any range"]
    fetch(server, tmp_path / "a.tar", retries=1)
    assert (tmp_path / "a.tar").read_bytes() == DATA


def test_without_a_length_the_check_tells_what_is_cut(server: Any, tmp_path: Path) -> None:
    server.script = ["cut without length"]
    fetch(server, tmp_path / "a.tar", check=lambda path: "" if path.stat().st_size == len(DATA) else "cut")
    assert (tmp_path / "a.tar").read_bytes() == DATA


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("page", "a web page came, not a tar: is the link behind a login?"),
        ("page by its bytes", "a web page came, not a tar: is the link behind a login?"),
        ("login", "is the link behind a login? (it leads to 127.0.0.1)"),
        ("gzip", "came with Content-Encoding gzip, though identity was asked for"),
        ("loop", "redirected again and again, in a circle"),
        ("expired", "status 400 (has the link expired?)"),
    ],
)
def test_what_does_not_pass_is_named(server: Any, tmp_path: Path, kind: str, said: str) -> None:
    server.script = [kind] * 100
    with pytest.raises(UserError) as error:
        fetch(server, tmp_path / "a.tar", retries=1)
    text = str(error.value)
    assert said in text
    assert "secret" not in text
    assert "\n" not in text
    assert len(text) < 300


@pytest.mark.parametrize("longest", [60, 5])
def test_a_date_to_wait_for(server: Any, tmp_path: Path, longest: float, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(module, "LONGEST_WAIT", longest)
    monkeypatch.setattr(module.time, "sleep", slept.append)
    server.script, server.wait = ["503"], formatdate(time.time() + 20, usegmt=True)
    fetch(server, tmp_path / "a.tar")
    assert slept[0] == pytest.approx(min(19.5, longest), abs=1)


@pytest.mark.parametrize("wait", ["soon", "-5", "\xb2", "Thu, 01 Jan 1970 00:00:00 GMT", "9" * 400])
def test_a_wait_that_is_none(server: Any, tmp_path: Path, wait: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    server.script, server.wait = ["503"], wait
    fetch(server, tmp_path / "a.tar")
    assert slept[0] < 1


def test_gives_up_without_telling_the_signature(server: Any, tmp_path: Path) -> None:
    server.script = ["503"] * 9
    with pytest.raises(UserError, match="status 503; gave up after 3 attempts") as error:
        fetch(server, tmp_path / "a.tar", retries=2)
    assert "secret" not in str(error.value)
    assert len(server.asked) == 3


def test_refused_for_good(server: Any, tmp_path: Path) -> None:
    server.script = ["400"]
    with pytest.raises(UserError, match=r"status 400; check shards\.source"):
        fetch(server, tmp_path / "a.tar")


def test_what_the_check_refuses_is_downloaded_again(server: Any, tmp_path: Path) -> None:
    faults = iter(["md5 differs", ""])
    fetch(server, tmp_path / "a.tar", check=lambda path: next(faults))
    assert server.asked == [None, None]
    with pytest.raises(UserError, match="md5 differs"):
        fetch(server, tmp_path / "b.tar", retries=1, check=lambda path: "md5 differs")
    assert not (tmp_path / "b.tar").exists()


def test_address_is_asked_again_for_each_attempt(server: Any, tmp_path: Path) -> None:
    server.script = ["403", "whole"]
    asked: list[int] = []

    def address() -> str:
        asked.append(1)
        return str(server.address)

    download(address, tmp_path / "a.tar", 3, lambda path: "")
    assert len(asked) == 2


def test_too_little_space(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"1024000 bytes are to come, 1000 are free"):
        fetch(server, tmp_path / "a.tar")


def test_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF", 0.001)
    with pytest.raises(UserError, match="ConnectionError; gave up after 2 attempts"):
        download(lambda: "http://127.0.0.1:9/a.tar", tmp_path / "a.tar", 1, lambda path: "")
