"""Downloads from a real server that cuts connections, lies, refuses and changes its mind."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from ml.errors import UserError
from ml.sa1b.sources import download as module
from ml.sa1b.sources import web
from ml.sa1b.sources.download import download

DATA = bytes(range(256)) * 4000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server whose `script` says what each request in turn gets; `asked` has the requests' ranges."""
    monkeypatch.setattr(module, "BACKOFF", 0.001)
    monkeypatch.setattr(web, "CHUNK", 1000)  # what a cut connection loses at most
    state = SimpleNamespace(script=[], asked=[], etag='"one"', data=DATA, address="")

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


def answer(handler: BaseHTTPRequestHandler, state: Any, kind: str, wanted: str | None) -> None:
    if kind.isdigit():
        handler.send_response(int(kind))
        handler.send_header("Retry-After", "0")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    resumes = wanted is not None and handler.headers.get("If-Range") == state.etag and kind != "no ranges"
    start = int(wanted.removeprefix("bytes=").removesuffix("-")) if resumes and wanted else 0
    body = state.data[start:]
    handler.send_response(206 if resumes else 200)
    if resumes:
        first = start + 7 if kind == "wrong range" else start
        handler.send_header("Content-Range", f"bytes {first}-{len(state.data) - 1}/{len(state.data)}")
    if state.etag:
        handler.send_header("ETag", state.etag)
    if kind != "no length":
        handler.send_header("Content-Length", str(len(body) + (5000 if kind == "too long" else 0)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2] if kind == "cut" else body)
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
    server.script = ["cut"]
    with pytest.raises(UserError, match="gave up after 1 attempts, run again to go on"):
        fetch(server, tmp_path / "a.tar", retries=0)
    assert not (tmp_path / "a.tar").exists()
    fetch(server, tmp_path / "a.tar", retries=0)
    assert (tmp_path / "a.tar").read_bytes() == DATA
    assert server.asked[1] == f"bytes={len(DATA) // 2}-"


def test_a_changed_file_is_begun_anew(server: Any, tmp_path: Path) -> None:
    server.script = ["cut"]
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
        ["no length"],
    ],
)
def test_what_passes(server: Any, tmp_path: Path, script: list[str]) -> None:
    server.script = script
    fetch(server, tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_bytes() == DATA


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
