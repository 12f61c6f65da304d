"""Shards in a real S3 server on this machine."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from ml.errors import UserError
from ml.params import Params
from ml.sa1b.sources import download as download_module
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


def refused(status: int, code: str) -> ClientError:
    answer = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")  # type: ignore[arg-type]


class Acting:
    """boto3 with a `get_object` that fails, or does something first, in turn."""

    def __init__(self, script: list[Any]) -> None:
        self.script, self.made = script, boto3.client

    def client(self, *arguments: Any, **keywords: Any) -> Any:
        client = self.made(*arguments, **keywords)
        get = client.get_object

        def act(**request: Any) -> Any:
            step = self.script.pop(0) if self.script else None
            if isinstance(step, Exception):
                raise step
            return step(request, get) if step else get(**request)

        client.get_object = act
        return client


@pytest.mark.parametrize(
    "error",
    [
        refused(503, "SlowDown"),
        refused(400, "RequestTimeout"),
        refused(412, "PreconditionFailed"),
        EndpointConnectionError(endpoint_url="http://x"),
        ReadTimeoutError(endpoint_url="http://x"),
        ResponseStreamingError(error="cut"),
    ],
)
def test_what_passes(bucket: Any, tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "BACKOFF", 0.001)
    bucket.put_object(Key="a.tar", Body=b"0123456789")
    monkeypatch.setattr(s3.boto3, "client", Acting([error, error]).client)
    download(lambda: "s3://sa1b/a.tar", tmp_path / "a.tar", 2, lambda path: "")
    assert (tmp_path / "a.tar").read_bytes() == b"0123456789"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (refused(400, "ExpiredToken"), "has the session token expired?"),
        (refused(400, "400"), "has the session token expired?"),
        (refused(403, "AccessDenied"), "AccessDenied"),
        (refused(404, "NoSuchBucket"), "NoSuchBucket"),
        (NoCredentialsError(), "Unable to locate credentials"),
        (ValueError("Invalid endpoint:\n x" + "x" * 1000), "Invalid endpoint: x"),
    ],
)
def test_what_does_not_pass_is_one_line(
    bucket: Any, tmp_path: Path, error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_object(Key="a.tar", Body=b"0123456789")
    script = [error, error]
    monkeypatch.setattr(s3.boto3, "client", Acting(script).client)
    with pytest.raises(UserError, match=r"check shards\.source and the AWS variables") as caught:
        download(lambda: "s3://sa1b/a.tar", tmp_path / "a.tar", 1, lambda path: "")
    assert script == [error]
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_an_object_that_is_replaced_under_way(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaced between the look at it and the reading, and again behind a part of it."""
    monkeypatch.setattr(download_module, "BACKOFF", 0.001)
    old, new = bytes(3_000_000), b"\1" * 3_000_000

    def replaced(request: Any, get: Any) -> Any:
        bucket.put_object(Key="a.tar", Body=new)
        return get(**request)

    def cut(request: Any, get: Any) -> Any:
        answer = get(**request)
        body = answer["Body"]
        answer["Body"] = SimpleNamespace(iter_chunks=lambda size: broken(body.read(size)))
        return answer

    def broken(first: bytes) -> Iterator[bytes]:
        yield first
        bucket.put_object(Key="a.tar", Body=new)
        raise ResponseStreamingError(error="cut")

    script: list[Any] = []
    monkeypatch.setattr(s3.boto3, "client", Acting(script).client)
    for step in (replaced, cut):
        bucket.put_object(Key="a.tar", Body=old)
        script.append(step)
        download(lambda: "s3://sa1b/a.tar", tmp_path / "a.tar", 1, lambda path: "")
        assert (tmp_path / "a.tar").read_bytes() == new


def test_a_server_that_ignores_ranges(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put_object(Key="a.tar", Body=b"0123456789")
    with open_object("s3://sa1b/a.tar", 0, None) as body:
        version = body.version
    whole = Acting([lambda request, get: get(Bucket=request["Bucket"], Key=request["Key"])])
    monkeypatch.setattr(s3.boto3, "client", whole.client)
    with open_object("s3://sa1b/a.tar", 4, version) as body:
        assert (body.start, b"".join(body.chunks)) == (0, b"0123456789")


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
