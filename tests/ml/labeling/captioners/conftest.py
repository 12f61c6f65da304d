"""An endpoint that tests may ask, and toytown's images to ask about.

The folder is on the path, so that tests can import `openai_server`.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from openai_server import Server, serving

from ml.labeling.captioners import asking
from ml.labeling.kept import decoded, read_kept
from ml.params import Endpoint, OpenAi
from ml.workspace.settings import preset


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second is waited that no server asks for, and no proxy stands between."""
    monkeypatch.setattr(asking, "BACKOFF", 0.01)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def endpoint(server: Server) -> Endpoint:
    return preset("toytown").endpoint.model_copy(update={"url": server.url, "timeout": 5.0, "retries": 2})


@pytest.fixture
def questions() -> OpenAi:
    return preset("toytown").labels.openai.model_copy(update={"model": "a-model", "crop_size": 64})


@pytest.fixture(scope="session")
def batch(shard: Any) -> list[Any]:
    """All of the shard's images."""
    pictures = decoded(read_kept(shard.kept), shard.tar, Counter())
    return [(kept, image) for kept, image in pictures if image is not None]
