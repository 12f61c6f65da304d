"""Shards in a real S3 server on this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from ml.errors import UserError
from ml.params import Params, preset
from ml.sa1b.download import Version, download
from ml.sa1b.s3 import list_tars, open_object
from ml.sa1b.sources import fetch, list_shards
from ml.workspace import Workspace


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = boto3.resource("s3").create_bucket(Bucket="sa1b")
    yield bucket
    bucket.objects.all().delete()
    bucket.delete()


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
