"""Shards in a real S3 server on this machine."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest

from ml.errors import UserError
from ml.params import Params
from ml.sa1b.sources import s3
from ml.sa1b.sources.download import download
from ml.sa1b.sources.listing import fetch, list_shards
from ml.sa1b.sources.s3 import list_tars, open_object, read_range
from ml.sa1b.sources.transfer import Version
from ml.workspace import Workspace
from ml.workspace.settings import preset


def params(source: str) -> Params:
    base = preset("toytown")
    shards = base.shards.model_copy(update={"source": source, "count": None, "retries": 0})
    return base.model_copy(update={"shards": shards})


def test_list_and_fetch(bucket: Any, shard: Path, tmp_path: Path) -> None:
    for key in ("v1/sa_000001.tar", "v1/sa_000000.tar", "v1/notes.txt", "v1/more/sa_000002.tar", "v10/sa_9.tar"):
        bucket.put_object(Key=key, Body=shard.read_bytes())
    ws = Workspace(tmp_path)
    assert list_shards(params("s3://sa1b/v1"), ws) == ["sa_000000", "sa_000001"]
    fetch("sa_000001", params("s3://sa1b/v1"), ws)
    assert ws.shard_file("sa1b_shards", "sa_000001", ".tar").read_bytes() == shard.read_bytes()


def test_resumes_the_same_object_only(bucket: Any) -> None:
    bucket.put_object(Key="a.tar", Body=b"0123456789")
    with open_object("s3://sa1b/a.tar", 0, None) as body:
        version = body.version
        assert (version.total, b"".join(body.chunks)) == (10, b"0123456789")
    with open_object("s3://sa1b/a.tar", 4, version) as body:
        assert (body.start, b"".join(body.chunks)) == (4, b"456789")
    with open_object("s3://sa1b/a.tar", 4, Version(10, '"other"')) as body:
        assert (body.start, b"".join(body.chunks)) == (0, b"0123456789")


def test_objects_of_several_parts(bucket: Any, tmp_path: Path) -> None:
    data = bytes(range(256)) * 40_000
    source = tmp_path / "source"
    source.write_bytes(data)
    config = boto3.s3.transfer.TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    bucket.upload_file(str(source), "big.tar", Config=config)
    download(lambda: "s3://sa1b/big.tar", tmp_path / "big.tar", 0, lambda path: "")
    assert (tmp_path / "big.tar").read_bytes() == data


def test_what_is_not_there(bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be listed"):
        list_tars("s3://nobody/v1")
    with pytest.raises(UserError, match=r"check shards\.source"):
        download(lambda: "s3://sa1b/none.tar", tmp_path / "a.tar", 0, lambda path: "")
    assert list(tmp_path.iterdir()) == []


def test_a_range_of_an_object(bucket: Any) -> None:
    bucket.put_object(Key="a.tar", Body=b"0123456789")
    assert [read_range("s3://sa1b/a.tar", at, 3) for at in (0, 4, 7)] == [b"012", b"456", b"789"]
    with pytest.raises(UserError, match="2 bytes at 8, 3 wanted; run mask_index"):
        read_range("s3://sa1b/a.tar", 8, 3)
    with pytest.raises(UserError, match="bytes=10-12 can't be read"):
        read_range("s3://sa1b/a.tar", 10, 3)
    with pytest.raises(UserError, match="check the AWS variables"):
        read_range("s3://sa1b/none.tar", 0, 1)


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server of b"0123456789" that breaks off in the middle of an answer while this list holds anything."""
    script: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            body = b"0123456789"[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if script and script.pop() else body)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=httpd.serve_forever, daemon=True).start()
    for name, value in {"ENDPOINT_URL": f"http://127.0.0.1:{httpd.server_port}", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    s3._client.cache_clear()
    yield script
    s3._client.cache_clear()
    httpd.shutdown()
    httpd.server_close()


def test_an_answer_that_breaks_off_is_asked_for_again(breaking: list[str]) -> None:
    breaking[:] = ["cut"] * (s3.ATTEMPTS - 1)
    assert read_range("s3://sa1b/a.tar", 4, 3) == b"456"
    breaking[:] = ["cut"] * (s3.ATTEMPTS + 1)
    with pytest.raises(UserError, match="bytes=4-6 can't be read"):
        read_range("s3://sa1b/a.tar", 4, 3)
    assert breaking == ["cut"]
