"""The freshness benchmark on a few shards: that it measures what it says; no time is looked at."""

import pytest

from ml.bench.freshness import nothing_stale, one_lost, workspace
from ml.workspace import Workspace


@pytest.mark.slow
def test_one_lost_shard_and_its_group_are_made_again(tmp_path):
    ws = workspace(tmp_path / "town", Workspace.find(), 6)
    rows = [*nothing_stale(ws, 6), one_lost(ws, 6)]
    assert "sa_000003 and group_000 made again" in rows[-1]["case"]
    assert all(row["ours"] > 0 and row["peer"] > 0 for row in rows)
