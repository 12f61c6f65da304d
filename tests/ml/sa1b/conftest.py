"""Fixtures, and the folder on the path so that tests can import `tiny_shards`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from ml.sa1b.sources import s3
from tests import servers

sys.path.insert(0, str(Path(__file__).parent))

from tiny_shards import pair, write_tar


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """A good shard of three images with three masks each."""
    return write_tar(tmp_path / "sa_000000.tar", [member for i in (1, 2, 3) for member in pair(i)])


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A real S3 server on this machine."""
    with servers.s3() as address:
        yield address


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    s3._client.cache_clear()  # of an earlier server
    for name, value in {"AWS_ENDPOINT_URL": server, **servers.KEYS}.items():
        monkeypatch.setenv(name, value)
    bucket = boto3.resource("s3").create_bucket(Bucket="sa1b")
    yield bucket
    bucket.objects.all().delete()
    bucket.delete()
