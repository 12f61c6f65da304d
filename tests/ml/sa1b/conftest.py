"""Fixtures, and the folder on the path so that tests can import `tiny_shards`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tiny_shards import pair, write_tar


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """A good shard of three images with three masks each."""
    return write_tar(tmp_path / "sa_000000.tar", [member for i in (1, 2, 3) for member in pair(i)])
